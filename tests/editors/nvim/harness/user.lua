--- The configuration files of the users in the trials.
local M = {}

--- Somebody who has read the first page of the help.
---@param path string what draws the ghost text
---@param more? string further options of the plugin, as Lua
---@param after? string further lines
function M.init(path, more, after)
  return ([[
vim.o.swapfile = false
vim.o.shiftwidth = 4
vim.o.expandtab = true
require('lacuna').setup({
  cmd = { vim.env.LACUNA_BINARY, 'lsp' },
  ghost_text = '%s',
  keys = {
    accept = '<Tab>', accept_word = '<M-w>', accept_line = '<M-l>',
    next = '<M-n>', previous = '<M-p>', dismiss = '<M-d>', complete = '<M-c>',
  },
  %s
})
%s
]]):format(path, more or '', after or '')
end

return M
