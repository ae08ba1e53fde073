--- Ghost text: what the user can do with it, whoever asks for it and draws it.
local config = require('lacuna.config')
local feedback = require('lacuna.completion.feedback')
local ghost = require('lacuna.completion.ghost')
local insertion = require('lacuna.completion.insertion')
local neovim = require('lacuna.completion.neovim')
local pieces = require('lacuna.completion.pieces')
local request = require('lacuna.completion.request')
local server = require('lacuna.server')
local shown = require('lacuna.completion.shown')

local M = {}

--- How long a key waits for Neovim to let go of its item.
local HANDOVER_MS = 100

local function path()
  return config.uses_neovim() and neovim or ghost
end

---@param bufnr integer
function M.enable(bufnr)
  path().enable(bufnr)
end

---@param bufnr integer
function M.disable(bufnr)
  path().disable(bufnr)
end

---@param client vim.lsp.Client
function M.watch(client)
  if config.uses_neovim() then
    neovim.watch(client)
  end
end

--- Whether there is something to accept at the caret.
---@return boolean
function M.is_shown()
  return shown.current() ~= nil or (config.uses_neovim() and neovim.is_shown())
end

local function tell_server(bufnr, suggestion)
  local client = server.client(bufnr)
  if suggestion.command and client then
    client:exec_cmd(suggestion.command, { bufnr = bufnr })
  end
end

---@param piece_of fun(remaining: string): string
---@return boolean
local function insert_shown(piece_of)
  local suggestion = shown.current()
  if not suggestion or not insertion.insert(suggestion, piece_of) then
    return false
  end
  if not shown.current() then
    tell_server(vim.api.nvim_get_current_buf(), suggestion)
  end
  return true
end

--- Accepts before anything else happens. Not for expression mappings, which must not change text.
---@param piece 'whole'|'word'|'line'
---@return boolean
function M.accept_now(piece)
  if shown.current() then
    return insert_shown(pieces[piece])
  end
  if not config.uses_neovim() then
    return false
  end
  local inserted
  local is_on_its_way = neovim.accept(pieces[piece], function(was_inserted)
    inserted = was_inserted
  end)
  if is_on_its_way then
    vim.wait(HANDOVER_MS, function()
      return inserted ~= nil
    end, 1)
  end
  return inserted == true
end

--- Accepts as soon as text may be changed, and says at once whether there is anything to accept.
---@param piece 'whole'|'word'|'line'
---@return boolean
function M.accept(piece)
  if not shown.current() then
    return config.uses_neovim() and neovim.accept(pieces[piece])
  end
  vim.schedule(function()
    insert_shown(pieces[piece])
  end)
  return true
end

--- Asks for several candidates and shows one of them.
---@param index integer the one to be shown, from 1; from the end where it is negative
local function ask_for_all(index)
  local bufnr = vim.api.nvim_get_current_buf()
  local client = server.client(bufnr)
  if not client or not vim.startswith(vim.api.nvim_get_mode().mode, 'i') then
    return false
  end
  request.ask(client, request.invoked, function(suggestions)
    if vim.api.nvim_get_current_buf() ~= bufnr or #suggestions == 0 then
      return
    end
    if config.uses_neovim() then
      neovim.hide(bufnr)
    end
    if shown.set(suggestions, true) then
      shown.cycle(index > 0 and index - 1 or index)
    end
  end)
  return true
end

--- Asks for completions here, whatever the settings say about automatic ones.
---@return boolean
function M.complete()
  return ask_for_all(1)
end

--- Shows another candidate. Where nothing is shown, false is returned.
---@param by integer
---@return boolean
function M.cycle(by)
  if not M.is_shown() then
    return false
  end
  -- One comes while typing; the others are computed only when they are wanted.
  return shown.cycle(by) or ask_for_all(by > 0 and 2 or -1)
end

--- Takes the ghost text away, and forgets what is on its way.
---@param bufnr integer
function M.hide(bufnr)
  request.cancel(bufnr)
  path().hide(bufnr)
end

--- Takes the ghost text away. False if there is none.
---@return boolean
function M.dismiss()
  if not M.is_shown() then
    return false
  end
  local bufnr = vim.api.nvim_get_current_buf()
  feedback.tell(bufnr, 'dismissed')
  M.hide(bufnr)
  return true
end

return M
