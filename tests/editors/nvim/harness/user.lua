--- The configuration files of the users in the trials.
local check = require('harness.check')
local samples = require('harness.samples')

local M = {}

-- The trials are about what is done with an answer, however unsure of it the embedded model is.
local keys = [[
  settings = { inlineCompletion = { minConfidence = 0 } },
  keys = {
    accept = '<Tab>', accept_word = '<M-w>', accept_line = '<M-l>',
    next = '<M-n>', previous = '<M-p>', dismiss = '<M-d>', complete = '<M-c>',
  },]]

--- Neovim 0.11 has no inline completion of its own, so that the plugin asks and draws.
local AS_IN_0_11 = "rawset(vim.lsp, 'inline_completion', false)"

---@param path string what draws the ghost text
---@param options? { cmd?: string, options?: string, before?: string, after?: string } pieces of Lua
---@return string
local function init(path, options)
  options = options or {}
  return table.concat({
    -- What the user is told is recorded, so that a trial can read it.
    '_G.told = {}',
    'local notify = vim.notify',
    'vim.notify = function(message, ...) table.insert(_G.told, message) return notify(message, ...) end',
    path == 'lacuna' and AS_IN_0_11 or '',
    'vim.o.swapfile = false',
    'vim.o.shiftwidth = 4',
    'vim.o.expandtab = true',
    options.before or '',
    "require('lacuna').setup({",
    '  cmd = ' .. (options.cmd or "{ vim.env.LACUNA_BINARY, 'lsp' }") .. ',',
    options.options or keys,
    '})',
    options.after or '',
  }, '\n')
end

M.init = init

--- A Neovim with one file open and the server ready.
---@param start fun(options: table): Child
---@param path string
---@param name string
---@param text string where `$0` is, Insert mode begins
---@param options? table
---@return Child
function M.open(start, path, name, text, options)
  options = options or {}
  local files = vim.tbl_extend('force', { [name] = text }, options.files or {})
  local child = start({ init = init(path, options), files = files, open = name, terminal = options.terminal })
  child:ready()
  if child.marks[name] then
    child:insert_at_mark(name)
  end
  return child
end

--- A Neovim in which the function of `samples.calls` has just been renamed to `whole_weight`, and whose caret the
--- command has taken to the first call of it.
---@return Child
function M.open_renamed(start, path)
  local child = M.open(start, path, 'a.rs', samples.calls)
  child:type('1G03lciwwhole_weight<Esc>')
  local function caret()
    return child:lua('return vim.api.nvim_win_get_cursor(0)')
  end
  -- Places are looked for once typing rests, and the command says so where there is none.
  child:wait('the next place was not shown', function()
    child:command('LacunaNextPlace')
    return caret()[1] == 6
  end)
  check.equal(caret(), { 6, #'    let first = ' }, 'where it is')
  return child
end

--- Takes the change of `open_renamed` to all places that want it, by a code action.
---@param child Child
function M.change_all_places(child)
  child:lua([[vim.lsp.buf.code_action({
    apply = true,
    filter = function(action) return action.title == 'Apply the same change at all 2 places' end,
  })]])
  child:wait_for_text(vim.trim((samples.calls:gsub('total_weight', 'whole_weight'))))
end

--- As `open`, with a server that always gives the same items.
---@param items { text: string, before?: integer, after?: integer }[]
function M.open_with_items(start, path, name, text, items, options)
  local server = vim.fs.dirname(vim.fs.abspath(arg[0])) .. '/harness/fake-server.lua'
  local cmd = { vim.env.TRIAL_NEOVIM, '--clean', '-l', server, vim.json.encode(items) }
  local with_server = vim.tbl_extend('force', options or {}, { cmd = vim.inspect(cmd) })
  return M.open(start, path, name, text, with_server)
end

return M
