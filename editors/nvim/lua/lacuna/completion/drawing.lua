--- Draws what remains of a suggestion as ghost text.
local M = {}

local namespace = vim.api.nvim_create_namespace('lacuna.ghost')

--- Virtual text shows a tab as a single cell, so it is written in blanks.
---@param text string
---@param column integer the screen column where the text begins
---@return string
local function expand_tabs(text, column)
  local tab_width = vim.bo.tabstop
  local parts, width = {}, column
  for part, tab in text:gmatch('([^\t]*)(\t?)') do
    width = width + vim.fn.strdisplaywidth(part, width)
    table.insert(parts, part)
    if tab ~= '' then
      local blanks = tab_width - width % tab_width
      table.insert(parts, (' '):rep(blanks))
      width = width + blanks
    end
  end
  return table.concat(parts)
end

---@param bufnr integer
function M.clear(bufnr)
  if vim.api.nvim_buf_is_valid(bufnr) then
    vim.api.nvim_buf_clear_namespace(bufnr, namespace, 0, -1)
  end
end

--- Draws at the caret of the current window, which shows the buffer.
---@param bufnr integer
---@param suggestion lacuna.Suggestion
---@param remaining string
---@param hint? string said behind the text
function M.draw(bufnr, suggestion, remaining, hint)
  M.clear(bufnr)
  local caret = vim.api.nvim_win_get_cursor(0)
  local row, column = caret[1] - 1, caret[2]
  local replaced = suggestion.after:sub(1, suggestion.replaced)
  local rest = suggestion.after:sub(suggestion.replaced + 1)
  local lines = vim.split(remaining, '\n', { plain = true })
  local screen_column = vim.fn.virtcol('.') - 1
  local position = 'inline'
  if #lines == 1 and vim.endswith(remaining, replaced) then
    -- What is kept of the line stays where it is, and the new text stands before it.
    lines[1] = remaining:sub(1, #remaining - #replaced)
  elseif suggestion.after ~= '' then
    -- The text goes over what follows on the line, and that follows the last line.
    position = 'overlay'
    lines[#lines] = lines[#lines] .. rest
    local missing = vim.fn.strdisplaywidth(suggestion.after) - vim.fn.strdisplaywidth(lines[1])
    lines[1] = lines[1] .. (' '):rep(math.max(missing, 0))
  end
  local chunks = {} ---@type [string, string][][]
  for index, line in ipairs(lines) do
    chunks[index] = { { expand_tabs(line, index == 1 and screen_column or 0), 'LacunaGhost' } }
  end
  if hint then
    table.insert(chunks[#chunks], { ' ' .. hint, 'LacunaGhostHint' })
  end
  vim.api.nvim_buf_set_extmark(bufnr, namespace, row, column, {
    virt_text = chunks[1],
    virt_text_pos = position,
    virt_lines = #chunks > 1 and vim.list_slice(chunks, 2) or nil,
    hl_mode = 'combine',
    undo_restore = false,
  })
end

return M
