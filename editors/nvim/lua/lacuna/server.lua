--- The server as a client of Neovim's: how it is found, started, and started again.
local config = require('lacuna.config')
local draft = require('lacuna.draft')
local message = require('lacuna.message')
local preview = require('lacuna.preview')
local status = require('lacuna.status')

local M = {}

--- Deaths within this many milliseconds that are answered by a new start.
local PATIENCE_MS = 180000
local MOST_STARTS = 3

M.name = 'lacuna'

local deaths = {} ---@type integer[] when it died, in milliseconds
local asked_to_stop = {} ---@type table<integer, true> by the client's id

--- The command that the server is started with, wherever it was configured.
---@return string[]
function M.command()
  local configured = vim.lsp.config[M.name]
  local cmd = configured and configured.cmd
  return type(cmd) == 'table' and cmd or config.options.cmd
end

--- The server's program, or nil with one sentence if there is none.
---@return string?, string?
function M.binary()
  local program = M.command()[1]
  local path = vim.fn.exepath(vim.fn.expand(program or ''))
  if path ~= '' then
    return path
  end
  return nil,
    string.format(
      'there is no program `%s`. Build it with `cargo build --release`, then put it on your PATH or name it: '
        .. "require('lacuna').setup({ cmd = { '/path/to/lacuna', 'lsp' } }).",
      program or ''
    )
end

--- The client in a buffer, or any if no buffer is given.
---@param bufnr? integer
---@return vim.lsp.Client?
function M.client(bufnr)
  for _, client in ipairs(vim.lsp.get_clients({ name = M.name, bufnr = bufnr })) do
    if not client:is_stopped() then
      return client
    end
  end
end

--- The settings as the server is told them.
---@return table
function M.settings()
  local settings = vim.deepcopy(config.options.settings)
  if settings.drafts == nil then
    settings.drafts = config.options.drafts
  end
  if config.uses_neovim() then
    -- Neovim waits for 200 ms before it asks; nobody should wait twice.
    settings.inlineCompletion = vim.tbl_extend('keep', settings.inlineCompletion or {}, { debounceMs = 0 })
  end
  return settings
end

--- The settings in force: those of the running server, or those that it will be started with.
---@return table
function M.settings_in_force()
  local client = M.client()
  local settings = client and client.settings or vim.lsp.config[M.name].settings
  return vim.deepcopy((settings or {}).lacuna or {})
end

--- Puts changed settings in force, now and after the server's next start.
---@param settings table
function M.put_in_force(settings)
  vim.lsp.config(M.name, { init_options = settings, settings = { lacuna = settings } })
  for _, client in ipairs(vim.lsp.get_clients({ name = M.name })) do
    client.settings = vim.tbl_extend('force', client.settings or {}, { lacuna = settings })
    client:notify('workspace/didChangeConfiguration', { settings = client.settings })
  end
end

local function on_exit(code, signal, client_id)
  local wanted = asked_to_stop[client_id] or (code == 0 and signal == 0)
  asked_to_stop[client_id] = nil
  vim.schedule(function()
    status.forget(client_id)
    if wanted or vim.v.exiting ~= vim.NIL then
      return
    end
    local now = vim.uv.now()
    deaths = vim.tbl_filter(function(when)
      return now - when < PATIENCE_MS
    end, deaths)
    table.insert(deaths, now)
    local how = signal ~= 0 and ('signal %d'):format(signal) or ('status %d'):format(code)
    if #deaths > MOST_STARTS then
      message.tell(
        ('the server has ended by itself %d times (%s), and is left alone now. '):format(#deaths, how)
          .. ':LacunaLog says more, :LacunaRestart tries again.',
        vim.log.levels.ERROR
      )
    else
      message.tell(('the server ended by itself (%s) and is started again.'):format(how), vim.log.levels.WARN)
      M.start()
    end
  end)
end

--- Buffers without a name have one URI between them, so that the server can know only one of them.
---@param bufnr integer
---@return boolean
local function is_second_without_name(bufnr)
  local client = vim.api.nvim_buf_get_name(bufnr) == '' and M.client()
  return client
    and vim.iter(pairs(client.attached_buffers)):any(function(other)
      return other ~= bufnr and vim.api.nvim_buf_is_valid(other) and vim.api.nvim_buf_get_name(other) == ''
    end)
end

---@return boolean
function M.is_enabled()
  return vim.lsp._enabled_configs[M.name] ~= nil
end

--- Whether a buffer is one of those that the server is for.
---@param bufnr integer
---@return boolean
local function is_for(bufnr)
  local types = vim.lsp.config[M.name].filetypes
  return vim.bo[bufnr].buftype == '' and (not types or vim.list_contains(types, vim.bo[bufnr].filetype))
end

--- Says, once, that a buffer wants a server that is not there. Neovim itself says nothing, or too much.
---@param bufnr integer
function M.tell_if_missing(bufnr)
  if not M.is_enabled() or not vim.api.nvim_buf_is_loaded(bufnr) or not is_for(bufnr) then
    return
  end
  local _, missing = M.binary()
  if missing then
    message.tell_once(missing, vim.log.levels.ERROR)
  end
end

--- Starts the server for all buffers that want it.
function M.start()
  vim.lsp.enable(M.name)
  vim.iter(vim.api.nvim_list_bufs()):each(M.tell_if_missing)
end

--- Notes that an end was asked for, so that it is not taken for a death.
---@param client vim.lsp.Client
function M.expect_end(client)
  asked_to_stop[client.id] = true
end

--- Ends the server and starts it again.
function M.restart()
  deaths = {}
  local clients = vim.lsp.get_clients({ name = M.name })
  for _, client in ipairs(clients) do
    client:stop()
  end
  local _, missing = M.binary()
  if missing then
    message.tell(missing, vim.log.levels.ERROR)
    return
  end
  local function all_gone()
    return vim.iter(clients):all(function(client)
      return vim.lsp.get_client_by_id(client.id) == nil
    end)
  end
  local tries, timer = 0, assert(vim.uv.new_timer())
  timer:start(
    20,
    50,
    vim.schedule_wrap(function()
      tries = tries + 1
      if timer:is_closing() then
        return
      end
      if tries == 60 then
        -- It has had three seconds to end in good order.
        for _, client in ipairs(clients) do
          client:stop(true)
        end
      end
      if all_gone() or tries > 80 then
        timer:close()
        M.start()
      end
    end)
  )
end

--- What `lsp/lacuna.lua` gives to Neovim.
---@return vim.lsp.Config
function M.config()
  local settings = M.settings()
  return {
    cmd = config.options.cmd,
    filetypes = config.options.filetypes,
    root_dir = function(bufnr, start)
      if M.binary() and not is_second_without_name(bufnr) then
        start(vim.fs.root(bufnr, { '.git' }))
      end
    end,
    -- The model is in memory once, however many folders are open.
    reuse_client = function(client, wanted)
      return client.name == wanted.name and not client:is_stopped()
    end,
    init_options = settings,
    settings = { lacuna = settings },
    on_exit = on_exit,
    capabilities = {
      -- It can be shown what filling all holes would change, and asked.
      workspace = { workspaceEdit = { changeAnnotationSupport = { groupsOnLabel = false } } },
      -- `completion/feedback.lua` tells what becomes of a completion.
      experimental = { lacuna = { feedback = true } },
    },
    handlers = {
      ['workspace/applyEdit'] = preview.apply,
      ['lacuna/status'] = function(_, params, context)
        status.receive(context.client_id, params)
      end,
      ['lacuna/draft'] = function(_, params, context)
        local client = vim.lsp.get_client_by_id(context.client_id)
        if client then
          draft.receive(params, client)
        end
      end,
    },
  }
end

return M
