--- A Neovim that a trial drives by keys and looks into over RPC.

local M = {}

---@class Child
---@field channel integer
---@field job integer
---@field folder string
local Child = {}
Child.__index = Child

--- How long a prompt may stay open before a trial fails.
local PROMPT_MS = 3000

local folders = 0

local function write(path, text)
  vim.fn.mkdir(vim.fs.dirname(path), 'p')
  local file = assert(io.open(path, 'wb'))
  file:write(text)
  file:close()
end

--- The configuration of a user who has the plugin as a plain package.
local function configure(folder, options)
  local package = folder .. '/data/nvim/site/pack/trial/start'
  vim.fn.mkdir(package, 'p')
  assert(vim.uv.fs_symlink(vim.env.TRIAL_PLUGIN, package .. '/lacuna'))
  write(folder .. '/config/nvim/init.lua', options.init)
  vim.fn.mkdir(folder .. '/bin', 'p')
  for name, program in pairs(options.programs or {}) do
    assert(vim.uv.fs_symlink(program, folder .. '/bin/' .. name))
  end
end

local function environment(folder, extra)
  return vim.tbl_extend('force', {
    XDG_CONFIG_HOME = folder .. '/config',
    XDG_DATA_HOME = folder .. '/data',
    XDG_STATE_HOME = folder .. '/state',
    XDG_CACHE_HOME = folder .. '/cache',
    HOME = folder,
    PATH = folder .. '/bin:' .. vim.env.PATH,
    LANG = 'C.UTF-8',
    TERM = vim.env.TERM or 'xterm-256color',
    -- The configuration says where the server is.
    LACUNA_BINARY = vim.env.LACUNA_BINARY,
  }, extra or {})
end

--- The line, from 1, and the byte column of `$0`.
local function place_of_mark(text)
  local before = text:match('^(.-)%$0')
  if before then
    before = before:gsub('\r\n', '\n')
    local _, breaks = before:gsub('\n', '')
    return { breaks + 1, #before:match('[^\n]*$') }
  end
end

--- Starts a Neovim in a folder of its own that holds some files.
---@param options { init: string, files?: table<string, string>, open?: string, folder?: string, terminal?: boolean }
---@param children Child[] where it is put before anything can go wrong
---@return Child
function M.start(options, children)
  local folder = options.folder
  if not folder then
    folders = folders + 1
    folder = ('%s/%d'):format(vim.env.TRIAL_FOLDER, folders)
  end
  local self = setmetatable({ folder = folder, project = folder .. '/project', marks = {} }, Child)
  table.insert(children, self)
  if not options.folder then
    configure(folder, options)
    vim.fn.mkdir(self.project .. '/.git', 'p')
  end
  for name, text in pairs(options.files or {}) do
    write(self.project .. '/' .. name, (text:gsub('%$0', '', 1)))
    self.marks[name] = place_of_mark(text)
  end
  local arguments = options.open and { self.project .. '/' .. options.open } or {}
  if options.terminal then
    require('harness.terminal').start(self, environment(folder), arguments)
  else
    local command = vim.list_extend({ vim.env.TRIAL_NEOVIM, '--embed', '--headless', '-n' }, arguments)
    self.channel = vim.fn.jobstart(command, {
      rpc = true,
      cwd = self.project,
      env = environment(folder),
    })
    assert(self.channel > 0, 'Neovim does not start')
    self.job = self.channel
    self.process = vim.fn.jobpid(self.job)
  end
  return self
end

--- Asks the child something. A Neovim that waits for a key answers nothing but its mode.
function Child:request(method, ...)
  if method ~= 'nvim_get_mode' and method ~= 'nvim_input' then
    local free = vim.wait(PROMPT_MS, function()
      return not vim.rpcrequest(self.channel, 'nvim_get_mode').blocking
    end, 10)
    if not free then
      error('Neovim waits for a key' .. (self.terminal and ':\n' .. self.terminal:screen() or ''), 2)
    end
  end
  return vim.rpcrequest(self.channel, method, ...)
end

--- Runs Lua in the child and returns what it returns.
function Child:lua(code, ...)
  local value = self:request('nvim_exec_lua', code, { ... })
  return value ~= vim.NIL and value or nil
end

--- Waits until a condition gives something; when the limit is reached, the trial fails with the sentence.
---@param sentence string
---@param condition fun(): any
---@param limit_ms? integer
function Child:wait(sentence, condition, limit_ms)
  local value
  local function is_met()
    value = condition()
    return value ~= nil and value ~= false
  end
  if not vim.wait(limit_ms or 8000, is_met, 10) then
    error(('%s (waited %d ms)\n%s'):format(sentence, limit_ms or 8000, self:describe()), 2)
  end
  return value
end

--- Waits for a piece of Lua in the child.
function Child:wait_lua(sentence, code, limit_ms)
  return self:wait(sentence, function()
    return self:lua(code)
  end, limit_ms)
end

--- How things stand, for a failed trial's report.
function Child:describe()
  local ok, report = pcall(
    self.lua,
    self,
    [[
    local client = vim.lsp.get_clients({ name = 'lacuna' })[1]
    local silence
    if client and not client:is_stopped() then
      -- What the server says besides would wait for a key where it does not fit on a line.
      client.handlers['window/showMessage'] = function() end
      local params = { command = 'lacuna.status', arguments = { vim.uri_from_bufnr(0) } }
      silence = client:request_sync('workspace/executeCommand', params, 1000, 0)
    end
    return vim.inspect({
      lines = vim.api.nvim_buf_get_lines(0, 0, -1, false),
      caret = vim.api.nvim_win_get_cursor(0),
      mode = vim.api.nvim_get_mode(),
      told = _G.told,
      messages = vim.fn.execute('messages'),
      status = silence,
    })
  ]]
  )
  return ok and report or 'the child is gone'
end

--- Types keys, as `nvim_input` takes them.
function Child:type(keys)
  if self.terminal then
    self.terminal:type(keys)
  else
    self:request('nvim_input', keys)
  end
end

function Child:command(command)
  return self:request('nvim_command', command)
end

function Child:text()
  return table.concat(self:request('nvim_buf_get_lines', 0, 0, -1, false), '\n')
end

function Child:caret(row, column)
  self:request('nvim_win_set_cursor', 0, { row, column })
end

--- Enters Insert mode where a file has its mark.
---@param name string
function Child:insert_at_mark(name)
  local row, column = unpack(self.marks[name])
  local line = self:request('nvim_buf_get_lines', 0, row - 1, row, true)[1]
  self:caret(row, math.max(0, math.min(column, #line - 1)))
  self:type(column == #line and 'A' or 'i')
  self:wait('Insert mode did not begin at the mark', function()
    local caret = self:request('nvim_win_get_cursor', 0)
    return self:request('nvim_get_mode').mode == 'i' and caret[1] == row and caret[2] == column
  end)
end

function Child:wait_for_text(text, sentence, limit_ms)
  local seen
  local ok = vim.wait(limit_ms or 4000, function()
    seen = self:text()
    return seen == text
  end, 10)
  if not ok then
    error(
      ('%s:\nwanted %s\nfound  %s\n%s'):format(
        sentence or 'the buffer is not what it should be',
        vim.inspect(text),
        vim.inspect(seen),
        self:describe()
      ),
      2
    )
  end
end

--- Waits until the server has said that it is ready.
function Child:ready()
  self:wait_lua(
    'the server did not get ready',
    [[
    local status = package.loaded['lacuna.status']
    local last = status and status.last(0)
    return last and last.health == 'ok']],
    15000
  )
end

--- The ghost text on the screen: its text and where it begins, from either path's extmarks.
function Child:ghost()
  return self:lua([[
    local spaces = vim.api.nvim_get_namespaces()
    for _, name in ipairs({ 'lacuna.ghost', 'nvim.lsp.inline_completion' }) do
      local space = spaces[name] or -1
      for _, mark in ipairs(space >= 0 and vim.api.nvim_buf_get_extmarks(0, space, 0, -1, { details = true }) or {}) do
        local lines = { mark[4].virt_text or {} }
        vim.list_extend(lines, mark[4].virt_lines or {})
        local text = vim.iter(lines):map(function(chunks)
          return vim.iter(chunks):map(function(chunk) return chunk[1] end):join('')
        end):join('\n')
        if text ~= '' then
          return { text = text, row = mark[2], column = mark[3], by = name, position = mark[4].virt_text_pos }
        end
      end
    end
    return nil
  ]])
end

--- Waits for ghost text at the caret.
function Child:wait_for_ghost(sentence, limit_ms)
  return self:wait(sentence or 'no ghost text came', function()
    local ghost = self:ghost()
    local caret = self:request('nvim_win_get_cursor', 0)
    return ghost and ghost.row == caret[1] - 1 and ghost.column == caret[2] and ghost
  end, limit_ms)
end

function Child:wait_for_no_ghost(sentence, limit_ms)
  self:wait(sentence or 'the ghost text did not go', function()
    return not self:ghost()
  end, limit_ms)
end

--- The text of the buffer, were something inserted at the caret.
function Child:text_with(inserted)
  local caret = self:request('nvim_win_get_cursor', 0)
  local lines = self:request('nvim_buf_get_lines', 0, 0, -1, false)
  local line = lines[caret[1]]
  lines[caret[1]] = line:sub(1, caret[2]) .. inserted .. line:sub(caret[2] + 1)
  return table.concat(lines, '\n')
end

--- Kills the child, so that whoever waits for its answer hears that there will be none. Called from a timer.
function Child:kill()
  if self.process then
    vim.uv.kill(self.process, 'sigkill')
  end
end

--- Ends the child, by force if it does not go.
function Child:stop()
  if self.terminal then
    self.terminal:stop()
    return
  end
  if not self.job then
    return
  end
  pcall(vim.rpcnotify, self.channel, 'nvim_command', 'qa!')
  if vim.fn.jobwait({ self.job }, 3000)[1] == -1 then
    vim.fn.jobstop(self.job)
    vim.fn.jobwait({ self.job }, 2000)
  end
end

return M
