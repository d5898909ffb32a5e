-- A second server in the same buffer: both answer, and neither's text gets in the other's way.
local T = require('child')
local here = vim.fs.dirname(vim.fs.abspath(debug.getinfo(1, 'S').source:sub(2)))
local code = vim.split(T.samples()['queue.c'], '\n')
local open = vim.list_extend(vim.deepcopy(code),
  { 'size_t queue_count(const queue *q) {', '  return ' })

local function with_stub(inline)
  return ([[
    vim.lsp.config('stub', {
      cmd = { %q, '--clean', '-l', %q, %q },
      filetypes = { 'c' },
    })
    vim.lsp.enable('stub')
  ]]):format(vim.v.progpath, here .. '/stub_server.lua', inline and 'inline' or '')
end

local HOVER = T.hover(6, 6)

-- ---- with popup and hover ---------------------------------------------------------------------

local c = T.start({ before = with_stub(false) })
c:ready()
T.check(c:wait_for([[return #vim.lsp.get_clients({ name = 'stub', bufnr = 0 }) == 1]]),
  'a second server is attached')
c:edit(open)
local g = c:wait_ghost()
T.check(g, 'ghost text beside it')
T.check((c:lua(HOVER) or ''):find('stub') ~= nil, 'the second server answers')
c:press('<C-x><C-o>')
T.check(c:wait_for([[
  local words = vim.tbl_map(function(i) return i.word end, vim.fn.complete_info({ 'items' }).items)
  return vim.tbl_contains(words, 'stub_item') and #words
]]) == 1, 'its popup holds its own item, and not the ghost text once more')
c:press('<C-e>')
c:settle()
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()

-- ---- with inline completions of its own -------------------------------------------------------

c = T.start({ before = with_stub(true) })
c:ready()
c:wait_for([[return #vim.lsp.get_clients({ name = 'stub', bufnr = 0 }) == 1]])
c:edit(open)
local function has(text)
  return c:wait_for([[
    local all = require('vim.lsp._capability').all.inline_completion.active
    local self = all[vim.api.nvim_get_current_buf()]
    local n = self and self:count_items() or 0
    return n >= 2
  ]])
end
T.check(has(), 'both have answered')
-- Through all texts of both.
local seen = {}
for _ = 1, 6 do
  g = c:wait_ghost()
  if g then seen[g.text == 'STUB' and 'stub' or 'fimd'] = g.text end
  if seen.stub and seen.fimd then break end
  c:press('<M-]>')
  c:settle()
end
T.check(seen.stub and seen.fimd, 'the texts of both are shown in turn', seen)
for _ = 1, 6 do
  g = c:wait_ghost()
  if g and g.text == 'STUB' then break end
  c:press('<M-]>')
  c:settle()
end
c:press('<Tab>')
T.check(T.wait(function()
  return c:text()[#open] == open[#open] .. 'STUB'
end, 20000), "the other server's text can be accepted", c:text()[#open])
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()

-- ---- clangd, where there is one ---------------------------------------------------------------

if vim.fn.executable('clangd') == 1 then
  c = T.start({ before = [[
    vim.lsp.config('clangd', { cmd = { 'clangd' }, filetypes = { 'c' } })
    vim.lsp.enable('clangd')
  ]] })
  c:ready()
  T.check(c:wait_for([[
    local client = vim.lsp.get_clients({ name = 'clangd', bufnr = 0 })[1]
    return client and client.initialized
  ]]), 'clangd is attached')
  T.check(c:wait_for(HOVER), 'clangd answers')
  c:edit(open)
  g = c:wait_ghost()
  T.check(g, 'ghost text beside clangd')
  c:press('<Tab>')
  T.check(g and T.wait(function()
    return c:tail(#open) == open[#open] .. T.whole(g)
  end, 20000), 'accepted', c:line())
  T.check(c:wait_for(HOVER), 'clangd still answers')
  T.check(#c:errors() == 0, 'no error in any log', c:errors())
  c:stop()
else
  T.say('no clangd here: left out')
end
T.done()
