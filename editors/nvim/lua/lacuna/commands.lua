--- The commands of the plugin.
local message = require('lacuna.message')
local server = require('lacuna.server')

local M = {}

--- Does something with the server's client in the current buffer, or says that there is none.
---@param act fun(client: vim.lsp.Client, bufnr: integer)
local function with_client(act)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = server.client(bufnr)
  if client then
    act(client, bufnr)
    return
  end
  local _, missing = server.binary()
  message.tell(
    missing
      or ('the server is not running in this buffer, whose file type is "%s". :checkhealth lacuna says why.'):format(
        vim.bo.filetype
      ),
    vim.log.levels.WARN
  )
end

--- Runs a command of the server's on the current document.
---@param command string
local function execute(command)
  with_client(function(client, bufnr)
    local params = { command = command, arguments = { vim.uri_from_bufnr(bufnr) } }
    client:request('workspace/executeCommand', params, function(err)
      if err then
        message.tell(err.message .. '.', vim.log.levels.ERROR)
      end
    end, bufnr)
  end)
end

local function status()
  with_client(function(client, bufnr)
    -- The server shows what it answers.
    require('lacuna.status').ask(client, bufnr, function(err)
      if err then
        message.tell(err.message .. '.', vim.log.levels.ERROR)
      end
    end)
  end)
end

--- Switches everything on or off, or one language.
---@param language string empty for everything
local function toggle(language)
  local settings = server.settings_in_force()
  local is_on
  if language == '' then
    is_on = settings.enable == false
    settings.enable = is_on
  else
    settings.languages = settings.languages or {}
    is_on = settings.languages[language] == false
    settings.languages[language] = is_on
  end
  server.put_in_force(settings)
  local client = server.client()
  vim.iter(vim.tbl_keys(client and client.attached_buffers or {})):each(require('lacuna.completion').hide)
  vim.cmd.redrawstatus({ bang = true })
  message.tell(('%s is %s.'):format(language == '' and 'everything' or language, is_on and 'on' or 'off'))
end

local function log()
  vim.cmd.tabnew(vim.fn.fnameescape(vim.lsp.log.get_filename()))
  vim.cmd('setlocal autoread nomodifiable')
  vim.cmd('normal! G')
end

function M.define()
  local function command(name, run, options)
    vim.api.nvim_create_user_command(name, run, options)
  end
  command('LacunaFormat', function()
    execute('lacuna.formatMarkdown')
  end, { desc = 'Format this Markdown document' })
  command('LacunaFillAll', function()
    execute('lacuna.fillAll')
  end, { desc = 'Fill all holes in this file' })
  command('LacunaNextPlace', function()
    execute('lacuna.nextPlace')
  end, { desc = 'Go to the next place that wants the last change' })
  command('LacunaStatus', status, { desc = 'Say how things stand, and why there was no completion' })
  command('LacunaToggle', function(arguments)
    toggle(arguments.args)
  end, {
    nargs = '?',
    complete = function(beginning)
      return vim.tbl_filter(function(language)
        return vim.startswith(language, beginning)
      end, vim.lsp.config.lacuna.filetypes or {})
    end,
    desc = 'Switch Lacuna on or off, or one language',
  })
  command('LacunaRestart', server.restart, { desc = 'Restart the server' })
  command('LacunaLog', log, { desc = 'Show the log' })
end

return M
