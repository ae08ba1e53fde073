--- Measures the time from a key to ghost text on the screen's grid: `nvim -l measure.lua`. Prints a table and JSON.
local here = vim.fs.dirname(vim.fs.abspath(arg[0]))
package.path = here .. '/?.lua;' .. package.path

local child_of = require('harness.child')
local samples = require('harness.samples')
local user = require('harness.user')

local ROUNDS = 30

--- In the child: the time of each key, and of the first redraw after which ghost text for it is there.
local probe = [[
  _G.times, _G.pressed = {}, nil
  vim.on_key(function(_, typed)
    if typed ~= '' and vim.api.nvim_get_mode().mode == 'i' then
      _G.pressed = { at = vim.uv.hrtime(), tick = vim.api.nvim_buf_get_changedtick(0) }
    end
  end)
  local function ghost()
    local spaces = vim.api.nvim_get_namespaces()
    for _, name in ipairs({ 'lacuna.ghost', 'nvim.lsp.inline_completion' }) do
      local mark = spaces[name] and vim.api.nvim_buf_get_extmarks(0, spaces[name], 0, -1, { details = true })[1]
      if mark then
        return mark
      end
    end
  end
  local space = vim.api.nvim_create_namespace('measure')
  vim.api.nvim_set_decoration_provider(space, {
    on_end = function()
      local pressed, mark = _G.pressed, ghost()
      if not pressed or not mark or vim.api.nvim_buf_get_changedtick(0) == pressed.tick then
        return
      end
      local caret = vim.api.nvim_win_get_cursor(0)
      local text = mark[4].virt_text and mark[4].virt_text[1] and mark[4].virt_text[1][1] or ''
      if mark[2] == caret[1] - 1 and mark[3] == caret[2] and text ~= '' then
        _G.pressed = nil
        table.insert(_G.times, (vim.uv.hrtime() - pressed.at) / 1e6)
      end
    end,
  })]]

local function percentile(times, share)
  local sorted = vim.deepcopy(times)
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(#sorted * share))]
end

--- Presses a key and waits for its time; nil if the model had nothing to say.
local function press(child, key)
  child:lua('_G.times = {}')
  child:type(key)
  local found
  vim.wait(2500, function()
    found = child:lua('return _G.times[1]')
    return found ~= nil
  end, 3)
  return found
end

--- Fresh: a text that no request has seen. Cached: a text that has been asked about before, come back to.
local function measure(path)
  local children = {}
  local files = { ['a.py'] = samples.python }
  local child = child_of.start({ init = user.init(path), files = files, open = 'a.py' }, children)
  child:ready()
  child:insert_at_mark('a.py')
  child:lua(probe)
  local fresh, cached, silent = {}, {}, 0
  for round = 1, ROUNDS do
    local name = string.char(96 + (round - 1) % 26 + 1) .. round
    child:type(name .. ' =')
    child:wait('the text was not typed', function()
      return child:text():find(name .. ' =', 1, true)
    end)
    local first = press(child, ' ')
    if first then
      table.insert(fresh, first)
      -- Another place, and back.
      child:type('<BS>')
      child:wait('nothing was taken back', function()
        return not child:text():find(name .. ' = ', 1, true)
      end)
      table.insert(cached, press(child, ' '))
    else
      silent = silent + 1
    end
    child:type('<Esc>S')
    child:wait('the line was not emptied', function()
      return not child:text():find(name, 1, true)
    end)
  end
  child:stop()
  return { fresh = fresh, cached = cached, silent = silent }
end

local report = {}
print(('%-8s %-7s %5s %9s %9s'):format('path', 'kind', 'n', 'p50', 'p95'))
for _, path in ipairs({ 'neovim', 'lacuna' }) do
  local result = measure(path)
  report[path] = { without_answer = result.silent }
  for _, kind in ipairs({ 'fresh', 'cached' }) do
    local times = result[kind]
    if #times == 0 then
      error(('no %s ghost text came in %d rounds'):format(kind, ROUNDS))
    end
    local p50, p95 = percentile(times, 0.5), percentile(times, 0.95)
    report[path][kind] = { n = #times, p50_ms = p50, p95_ms = p95 }
    print(('%-8s %-7s %5d %6.1f ms %6.1f ms'):format(path, kind, #times, p50, p95))
  end
end
print(vim.json.encode(report))
