-- pyright in the same Python buffer: both answer, and neither's text gets in the other's way.
local T = require('child')
local here = vim.fs.dirname(vim.fs.abspath(debug.getinfo(1, 'S').source:sub(2)))
local root = vim.fs.dirname(vim.fs.dirname(vim.fs.dirname(here)))

-- On the PATH, or where tests/editors/install.sh puts it.
local function find()
  local path = vim.fn.exepath('pyright-langserver')
  if path ~= '' then return path end
  local own = root .. '/build/editors/node_modules/.bin/pyright-langserver'
  return vim.fn.executable(own) == 1 and own or nil
end

local pyright = find()
if not pyright then
  T.say('skipped: pyright is not there; see tests/editors/install.sh')
  T.done()
end

local shop = {
  'class Item:',
  '    def __init__(self, name: str, price: int):',
  '        self.name = name',
  '        self.price = price',
  '',
  '',
  'def total(items: list[Item]) -> int:',
  '    return sum(item.price for item in items)',
  '',
  '',
}
local begun = vim.list_extend(vim.deepcopy(shop), {
  'def cheapest(items: list[Item]) -> Item:',
  '    return ',
})

-- Of the parameter `items` of total().
local HOVER = T.hover(6, 11)

local c = T.start({
  files = { ['shop.py'] = table.concat(shop, '\n') },
  file = 'shop.py',
  before = ([[
    vim.lsp.config('pyright', { cmd = { %q, '--stdio' }, filetypes = { 'python' },
      root_markers = { '.git' } })
    vim.lsp.enable('pyright')
  ]]):format(pyright),
})
c:ready()
T.check(c:wait_for([[
  local client = vim.lsp.get_clients({ name = 'pyright', bufnr = 0 })[1]
  return client and client.initialized
]]), 'pyright is attached')
c:edit(begun)
local g = c:wait_ghost()
T.check(g, 'ghost text beside pyright')
local hover = c:wait_for(HOVER)
T.check(hover and hover:find('list[Item]', 1, true), 'pyright answers, with the type', hover)
T.check(c:ghost() ~= nil, 'the ghost text is still there')
c:press('<Tab>')
T.check(g and T.wait(function()
  return c:tail(#begun) == begun[#begun] .. T.whole(g)
end, 20000), 'accepted', c:tail(#begun))

-- The daemon's text is no error to pyright, and pyright's own are seen.
c:edit(vim.list_extend(vim.deepcopy(shop), { 'total(7).nonsense' }))
T.check(c:wait_for([[
  for _, said in ipairs(vim.diagnostic.get(0)) do
    if said.lnum == 10 and said.message:find('nonsense') then return true end
  end
]]), 'pyright sees what is wrong in the line that was typed')

-- Its popup, while ghost text is there.
c:edit(vim.list_extend(vim.deepcopy(shop), { 'def first(items: list[Item]):', '    items[0].pri' }))
c:settle()
c:press('<C-x><C-o>')
T.check(T.wait(function()
  return c:line() == '    items[0].price'
end, 20000), "pyright's own completion", c:line())
c:press('<C-e>')
c:settle()
T.check(#c:errors() == 0, 'no error in any log', c:errors())
c:stop()
T.done()
