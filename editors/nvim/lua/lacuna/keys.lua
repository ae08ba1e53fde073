--- Keys of Insert mode that fall back to what they did before where there is no ghost text.
local completion = require('lacuna.completion')
local config = require('lacuna.config')

local M = {}

local descriptions = {
  accept = 'Lacuna: accept the completion',
  accept_word = 'Lacuna: accept a word of the completion',
  accept_line = 'Lacuna: accept a line of the completion',
  next = 'Lacuna: show the next completion',
  previous = 'Lacuna: show the previous completion',
  dismiss = 'Lacuna: take the completion away',
  complete = 'Lacuna: ask for a completion',
}

--- What each key does. False if there was nothing to do it with.
local perform = {
  accept = function()
    return completion.accept_now('whole')
  end,
  accept_word = function()
    return completion.accept_now('word')
  end,
  accept_line = function()
    return completion.accept_now('line')
  end,
  next = function()
    return completion.cycle(1)
  end,
  previous = function()
    return completion.cycle(-1)
  end,
  dismiss = completion.dismiss,
  complete = completion.complete,
}

local earlier = {} ---@type table<string, table> by the key, the mapping that was there before

--- Does what a key did before.
---@param key string
local function fall_back(key)
  if not earlier[key] and key:match('^<[MA]%-') then
    -- A chord with Alt that does nothing in Insert mode, and would be taken for its letter.
    return
  end
  local mapping = earlier[key] or { rhs = key, replace_keycodes = 1 }
  local keys = mapping.rhs or ''
  if mapping.expr == 1 then
    keys = (mapping.callback and mapping.callback() or vim.api.nvim_eval(mapping.rhs)) or ''
  elseif mapping.callback then
    mapping.callback()
    return
  end
  local is_raw = mapping.expr == 1 and mapping.replace_keycodes ~= 1
  -- Before whatever else has been typed, and taken as it is unless the earlier mapping was to be mapped again.
  vim.api.nvim_feedkeys(is_raw and keys or vim.keycode(keys), mapping.noremap == 0 and 'mi' or 'ni', false)
end

---@param key string
---@param action lacuna.Action
local function map(key, action)
  local before = vim.fn.maparg(key, 'i', false, true)
  if before.desc ~= descriptions[action] then
    earlier[key] = next(before) and before.buffer == 0 and before or nil
  end
  -- No expression mapping: Neovim evaluates those before the letters typed ahead of them are in the text.
  vim.keymap.set('i', key, function()
    if not perform[action]() then
      fall_back(key)
    end
  end, { desc = descriptions[action] })
end

--- Sets the keys that the options name.
function M.set()
  for _, action in ipairs(config.actions) do
    local keys = config.options.keys[action]
    for _, key in ipairs(type(keys) == 'table' and keys or { keys or nil }) do
      map(key, action)
    end
  end
end

return M
