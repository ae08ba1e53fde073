--- Code actions, commands, and the denoising view.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

--- Records every draft as it is drawn.
local function record_drafts(child)
  child:lua([[
    _G.drawn = {}
    local draft = require('lacuna.draft')
    local receive = draft.receive
    draft.receive = function(params, ...)
      receive(params, ...)
      local space = vim.api.nvim_get_namespaces()['lacuna.draft']
      for _, mark in ipairs(vim.api.nvim_buf_get_extmarks(0, space, 0, -1, { details = true })) do
        table.insert(_G.drawn, mark[2])
      end
    end]])
end

local function marks(child)
  return child:lua([[
    local space = vim.api.nvim_get_namespaces()['lacuna.draft']
    return #vim.api.nvim_buf_get_extmarks(0, space, 0, -1, {})]])
end

--- Chooses the first code action at a place by Neovim's own keys. False if it changed nothing.
local function choose_first(child, row, column)
  local before = child:text()
  child:caret(row, column)
  child:command('messages clear')
  child:type('gra')
  child:wait('nothing was offered', function()
    return child:request('nvim_get_mode').mode == 'c' or child:text() ~= before
  end)
  child:type('1<CR>')
  child:wait('the action did nothing and said nothing', function()
    return child:text() ~= before or child:lua("return vim.fn.execute('messages') ~= ''")
  end)
  return child:text() ~= before
end

return {
  {
    name = 'fill a todo!() by gra, with the denoising view seen and gone',
    run = function(start, path)
      local child = user.open(start, path, 'a.rs', samples.holes)
      record_drafts(child)
      local before = child:text()
      local lines = vim.split(before, '\n')
      local filled
      for row, line in ipairs(lines) do
        local column = line:find('todo!()', 1, true)
        if column and choose_first(child, row, column + 1) then
          filled = row
          break
        end
      end
      check.is(filled, 'the model filled none of the holes')
      local after = vim.split(child:text(), '\n')
      check.equal(
        vim.list_slice(after, 1, filled - 1),
        vim.list_slice(lines, 1, filled - 1),
        'the lines before the hole'
      )
      local below = #lines - filled
      check.equal(vim.list_slice(after, #after - below + 1), vim.list_slice(lines, filled + 1), 'the lines after it')
      check.is(not after[filled]:find('todo!()', 1, true), 'the hole is still there')
      local drawn = child:lua('return _G.drawn')
      check.is(#drawn > 0, 'no draft was drawn')
      check.equal(drawn[#drawn], filled - 1, 'the line of the draft')
      child:wait('a draft stayed', function()
        return marks(child) == 0
      end)
      child:type('u')
      child:wait_for_text(before, 'undo brings the hole back')
    end,
  },
  {
    name = 'a draft goes when the text changes, when its end is lost, and with the server',
    run = function(start, path)
      local child = user.open_with_items(start, path, 'a.rs', 'fn a() {\n    todo!()\n}\n', {})
      local function draw(id, done)
        child:lua(
          [[
          local id, done = ...
          local client = vim.lsp.get_clients({ name = 'lacuna' })[1]
          client.handlers['lacuna/draft'](nil, {
            uri = vim.uri_from_bufnr(0), version = vim.lsp.util.buf_versions[vim.api.nvim_get_current_buf()],
            id = id, step = 1, limit = 8, done = done,
            holes = done and {} or { {
              range = { start = { line = 1, character = 4 }, ['end'] = { line = 1, character = 11 } },
              pieces = {
                { text = 'let ', settled = true, certainty = 1 },
                { text = 'x =\n', settled = false, certainty = 0.7 },
                { text = '??', settled = false, certainty = 0.1 },
              },
            } },
          }, { client_id = client.id })]],
          id,
          done
        )
      end
      draw(1, false)
      check.equal(marks(child), 1, 'drafts drawn')
      draw(1, true)
      check.equal(marks(child), 0, 'drafts after the end')
      draw(2, false)
      child:type('ggOnew<Esc>')
      child:wait('a draft stayed though the text changed', function()
        return marks(child) == 0
      end, 1000)
      draw(2, false)
      draw(3, false)
      child:wait('a draft stayed though nothing more came', function()
        return marks(child) == 0
      end, 7000)
      draw(4, false)
      child:command('lua vim.lsp.enable("lacuna", false)')
      child:wait('a draft stayed though the server left', function()
        return marks(child) == 0
      end, 4000)
    end,
    paths = { 'neovim' },
  },
  {
    name = 'fill all holes',
    run = function(start, path)
      -- Where nobody looks at a screen, nobody is asked.
      local child = user.open(start, path, 'a.rs', samples.holes, { terminal = true })
      local before = child:text()
      child:type(':LacunaFillAll<CR>')
      child.terminal:wait_for('[Y]es')
      child.terminal:picture('fill-all')
      check.is(child.terminal:screen():find('-        todo!()', 1, true), 'what would change is not shown')
      child:type('n')
      check.equal(child:text(), before, 'what was not wanted')
      child:type(':LacunaFillAll<CR>')
      child.terminal:wait_for('[Y]es')
      child:type('y')
      child:wait('no hole was filled', function()
        return child:text() ~= before
      end)
      check.equal(#child:lua('return vim.api.nvim_list_wins()'), 1, 'the preview is gone')
      local _, left = child:text():gsub('todo!%(%)', '')
      check.is(left < 2, 'the holes are still there')
      check.is(vim.startswith(child:text(), 'impl Person {'), 'more than the holes changed')
      child:type('u')
      child:wait_for_text(before, 'one undo brings all of them back')
    end,
    paths = { 'neovim' },
  },
  {
    name = 'a change is taken to the other places that want it',
    run = function(start, path)
      local child = user.open_renamed(start, path)
      user.change_all_places(child)
    end,
    paths = { 'neovim' },
  },
  {
    name = 'format a Markdown file',
    run = function(start, path)
      local child = user.open(start, path, 'a.md', samples.markdown)
      child:command('LacunaFormat')
      child:wait('nothing was formatted', function()
        return child:text() ~= vim.trim(samples.markdown)
      end)
      local formatted = child:text()
      child:command('write')
      local answer = vim.system({ vim.env.LACUNA_BINARY, 'format', '--check', child.project .. '/a.md' }):wait(10000)
      check.equal(answer.code, 0, 'what the command line says of the formatted file: ' .. (answer.stderr or ''))
      child:type('u')
      child:wait_for_text((samples.markdown:gsub('\n$', '')), 'undo brings back what was there')
      child:type('gra')
      child:wait('nothing was offered', function()
        return child:request('nvim_get_mode').mode == 'c' or child:text() == formatted
      end)
      child:type('1<CR>')
      child:wait_for_text(formatted, 'the code action does the same')
    end,
    paths = { 'neovim' },
  },
}
