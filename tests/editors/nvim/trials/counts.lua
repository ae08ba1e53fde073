--- What the server counts of what the user did.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

--- What the server has written when it ended: how many completions met each fate, and the pieces that were taken.
local function counted(child)
  child:command('stopinsert')
  child:command('LacunaRestart')
  local path = child.folder .. '/state/lacuna/counts-1.json'
  local text = child:wait('nothing was counted', function()
    local file = io.open(path)
    local text = file and file:read('a')
    if file then
      file:close()
    end
    return text
  end)
  local _, languages = next(vim.json.decode(text).days)
  local _, tally = next(languages.python)
  return tally
end

return {
  {
    name = 'what is accepted and dismissed is counted',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('for ')
      local ghost = child:wait_for_ghost()
      child:type('<M-w>')
      child:wait('no word came', function()
        local rest = child:ghost()
        return rest and rest.text ~= ghost.text and rest.text ~= ''
      end)
      child:lua("require('lacuna').dismiss()")
      child:wait_for_no_ghost('the completion was not taken away')
      local tally = counted(child)
      check.equal(tally.fates.accepted_in_part, 1, 'completions of which a part was accepted')
      check.equal(tally.pieces.word, 1, 'words that were accepted')
      check.is(tally.characters_kept > 0, 'no characters were kept')
    end,
  },
  {
    name = 'what is accepted whole is counted, and what was never shown is not',
    run = function(start, path)
      local child = user.open(start, path, 'a.py', samples.python)
      child:type('for ')
      local ghost = child:wait_for_ghost().text
      local wanted = child:text_with(ghost)
      child:type('<Tab>')
      child:wait_for_text(wanted)
      local tally = counted(child)
      check.equal(tally.fates.accepted, 1, 'completions that were accepted')
      check.equal(tally.pieces.whole, 1, 'whole completions')
      check.equal(tally.characters_kept, #ghost, 'characters')
    end,
  },
}
