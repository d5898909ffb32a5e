-- The daemon that dies, is not there, or is started again.
local T = require('child')
local code = vim.split(T.samples()['queue.c'], '\n')
local open = vim.list_extend(vim.deepcopy(code),
  { 'size_t queue_count(const queue *q) {', '  return ' })

-- The process that stands behind the client. nvim_get_proc asks ps, which not every machine has.
local PID = [[
  local client = vim.lsp.get_clients({ name = 'fimd' })[1]
  if not client then return false end
  for _, pid in ipairs(vim.api.nvim_get_proc_children(vim.fn.getpid())) do
    local name = io.open(('/proc/%d/comm'):format(pid))
    local is = name and name:read('*l') == 'fimd'
    if name then name:close() end
    if is then return pid end
  end
  return false
]]

local function said(c, pattern)
  return #vim.tbl_filter(function(s)
    return s.text:find(pattern) ~= nil
  end, c:said())
end

-- ---- killed during a completion ---------------------------------------------------------------

local c = T.start({ setup = { restart_within = 600000 } })
c:ready()
c:edit(open)
c:keys('q')
local pid = c:wait_for(PID)
T.check(pid, 'the daemon runs')
vim.uv.kill(pid, 'sigkill')
T.check(c:wait_for([[
  local pid = (function() ]] .. PID .. [[ end)()
  return pid and pid ~= ... and pid
]], pid), 'killed during a completion, it is started again by itself')
c:ready()
local g = c:wait_ghost()
T.check(g ~= nil, 'and there is ghost text without another key')
T.check(#c:said() == 1 and said(c, 'signal 9.*started again') == 1, 'which is said once', c:said())
T.check(c:line() == '  return q', 'the text is as it was typed', c:line())
c:press('<Tab>')
c:settle()
T.check(g and T.wait(function()
  return c:tail(#open) == '  return q' .. T.whole(g)
end, 20000), 'and the ghost text can be accepted', c:line())
T.check(#c:errors() == 0, 'no error in any log', c:errors())

-- ---- again and again --------------------------------------------------------------------------

for i = 2, 4 do
  pid = c:wait_for(PID)
  if not pid then break end
  c:edit(open)
  vim.uv.kill(pid, 'sigkill')
  -- Whatever is typed while there is none must be known to the next.
  c:wait_for([[return #vim.lsp.get_clients({ name = 'fimd' }) == 0]])
  c:keys('q')
  T.check(T.wait(function()
    local now = c:lua(PID)
    return now ~= pid
  end), ('end %d'):format(i))
  if i < 4 then
    c:wait_for(PID)
    c:ready()
    g = c:wait_ghost()
    T.check(g and g.col == #'  return q' and not g.text:find('^q'),
      'the next one knows what was typed in between', g)
    c:keys('-')
    g = c:wait_ghost(function(x)
      return x.col == #'  return q-'
    end)
    T.check(g, 'and hears of the next key', g)
    c:press('<Esc>')
  end
end
T.check(c:wait_for([[return require('fimd').status().state == 'stopped']]),
  'after three starts it stays off')
T.check(c:wait_for([[
  return #vim.tbl_filter(function(s) return s.text:find('stays off') end, Said) == 1
]]), 'and says so once', c:said())
T.check(c:lua(PID) == false, 'no daemon is left')
c:press('<Esc>ix<Tab>y<Esc>')
c:settle()
T.check(c:line():find('x%s+y') ~= nil, 'typing and Tab go on', c:line())
c:press(':Fimd restart<CR>')
c:ready()
c:edit(open)
T.check(c:wait_ghost(), ':Fimd restart brings it back')
local before = #c:said()
local old = c:wait_for(PID)
c:press('<Esc>:Fimd restart<CR>')
T.check(c:wait_for([[
  local pid = (function() ]] .. PID .. [[ end)()
  return pid and pid ~= ... and pid
]], old), ':Fimd restart while it runs: another process')
c:ready()
T.check(#c:said() == before, 'and nothing is said of the old one', c:said())
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
T.check(T.wait(function()
  return vim.uv.kill(pid, 0) ~= 0
end), 'with Neovim ends the daemon')

-- ---- not there --------------------------------------------------------------------------------

c = T.start({ setup = { cmd = '/nowhere/fimd' } })
c:wait_for([[return #Said > 0]])
for _, file in ipairs({ 'queue.h', 'queue.c', 'other.c' }) do
  c:press(':edit ' .. file .. '<CR>')
  c:settle()
end
c:press('ihello<Tab>x<Esc>')
c:settle()
T.check(#c:said() == 1 and said(c, '/nowhere/fimd cannot be run') == 1,
  'a missing program is said once, whatever is opened', c:said())
T.check(c:line() == 'hello\tx', 'typing and Tab are as ever', c:line())
T.check(c:lua([[return require('fimd').status().state]]) == 'missing', 'the state says so')
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()

c = T.start({ setup = { args = { '--no-such-option' } } })
T.check(c:wait_for([[return #Said > 0]]) and said(c, 'ended as soon as it was started') == 1,
  'one that ends at its start is said once', c:said())
c:press(':edit queue.h<CR>:edit other.c<CR>')
c:settle()
T.check(c:wait_for([[return vim.api.nvim_buf_get_name(0):find('other.c') ~= nil]]),
  'files are opened')
T.check(#c:said() == 1, 'and it is not tried for ever', c:said())
c:stop()
T.done()
