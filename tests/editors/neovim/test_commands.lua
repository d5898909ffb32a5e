-- :Fimd, the statusline, what keys fall through to, :checkhealth and :help.
local T = require('child')
local code = vim.split(T.samples()['queue.c'], '\n')
local open = vim.list_extend(vim.deepcopy(code),
  { 'size_t queue_count(const queue *q) {', '  return ' })

local c = T.start({ before = [[
  vim.keymap.set('i', '<C-]>', function() vim.g.fell = (vim.g.fell or 0) + 1 end)
  vim.keymap.set('i', '<M-Right>', 'WORD')
  vim.o.statusline = "%{%v:lua.require'fimd'.statusline()%}"
]] })
c:ready()

-- ---- commands ---------------------------------------------------------------------------------

local function output(command)
  c:press('<Esc>')
  c:settle()
  c:lua([[vim.cmd('messages clear')]])
  c:press(':' .. command .. '<CR>')
  return c:wait_for([[
    local text = vim.fn.execute('messages')
    return text:find('fimd') and text
  ]]) or ''
end

local function completed(line)
  return c:lua([[return vim.fn.getcompletion(..., 'cmdline')]], line)
end

T.check(vim.deep_equal(completed('Fimd '), { 'restart', 'status', 'toggle', 'why' }),
  ':Fimd completes its subcommands', completed('Fimd '))
T.check(vim.deep_equal(completed('Fimd toggle '), { 'buffer' }), 'and what toggle takes')
T.check(output('Fimd why'):find('nothing was asked'), ':Fimd why before the first request')
c:edit(open)
local g = c:wait_ghost()
T.check(g, 'ghost text')
local out = output('Fimd why')
T.check(out:find('bytes from') and out:find('ms'), ':Fimd why tells where the text came from', out)
out = output('Fimd')
T.check(out:find('ready') and out:find('model: fimd%-mini'), ':Fimd tells state and model', out)
c:edit(vim.list_extend(vim.deepcopy(code), { '/* one two ' }))
c:lua([[vim.lsp.get_clients({ name = 'fimd' })[1]:notify('workspace/didChangeConfiguration',
  { settings = { fimd = { comments = false } } })]])
c:keys('three ')
c:wait_for([[return require('fimd').status().reason ~= nil]])
out = output('Fimd why')
T.check(out:find('nothing is shown: in a comment'), ':Fimd why tells why there is none', out)
T.check(c:wait_for([[return require('fimd').statusline() == 'fimd: in a comment']]),
  'and so does the statusline', c:lua([[return require('fimd').statusline()]]))

c:edit(open)
T.check(c:wait_ghost(), 'ghost text')
T.check(c:wait_for([[return require('fimd').statusline():find('^fimd: <?%d+ ms$') ~= nil]]),
  'the statusline has the last latency', c:lua([[return require('fimd').statusline()]]))
c:press('<C-o>:Fimd toggle<CR>')
T.check(c:no_ghost(), ':Fimd toggle takes the ghost text away')
T.check(c:lua([[return require('fimd').statusline()]]) == 'fimd: off', 'the statusline says off')
c:press('<Esc>:Fimd toggle<CR>')
c:edit(open)
T.check(c:wait_ghost(), 'and again brings it back')
c:press('<C-o>:Fimd toggle buffer<CR>')
T.check(c:no_ghost(), ':Fimd toggle buffer, too')
c:press('<Esc>:edit queue.h<CR>')
c:settle()
c:press('Go')
T.check(c:wait_for([[return require('fimd').statusline() ~= 'fimd: off']]),
  'but in that buffer only')
c:press('<Esc>:edit! queue.c<CR>:Fimd toggle buffer<CR>')
c:edit(open)
T.check(c:wait_ghost(), 'until it is toggled again')
out = output('Fimd nothing')
c:press('<Esc>')
T.check(#c:said() == 1, 'a subcommand that there is not is said', c:said())
c:lua('Said = {}')

-- ---- falling through --------------------------------------------------------------------------

c:press('<Esc>:enew<CR>:set ft=c buftype= | file new.c<CR>')
c:settle()
c:lua([[vim.api.nvim_buf_set_name(0, 'fresh.c'); vim.bo.filetype = 'c']])
c:wait_for([[return #vim.lsp.get_clients({ name = 'fimd', bufnr = 0 }) == 1 and vim.b.fimd_keys]])
c:lua([[vim.b.fimd_enabled = false]])
c:press('i<C-]>')
T.check(c:wait_for('return vim.g.fell == 1'),
  "a key without ghost text does what the user's map does")
c:press('<M-Right>')
T.check(c:wait_for([[return vim.api.nvim_get_current_line() == 'WORD']]),
  'a map to keys, too', c:line())
c:press('<Esc>S')
c:lua([[vim.snippet.expand('f(${1:a}, ${2:b})')]])
c:press('<Tab>')
T.check(c:wait_for([[return vim.api.nvim_get_mode().mode == 's' and vim.fn.col('.') >= 6]]),
  "Tab jumps in a snippet, as Neovim's own map does", { c:line(), c:cursor() })
c:lua('vim.snippet.stop()')
c:press('<Esc>S<Tab>x<Esc>')
c:settle()
T.check(c:wait_for([[return vim.api.nvim_get_current_line():find('^%s+x') ~= nil]]),
  'Tab indents', c:line())

-- ---- health and help --------------------------------------------------------------------------

c:press('<Esc>:edit! queue.c<CR>')
c:settle()
c:press(':checkhealth fimd<CR>')
local health = c:wait_for([[
  local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
  return vim.bo.filetype == 'checkhealth' and text:find('keys are ours') and text
]]) or ''
T.check(health:find('has ghost text') and health:find('fimd %d')
  and health:find('The daemon runs with'),
  ':checkhealth fimd tells of Neovim, the program and the daemon', health)
T.check(not health:find('ERROR') and not health:find('WARNING'), 'all is well there', health)
c:press(':close<CR>')
c:settle()
local tags = c.home .. '/doc'
c:lua([[
  local from, to = ...
  vim.fn.mkdir(to .. '/doc', 'p')
  vim.uv.fs_copyfile(from .. '/doc/fimd.txt', to .. '/doc/fimd.txt')
  vim.cmd.helptags(to .. '/doc')
  vim.opt.runtimepath:append(to)
]], c:lua('return vim.env.FIMD_TEST_PLUGIN'), tags)
for _, tag in ipairs({ 'fimd', 'fimd-config', 'fimd-keys', ':Fimd', 'fimd.setup()', 'fimd-old' }) do
  local ok = c:lua([[
    local ok = pcall(vim.cmd.help, ...)
    local there = ok and vim.fn.expand('%:t') == 'fimd.txt'
      and vim.api.nvim_get_current_line():find('*' .. ... .. '*', 1, true) ~= nil
    vim.cmd('silent! helpclose')
    return there
  ]], tag)
  T.check(ok, ':help ' .. tag)
end
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()

-- What is wrong in setup is said, and the rest is taken.
c = T.start({ setup = { delay = 'soon', colour = 1, keys = { accept = '<C-y>', fly = '<C-f>' } } })
c:ready()
T.check(#c:said() == 3, 'wrong options are said, one sentence each', c:said())
c:edit(open)
g = c:wait_ghost()
c:press('<C-y>')
T.check(g and T.wait(function()
  return c:tail(#open) == open[#open] .. T.whole(g)
end, 20000), 'another key for accepting', c:line())
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
T.done()
