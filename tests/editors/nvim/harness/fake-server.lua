--- A language server that answers every inline completion with the same items: `nvim -l fake-server.lua ITEMS`.
---
--- ITEMS is JSON: a list of objects with `text`, and how many characters `before` and `after` the caret it replaces.
--- The shapes of answers are tried with it that the embedded model gives only by chance.
local items = vim.json.decode(arg[1])

local function send(message)
  message.jsonrpc = '2.0'
  local body = vim.json.encode(message)
  io.stdout:write(('Content-Length: %d\r\n\r\n%s'):format(#body, body))
  io.stdout:flush()
end

local function answer(method, params)
  if method == 'initialize' then
    return {
      capabilities = {
        positionEncoding = 'utf-16',
        textDocumentSync = 2,
        inlineCompletionProvider = vim.empty_dict(),
      },
    }
  end
  if method ~= 'textDocument/inlineCompletion' then
    return vim.NIL
  end
  local at = params.position
  return {
    items = vim
      .iter(items)
      :map(function(item)
        return {
          insertText = item.text,
          range = {
            start = { line = at.line, character = at.character - (item.before or 0) },
            ['end'] = { line = at.line, character = at.character + (item.after or 0) },
          },
        }
      end)
      :totable(),
  }
end

while true do
  local length
  for line in io.lines() do
    line = line:gsub('\r$', '')
    if line == '' then
      break
    end
    length = length or tonumber(line:match('^Content%-Length: (%d+)$'))
  end
  if not length then
    break
  end
  local message = vim.json.decode(io.read(length))
  if message.method == 'exit' then
    break
  elseif message.id and message.method then
    send({ id = message.id, result = answer(message.method, message.params) })
  elseif message.method == 'initialized' then
    send({ method = 'lacuna/status', params = { health = 'ok', message = 'ready' } })
  end
end
