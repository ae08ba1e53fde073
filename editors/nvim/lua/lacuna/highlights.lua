--- How ghost text and drafts look: links that a colour scheme or a user can replace.
local M = {}

local function links()
  -- Neovim 0.12 has a group of its own for inline completions, which colour schemes know.
  local ghost = vim.fn.hlexists('ComplHint') == 1 and 'ComplHint' or 'Comment'
  return {
    LacunaGhost = ghost,
    LacunaGhostHint = 'NonText',
    LacunaDraftSettled = 'String',
    LacunaDraftLikely = 'Comment',
    LacunaDraftUncertain = 'NonText',
    LacunaDraftHole = 'Conceal',
  }
end

function M.define()
  local function set()
    for group, target in pairs(links()) do
      vim.api.nvim_set_hl(0, group, { link = target, default = true })
    end
  end
  set()
  -- `:highlight clear`, with which most colour schemes begin, removes the links.
  vim.api.nvim_create_autocmd('ColorScheme', {
    group = vim.api.nvim_create_augroup('lacuna.highlights', {}),
    callback = set,
  })
end

return M
