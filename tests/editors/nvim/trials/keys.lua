--- Keys keep their other meanings, and the popup menu has its place.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

return {
  {
    name = 'Tab indents where nothing is shown',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'fn a() {\n$0\n}\n', {})
      child:type('<Tab>x')
      child:wait_for_text('fn a() {\n    x\n}')
    end,
  },
  {
    name = 'Tab jumps in a snippet where nothing is shown',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', '$0\n', {})
      child:lua("vim.snippet.expand('let ${1:name} = ${2:value};')")
      child:type('a')
      child:wait_for_text('let a = value;')
      child:type('<Tab>')
      child:wait('Tab did not jump', function()
        return child:request('nvim_get_mode').mode == 's'
      end)
      child:type('b')
      child:wait_for_text('let a = b;')
    end,
  },
  {
    name = "Tab does what the user's own mapping says where nothing is shown",
    run = function(start, path)
      for _, mapping in ipairs({
        "vim.keymap.set('i', '<Tab>', 'mine')",
        "vim.keymap.set('i', '<Tab>', function() return 'mine' end, { expr = true })",
        "vim.keymap.set('i', '<Tab>', function() vim.api.nvim_put({ 'mine' }, 'c', false, true) end)",
        "vim.cmd([[inoremap <expr> <Tab> 'mine']])",
      }) do
        local child = user.open_with_items(start, path, 'a.rs', '$0\n', {}, { before = mapping })
        child:type('<Tab>')
        child:wait_for_text('mine', mapping)
      end
    end,
  },
  {
    name = 'the mapping in the help, made of the function accept',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python, {
        options = 'settings = { inlineCompletion = { minConfidence = 0 } },',
        after = [[
          vim.keymap.set('i', '<C-l>', function()
            return require('lacuna').accept() and '' or '<Tab>'
          end, { expr = true })]],
      })
      child:type('for ')
      local wanted = child:text_with(child:wait_for_ghost().text)
      child:type('<C-l>')
      child:wait_for_text(wanted)
    end,
  },
  {
    name = 'nothing is shown beside the popup menu until an item of it is in the line',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'alphabet alphorn\n$0\n', { { text = 'zzz' } }, {
        before = "vim.o.completeopt = 'menuone,noselect,noinsert'",
      })
      child:wait_for_ghost()
      child:type('alp<C-n>')
      child:wait_lua('the menu did not open', 'return vim.fn.pumvisible() == 1')
      child:wait_for_no_ghost('ghost text beside the menu', 1000)
      local came = vim.wait(700, function()
        return child:ghost() ~= nil
      end, 20)
      check.is(not came, 'ghost text came beside the menu')
      child:lua("vim.o.completeopt = 'menuone'")
      child:type('<C-e>')
      child:wait_lua('the menu did not close', 'return vim.fn.pumvisible() == 0')
      child:type('<C-n>')
      child:wait_lua('no item was put in', "return vim.api.nvim_get_current_line() == 'alphabet'")
      child:wait_for_ghost('no ghost text goes on from the item')
      child:type('<Tab>')
      child:wait_for_text('alphabet alphorn\nalphabetzzz', 'accepting behind an item of the menu')
    end,
  },
}
