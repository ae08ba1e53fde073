--- Texts and answers of all shapes.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

--- A trial that accepts one item and says what the buffer must become.
local function shape(name, before, item, wanted, shown)
  return {
    name = 'shape: ' .. name,
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', before, { item })
      child:wait('no ghost text came', function()
        return child:ghost()
      end)
      if shown and path == 'lacuna' then
        check.equal(child:ghost().text, shown, 'what is shown')
      end
      child:type('<Tab>')
      child:wait_for_text(wanted)
      local text = child:text()
      child:type('<Esc>u')
      child:wait('undo did nothing', function()
        return child:text() ~= text
      end)
      child:wait_for_text((before:gsub('%$0', ''):gsub('\n$', '')), 'undo brings back what was there')
    end,
  }
end

return {
  shape('before what is kept', 'foo($0);\n', { text = 'a, b);', after = 2 }, 'foo(a, b);', 'a, b'),
  shape('several lines before what is kept', 'foo($0);\n', { text = 'a,\n    b);', after = 2 }, 'foo(a,\n    b);'),
  shape('something else in its place', 'foo($0)];\n', { text = 'a);', after = 3 }, 'foo(a);'),
  shape('from before the caret', 'let na$0\n', { text = 'name = 1;', before = 2 }, 'let name = 1;', 'me = 1;'),
  shape(
    'after characters of several bytes',
    '/* 日本 🦀 */ x$0\n',
    { text = '語🦀 = 1' },
    '/* 日本 🦀 */ x語🦀 = 1',
    '語🦀 = 1'
  ),
  shape(
    'before characters of several bytes',
    'f("日本🦀$0語")\n',
    { text = '!語")', after = 3 },
    'f("日本🦀!語")',
    '!'
  ),
  shape('tabs', 'fn a() {\n\t$0\n}\n', { text = 'if b {\n\t\tc();\n\t}' }, 'fn a() {\n\tif b {\n\t\tc();\n\t}\n}', nil),
  {
    name = 'accept in a file with CRLF, and write it',
    run = function(start, path)
      local text = samples.python:gsub('\n', '\r\n')
      local child = user.open(start, path, 'a.py', text)
      check.equal(child:lua('return vim.bo.fileformat'), 'dos', 'the format of the file')
      child:type('for ')
      local wanted = child:text_with(child:wait_for_ghost().text)
      child:type('<Tab>')
      child:wait_for_text(wanted)
      check.is(not child:text():find('\r', 1, true), 'there is a carriage return in the buffer')
      child:type('<Esc>')
      child:command('silent write')
      local file = assert(io.open(child.project .. '/a.py', 'rb'))
      local written = file:read('a')
      file:close()
      check.equal(written, (wanted:gsub('\n', '\r\n')) .. '\r\n', 'what was written')
    end,
  },
  {
    name = 'complete after characters of several bytes',
    run = function(start, path)
      local text = samples.python:gsub('total', '合計🦀')
      local child = user.open(start, path, 'a.py', '# 日本語 🦀\n' .. text)
      child:type('for ')
      local wanted = child:text_with(child:wait_for_ghost().text)
      child:type('<Tab>')
      child:wait_for_text(wanted)
    end,
  },
}
