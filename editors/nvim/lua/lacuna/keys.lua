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

--- What an action does once it is known that there is something to do. Text may be changed here.
local perform = {
  accept = function()
    completion.accept_now('whole')
  end,
  accept_word = function()
    completion.accept_now('word')
  end,
  accept_line = function()
    completion.accept_now('line')
  end,
  next = function()
    completion.cycle(1)
  end,
  previous = function()
    completion.cycle(-1)
  end,
  dismiss = function()
    completion.dismiss()
  end,
  complete = function()
    completion.complete()
  end,
}

local earlier = {} ---@type table<string, table> by the key, the mapping that was there before

--- What the key did before, as keys for an expression mapping to return.
---@param key string
---@return string
local function fall_back(key)
  local mapping = earlier[key]
  if not mapping then
    return vim.keycode(key)
  end
  if mapping.callback and mapping.expr ~= 1 then
    return vim.keycode(("<Cmd>lua require('lacuna.keys').earlier('%s')<CR>"):format((key:gsub('<', '<lt>'))))
  end
  local keys = mapping.rhs or ''
  if mapping.expr == 1 then
    keys = mapping.callback and mapping.callback() or vim.api.nvim_eval(mapping.rhs)
    if mapping.replace_keycodes ~= 1 then
      return keys or ''
    end
  end
  return vim.keycode(keys or '')
end

--- Does what a key did before, for an earlier mapping to a function.
---@param key string
function M.earlier(key)
  earlier[key].callback()
end

---@param action lacuna.Action
function M.perform(action)
  perform[action]()
end

---@param key string
---@param action lacuna.Action
local function map(key, action)
  local before = vim.fn.maparg(key, 'i', false, true)
  if before.desc ~= descriptions[action] then
    earlier[key] = next(before) and before.buffer == 0 and before or nil
  end
  vim.keymap.set('i', key, function()
    if action == 'complete' or completion.is_shown() then
      return vim.keycode(("<Cmd>lua require('lacuna.keys').perform('%s')<CR>"):format(action))
    end
    return fall_back(key)
  end, { expr = true, replace_keycodes = false, desc = descriptions[action] })
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
