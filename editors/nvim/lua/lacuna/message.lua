--- What is said to the user.
local M = {}

local told = {}

---@param sentence string
---@param level? integer one of `vim.log.levels`
function M.tell(sentence, level)
  vim.schedule(function()
    vim.notify('Lacuna: ' .. sentence, level or vim.log.levels.INFO)
  end)
end

--- Says something the first time only, however often it happens.
---@param sentence string
---@param level? integer
function M.tell_once(sentence, level)
  if not told[sentence] then
    told[sentence] = true
    M.tell(sentence, level)
  end
end

return M
