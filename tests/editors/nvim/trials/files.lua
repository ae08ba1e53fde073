--- Files that come, go, and change their names.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

--- Types on and accepts what comes.
local function completes(child, keys)
  child:type(keys)
  local wanted = child:text_with(child:wait_for_ghost().text)
  child:type('<Tab>')
  child:wait_for_text(wanted)
  child:type('<Esc>')
  child:wait('Insert mode did not end', function()
    return child:request('nvim_get_mode').mode == 'n'
  end)
end

local function python()
  return (samples.python:gsub('%$0', ''))
end

return {
  {
    name = 'a buffer without a name',
    run = function(start, path)
      local child = start({ init = user.init(path) })
      child:lua("vim.api.nvim_buf_set_lines(0, 0, -1, true, vim.split((...), '\\n'))", (python():gsub('\n$', '')))
      child:command('setfiletype python')
      child:ready()
      child:type('G')
      completes(child, 'Afor ')
    end,
  },
  {
    name = 'renaming a file',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('<Esc>')
      child:command('file ' .. child.project .. '/b.py')
      completes(child, 'GAfor ')
      child:command('silent write')
      child:type('uu')
      completes(child, 'GAfor ')
    end,
  },
  {
    name = 'reverting a file, and going on in it',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('nonsense ')
      child:wait_for_text(vim.trim(python()) .. '\n    nonsense ')
      child:type('<Esc>')
      child:command('edit!')
      child:wait_for_no_ghost()
      child:ready()
      completes(child, 'GAfor ')
    end,
  },
  {
    name = 'closing a file while ghost text is there',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python, { files = { ['b.rs'] = 'fn main() {}\n' } })
      child:type('for ')
      child:wait_for_ghost()
      child:command('edit! ' .. child.project .. '/b.rs')
      child:wait_for_no_ghost()
      child:command('bwipeout! #')
      child:wait_for_text('fn main() {}')
      child:command('bwipeout!')
      check.equal(child:lua("return vim.fn.execute('messages')"):match('E%d+:[^\n]*'), nil, 'errors')
    end,
  },
  {
    name = 'a file that may hold secrets gets nothing, and the status says so',
    run = function(start, path)
      local child = user.open(start, path, 'secrets.py', samples.python)
      child:type('for ')
      child:wait_lua(
        'nobody said why',
        [[
        local last = require('lacuna.status').last(0)
        return last.health == 'warning' and last.message:find('secrets') and true]]
      )
      check.equal(child:lua("return require('lacuna').status()"), 'Lacuna -', 'the status line')
      check.is(not child:ghost(), 'there is ghost text in it')
    end,
    paths = { 'neovim' },
  },
  {
    name = 'two Neovims at once',
    run = function(start, path)
      local one = user.open(start, path, 'a.py', samples.python)
      local other = user.open(start, path, 'a.rs', samples.rust)
      one:type('for ')
      other:type('for value in ')
      local wanted = { one:text_with(one:wait_for_ghost().text), other:text_with(other:wait_for_ghost().text) }
      one:type('<Tab>')
      other:type('<Tab>')
      one:wait_for_text(wanted[1])
      other:wait_for_text(wanted[2])
    end,
  },
}
