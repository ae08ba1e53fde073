--- Runs the trials: `nvim -l main.lua [NAME...]`. A name is part of the names of the trials that are run.
local here = vim.fs.dirname(vim.fs.abspath(arg[0]))
package.path = here .. '/?.lua;' .. package.path

local child = require('harness.child')

local plan = {
  'trials.typing',
  'trials.text',
  'trials.keys',
  'trials.actions',
  'trials.files',
  'trials.counts',
  'trials.server',
  'trials.terminal',
}

--- How long one trial may take.
local LIMIT_MS = 40000

local failed, passed = 0, 0

local function milliseconds()
  return vim.uv.hrtime() / 1e6
end

---@param trial { name: string, run: fun(start: fun(options: table): Child, path: string), paths?: string[] }
local function run(trial, path)
  local children = {}
  local function start(options)
    return child.start(options, children)
  end
  local watchdog = assert(vim.uv.new_timer())
  local is_late = false
  watchdog:start(LIMIT_MS, 0, function()
    is_late = true
    for _, one in ipairs(children) do
      one:kill()
    end
  end)
  local begun = milliseconds()
  local ok, failure = xpcall(trial.run, debug.traceback, start, path)
  for _, one in ipairs(children) do
    pcall(one.stop, one)
  end
  watchdog:close()
  local took = milliseconds() - begun
  if is_late then
    ok, failure = false, ('it did not end within %d ms\n%s'):format(LIMIT_MS, tostring(failure))
  end
  if ok then
    passed = passed + 1
  else
    failed = failed + 1
  end
  io.write(('%s  %5d ms  %-8s  %s\n'):format(ok and 'ok  ' or 'FAIL', took, path, trial.name))
  if not ok then
    io.write('      ' .. tostring(failure):gsub('\n', '\n      ') .. '\n')
  end
  io.flush()
end

local function is_wanted(name)
  return #arg == 0
    or vim.iter(vim.list_slice(arg, 1)):any(function(part)
      return name:find(part, 1, true) ~= nil
    end)
end

for _, module in ipairs(plan) do
  for _, trial in ipairs(require(module)) do
    for _, path in ipairs(trial.paths or { 'neovim', 'lacuna' }) do
      if is_wanted(trial.name) then
        run(trial, path)
      end
    end
  end
end

io.write(('%d passed, %d failed\n'):format(passed, failed))
vim.cmd.cquit(failed == 0 and passed > 0 and 0 or 1)
