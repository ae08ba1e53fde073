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

--- Whether the user has switched everything off, or the language of a buffer. The server knows it a moment later.
---@param client vim.lsp.Client
---@param bufnr integer
---@return boolean
function M.is_off(client, bufnr)
  local settings = client.settings and client.settings.lacuna or {}
  local language = client.get_language_id(bufnr, vim.bo[bufnr].filetype)
  return settings.enable == false or (settings.languages or {})[language] == false
end

--- A few characters for a status line; empty in buffers that the server does not serve.
---@return string
function M.line()
  local bufnr = vim.api.nvim_get_current_buf()
  local client = vim.lsp.get_clients({ name = 'lacuna', bufnr = bufnr })[1]
  if not client then
    return ''
  end
  if M.is_off(client, bufnr) then
    return 'Lacuna off'
  end
  local last = M.last(bufnr)
  local marks = { ok = 'Lacuna', warning = 'Lacuna -', loading = 'Lacuna …', error = 'Lacuna !' }
  return marks[last and last.health or 'loading']
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
