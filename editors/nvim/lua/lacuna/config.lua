--- The options of the plugin, and what is wrong with those that were given.
local M = {}

---@class lacuna.Options
---@field cmd string[] the command that starts the server
---@field filetypes string[] the file types that the server is started for
---@field settings table what the server calls its settings
---@field ghost_text 'auto'|'neovim'|'lacuna' who asks for completions and draws them
---@field drafts boolean whether a fill is drawn while it is made
---@field keys table<lacuna.Action, string|string[]|false> keys of Insert mode

---@alias lacuna.Action 'accept'|'accept_word'|'accept_line'|'next'|'previous'|'dismiss'|'complete'

M.actions = { 'accept', 'accept_word', 'accept_line', 'next', 'previous', 'dismiss', 'complete' }

---@type lacuna.Options
M.defaults = {
  cmd = { 'lacuna', 'lsp' },
  filetypes = { 'rust', 'python', 'markdown' },
  settings = {},
  ghost_text = 'auto',
  drafts = true,
  keys = {},
}

---@type lacuna.Options
M.options = vim.deepcopy(M.defaults)
---@type string[]
M.problems = {}

local kinds = {
  cmd = 'table',
  filetypes = 'table',
  settings = 'table',
  ghost_text = 'string',
  drafts = 'boolean',
  keys = 'table',
}

local function names(map)
  local all = vim.tbl_keys(map)
  table.sort(all)
  return table.concat(all, ', ')
end

--- One sentence for each option that is not what it should be.
---@param given table
---@return string[]
local function problems_of(given)
  local problems = {}
  local function problem(...)
    table.insert(problems, string.format(...))
  end
  for name, value in pairs(given) do
    if not kinds[name] then
      problem('there is no option `%s`; the options are %s.', name, names(kinds))
    elseif type(value) ~= kinds[name] then
      problem('the option `%s` must be a %s, not a %s.', name, kinds[name], type(value))
    end
  end
  if type(given.ghost_text) == 'string' and not vim.list_contains({ 'auto', 'neovim', 'lacuna' }, given.ghost_text) then
    problem('the option `ghost_text` must be "auto", "neovim" or "lacuna", not "%s".', given.ghost_text)
  end
  if given.ghost_text == 'neovim' and not vim.lsp.inline_completion then
    problem('the option `ghost_text` is "neovim", which needs Neovim 0.12; without it, it does the right thing.')
  end
  if type(given.keys) == 'table' then
    for action in pairs(given.keys) do
      if not vim.list_contains(M.actions, action) then
        problem('there is no key for `%s`; there are keys for %s.', action, table.concat(M.actions, ', '))
      end
    end
  end
  if type(given.settings) == 'table' and given.settings.lacuna then
    problem('the option `settings` holds a `lacuna`; what is in there belongs in `settings` itself.')
  end
  return problems
end

--- Takes the user's options over. One that is wrong is named, and keeps its default.
---@param given? table
function M.set(given)
  given = given or {}
  M.problems = problems_of(given)
  local right = {}
  for name, kind in pairs(kinds) do
    if type(given[name]) == kind then
      right[name] = given[name]
    end
  end
  M.options = vim.tbl_extend('force', vim.deepcopy(M.defaults), right)
end

--- Whether Neovim's own inline completion draws the ghost text.
---@return boolean
function M.uses_neovim()
  return vim.lsp.inline_completion and M.options.ghost_text ~= 'lacuna' or false
end

return M
