--- The popup menu of completions, and whether there is room for ghost text beside it.
local M = {}

--- Whether a menu is open that ghost text must not mix with. It may be shown only where the selected item stands in the
--- line already: then it goes on from that item.
---@return boolean
function M.is_in_the_way()
  if vim.fn.pumvisible() == 0 then
    return false
  end
  local info = vim.fn.complete_info({ 'selected', 'items' })
  local item = info.selected >= 0 and info.items and info.items[info.selected + 1]
  if not item or not item.word or item.word == '' then
    return true
  end
  local column = vim.api.nvim_win_get_cursor(0)[2]
  return vim.api.nvim_get_current_line():sub(1, column):sub(-#item.word) ~= item.word
end

return M
