--- Ghost text while typing, and what can be done with it.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

return {
  {
    name = 'type, see ghost text, accept it with Tab, undo',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('for ')
      local ghost = child:wait_for_ghost()
      check.equal(ghost.by, path == 'neovim' and 'nvim.lsp.inline_completion' or 'lacuna.ghost', 'who draws it')
      local typed = child:text()
      local wanted = child:text_with(ghost.text)
      child:type('<Tab>')
      child:wait_for_text(wanted, 'accepting puts in exactly what was shown')
      child:type('<Esc>u')
      child:wait_for_text(typed, 'one undo takes back the accepted text alone')
      child:type('u')
      child:wait_for_text((samples.python:gsub('%$0', ''):gsub('\n$', '')), 'another takes back what was typed')
    end,
  },
  {
    name = 'accept a word, then another, then the rest',
    run = function(start, path)
      local child = user.open(start, path, 'a.rs', samples.rust)
      child:type('for value in ')
      local ghost = child:wait_for_ghost()
      local whole = child:text_with(ghost.text)
      local rest = ghost.text
      local words = 0
      while rest ~= '' and words < 2 do
        local before = child:text()
        child:type('<M-w>')
        child:wait('a word was not accepted', function()
          return child:text() ~= before
        end)
        local now = child:ghost()
        local left = now and now.text or ''
        check.is(#left < #rest and vim.endswith(rest, left), 'what is left is not the end of what was shown')
        local piece = rest:sub(1, #rest - #left)
        check.is(
          piece:match('^%s*[%w_]+$') or piece:match('^%s*[^%w_%s]+$') or left == '',
          ('%q is not a word'):format(piece)
        )
        rest, words = left, words + 1
      end
      if rest ~= '' then
        child:type('<Tab>')
      end
      child:wait_for_text(whole, 'the pieces are the whole')
    end,
  },
  {
    name = 'accept a line of several',
    run = function(start, path)
      local child =
        user.open_with_items(start, path, 'a.rs', 'fn a() {\n    $0\n}\n', { { text = 'one\n    two\n    three' } })
      check.equal(child:wait_for_ghost().text, 'one\n    two\n    three', 'what is shown')
      child:type('<M-l>')
      child:wait_for_text('fn a() {\n    one\n}')
      check.equal(child:wait_for_ghost().text, '\n    two\n    three', 'what is left')
      child:type('<M-l>')
      child:wait_for_text('fn a() {\n    one\n    two\n}')
      child:type('<Tab>')
      child:wait_for_text('fn a() {\n    one\n    two\n    three\n}')
    end,
  },
  {
    name = 'typing what is shown keeps it alive',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('for ')
      local shown = child:wait_for_ghost().text
      local whole = child:text_with(shown)
      local typed = shown:match('^%s*%S')
      child:type(typed)
      child:wait('what was typed is still shown, or nothing is', function()
        local ghost = child:ghost()
        return ghost and ghost.text == shown:sub(#typed + 1)
      end, 1000)
      child:type('<Tab>')
      child:wait_for_text(whole, 'accepting after typing on gives what was shown at first')
    end,
  },
  {
    name = 'Tab right after another letter never corrupts',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'fn a() {\n    foo($0);\n}\n', { { text = 'bar, baz' } })
      child:wait_for_ghost()
      -- All three keys come at once, before anything can be drawn or asked.
      child:type('x<Tab><Esc>')
      child:wait('the keys were not taken', function()
        return child:request('nvim_get_mode').mode == 'n'
      end)
      local line = child:lua('return vim.api.nvim_buf_get_lines(0, 1, 2, true)[1]')
      check.is(
        line:match('^    foo%(x%s+%);$') or line == '    foo(xbar, baz);',
        ('the line has become %q'):format(line) .. child:describe()
      )
    end,
  },
  {
    name = 'ghost text that no longer fits goes at once',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'fn a() {\n    $0\n}\n', { { text = 'bar' } })
      check.equal(child:wait_for_ghost().text, 'bar', 'what is shown')
      child:lua([[
        -- From now on the server finds nothing.
        local client = vim.lsp.get_clients({ name = 'lacuna' })[1]
        local ask = client.rpc.request
        client.rpc.request = function(method, params, answered, ...)
          if method == 'textDocument/inlineCompletion' then
            return ask(method, params, function(err) answered(err, nil) end, ...)
          end
          return ask(method, params, answered, ...)
        end]])
      child:type('x')
      child:wait_for_no_ghost('ghost text stayed that does not fit', 1000)
      child:wait_for_text('fn a() {\n    x\n}')
      child:type('<Tab>')
      child:wait_for_text('fn a() {\n    x   \n}', 'Tab is a Tab where nothing is shown')
    end,
  },
  {
    name = 'a letter that does not fit brings new ghost text without another key',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'fn a() {\n    $0\n}\n', { { text = 'bar' } })
      child:wait_for_ghost()
      child:type('x')
      child:wait_for_text('fn a() {\n    x\n}')
      child:wait_for_ghost('none came after the letter', 2000)
      child:type('<Tab>')
      child:wait_for_text('fn a() {\n    xbar\n}')
    end,
  },
  {
    name = 'moving away takes it off the screen, and so does leaving Insert mode',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'fn a() {\n    $0\n}\n', { { text = 'bar' } })
      child:wait_for_ghost()
      child:type('<Down>')
      child:wait('ghost text stayed on the line that was left', function()
        local ghost = child:ghost()
        return not ghost or ghost.row == 2
      end, 1000)
      child:wait_for_ghost('none came on the next line')
      child:type('<Esc>')
      child:wait_for_no_ghost('ghost text stayed in Normal mode', 1000)
      child:wait_for_text('fn a() {\n    \n}')
    end,
  },
  {
    name = 'next and previous candidate',
    run = function(start, path)
      local child = user.open_with_items(
        start,
        path,
        'a.rs',
        'fn a() {\n    $0\n}\n',
        { { text = 'one' }, { text = 'two' }, { text = 'three' } }
      )
      child:wait_for_ghost()
      local function shows(text)
        child:wait('the candidate does not come: ' .. text, function()
          local ghost = child:ghost()
          return ghost and vim.startswith(ghost.text, text)
        end)
      end
      for _, step in ipairs({ { '<M-n>', 'two' }, { '<M-n>', 'three' }, { '<M-n>', 'one' }, { '<M-p>', 'three' } }) do
        child:type(step[1])
        shows(step[2])
      end
      child:type('<Tab>')
      child:wait_for_text('fn a() {\n    three\n}')
    end,
  },
  {
    name = 'a Neovim that could do it leaves it to the plugin where it is told so',
    run = function(start)
      local child = user.open_with_items(start, 'neovim', 'a.rs', '$0\n', { { text = 'bar' } }, {
        options = "ghost_text = 'lacuna', keys = { accept = '<Tab>' },",
      })
      check.equal(child:wait_for_ghost().by, 'lacuna.ghost', 'who draws it')
      child:type('<Tab>')
      child:wait_for_text('bar')
    end,
    paths = { 'neovim' },
  },
  {
    name = 'asking by hand, and taking it away',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python, {
        options = 'settings = { inlineCompletion = { automatic = false } },'
          .. " keys = { complete = '<M-c>', dismiss = '<M-d>', accept = '<Tab>' },",
      })
      child:type('for ')
      child:type('<M-c>')
      local ghost = child:wait_for_ghost()
      check.equal(ghost.by, 'lacuna.ghost', 'who draws it')
      child:type('<M-d>')
      child:wait_for_no_ghost(nil, 500)
      child:type('<M-c>')
      -- Behind the text there may be a count of the candidates.
      local shown = child:wait_for_ghost().text:gsub(' %(%d+/%d+%)$', '')
      local wanted = child:text_with(shown)
      child:type('<Tab>')
      child:wait_for_text(wanted)
    end,
  },
}
