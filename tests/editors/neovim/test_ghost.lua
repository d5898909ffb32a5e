-- Ghost text and the keys: what is drawn, and the text of the buffer after each.
local T = require('child')
local c = T.start()
c:ready()
c:lua('vim.bo.shiftwidth, vim.bo.expandtab, vim.bo.softtabstop = 2, true, 2')
local code = vim.split(T.samples()['queue.c'], '\n')

local function with(text)
  return vim.list_extend(vim.deepcopy(code), vim.split(text, '\n', { plain = true }))
end
local OPEN = with('size_t queue_count(const queue *q) {\n  return ')
local BLOCK = with('void queue_clear(queue *q) {\n  for (size_t i = 0; i < q->count; i++) {')

local function whole(g)
  return table.concat(vim.list_extend({ g.text }, g.lines), '\n')
end

-- Types until there is ghost text; gives that up with the test, as all else builds on it.
local function shown(lines, test)
  c:edit(lines)
  return c:wait_ghost(test) or T.give_up('ghost text is shown')
end

local function same(lines, what)
  c:settle()
  local got
  T.check(T.wait(function()
    got = c:text()
    return vim.deep_equal(got, lines)
  end, 20000), what, vim.list_slice(got, #code + 1))
end

local function replaced(lines, last)
  local out = vim.list_slice(lines, 1, #lines - 1)
  return vim.list_extend(out, vim.split(last, '\n', { plain = true }))
end

-- ---- shown, and accepted ----------------------------------------------------------------------

local g = shown(OPEN)
T.check(g.row == #OPEN - 1 and g.col == #OPEN[#OPEN], 'ghost text stands at the cursor', g)
same(OPEN, 'ghost text is no part of the buffer')
c:press('<Tab>')
same(replaced(OPEN, OPEN[#OPEN] .. whole(g)), 'Tab accepts all of it')
T.check(c:cursor()[2] == #c:line(), 'the cursor stands behind it', c:cursor())
c:press('<Esc>u')
same(OPEN, 'one u takes it back, and only that')
c:press('<C-r>')
same(replaced(OPEN, OPEN[#OPEN] .. whole(g)), 'redo brings it again')

g = shown(BLOCK, function(x)
  return #x.lines > 1
end)
c:press('<Tab>')
same(replaced(BLOCK, BLOCK[#BLOCK] .. whole(g)), 'Tab accepts several lines')
T.check(c:cursor()[1] == #BLOCK + #g.lines, 'the cursor stands at the end of the last', c:cursor())

g = shown(OPEN)
local text = whole(g)
local word = text:match('^%s*[%w_]+') or text:match('^%s*[^%w_%s]+')
c:press('<M-Right>')
same(replaced(OPEN, OPEN[#OPEN] .. word), 'M-Right accepts a word')
T.check(c:wait_ghost(function(x)
  return whole(x) == text:sub(#word + 1) and x.col == #OPEN[#OPEN] + #word
end), 'the rest is still shown, behind the word', c:ghost())
c:press('<Tab>')
same(replaced(OPEN, OPEN[#OPEN] .. text), 'Tab accepts the rest')

g = shown(BLOCK, function(x)
  return #x.lines > 1
end)
text = whole(g)
local line = text:match('^\n*[^\n]+')
c:press('<M-C-Right>')
same(replaced(BLOCK, BLOCK[#BLOCK] .. line), 'M-C-Right accepts a line')
T.check(c:wait_ghost(function(x)
  return x.row == #BLOCK
end), 'the next lines are shown behind it', c:ghost())
c:press('<M-C-Right>')
line = line .. text:sub(#line + 1):match('^\n*[^\n]+')
same(replaced(BLOCK, BLOCK[#BLOCK] .. line), 'once more accepts the next line')

-- ---- typed over -------------------------------------------------------------------------------

g = shown(OPEN)
text = whole(g)
for i = 1, math.min(4, #text - 1) do
  c:keys(text:sub(i, i))
  c:settle()
  local now = c:ghost()
  T.check(now and whole(now):sub(1, 1) == text:sub(i + 1, i + 1)
    and now.col == #OPEN[#OPEN] + i, 'typed through, key ' .. i .. ': the rest stays at once', now)
end
c:keys(text:sub(5, 5))
c:press('<Tab>')
same(replaced(OPEN, OPEN[#OPEN] .. text), 'Tab right after the next key puts nothing there twice')

g = shown(OPEN)
local first = whole(g):sub(1, 1)
local other = first == '(' and '!' or '('
c:keys(other)
c:settle()
local now = c:ghost()
T.check(not now or now.col ~= #OPEN[#OPEN] + 1 or whole(now) ~= whole(g):sub(2),
  'another key than the next: the old text is gone', now)
c:press('<Esc>')
same(replaced(OPEN, OPEN[#OPEN] .. other), 'and the key is there')

g = shown(OPEN)
text = whole(g)
c:keys(text:sub(1, 1))
c:press('<BS>')
T.check(c:wait_ghost(function(x)
  return whole(x) == text
end), 'a key and a backspace: the text is shown as before', c:ghost())

-- ---- dismissed, cycled ------------------------------------------------------------------------

shown(OPEN)
c:press('<C-]>')
T.check(c:no_ghost(), 'C-] dismisses')
same(OPEN, 'and changes nothing')
c:press('<Tab>')
T.check(T.wait(function()
  return c:line():match('^  return %s+$') ~= nil
end, 20000), 'Tab indents where nothing is shown', c:line())

-- A place where the model has several texts.
local CHOICE = with('static void print(')
g = shown(CHOICE)
text = whole(g)
c:press('<M-]>')
local second = c:wait_ghost(function(x)
  return x.hint ~= nil
end)
T.check(second, 'M-] says which of how many', c:ghost())
local n = second and tonumber(second.hint:match('/(%d+)')) or 1
T.say('%d texts', n)
T.check(n > 1, 'there are others')
T.check(second and whole(second) ~= text, 'another text is shown', second)
c:press('<M-[>')
T.check(c:wait_ghost(function(x)
  return whole(x) == text
end), 'M-[ goes back', c:ghost())
c:press('<M-]>')
second = c:wait_ghost(function(x)
  return whole(x) ~= text
end)
c:press('<Tab>')
same(replaced(CHOICE, CHOICE[#CHOICE] .. (second and whole(second) or '')), 'Tab accepts that one')

-- ---- edits elsewhere --------------------------------------------------------------------------

g = shown(OPEN)
c:press('<C-o>gg')
T.check(T.wait(function()
  return c:cursor()[1] == 1
end), 'the cursor goes elsewhere')
c:settle()
now = c:ghost()
T.check(not now or now.row == 0, 'the ghost text does not stay behind', now)
c:press('<Esc>')
T.check(c:no_ghost(), 'none outside of insert mode')

g = shown(OPEN)
c:lua("vim.api.nvim_buf_set_lines(0, 0, 0, false, { '/* put in by a program */' })")
c:press('<Tab>')
c:settle()
c:press('<Esc>')
c:settle()
local got = c:text()
T.check(got[1] == '/* put in by a program */' and vim.startswith(got[#OPEN + 1], OPEN[#OPEN])
  and vim.deep_equal(vim.list_slice(got, 2, #OPEN), vim.list_slice(OPEN, 1, #OPEN - 1)),
  'lines put in above: nothing is accepted at the old place', vim.list_slice(got, #code + 1))

c:edit(with('int é(const queue *q) { /* 😀 */ return q->'))
g = c:wait_ghost()
T.check(g, 'ghost text behind characters of several bytes')
c:press('<Tab>')
same(with('int é(const queue *q) { /* 😀 */ return q->' .. (g and whole(g) or '')), 'accepted there')

-- In front of a closer: the text goes in between.
c:edit(with('  queue_init()'))
c:press('<Left>')
g = c:wait_ghost(function(x)
  return x.col == #'  queue_init('
end)
T.check(g, 'ghost text before a closing parenthesis')
c:press('<Tab>')
c:settle()
T.check(T.wait(function()
  return c:line():match('^  queue_init%(.+%)') ~= nil
end, 20000) and not c:line():find('))', 1, true), 'accepted between the parentheses', c:line())

-- A map of the user's own, of the kind that may not change text while it runs.
c:lua([[vim.keymap.set('i', '<F2>', function()
  return require('fimd').accept() and '' or 'nothing'
end, { expr = true })]])
g = shown(OPEN)
c:press('<F2>')
same(replaced(OPEN, OPEN[#OPEN] .. whole(g)), 'accepted from an <expr> map')

T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
T.done()
