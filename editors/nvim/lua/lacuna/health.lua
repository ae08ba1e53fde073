--- `:checkhealth lacuna`.
local config = require('lacuna.config')
local server = require('lacuna.server')
local status = require('lacuna.status')

local M = {}

--- How long the server's program and the server itself may take to answer.
local LIMIT_MS = 3000

local function check_neovim()
  vim.health.start('Neovim')
  vim.health.ok('version ' .. tostring(vim.version()))
  if config.uses_neovim() then
    vim.health.ok('ghost text: by vim.lsp.inline_completion')
  else
    vim.health.ok('ghost text: by the plugin itself')
  end
end

---@return boolean
local function check_binary()
  vim.health.start('The server')
  local path, missing = server.binary()
  if not path then
    vim.health.error(assert(missing))
    return false
  end
  local started, process = pcall(vim.system, { path, '--version' }, { text = true })
  local answer = started and process:wait(LIMIT_MS)
  if not answer or answer.code ~= 0 then
    vim.health.error(('%s does not say its version: it is no lacuna, or not for this machine.'):format(path))
    return false
  end
  vim.health.ok(('%s is %s'):format(path, vim.trim(answer.stdout)))
  return true
end

local function check_client()
  if not server.is_enabled() then
    vim.health.warn('The server is not enabled.', { "Call require('lacuna').setup() in your configuration." })
    return
  end
  local client = server.client()
  if not client then
    local types = table.concat(vim.lsp.config.lacuna.filetypes or {}, ', ')
    vim.health.info(('not running; it starts with the first file of type %s'):format(types))
    return
  end
  vim.health.ok(('running, in %d buffers'):format(vim.tbl_count(client.attached_buffers)))
  local alternate = vim.fn.bufnr('#')
  local bufnr = alternate > 0 and client.attached_buffers[alternate] and alternate or next(client.attached_buffers)
  local answered, failure, answer = false, nil, nil
  status.ask(client, bufnr, function(err, result)
    answered, failure, answer = true, err, result
  end)
  vim.wait(LIMIT_MS, function()
    return answered
  end, 10)
  if failure or not answer then
    vim.health.error(
      failure and failure.message or 'The server does not answer.',
      { ':LacunaRestart starts it anew, and :LacunaLog says more.' }
    )
    return
  end
  local report = { ok = vim.health.ok, loading = vim.health.info, warning = vim.health.warn, error = vim.health.error }
  report[answer.health](answer.message)
  vim.health.info('model: ' .. (answer.model or 'none'))
  vim.health.info('device: ' .. (answer.device or 'none'))
  if answer.silence then
    vim.health.info(('no completion in %s because %s'):format(vim.api.nvim_buf_get_name(bufnr), answer.silence))
  end
end

local function check_options()
  vim.health.start('Options')
  for _, problem in ipairs(config.problems) do
    vim.health.warn(problem)
  end
  if #config.problems == 0 then
    vim.health.ok('the plugin has no complaint; the server names a wrong setting in a message')
  end
end

function M.check()
  check_neovim()
  if check_binary() then
    check_client()
  end
  check_options()
end

return M
