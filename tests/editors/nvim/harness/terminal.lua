--- A terminal for a child: tmux, which takes keys and shows what is on the screen.
local M = {}

local WIDTH, HEIGHT = 96, 28
local LIMIT_MS = 10000

local Terminal = {}
Terminal.__index = Terminal

--- The names that tmux has for keys that a trial writes as `nvim_input` does.
local names = { Tab = 'Tab', Esc = 'Escape', CR = 'Enter', BS = 'BSpace', Down = 'Down', Space = 'Space' }

local function tmux(socket, ...)
  local command = { 'tmux', '-S', socket, '-f', '/dev/null', ... }
  local answer = vim.system(command, { text = true }):wait(LIMIT_MS)
  if answer.code ~= 0 then
    error(('%s: %s'):format(table.concat(command, ' '), answer.stderr), 2)
  end
  return answer.stdout
end

--- Starts a child in a terminal of its own and connects to it.
---@param child Child
---@param environment table<string, string>
---@param arguments string[]
function M.start(child, environment, arguments)
  if vim.fn.executable('tmux') == 0 then
    error('there is no tmux, in which the terminal is: install it')
  end
  local self = setmetatable({ socket = child.folder .. '/tmux', child = child }, Terminal)
  local listen = child.folder .. '/nvim.sock'
  local command = { 'env' }
  environment.TERM = 'tmux-256color'
  for name, value in pairs(environment) do
    table.insert(command, name .. '=' .. value)
  end
  vim.list_extend(command, { vim.env.TRIAL_NEOVIM, '--listen', listen, '-n' })
  vim.list_extend(command, arguments)
  local size = { '-x', tostring(WIDTH), '-y', tostring(HEIGHT) }
  tmux(
    self.socket,
    'new-session',
    '-d',
    size[1],
    size[2],
    size[3],
    size[4],
    '-c',
    child.project,
    table.concat(vim.tbl_map(vim.fn.shellescape, command), ' ')
  )
  child.process = tonumber(vim.trim(tmux(self.socket, 'display-message', '-p', '#{pane_pid}')))
  child.terminal = self
  local connected = vim.wait(LIMIT_MS, function()
    if not vim.uv.fs_stat(listen) then
      return false
    end
    local ok, channel = pcall(vim.fn.sockconnect, 'pipe', listen, { rpc = true })
    child.channel = ok and channel > 0 and channel or nil
    return child.channel ~= nil
  end, 20)
  if not connected then
    error(('Neovim did not start in the terminal within %d ms'):format(LIMIT_MS))
  end
end

--- Sends keys to the terminal.
---@param keys string
function Terminal:type(keys)
  while keys ~= '' do
    local literal, key, rest = keys:match('^([^<]*)<([%w-]+)>(.*)$')
    if not literal then
      literal, rest = keys, ''
    end
    if literal ~= '' then
      tmux(self.socket, 'send-keys', '-l', '--', literal)
    end
    if key then
      tmux(self.socket, 'send-keys', names[key] or key)
    end
    if key == 'Esc' and rest ~= '' then
      -- A terminal cannot tell Escape and a letter from the letter with Alt, but by the time between them.
      self.child:wait('Escape was not taken', function()
        return self.child:request('nvim_get_mode').mode == 'n'
      end)
    end
    keys = rest
  end
end

--- The command that writes what is on the screen, with its colours.
---@return string[]
function Terminal:capture_command()
  return { 'tmux', '-S', self.socket, 'capture-pane', '-e', '-p' }
end

--- What is on the screen, without colours.
---@return string
function Terminal:screen()
  return tmux(self.socket, 'capture-pane', '-p')
end

--- Waits until a text is on the screen.
---@param text string
function Terminal:wait_for(text)
  self.child:wait(('%q is not on the screen'):format(text), function()
    return self:screen():find(text, 1, true) ~= nil
  end)
end

--- Draws a picture of what is on the screen.
---@param name string
---@param captured? string what was on it earlier
function Terminal:picture(name, captured)
  if not vim.env.TRIAL_PYTHON then
    return
  end
  local folder = vim.env.TRIAL_SCREENSHOTS
  vim.fn.mkdir(folder, 'p')
  local here = vim.fs.dirname(vim.fs.abspath(arg[0]))
  -- Where the caret was then is not known.
  local place = captured and '-1 -1' or tmux(self.socket, 'display-message', '-p', '#{cursor_x} #{cursor_y}')
  local caret = vim.split(vim.trim(place), ' ')
  local answer = vim
    .system({
      vim.env.TRIAL_PYTHON,
      here .. '/harness/picture.py',
      ('%s/%s.png'):format(folder, name),
      tostring(WIDTH),
      tostring(HEIGHT),
      caret[1],
      caret[2],
    }, { text = true, stdin = captured or tmux(self.socket, 'capture-pane', '-e', '-p') })
    :wait(LIMIT_MS)
  if answer.code ~= 0 then
    error('no picture was drawn: ' .. answer.stderr)
  end
end

function Terminal:stop()
  if self.child.channel then
    pcall(vim.rpcnotify, self.child.channel, 'nvim_command', 'qa!')
    pcall(vim.fn.chanclose, self.child.channel)
  end
  pcall(tmux, self.socket, 'kill-server')
end

return M
