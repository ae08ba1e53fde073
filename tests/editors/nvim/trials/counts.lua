--- What the server counts of what the user did.
local check = require('harness.check')
local samples = require('harness.samples')
local user = require('harness.user')

--- What the server has written when it ended, for a language: how many completions met each fate, and the pieces that
--- were taken, and the same of next places.
local function counted(child, language)
  child:command('stopinsert')
  -- Neovim keeps edits back for a moment, but no longer than until it asks for something.
  child:lua([[
    local params = vim.lsp.util.make_range_params(0, 'utf-16')
    params.context = { diagnostics = {} }
    vim.lsp.buf_request_sync(0, 'textDocument/codeAction', params)
  ]])
  child:command('LacunaRestart')
  local path = child.folder .. '/state/lacuna/counts-2.json'
  local text = child:wait('nothing was counted', function()
    local file = io.open(path)
    local text = file and file:read('a')
    if file then
      file:close()
    end
    return text
  end)
  local _, languages = next(vim.json.decode(text).days)
  local _, tally = next(languages[language or 'python'])
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
  {
    name = 'a next place that is accepted in the line is counted by itself',
    run = function(start, path)
      local child = user.open_renamed(start, path)
      child:type('i')
      local ghost = child:wait_for_ghost('the next place has no item')
      check.is(ghost.text:find('whole_weight', 1, true), 'the item is not the change: ' .. ghost.text)
      child:type('<Tab>')
      child:wait('the change was not taken over', function()
        return child:text():find('let first = whole_weight(&[1]);', 1, true)
      end)
      local tally = counted(child, 'rust')
      check.equal(tally.next_places.fates.accepted, 1, 'places that were accepted')
      check.equal(tally.next_places.accepted_by, { line = 1 }, 'how')
      check.equal(tally.next_places.shown_by, { line = 1, command = 1 }, 'how it was shown')
      check.equal(tally.fates.accepted, nil, 'completions that were accepted')
    end,
  },
  {
    name = 'a next place that is dismissed is counted',
    run = function(start, path)
      local child = user.open_renamed(start, path)
      child:type('i')
      child:wait_for_ghost('the next place has no item')
      child:lua("require('lacuna').dismiss()")
      child:wait_for_no_ghost('the item was not taken away')
      local tally = counted(child, 'rust')
      check.equal(tally.next_places.fates, { dismissed = 1, not_seen = 1 }, 'what became of the places')
    end,
  },
  {
    name = 'next places that are changed by an action are counted',
    run = function(start, path)
      local child = user.open_renamed(start, path)
      user.change_all_places(child)
      local tally = counted(child, 'rust')
      check.equal(tally.next_places.fates, { accepted = 2 }, 'what became of the places')
      check.equal(tally.next_places.accepted_by, { action = 2 }, 'how')
    end,
  },
}
