--- Ghost text while typing, and what can be done with it.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

--- A child with a sample open, in Insert mode on the line that is to be gone on with.
local function at_work(start, path, more, after)
  local child = start({ init = user.init(path, more, after), files = { ['a.py'] = samples.python }, open = 'a.py' })
  child:ready()
  child:insert_at_mark('a.py')
  return child
end

return {
  {
    name = 'type, see ghost text, accept it with Tab',
    run = function(start, path)
      local child = at_work(start, path)
      child:type('for ')
      local ghost = child:wait_for_ghost()
      check.equal(ghost.by, path == 'neovim' and 'nvim.lsp.inline_completion' or 'lacuna.ghost', 'drawn by')
      local wanted = child:text_with(ghost.text)
      child:type('<Tab>')
      child:wait_for_text(wanted, 'accepting puts in exactly what was shown')
    end,
  },
}
