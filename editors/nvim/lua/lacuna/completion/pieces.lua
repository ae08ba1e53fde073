--- The beginnings of a text that can be accepted by themselves.
local M = {}

--- Blanks and then a word, or blanks and then a run of other characters.
---@param text string
---@return string
function M.word(text)
  local piece = vim.fn.matchstr(text, [[\v^\_s*(\k+|%(\k@!\S)+)]])
  -- Nothing but blanks is left.
  return piece ~= '' and piece or text
end

--- The rest of the line, or the line break and the next line where the rest is empty.
---@param text string
---@return string
function M.line(text)
  return assert(text:match('^\n?[^\n]*'))
end

---@param text string
---@return string
function M.whole(text)
  return text
end

return M
