-- The first line at once, the others as they come: the text grows where it stands, and lines that
-- come too late change nothing.
local T = require('child')

-- Keeps the answers and what was told later, with what was drawn right behind each. While Hold is
-- true, what is told later waits for Release().
local RECORD = [[
  Answers, Updates, Drawn, Hold = {}, {}, {}, false
  local held = {}
  local function note()
    local g = Ghost()
    Drawn[#Drawn + 1] = g and table.concat(vim.list_extend({ g.text }, g.lines), '\n') or ''
  end
  local start = vim.lsp.rpc.start
  vim.lsp.rpc.start = function(cmd, dispatchers, ...)
    local told = dispatchers.notification
    dispatchers = setmetatable({
      notification = function(method, params)
        if method ~= 'fimd/inlineCompletion/didUpdate' then return told(method, params) end
        local function deliver()
          Updates[#Updates + 1] = params
          told(method, params)
          vim.schedule(function() vim.schedule(note) end)
        end
        if Hold then held[#held + 1] = deliver else deliver() end
      end,
    }, { __index = dispatchers })
    local rpc = start(cmd, dispatchers, ...)
    local request = rpc.request
    rpc.request = function(method, params, done, ...)
      if method ~= 'textDocument/inlineCompletion' then
        return request(method, params, done, ...)
      end
      return request(method, params, function(err, result, ...)
        if result then Answers[#Answers + 1] = result end
        done(err, result, ...)
        if result then vim.schedule(function() vim.schedule(note) end) end
      end, ...)
    end
    return rpc
  end
  function Held() return #held end
  function Release()
    Hold = false
    local all = held
    held = {}
    for _, deliver in ipairs(all) do deliver() end
    return #all
  end
  function Begin(hold)
    Answers, Updates, Drawn, Hold = {}, {}, {}, hold
  end
  function Final()
    local last = Updates[#Updates]
    return last and last.final and (last.items[1] and last.items[1].insertText or '')
  end
]]

local code = vim.split(T.samples()['queue.c'], '\n')
local LAST = '  for (size_t i = 0; i < q->count; i++) {'
local AT = #code + 2
-- Another name each time: an answer that is known is there as a whole.
local names = { 'clear', 'reset', 'drain', 'forget', 'empty', 'wipe' }
local function block()
  return vim.list_extend(vim.deepcopy(code), {
    ('void queue_%s(queue *q) {'):format(table.remove(names, 1)),
    LAST,
  })
end

local c = T.start({ before = RECORD })
c:ready()

-- Types until there is an answer of which lines are still to come, and these lines wait.
local function held()
  c:lua('Release() Begin(true)')
  c:edit(block())
  local ok = T.wait(function()
    return c:lua([[
      return #Answers > 0 and Answers[#Answers].more == true and Held() > 0 and Ghost() ~= nil
    ]])
  end)
  return ok and c:ghost() or T.give_up('an answer whose later lines wait')
end

-- ---- it grows ---------------------------------------------------------------------------------

c:lua('Begin(false)')
c:edit(block())
local text = c:wait_for('return Final()')
T.check(text and text:find('\n', 2), 'lines came behind the answer', text)
c:settle()
local more, drawn = unpack(c:lua([[return { Answers[1].more == true, Drawn }]]))
T.check(more, 'the answer said so')
local grows = #drawn > 1 and drawn[1] ~= ''
for i = 2, #drawn do
  grows = grows and #drawn[i] >= #drawn[i - 1] and vim.startswith(drawn[i], drawn[i - 1])
end
T.check(grows and #drawn[#drawn] > #drawn[1], 'the ghost text grew, and was never gone', drawn)
T.say('%d steps, from %d to %d bytes', #drawn, #drawn[1], #drawn[#drawn])
T.check(T.whole(c:ghost()) == text, 'all of it stands there', c:ghost())
c:press('<Tab>')
T.check(T.wait(function()
  return c:tail(AT) == LAST .. text
end, 20000), 'Tab accepts all of it', c:tail(AT))

-- ---- lines that come too late -----------------------------------------------------------------

local g = held()
c:press('<C-]>')
T.check(c:no_ghost(), 'dismissed')
c:lua('Release()')
c:settle()
T.check(c:ghost() == nil, 'later lines do not bring a dismissed text back', c:ghost())

g = held()
c:press('<Esc>')
c:settle()
c:lua('Release()')
c:settle()
T.check(c:ghost() == nil, 'nor outside of insert mode', c:ghost())

g = held()
local first = T.whole(g)
c:press('<Tab>')
T.check(T.wait(function()
  return c:tail(AT) == LAST .. first
end, 20000), 'Tab takes what is shown', c:tail(AT))
c:lua('Release()')
c:settle()
T.check(c:tail(AT) == LAST .. first, 'and later lines change nothing of the buffer',
  c:tail(AT))
g = c:wait_ghost()
T.check(g and g.row == c:cursor()[1] - 1 and g.col == #c:line(), 'the next text stands at the cursor',
  g)

g = held()
first = T.whole(g)
c:keys('@')
c:settle()
c:lua('Release()')
c:settle()
g = c:ghost()
T.check(not g or not vim.startswith(T.whole(g), first), 'nor do they stand behind another key', g)

-- ---- without ----------------------------------------------------------------------------------

T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
c = T.start({ before = RECORD, setup = { settings = { streaming = false } } })
c:ready()
c:edit(block())
T.check(c:wait_ghost(function(x)
  return #x.lines > 1
end), 'streaming = false: ghost text')
T.check(c:lua('return #Updates == 0 and Answers[#Answers].more == nil'),
  'streaming = false: it comes as a whole')
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
T.done()
