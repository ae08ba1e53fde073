--- Lacuna in Neovim. See `:help lacuna`.
local M = {}

--- Takes options over, sets the keys, and starts the server in the buffers that want it.
---@param options? table see `:help lacuna-options`
function M.setup(options)
  local config = require('lacuna.config')
  config.set(options)
  for _, problem in ipairs(config.problems) do
    require('lacuna.message').tell(problem, vim.log.levels.WARN)
  end
  require('lacuna.keys').set()
  local server = require('lacuna.server')
  vim.lsp.config(server.name, server.config())
  server.start()
end

--- Accepts the completion. False if there is none, so that a key can do something else.
---@return boolean
function M.accept()
  return require('lacuna.completion').accept('whole')
end

--- Accepts the completion as far as the next word's end.
---@return boolean
function M.accept_word()
  return require('lacuna.completion').accept('word')
end

--- Accepts the completion as far as the line's end.
---@return boolean
function M.accept_line()
  return require('lacuna.completion').accept('line')
end

--- Shows the next candidate.
---@return boolean
function M.next()
  return require('lacuna.completion').cycle(1)
end

--- Shows the candidate before.
---@return boolean
function M.previous()
  return require('lacuna.completion').cycle(-1)
end

--- Takes the completion away.
---@return boolean
function M.dismiss()
  return require('lacuna.completion').dismiss()
end

--- Asks for completions at the caret, whether or not they come by themselves.
---@return boolean
function M.complete()
  return require('lacuna.completion').complete()
end

--- Whether there is a completion to accept at the caret.
---@return boolean
function M.is_shown()
  return require('lacuna.completion').is_shown()
end

--- A few characters for a status line.
---@return string
function M.status()
  return require('lacuna.status').line()
end

return M
