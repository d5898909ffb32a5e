-- Beside the completion menus of blink.cmp and nvim-cmp: the keys as :help fimd tells to set them,
-- and with nothing set at all. FIMD_TEST_PLUGINS is a folder with checkouts of blink.cmp, nvim-cmp
-- and cmp-nvim-lsp; what is not there is left out.
local T = require('child')
local here = vim.fs.dirname(vim.fs.abspath(debug.getinfo(1, 'S').source:sub(2)))
local code = vim.split(T.samples()['queue.c'], '\n')
local plugins = vim.env.FIMD_TEST_PLUGINS

local function with(...)
  return vim.list_extend(vim.deepcopy(code), { ... })
end
local OPEN = with('size_t queue_count(const queue *q) {', '  return ')

-- A second server, whose only item is stub_item, and the plug-ins.
local function before(names, setup)
  local out = { ([[
    vim.lsp.config('stub', { cmd = { %q, '--clean', '-l', %q, '' }, filetypes = { 'c' } })
    vim.lsp.enable('stub')
  ]]):format(vim.v.progpath, here .. '/stub_server.lua') }
  for _, name in ipairs(names) do
    out[#out + 1] = ('vim.opt.runtimepath:append(%q)'):format(plugins .. '/' .. name)
    for _, folder in ipairs({ '/plugin/*', '/after/plugin/*' }) do
      for _, file in ipairs(vim.fn.glob(plugins .. '/' .. name .. folder, true, true)) do
        out[#out + 1] = ('vim.cmd.source(%q)'):format(file)
      end
    end
  end
  out[#out + 1] = setup
  return table.concat(out, '\n')
end

local function try(name, plugin, names, setup, keys, take)
  if not plugins or vim.fn.isdirectory(plugins .. '/' .. plugin) == 0 then
    T.say('%s: no %s in FIMD_TEST_PLUGINS: left out', name, plugin)
    return
  end
  local visible = plugin == 'nvim-cmp' and "return require('cmp').visible()"
    or "return require('blink.cmp').is_visible()"
  local c = T.start({ before = before(names, setup), setup = { keys = keys } })
  local function check(ok, what, got)
    T.check(ok, name .. ': ' .. what, got)
  end
  local function line_is(text)
    return T.wait(function()
      return c:tail(#OPEN) == text
    end, 20000)
  end
  c:ready()
  c:lua('vim.bo.shiftwidth, vim.bo.expandtab = 2, true')
  c:wait_for([[return #vim.lsp.get_clients({ name = 'stub', bufnr = 0 }) == 1]])

  c:edit(OPEN)
  local g = c:wait_ghost()
  check(g, 'ghost text', g)
  check(not c:lua(visible), 'no menu')
  c:press('<Tab>')
  check(line_is(OPEN[#OPEN] .. T.whole(g)), 'Tab accepts the ghost text', c:tail(#OPEN))

  c:edit(OPEN)
  g = c:wait_ghost()
  c:press('<C-]>')
  check(c:no_ghost(), 'dismissed')
  c:press('<Tab>')
  check(T.wait(function()
    return c:line():match('^  return %s%s+$') ~= nil
  end, 20000), 'Tab indents where nothing is shown', c:line())

  c:edit(OPEN)
  c:keys('stub')
  check(c:wait_for(visible), 'the menu opens')
  -- Where one key takes both, the ghost text comes first.
  if keys and take == '<Tab>' then c:lua("require('fimd.ghost').clear()") end
  c:press(take)
  check(line_is(OPEN[#OPEN] .. 'stub_item'), 'its key takes the item, not the ghost text',
    c:tail(#OPEN))
  c:settle()
  g = c:ghost()
  check(not g or g.col == #c:line(), 'ghost text stands where the cursor is now', g)

  c:edit(with('static void queue_sto'))
  c:keys('r')
  g = c:wait_ghost()
  check(g, 'ghost text beside words of the menu')
  c:press('<M-Right>')
  check(T.wait(function()
    return #c:line() > #'static void queue_stor'
  end, 20000), 'a word of it', c:line())
  check(#c:errors() == 0, 'no error in any log', c:errors())
  c:stop()
end

local BLINK = [[
  require('blink.cmp').setup({
    fuzzy = { implementation = 'lua' }, sources = { default = { 'lsp' } }, keymap = %s,
  })
]]
local CMP = [[
  local cmp = require('cmp')
  cmp.setup({
    snippet = { expand = function(args) vim.snippet.expand(args.body) end },
    sources = { { name = 'nvim_lsp' } },
    mapping = %s,
  })
  require('cmp_nvim_lsp').setup()
]]
local NO_ACCEPT = { accept = false }

try('blink.cmp, nothing set', 'blink.cmp', { 'blink.cmp' },
  BLINK:format([[{ preset = 'default' }]]), nil, '<C-y>')
try('blink.cmp, super-tab, nothing set', 'blink.cmp', { 'blink.cmp' },
  BLINK:format([[{ preset = 'super-tab' }]]), nil, '<Tab>')
try('blink.cmp, as in :help fimd', 'blink.cmp', { 'blink.cmp' }, BLINK:format([[{
  preset = 'super-tab',
  ['<Tab>'] = {
    function() return require('fimd').accept() end,
    'select_and_accept', 'snippet_forward', 'fallback',
  },
}]]), NO_ACCEPT, '<Tab>')
try('nvim-cmp, nothing set', 'nvim-cmp', { 'nvim-cmp', 'cmp-nvim-lsp' },
  CMP:format([[cmp.mapping.preset.insert({ ['<CR>'] = cmp.mapping.confirm({ select = true }) })]]),
  nil, '<CR>')
try('nvim-cmp, as in :help fimd', 'nvim-cmp', { 'nvim-cmp', 'cmp-nvim-lsp' }, CMP:format([[
  cmp.mapping.preset.insert({
    ['<CR>'] = cmp.mapping.confirm({ select = true }),
    ['<Tab>'] = cmp.mapping(function(fallback)
      if not require('fimd').accept() then fallback() end
    end, { 'i' }),
  })
]]), NO_ACCEPT, '<CR>')
if not plugins then T.give_up('FIMD_TEST_PLUGINS is set') end
T.done()
