--- The server that is missing, dies, is switched off, and is asked how it is.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

local function process(child)
  return child:wait('the server has no process', function()
    local answer =
      vim.system({ 'pgrep', '-P', tostring(child:lua('return vim.fn.getpid()')), '-x', 'lacuna' }):wait(2000)
    return tonumber(vim.trim(answer.stdout))
  end)
end

local function told(child, part)
  child:wait('nobody said: ' .. part, function()
    return vim.iter(child:lua('return _G.told')):any(function(message)
      return message:find(part, 1, true) ~= nil
    end)
  end)
end

--- Kills the server and waits until it is gone.
local function kill(child)
  local pid = process(child)
  vim.uv.kill(pid, 'sigkill')
  child:wait('the server lives on', function()
    return vim.uv.kill(pid, 0) ~= 0
  end)
end

return {
  {
    name = 'vim.lsp.config and vim.lsp.enable alone, with the program on the PATH',
    run = function(start)
      local child = start({
        init = "vim.lsp.config('lacuna', { settings = { lacuna = { inlineCompletion = { minConfidence = 0 } } } })"
          .. "\nvim.lsp.enable('lacuna')\nvim.keymap.set('i', '<Tab>', function()"
          .. " return require('lacuna').accept() and '' or '<Tab>' end, { expr = true })",
        programs = { lacuna = vim.env.LACUNA_BINARY },
        files = { ['a.py'] = samples.python },
        open = 'a.py',
      })
      child:ready()
      child:insert_at_mark('a.py')
      child:type('for ')
      local wanted = child:text_with(child:wait_for_ghost().text)
      child:type('<Tab>')
      child:wait_for_text(wanted)
    end,
    paths = { 'neovim' },
  },
  {
    name = 'a language stays off when the server is started again',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:command('LacunaToggle python')
      kill(child)
      told(child, 'is started again')
      child:ready()
      check.equal(child:lua("return require('lacuna').status()"), 'Lacuna off', 'the status line')
      child:command('LacunaToggle python')
      child:type('for ')
      child:wait_for_ghost()
    end,
    paths = { 'neovim' },
  },
  {
    name = 'no program: one clear message, once',
    run = function(start, path)
      local child = start({
        init = user.init(path, { cmd = "{ 'no-such-lacuna', 'lsp' }" }),
        files = { ['a.py'] = samples.python, ['b.py'] = samples.python },
      })
      child:command('edit a.py')
      told(child, 'there is no program `no-such-lacuna`')
      child:command('edit b.py')
      child:command('edit a.py')
      child:type('Gofor ')
      child:type('<Esc>')
      local messages = vim.tbl_filter(function(message)
        return message:find('no-such-lacuna', 1, true) ~= nil
      end, child:lua('return _G.told'))
      check.equal(#messages, 1, 'how often it is said')
      check.is(messages[1]:find('cargo build', 1, true), 'the message names no way out')
      child:command('checkhealth lacuna')
      check.is(child:text():find('there is no program `no-such-lacuna`', 1, true), ':checkhealth does not say it')
    end,
    paths = { 'neovim' },
  },
  {
    name = 'the server is killed and comes back; when it keeps dying, that is said',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      kill(child)
      told(child, 'is started again')
      child:ready()
      child:type('for ')
      local wanted = child:text_with(child:wait_for_ghost().text)
      child:type('<Tab>')
      child:wait_for_text(wanted)
      kill(child)
      child:ready()
      kill(child)
      child:ready()
      kill(child)
      told(child, 'is left alone now')
      child:command('LacunaRestart')
      child:ready()
    end,
    paths = { 'neovim' },
  },
  {
    name = 'ghost text goes with the server',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('for ')
      child:wait_for_ghost()
      child:command("lua vim.lsp.enable('lacuna', false)")
      child:wait_for_no_ghost('ghost text stayed after the server had left', 5000)
      local before = child:text()
      child:type('<Tab>')
      child:wait('Tab did nothing', function()
        return child:text() ~= before
      end)
      child:wait_for_text(before .. '    ', 'Tab is a Tab')
      child:command("lua vim.lsp.enable('lacuna')")
      child:ready()
      child:type('<BS>')
      child:wait_for_ghost('none came after the server had come back')
    end,
  },
  {
    name = 'off and on, altogether and for a language',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('for ')
      child:wait_for_ghost()
      for _, command in ipairs({ 'LacunaToggle', 'LacunaToggle python' }) do
        child:command(command)
        child:wait_for_no_ghost('ghost text stayed after ' .. command, 1000)
        check.equal(child:lua("return require('lacuna').status()"), 'Lacuna off', 'the status line')
        child:type('x<BS>')
        local came = vim.wait(700, function()
          return child:ghost() ~= nil
        end, 20)
        check.is(not came, 'ghost text came after ' .. command)
        child:command(command)
        check.equal(child:lua("return require('lacuna').status()"), 'Lacuna', 'the status line')
        -- The server takes changed settings over in its own time.
        child:wait('none came after switching on again', function()
          child:type('x<BS>')
          return vim.wait(500, function()
            return child:ghost() ~= nil
          end, 10)
        end)
      end
    end,
  },
  {
    name = 'status, restart, and end with Neovim',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('<Esc>')
      child:command('LacunaStatus')
      told(child, 'ready')
      local pid = process(child)
      child:command('LacunaRestart')
      child:wait('there is no new server', function()
        return vim.uv.kill(pid, 0) ~= 0 and process(child) ~= pid
      end)
      child:ready()
      check.is(not vim.iter(child:lua('return _G.told')):any(function(message)
        return message:find('by itself', 1, true) ~= nil
      end), 'a restart that was asked for is taken for a death')
      pid = process(child)
      child:stop()
      check.is(
        vim.wait(6000, function()
          return vim.uv.kill(pid, 0) ~= 0
        end, 20),
        'the server lives on after Neovim'
      )
    end,
    paths = { 'neovim' },
  },
  {
    name = 'commands where there is no server say so, and the log opens',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python, { files = { ['notes.txt'] = 'text\n' } })
      child:type('<Esc>')
      child:command('edit notes.txt')
      for index, command in ipairs({ 'LacunaFormat', 'LacunaFillAll', 'LacunaStatus' }) do
        child:command(command)
        child:wait('nobody said what is wrong with ' .. command, function()
          return #vim.tbl_filter(function(message)
            return message:find('not running in this buffer', 1, true) ~= nil
          end, child:lua('return _G.told')) == index
        end)
      end
      check.equal(child:lua("return require('lacuna').status()"), '', 'the status line')
      child:command('LacunaLog')
      check.is(child:lua("return vim.api.nvim_buf_get_name(0):find('lsp%.log$') ~= nil"), 'this is not the log')
    end,
    paths = { 'neovim' },
  },
  {
    name = ':checkhealth says how things stand',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python, {
        options = "settings = { inlineCompletions = {} }, colour = 'red',",
      })
      child:type('<Esc>')
      told(child, 'there is no option `colour`')
      told(child, 'inlineCompletions')
      child:command('checkhealth lacuna')
      local report = child:text()
      for _, part in ipairs({
        'lacuna 0.',
        'running, in 1 buffer',
        'ready',
        'model: ',
        'device: cpu',
        'there is no option `colour`',
        path == 'neovim' and 'by vim.lsp.inline_completion' or 'by the plugin itself',
      }) do
        check.is(report:find(part, 1, true), ('the report does not say %q:\n%s'):format(part, report))
      end
      check.is(not report:find('ERROR', 1, true), report)
    end,
  },
}
