-- Fast typing: every key arrives, and what is drawn is at all times an answer to the text as it is.
local T = require('child')

-- Keeps what the daemon answered, for which text; Stale() holds what is drawn against that.
local RECORD = T.WATCH_REQUESTS .. [[
  local answers, asked = {}, 0
  local keeps = {} -- by the number of the request, for lines that come later
  WatchRequests(function(params, done)
    asked = asked + 1
    local row, col = params.position.line, params.position.character
    local line = vim.api.nvim_buf_get_lines(0, row, row + 1, false)[1]
    local function keep(items)
      for _, item in ipairs(items) do
        answers[#answers + 1] = {
          before = line:sub(1, col),
          text = line:sub(1, item.range.start.character) .. item.insertText,
        }
      end
    end
    return function(err, result, id, ...)
      keep(result and result.items or {})
      keeps[id] = keep
      return done(err, result, id, ...)
    end
  end, function(update)
    keeps[update.id](update.items)
  end)
  function Counts()
    return { asked = asked, answers = #answers }
  end
  function Stale()
    local g = Ghost()
    if not g then return 'none' end
    local row, col = unpack(vim.api.nvim_win_get_cursor(0))
    local line = vim.api.nvim_get_current_line():sub(1, col)
    if g.row ~= row - 1 or g.col ~= col then
      return ('ghost at %d:%d, cursor at %d:%d'):format(g.row, g.col, row - 1, col)
    end
    local all = line .. table.concat(vim.list_extend({ g.text }, g.lines), '\n')
    for _, a in ipairs(answers) do
      if a.text == all and vim.startswith(line, a.before) then return 'fresh' end
    end
    return 'no answer for ' .. all
  end
]]

local KEYS = [[

/* How many jobs have the given priority or a higher one. */
size_t queue_count_from(const queue *q, int priority) {
size_t count = 0;
for (size_t i = 0; i < q->count; i++) {
if (q->items[slot_at(q, i)].priority >= priority) {
count++;
}
}
return count;
}
]]
assert(#KEYS >= 200)
-- `settings` of the daemon: without its debounce an answer is in flight with almost every key.
local function typed(setup, pause)
  local c = T.start({ before = RECORD, setup = setup })
  c:ready()
  c:edit(vim.split(T.samples()['queue.c'], '\n'))
  local seen = { fresh = 0, none = 0 }
  local stale = {}
  for i = 1, #KEYS do
    local key = KEYS:sub(i, i)
    if key == '\n' then c:press('<CR>') else c:keys(key) end
    local until_ = vim.uv.now() + pause
    repeat
      local state = c:lua('return Stale()')
      if seen[state] then seen[state] = seen[state] + 1 else stale[#stale + 1] = state end
    until vim.uv.now() >= until_
  end
  c:settle()
  c:press('<Esc>')
  c:settle()
  return c, seen, stale
end

-- What the keys make by themselves, indentation by Neovim counted in.
local plain = T.start({ setup = { filetypes = { 'none' } } })
plain:edit(vim.split(T.samples()['queue.c'], '\n'))
for i = 1, #KEYS do
  local key = KEYS:sub(i, i)
  if key == '\n' then plain:press('<CR>') else plain:keys(key) end
end
plain:settle()
plain:press('<Esc>')
plain:settle()
local right = plain:text()
T.check(#right > #vim.split(T.samples()['queue.c'], '\n') + 9, 'the keys make text')
plain:stop()

local paces = {
  { name = 'without a pause', pause = 0 },
  { name = '30 ms a key', pause = 30 },
  { name = '30 ms a key, no debounce', pause = 30, setup = { settings = { debounce = 0 } } },
  { name = '30 ms a key, asked 20 ms later', pause = 30, setup = { delay = 20 } },
  { name = "60 ms a key, Neovim's own pace", pause = 60, setup = { delay = 200 } },
}
if vim.env.FIMD_TEST_SHORT then paces = vim.list_slice(paces, 1, 2) end
for _, how in ipairs(paces) do
  local c, seen, stale = typed(how.setup, how.pause)
  local n = c:lua('return Counts()')
  T.say('%s: %d keys, %d requests, %d answers; looked %d times, ghost text in %d', how.name, #KEYS,
    n.asked, n.answers, seen.fresh + seen.none + #stale, seen.fresh)
  T.check(vim.deep_equal(c:text(), right), how.name .. ': every key is there',
    vim.list_slice(c:text(), #right - 12))
  T.check(#stale == 0, how.name .. ': no stale ghost text', vim.list_slice(stale, 1, 3))
  T.check(#c:errors() == 0, how.name .. ': no error in any log', c:errors())
  c:stop()
end

-- Keys that come with and behind an accepting one, before Neovim can do anything in between.
local c = T.start({ before = RECORD })
c:ready()
local code = vim.split(T.samples()['queue.c'], '\n')
local open = 'static void print('
c:edit(vim.list_extend(vim.deepcopy(code), { open }))
local g = c:wait_ghost()
T.check(g, 'ghost text')
local text = T.whole(g)
c:press('<Tab>xyz')
c:settle()
T.check(T.wait(function()
  return c:tail(#code + 1) == open .. text .. 'xyz'
end, 20000), 'keys right behind Tab stand behind the text', c:tail(#code + 1))
c:edit(vim.list_extend(vim.deepcopy(code), { open }))
g = c:wait_ghost()
text = T.whole(g)
c:press(text:sub(1, 2):gsub('<', '<lt>') .. '<Tab>')
c:settle()
T.check(T.wait(function()
  return c:tail(#code + 1) == open .. text
end, 20000), 'Tab right behind keys of the text puts nothing there twice', c:line())
c:edit(vim.list_extend(vim.deepcopy(code), { open }))
g = c:wait_ghost()
c:press('@#<Tab>')
c:settle()
T.check(T.wait(function()
  return c:line():match('^static void print%(@#%s+$') ~= nil
end, 20000), 'Tab right behind other keys indents', c:line())
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
T.done()
