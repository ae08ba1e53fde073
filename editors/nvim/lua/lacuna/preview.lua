--- Shows what an edit would change, and applies it if it is wanted.
local M = {}

--- Lines of the document that are shown on each side of a change.
local CONTEXT_LINES = 2

--- What to ask before an edit is applied, if it says that somebody is to be asked.
---@param edit lsp.WorkspaceEdit
---@return string?
local function question(edit)
  for _, annotation in pairs(edit.changeAnnotations or {}) do
    if annotation.needsConfirmation then
      return annotation.label .. '?'
    end
  end
end

--- The edit as one that nobody need be asked about; Neovim itself would ask, without showing anything.
---@param edit lsp.WorkspaceEdit
---@return lsp.WorkspaceEdit
local function unannotated(edit)
  local plain = vim.deepcopy(edit)
  plain.changeAnnotations = nil
  for _, change in ipairs(plain.documentChanges or {}) do
    for _, text_edit in ipairs(change.edits or {}) do
      text_edit.annotationId = nil
    end
  end
  return plain
end

--- The unified difference that the edits of a document make.
---@param change lsp.TextDocumentEdit
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return string[]
local function difference(change, encoding)
  local bufnr = vim.uri_to_bufnr(change.textDocument.uri)
  vim.fn.bufload(bufnr)
  local before = vim.api.nvim_buf_get_lines(bufnr, 0, -1, false)
  local scratch = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(scratch, 0, -1, false, before)
  vim.lsp.util.apply_text_edits(change.edits, scratch, encoding)
  local after = vim.api.nvim_buf_get_lines(scratch, 0, -1, false)
  vim.api.nvim_buf_delete(scratch, { force = true })
  local function text(lines)
    return table.concat(lines, '\n') .. '\n'
  end
  local diff = (vim.text.diff or vim.diff)(text(before), text(after), { ctxlen = CONTEXT_LINES })
  return vim.split(vim.trim(diff --[[@as string]]), '\n')
end

--- Shows lines of a difference in the middle of the screen.
---@param lines string[]
---@param title string
---@return integer window, integer bufnr
local function show(lines, title)
  local bufnr = vim.api.nvim_create_buf(false, true)
  vim.api.nvim_buf_set_lines(bufnr, 0, -1, false, lines)
  vim.bo[bufnr].filetype = 'diff'
  local longest = vim.iter(lines):fold(vim.fn.strdisplaywidth(title) + 2, function(width, line)
    return math.max(width, vim.fn.strdisplaywidth(line))
  end)
  local width = math.max(1, math.min(longest, vim.o.columns - 4))
  local height = math.max(1, math.min(#lines, vim.o.lines - vim.o.cmdheight - 6))
  local window = vim.api.nvim_open_win(bufnr, false, {
    relative = 'editor',
    row = math.max(0, (vim.o.lines - vim.o.cmdheight - height) / 2 - 2),
    col = math.max(0, (vim.o.columns - width) / 2 - 1),
    width = width,
    height = height,
    style = 'minimal',
    border = 'rounded',
    title = ' ' .. title .. ' ',
  })
  return window, bufnr
end

--- Whether the edit is wanted.
---@param edit lsp.WorkspaceEdit
---@param asked string
---@param encoding 'utf-8'|'utf-16'|'utf-32'
---@return boolean
local function is_wanted(edit, asked, encoding)
  -- Another copy, because Neovim takes notes in what it is given.
  local lines = vim.iter(unannotated(edit).documentChanges or {}):fold({}, function(all, change)
    return change.edits and vim.list_extend(all, difference(change, encoding)) or all
  end)
  local window, bufnr = show(lines, asked)
  vim.cmd.redraw()
  local _, choice = pcall(vim.fn.confirm, 'Lacuna: ' .. asked, '&Yes\n&No', 1)
  vim.api.nvim_win_close(window, true)
  vim.api.nvim_buf_delete(bufnr, { force = true })
  return choice == 1
end

--- The handler of `workspace/applyEdit`.
---@param err lsp.ResponseError?
---@param result lsp.ApplyWorkspaceEditParams
---@param context lsp.HandlerContext
---@return lsp.ApplyWorkspaceEditResult
function M.apply(err, result, context)
  local asked = question(result.edit)
  local client = vim.lsp.get_client_by_id(context.client_id)
  if asked and client then
    if not is_wanted(result.edit, asked, client.offset_encoding) then
      return { applied = false }
    end
    result = { label = result.label, edit = unannotated(result.edit) }
  end
  return vim.lsp.handlers['workspace/applyEdit'](err, result, context)
end

return M
