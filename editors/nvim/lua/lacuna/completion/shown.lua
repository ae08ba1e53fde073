--- The suggestions that the plugin itself shows: in each buffer a list, of which one is drawn.
local drawing = require('lacuna.completion.drawing')
local feedback = require('lacuna.completion.feedback')
local fit = require('lacuna.completion.fit')

local M = {}

---@class lacuna.Shown
---@field suggestions lacuna.Suggestion[]
---@field index integer
---@field asked boolean whether the user asked for them, so that these are all there are

local shown = {} ---@type table<integer, lacuna.Shown>

--- What of a suggestion remains at the caret of the current window.
---@param suggestion lacuna.Suggestion
---@return string?
function M.remaining(suggestion)
  local caret = vim.api.nvim_win_get_cursor(0)
  return fit.remaining(suggestion, vim.api.nvim_get_current_line(), caret[1] - 1, caret[2])
end

---@param bufnr integer
function M.clear(bufnr)
  if shown[bufnr] then
    shown[bufnr] = nil
    drawing.clear(bufnr)
  end
end

--- The suggestion that is shown in the current buffer, and what remains of it.
---@return lacuna.Suggestion?, string?
function M.current()
  local state = shown[vim.api.nvim_get_current_buf()]
  if not state then
    return nil
  end
  local suggestion = state.suggestions[state.index]
  local remaining = M.remaining(suggestion)
  if remaining then
    return suggestion, remaining
  end
end

--- Draws again after typing. What no longer fits goes, and false is returned.
---@return boolean
function M.refresh()
  local bufnr = vim.api.nvim_get_current_buf()
  local state = shown[bufnr]
  if not state then
    return false
  end
  local suggestion, remaining = M.current()
  if not suggestion or not remaining then
    M.clear(bufnr)
    return false
  end
  local count = #state.suggestions
  local hint = state.asked and count > 1 and ('(%d/%d)'):format(state.index, count) or nil
  drawing.draw(bufnr, suggestion, remaining, hint)
  return true
end

--- Shows the first of some suggestions that fits at the caret.
---@param suggestions lacuna.Suggestion[]
---@param asked boolean
---@return boolean
function M.set(suggestions, asked)
  local bufnr = vim.api.nvim_get_current_buf()
  M.clear(bufnr)
  local fitting = vim.tbl_filter(M.remaining, suggestions)
  if #fitting == 0 then
    return false
  end
  shown[bufnr] = { suggestions = fitting, index = 1, asked = asked }
  feedback.tell(bufnr, 'shown')
  return M.refresh()
end

--- Shows another of the suggestions; nil if there are no others, or they have not been asked for yet.
---@param by integer
---@return boolean?
function M.cycle(by)
  local state = shown[vim.api.nvim_get_current_buf()]
  if not state or not state.asked or not M.current() then
    return nil
  end
  state.index = (state.index - 1 + by) % #state.suggestions + 1
  return M.refresh()
end

return M
