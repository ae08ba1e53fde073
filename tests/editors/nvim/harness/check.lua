--- What a trial can claim.
local M = {}

function M.equal(found, wanted, sentence)
  if not vim.deep_equal(found, wanted) then
    error(('%s:\nwanted %s\nfound  %s'):format(sentence, vim.inspect(wanted), vim.inspect(found)), 2)
  end
end

function M.is(condition, sentence)
  if not condition then
    error(sentence, 2)
  end
end

return M
