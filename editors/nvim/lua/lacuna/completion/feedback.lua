--- Tells the server what becomes of what is shown, completions and next places alike, for its own counts: nothing of it
--- leaves the machine.
local server = require('lacuna.server')

local M = {}

---@param bufnr integer
---@param kind 'shown'|'accepted'|'acceptedWord'|'acceptedLine'|'dismissed'
---@param characters? integer how many were taken over
function M.tell(bufnr, kind, characters)
  local client = server.client(bufnr)
  if client then
    local uri = vim.uri_from_bufnr(bufnr)
    client:notify('lacuna/feedback', { uri = uri, kind = kind, characters = characters })
  end
end

return M
