--- Puts accepted text into the buffer, all of it or a beginning.
local feedback = require('lacuna.completion.feedback')
local pieces = require('lacuna.completion.pieces')
local shown = require('lacuna.completion.shown')

local M = {}

--- Inserts a piece of what remains of a suggestion at the caret. Nothing happens, and false is returned, if the line is
--- no longer the one that the suggestion was made for.
---@param suggestion lacuna.Suggestion
---@param piece_of fun(remaining: string): string
---@return boolean
function M.insert(suggestion, piece_of)
  local remaining = shown.remaining(suggestion)
  if not remaining or not vim.bo.modifiable then
    return false
  end
  local bufnr = vim.api.nvim_get_current_buf()
  local caret = vim.api.nvim_win_get_cursor(0)
  local row, column = caret[1] - 1, caret[2]
  local piece = piece_of(remaining)
  local rest = remaining:sub(#piece + 1)
  local replaced = suggestion.after:sub(1, suggestion.replaced)
  if rest == replaced then
    -- What would be left of the suggestion is what follows on the line.
    piece, rest = remaining, ''
  end
  local is_whole = rest == ''
  local kind = is_whole and 'accepted' or piece_of == pieces.word and 'acceptedWord' or 'acceptedLine'
  feedback.tell(bufnr, kind, vim.fn.strchars(piece) - (is_whole and vim.fn.strchars(replaced) or 0))
  local lines = vim.split(piece, '\n', { plain = true })
  -- One undo takes the accepted text back and leaves what was typed before it.
  vim.cmd('let &g:undolevels = &g:undolevels')
  vim.api.nvim_buf_set_text(bufnr, row, column, row, column + (is_whole and suggestion.replaced or 0), lines)
  local last = lines[#lines]
  row, column = row + #lines - 1, #lines == 1 and column + #last or #last
  vim.api.nvim_win_set_cursor(0, { row + 1, column })
  if is_whole then
    shown.clear(bufnr)
    return true
  end
  local line = vim.api.nvim_get_current_line()
  shown.set({
    {
      row = row,
      before = line:sub(1, column),
      text = rest,
      after = suggestion.after,
      replaced = suggestion.replaced,
      command = suggestion.command,
    },
  }, false)
  return true
end

return M
