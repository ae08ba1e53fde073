--- What the server has said about itself.
local M = {}

---@class lacuna.Status
---@field health 'ok'|'warning'|'loading'|'error'
---@field message string
---@field model? string
---@field device? string

local by_client = {} ---@type table<integer, lacuna.Status>

--- JSON's null has no place in a table that is looked at by `if`.
local function without_null(params)
  local kept = {}
  for key, value in pairs(params or {}) do
    if value ~= vim.NIL then
      kept[key] = value
    end
  end
  return kept
end

---@param client_id integer
---@param params table
function M.receive(client_id, params)
  by_client[client_id] = without_null(params)
  vim.schedule(function()
    vim.api.nvim_exec_autocmds('User', { pattern = 'LacunaStatus', modeline = false, data = by_client[client_id] })
    vim.cmd.redrawstatus({ bang = true })
  end)
end

---@param client_id integer
function M.forget(client_id)
  by_client[client_id] = nil
end

--- The last status of the server in a buffer, or of any server.
---@param bufnr? integer
---@return lacuna.Status?
function M.last(bufnr)
  for _, client in ipairs(vim.lsp.get_clients({ name = 'lacuna', bufnr = bufnr })) do
    if by_client[client.id] then
      return by_client[client.id]
    end
  end
end

--- A few characters for a status line; empty in buffers that the server does not serve.
---@return string
function M.line()
  local client = vim.lsp.get_clients({ name = 'lacuna', bufnr = 0 })[1]
  if not client then
    return ''
  end
  local settings = client.settings and client.settings.lacuna or {}
  local languages = settings.languages or {}
  if
    settings.enable == false
    or languages[client.get_language_id(vim.api.nvim_get_current_buf(), vim.bo.filetype)] == false
  then
    return 'Lacuna off'
  end
  local last = M.last(0)
  local marks = { ok = 'Lacuna', warning = 'Lacuna -', loading = 'Lacuna …', error = 'Lacuna !' }
  return marks[last and last.health or 'loading'] or 'Lacuna'
end

--- Asks the server how things stand, and why the last completion in a buffer did not come.
---@param client vim.lsp.Client
---@param bufnr? integer
---@param answered fun(err: table?, status: table?)
function M.ask(client, bufnr, answered)
  local arguments = bufnr and { vim.uri_from_bufnr(bufnr) } or {}
  client:request('workspace/executeCommand', { command = 'lacuna.status', arguments = arguments }, function(err, result)
    answered(err, result and without_null(result))
  end, bufnr)
end

return M
