--- Completions while typing, asked for and drawn by the plugin: the way for a Neovim that can't do it itself.
local menu = require('lacuna.completion.menu')
local request = require('lacuna.completion.request')
local server = require('lacuna.server')
local shown = require('lacuna.completion.shown')
local status = require('lacuna.status')

local M = {}

--- The state of each buffer that was last asked about: two events come of one key.
local asked_at = {} ---@type table<integer, string>

local function is_inserting()
  return vim.startswith(vim.api.nvim_get_mode().mode, 'i')
end

---@param bufnr integer
function M.hide(bufnr)
  asked_at[bufnr] = nil
  request.cancel(bufnr)
  shown.clear(bufnr)
end

--- Keeps what is shown alive while it is typed, and asks anew where it does not fit.
---@param bufnr integer
local function follow(bufnr)
  if vim.api.nvim_get_current_buf() ~= bufnr or not is_inserting() then
    return
  end
  if menu.is_in_the_way() then
    M.hide(bufnr)
    return
  end
  local state = request.state()
  if shown.refresh() then
    request.cancel(bufnr)
    asked_at[bufnr] = state
    return
  end
  local client = server.client(bufnr)
  if not client or status.is_off(client, bufnr) or asked_at[bufnr] == state or request.is_wanted(bufnr) then
    return
  end
  asked_at[bufnr] = state
  request.ask(client, request.automatic, function(suggestions)
    if vim.api.nvim_get_current_buf() == bufnr and is_inserting() and not menu.is_in_the_way() then
      shown.set(suggestions, false)
    end
  end)
end

---@param bufnr integer
local function group(bufnr)
  return 'lacuna.ghost:' .. bufnr
end

---@param bufnr integer
function M.enable(bufnr)
  local augroup = vim.api.nvim_create_augroup(group(bufnr), {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = augroup, buffer = bufnr, callback = callback })
  end
  on({ 'InsertEnter', 'TextChangedI', 'TextChangedP', 'CursorMovedI', 'CompleteChanged' }, function()
    -- When Insert mode is entered or the menu changes, mode and menu are not there yet.
    vim.schedule(function()
      follow(bufnr)
    end)
  end)
  on('CompleteDone', function()
    vim.schedule(function()
      follow(bufnr)
    end)
  end)
  on({ 'InsertLeave', 'BufLeave' }, function()
    M.hide(bufnr)
  end)
  vim.schedule(function()
    follow(bufnr)
  end)
end

---@param bufnr integer
function M.disable(bufnr)
  pcall(vim.api.nvim_del_augroup_by_name, group(bufnr))
  M.hide(bufnr)
end

return M
