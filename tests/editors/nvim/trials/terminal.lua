--- In a terminal, with keys that a terminal sends, and with pictures of what is on the screen.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

local function open(start, path, name, text, options)
  options = vim.tbl_extend('force', { terminal = true, after = 'vim.o.termguicolors = true' }, options or {})
  return user.open(start, path, name, text, options)
end

return {
  {
    name = 'terminal: type, see ghost text, type on, accept a word, accept the rest, undo',
    run = function(start, path)
      local child = open(start, path, 'a.rs', samples.rust)
      child:type('for value in ')
      local ghost = child:wait_for_ghost()
      child.terminal:wait_for('for value in ' .. vim.split(ghost.text, '\n')[1])
      child.terminal:picture(path .. '-ghost-text')
      local whole = child:text_with(ghost.text)
      for _, keys in ipairs({ ghost.text:match('^%s*%S'), '<M-w>', '<Tab>' }) do
        local before = child:text()
        if before ~= whole then
          child:type(keys)
          child:wait('nothing came of ' .. keys, function()
            return child:text() ~= before
          end)
          child.terminal:picture(('%s-after-%s'):format(path, keys:match('%w+')))
        end
      end
      child:wait_for_text(whole)
      child:type('<Esc>')
      child:type('uuuu')
      child:wait('undo did not bring back what there was', function()
        return child:text() == vim.trim((samples.rust:gsub('%$0', '')))
      end)
    end,
  },
  {
    name = 'terminal: several lines over what follows',
    run = function(start, path)
      local child = user.open_with_items(
        start,
        path,
        'a.rs',
        'fn main() {\n    call($0);\n}\n',
        { { text = 'first,\n        "日本 🦀",\n    );', after = 2 } },
        { terminal = true, after = 'vim.o.termguicolors = true' }
      )
      child.terminal:wait_for('日本 🦀')
      child.terminal:picture(path .. '-several-lines')
      child:type('<Tab>')
      child:wait_for_text('fn main() {\n    call(first,\n        "日本 🦀",\n    );\n}')
      child.terminal:picture(path .. '-several-lines-accepted')
    end,
  },
  {
    name = 'terminal: a hole is filled by gra, and condenses on the screen',
    run = function(start, path)
      local child = open(start, path, 'a.rs', samples.holes)
      -- The screen as it is while a fill is half made.
      child:lua(
        [[
        local capture = ...
        local draft = require('lacuna.draft')
        local receive = draft.receive
        local before = vim.fn.system(capture)
        draft.receive = function(params, client)
          receive(params, client)
          local pieces = vim.iter(params.holes[1] and params.holes[1].pieces or {}):filter(function(piece)
            return vim.trim(piece.text) ~= ''
          end):totable()
          local settled = vim.iter(pieces):filter(function(piece) return piece.settled end):totable()
          -- The best picture has text that is settled beside text that is not.
          local is_mixed = #settled > 0 and #settled < #pieces
          if #pieces == 0 or _G.is_mixed or (_G.captured and not is_mixed) then
            return
          end
          _G.is_mixed = is_mixed
          vim.cmd.redraw()
          for _ = 1, 100 do
            local now = vim.fn.system(capture)
            if now ~= before then
              _G.captured = now
              return
            end
          end
        end]],
        child.terminal:capture_command()
      )
      local before = child:text()
      local lines = vim.split(before, '\n')
      for row, line in ipairs(lines) do
        local column = line:find('todo!()', 1, true)
        if column and child:text() == before then
          child:caret(row, column + 1)
          child:command('messages clear')
          child:type('gra')
          child.terminal:wait_for('Fill this hole')
          child.terminal:picture(path .. '-code-actions')
          child:type('1<CR>')
          child:wait('the action did nothing and said nothing', function()
            return child:text() ~= before or child:lua("return vim.fn.execute('messages') ~= ''")
          end)
        end
      end
      check.is(child:text() ~= before, 'the model filled none of the holes')
      local captured = child:lua('return _G.captured')
      check.is(captured, 'no half-made fill was on the screen')
      child.terminal:picture(path .. '-denoising', captured)
      child.terminal:picture(path .. '-filled')
    end,
    paths = { 'neovim' },
  },
  {
    name = 'terminal: a Markdown file is formatted',
    run = function(start, path)
      local child = open(start, path, 'a.md', samples.markdown)
      local before = child:text()
      child.terminal:picture(path .. '-markdown')
      child:type(':LacunaFormat<CR>')
      child:wait('nothing was formatted', function()
        return child:text() ~= before
      end)
      child.terminal:picture(path .. '-markdown-formatted')
    end,
    paths = { 'neovim' },
  },
  {
    name = 'terminal: the popup menu has the screen for itself',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'alphabet alphorn\n$0\n', { { text = 'beyond' } }, {
        before = "vim.o.completeopt = 'menuone,noselect,noinsert'",
        after = 'vim.o.termguicolors = true',
        terminal = true,
      })
      child.terminal:wait_for('beyond')
      child:type('alp')
      child.terminal:wait_for('alpbeyond')
      child:type('<C-n>')
      child:wait_lua('the menu did not open', 'return vim.fn.pumvisible() == 1')
      child:wait('ghost text is on the screen beside the menu', function()
        return not child.terminal:screen():find('beyond', 1, true)
      end)
      child.terminal:picture(path .. '-popup-menu')
      child:type('<C-e><Tab>x')
      child:wait('Tab did nothing after the menu', function()
        return child:text():match('\nalpbeyondx$') or child:text():match('\nalp%s+x$')
      end)
    end,
  },
}
