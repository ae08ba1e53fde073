if vim.g.loaded_lacuna then
  return
end
vim.g.loaded_lacuna = true

if vim.fn.has('nvim-0.11') == 0 then
  vim.notify(
    'Lacuna needs Neovim 0.11 or later; this one is older, so that the plugin does nothing.',
    vim.log.levels.WARN
  )
  return
end

require('lacuna.highlights').define()
require('lacuna.attach').watch()
require('lacuna.commands').define()
