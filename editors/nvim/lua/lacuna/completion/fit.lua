--- Whether a suggestion still belongs where the caret is. Pure functions: no buffer is looked at.

---@class lacuna.Suggestion
---@field row integer the line, from 0
---@field before string what stood on the line before the suggestion's text begins
---@field text string the whole text
---@field after string what stood on the line after the caret
---@field replaced integer how many bytes of `after` the text replaces
---@field command? table what the server wants done once all of it is accepted

local M = {}

--- Makes a suggestion of a server's item, or nil if it is of a shape that can't be shown.
---@param item table
---@param asked { row: integer, column: integer, line: string, encoding: string } where it was asked for
---@return lacuna.Suggestion?
function M.suggestion(item, asked)
  local text = item.insertText
  if type(text) ~= 'string' or text == '' then
    return nil
  end
  local first, last = asked.column, asked.column
  local range = item.range
  if range and range ~= vim.NIL then
    if range.start.line ~= asked.row or range['end'].line ~= asked.row then
      return nil
    end
    first = vim.str_byteindex(asked.line, asked.encoding, range.start.character, false)
    last = vim.str_byteindex(asked.line, asked.encoding, range['end'].character, false)
  end
  if first > asked.column or last < asked.column then
    return nil
  end
  return {
    row = asked.row,
    before = asked.line:sub(1, first),
    text = text,
    after = asked.line:sub(asked.column + 1),
    replaced = last - asked.column,
    command = item.command ~= vim.NIL and item.command or nil,
  }
end

--- What of a suggestion remains to be inserted at the caret: nil if the line is no longer the one that it was made
--- for, apart from a beginning of the suggestion that has been typed since.
---@param suggestion lacuna.Suggestion
---@param line string
---@param row integer
---@param column integer the caret, in bytes
---@return string?
function M.remaining(suggestion, line, row, column)
  local start = #suggestion.before
  if row ~= suggestion.row or column < start or line:sub(1, start) ~= suggestion.before then
    return nil
  end
  local typed = line:sub(start + 1, column)
  if line:sub(column + 1) ~= suggestion.after or suggestion.text:sub(1, #typed) ~= typed then
    return nil
  end
  local remaining = suggestion.text:sub(#typed + 1)
  if remaining == suggestion.after:sub(1, suggestion.replaced) then
    -- All of it stands there already.
    return nil
  end
  return remaining
end

return M
