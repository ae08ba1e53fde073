--- Completions while typing, asked for and drawn by Neovim 0.12.
---
--- Neovim keeps an item on the screen until another one comes, whatever is typed. What this adds: an item that no
--- longer fits goes at once, a null answer clears, a late answer is held against the line as it is now, and nothing is
--- shown beside the popup menu.
local feedback = require('lacuna.completion.feedback')
local insertion = require('lacuna.completion.insertion')
local menu = require('lacuna.completion.menu')
local request = require('lacuna.completion.request')
local shown = require('lacuna.completion.shown')
local status = require('lacuna.status')

local M = {}

--- The suggestions that Neovim was given last, and how often its state was thrown away.
local given = {} ---@type table<integer, lacuna.Suggestion[]>
local generation = {} ---@type table<integer, integer>

---@param bufnr integer
local function fitting(bufnr)
  if vim.api.nvim_get_current_buf() ~= bufnr then
    return {}
  end
  return vim.tbl_filter(shown.remaining, given[bufnr] or {})
end

--- Has Neovim ask. Nothing but an event makes it, so that it is told of one; should its group of autocommands get
--- another name one day, the next key asks.
---@param bufnr integer
local function have_it_ask(bufnr)
  local theirs = { group = 'nvim.lsp.inline_completion:' .. bufnr, buffer = bufnr, modeline = false }
  pcall(vim.api.nvim_exec_autocmds, 'CursorMovedI', theirs)
end

--- Throws away what Neovim shows and waits for in a buffer, and has it ask anew.
---@param bufnr integer
local function reset(bufnr)
  given[bufnr] = nil
  generation[bufnr] = (generation[bufnr] or 0) + 1
  if not vim.lsp.inline_completion.is_enabled({ bufnr = bufnr }) then
    return
  end
  vim.lsp.inline_completion.enable(false, { bufnr = bufnr })
  vim.lsp.inline_completion.enable(true, { bufnr = bufnr })
  -- The event that led here came before the new state.
  have_it_ask(bufnr)
end

--- Stands between the server's answers and Neovim.
---@param client vim.lsp.Client
function M.watch(client)
  local ask = client.request
  client.request = function(self, method, params, handler, bufnr)
    if
      self ~= client
      or method ~= request.method
      or not handler
      or not bufnr
      or params.context.triggerKind ~= request.automatic
    then
      return ask(self, method, params, handler, bufnr)
    end
    if bufnr ~= vim.api.nvim_get_current_buf() or request.is_wanted(bufnr) then
      return false
    end
    local place, asked_in = request.place(self.offset_encoding), generation[bufnr]
    return ask(self, method, params, function(err, result, ...)
      if generation[bufnr] ~= asked_in then
        -- Whoever asked is gone, and a null answer is all that does no harm.
        return handler(nil, nil, ...)
      end
      if err then
        return handler(err, result, ...)
      end
      given[bufnr] = request.suggestions(result, place)
      local is_welcome = #fitting(bufnr) > 0
        and not menu.is_in_the_way()
        and not shown.current()
        and not status.is_off(self, bufnr)
      if is_welcome then
        feedback.tell(bufnr, 'shown')
      else
        given[bufnr] = nil
      end
      return handler(nil, is_welcome and result or { items = {} }, ...)
    end, bufnr)
  end
end

---@param bufnr integer
local function group(bufnr)
  return 'lacuna.neovim:' .. bufnr
end

---@param bufnr integer
function M.enable(bufnr)
  local augroup = vim.api.nvim_create_augroup(group(bufnr), {})
  local function on(events, callback)
    vim.api.nvim_create_autocmd(events, { group = augroup, buffer = bufnr, callback = callback })
  end
  on({ 'TextChangedI', 'TextChangedP', 'CursorMovedI' }, function()
    shown.refresh()
    if given[bufnr] and #fitting(bufnr) == 0 then
      reset(bufnr)
    end
  end)
  on('CompleteChanged', function()
    -- The menu is not there yet, and nothing may be changed while it comes.
    vim.schedule(function()
      if vim.api.nvim_buf_is_loaded(bufnr) and menu.is_in_the_way() then
        M.hide(bufnr)
      end
    end)
  end)
  on('InsertLeave', function()
    given[bufnr] = nil
    request.cancel(bufnr)
    shown.clear(bufnr)
  end)
  vim.lsp.inline_completion.enable(true, { bufnr = bufnr })
  -- Where the server comes while somebody types, the last key has been pressed already. Neovim is ready for the server
  -- two turns after this one.
  vim.schedule(function()
    vim.schedule(function()
      if vim.api.nvim_get_current_buf() == bufnr and vim.startswith(vim.api.nvim_get_mode().mode, 'i') then
        have_it_ask(bufnr)
      end
    end)
  end)
end

---@param bufnr integer
function M.disable(bufnr)
  pcall(vim.api.nvim_del_augroup_by_name, group(bufnr))
  -- Neovim's own state goes with the client, and other clients may complete here.
  given[bufnr] = nil
  generation[bufnr] = (generation[bufnr] or 0) + 1
  request.cancel(bufnr)
  shown.clear(bufnr)
end

--- Takes everything off the screen; the next key asks anew.
---@param bufnr integer
function M.hide(bufnr)
  shown.clear(bufnr)
  given[bufnr] = nil
  -- An item that is accepted without being applied is gone.
  vim.lsp.inline_completion.get({
    bufnr = bufnr,
    on_accept = function()
      return nil
    end,
  })
end

--- Whether Neovim shows something that could be accepted here.
---@return boolean
function M.is_shown()
  return #fitting(vim.api.nvim_get_current_buf()) > 0
end

--- Accepts a piece of what Neovim shows, soon: it takes an item off the screen only when nothing else is going on.
---@param piece_of fun(remaining: string): string
---@param done? fun(inserted: boolean)
---@return boolean
function M.accept(piece_of, done)
  local bufnr = vim.api.nvim_get_current_buf()
  if not M.is_shown() then
    return false
  end
  return vim.lsp.inline_completion.get({
    bufnr = bufnr,
    on_accept = function(item)
      local suggestion = vim.iter(fitting(bufnr)):find(function(each)
        return each.text == item.insert_text
      end)
      given[bufnr] = nil
      local inserted = suggestion ~= nil and insertion.insert(suggestion, piece_of)
      if done then
        done(inserted)
      end
      return nil
    end,
  })
end

return M
