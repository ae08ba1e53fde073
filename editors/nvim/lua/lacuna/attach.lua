--- What happens when the server comes to a buffer and when it leaves.
local completion = require('lacuna.completion')
local draft = require('lacuna.draft')
local server = require('lacuna.server')

local M = {}

local seen = setmetatable({}, { __mode = 'k' }) ---@type table<vim.lsp.Client, true>

---@param client vim.lsp.Client
local function watch_client(client)
  if seen[client] then
    return
  end
  seen[client] = true
  local stop = client.stop
  client.stop = function(self, ...)
    server.expect_end(client)
    return stop(self, ...)
  end
  completion.watch(client)
end

--- Neovim tells the server of a new name only when the buffer is written, and asks under the new name at once.
local function follow_renaming(group)
  local renamed = {} ---@type table<integer, vim.lsp.Client>
  vim.api.nvim_create_autocmd('BufFilePre', {
    group = group,
    callback = function(event)
      local client = server.client(event.buf)
      if client then
        renamed[event.buf] = client
        vim.lsp.buf_detach_client(event.buf, client.id)
      end
    end,
  })
  vim.api.nvim_create_autocmd('BufFilePost', {
    group = group,
    callback = function(event)
      local client = renamed[event.buf]
      renamed[event.buf] = nil
      if client and not client:is_stopped() then
        vim.lsp.buf_attach_client(event.buf, client.id)
      end
    end,
  })
end

function M.watch()
  local group = vim.api.nvim_create_augroup('lacuna.attach', {})
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == server.name then
        watch_client(client)
        completion.enable(event.buf)
      end
    end,
  })
  vim.api.nvim_create_autocmd('LspDetach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == server.name then
        completion.disable(event.buf)
        draft.clear(event.buf)
      end
    end,
  })
  vim.api.nvim_create_autocmd('FileType', {
    group = group,
    callback = function(event)
      server.tell_if_missing(event.buf)
    end,
  })
  follow_renaming(group)
end

return M
