--- The denoising view: a fill that was asked for, drawn in place while it condenses.
local M = {}

local namespace = vim.api.nvim_create_namespace('lacuna.draft')

--- A draft goes when nothing more is heard of it for this long, should its end get lost.
local LIMIT_MS = 5000
--- From this certainty on, an unsettled piece is called likely.
local LIKELY = 0.5

---@class lacuna.Draft
---@field bufnr integer
---@field changedtick integer
---@field marks integer[]
---@field timer uv.uv_timer_t

local drafts = {} ---@type table<integer, lacuna.Draft> by the fill's id

---@param id integer
local function erase(id)
  local draft = drafts[id]
  drafts[id] = nil
  if not draft then
    return
  end
  if not draft.timer:is_closing() then
    draft.timer:close()
  end
  if vim.api.nvim_buf_is_valid(draft.bufnr) then
    for _, mark in ipairs(draft.marks) do
      vim.api.nvim_buf_del_extmark(draft.bufnr, namespace, mark)
    end
  end
end

--- Erases every draft in a buffer.
---@param bufnr integer
function M.clear(bufnr)
  for id, draft in pairs(drafts) do
    if draft.bufnr == bufnr then
      erase(id)
    end
  end
end

---@param piece { settled: boolean, certainty: number }
---@return string
local function highlight_of(piece)
  if piece.settled then
    return 'LacunaDraftSettled'
  end
  return piece.certainty >= LIKELY and 'LacunaDraftLikely' or 'LacunaDraftUncertain'
end

--- The pieces of a hole as lines of highlighted chunks.
---@param pieces { text: string, settled: boolean, certainty: number }[]
---@return [string, string][][]
local function chunked(pieces)
  local lines = { {} } ---@type [string, string][][]
  for _, piece in ipairs(pieces) do
    local group = highlight_of(piece)
    for index, part in ipairs(vim.split(piece.text, '\r?\n')) do
      if index > 1 then
        table.insert(lines, {})
      end
      if part ~= '' then
        table.insert(lines[#lines], { (part:gsub('\t', '    ')), group })
      end
    end
  end
  return lines
end

--- Puts what follows a hole on its line behind the draft, and blanks over whatever the draft leaves of the line.
---@param lines [string, string][][]
---@param hole string
---@param rest string
local function cover(lines, hole, rest)
  if rest ~= '' then
    table.insert(lines[#lines], { (rest:gsub('\t', '    ')), 'Normal' })
  end
  local width = 0
  for _, chunk in ipairs(lines[1]) do
    width = width + vim.fn.strdisplaywidth(chunk[1])
  end
  local missing = vim.fn.strdisplaywidth(hole .. rest) - width
  if missing > 0 then
    table.insert(lines[1], { (' '):rep(missing), 'Normal' })
  end
end

---@param bufnr integer
---@param encoding string
---@param hole { range: lsp.Range, pieces: table[] }
---@return integer? mark
local function draw_hole(bufnr, encoding, hole)
  local function line_and_byte(position)
    local line = vim.api.nvim_buf_get_lines(bufnr, position.line, position.line + 1, false)[1]
    return line, line and vim.str_byteindex(line, encoding, position.character, false)
  end
  local first, last = hole.range.start, hole.range['end']
  local first_line, first_byte = line_and_byte(first)
  local last_line, last_byte = line_and_byte(last)
  if not first_line or not last_line then
    return nil
  end
  local lines = chunked(hole.pieces)
  local is_one_line = first.line == last.line
  if is_one_line then
    cover(lines, first_line:sub(first_byte + 1, last_byte), first_line:sub(last_byte + 1))
  end
  for _, line in ipairs(lines) do
    if #line == 0 then
      -- A line of virtual text is never empty.
      table.insert(line, { ' ', 'Normal' })
    end
  end
  return vim.api.nvim_buf_set_extmark(bufnr, namespace, first.line, first_byte, {
    end_row = last.line,
    end_col = last_byte,
    hl_group = 'LacunaDraftHole',
    virt_text = lines[1],
    virt_text_pos = is_one_line and 'overlay' or 'inline',
    virt_lines = #lines > 1 and vim.list_slice(lines, 2) or nil,
    undo_restore = false,
    priority = 300,
  })
end

---@param id integer
---@param bufnr integer
---@return lacuna.Draft
local function begin(id, bufnr)
  local draft = {
    bufnr = bufnr,
    changedtick = vim.api.nvim_buf_get_changedtick(bufnr),
    marks = {},
    timer = assert(vim.uv.new_timer()),
  }
  drafts[id] = draft
  vim.api.nvim_buf_attach(bufnr, false, {
    on_lines = function()
      if drafts[id] == draft then
        -- Marks must not be deleted while the text changes under them.
        vim.schedule(function()
          erase(id)
        end)
      end
      return true
    end,
    on_detach = function()
      vim.schedule(function()
        erase(id)
      end)
    end,
  })
  return draft
end

--- The buffer with a URI, among those that a client serves. A buffer without a name has a URI too, which Neovim would
--- take for a new buffer's.
---@param client vim.lsp.Client
---@param uri string
---@return integer?
local function buffer_of(client, uri)
  for bufnr in pairs(client.attached_buffers) do
    if vim.api.nvim_buf_is_loaded(bufnr) and vim.uri_from_bufnr(bufnr) == uri then
      return bufnr
    end
  end
end

--- Takes a `lacuna/draft` notification.
---@param params { uri: string, version: integer, id: integer, done: boolean, holes: table[] }
---@param client vim.lsp.Client
function M.receive(params, client)
  local bufnr = buffer_of(client, params.uri)
  local draft = drafts[params.id]
  local is_current = bufnr
    and vim.lsp.util.buf_versions[bufnr] == params.version
    and (not draft or draft.changedtick == vim.api.nvim_buf_get_changedtick(bufnr))
  if params.done or not bufnr or not is_current then
    erase(params.id)
    return
  end
  draft = draft or begin(params.id, bufnr)
  for _, mark in ipairs(draft.marks) do
    vim.api.nvim_buf_del_extmark(bufnr, namespace, mark)
  end
  draft.marks = {}
  for _, hole in ipairs(params.holes) do
    table.insert(draft.marks, draw_hole(bufnr, client.offset_encoding, hole))
  end
  draft.timer:start(
    LIMIT_MS,
    0,
    vim.schedule_wrap(function()
      erase(params.id)
    end)
  )
end

return M
