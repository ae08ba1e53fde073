--- Asks the server for inline completions. In each buffer the newest request wins.
local fit = require('lacuna.completion.fit')

local M = {}

M.method = 'textDocument/inlineCompletion'
M.invoked = 1
M.automatic = 2

---@class lacuna.Request
---@field client vim.lsp.Client
---@field id? integer
---@field trigger integer
---@field state string the buffer's state that it was asked for

local pending = {} ---@type table<integer, lacuna.Request>

--- The text and the caret of the current window's buffer, as far as a change is to be noticed.
---@return string
function M.state()
  local caret = vim.api.nvim_win_get_cursor(0)
  return ('%d %d %d'):format(vim.api.nvim_buf_get_changedtick(0), caret[1], caret[2])
end

--- Whether an answer is under way that the user has asked for, and that nothing automatic must supersede.
---@param bufnr integer the current one
---@return boolean
function M.is_wanted(bufnr)
  local request = pending[bufnr]
  return request ~= nil and request.trigger == M.invoked and request.state == M.state()
end

--- Where the caret is, in the form that suggestions are made from.
---@param encoding string
function M.place(encoding)
  local caret = vim.api.nvim_win_get_cursor(0)
  return { row = caret[1] - 1, column = caret[2], line = vim.api.nvim_get_current_line(), encoding = encoding }
end

--- The suggestions in an answer that was asked for at a place.
---@param result any
---@return lacuna.Suggestion[]
function M.suggestions(result, place)
  if type(result) ~= 'table' then
    return {}
  end
  local suggestions = {}
  for _, item in ipairs(result.items or result) do
    table.insert(suggestions, fit.suggestion(item, place))
  end
  return suggestions
end

---@param bufnr integer
function M.cancel(bufnr)
  local request = pending[bufnr]
  pending[bufnr] = nil
  if request and request.id and not request.client:is_stopped() then
    request.client:cancel_request(request.id)
  end
end

--- Asks at the caret of the current window. `answered` hears of the newest request alone.
---@param client vim.lsp.Client
---@param trigger integer
---@param answered fun(suggestions: lacuna.Suggestion[])
function M.ask(client, trigger, answered)
  local bufnr = vim.api.nvim_get_current_buf()
  M.cancel(bufnr)
  local request = { client = client, trigger = trigger, state = M.state() }
  pending[bufnr] = request
  local place = M.place(client.offset_encoding)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding) --[[@as table]]
  params.context = { triggerKind = trigger }
  local _, id = client:request(M.method, params, function(_, result)
    if pending[bufnr] == request then
      pending[bufnr] = nil
      answered(M.suggestions(result, place))
    end
  end, bufnr)
  request.id = id
end

return M
