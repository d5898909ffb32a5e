-- Without ghost text, as in Neovim 0.11 and older: the completion popup.
local T = require('child')
local code = vim.split(T.samples()['queue.c'], '\n')
local open = vim.list_extend(vim.deepcopy(code),
  { 'size_t queue_count(const queue *q) {', '  return ' })

local ITEMS = [[
  local info = vim.fn.complete_info({ 'items', 'pum_visible' })
  return info.pum_visible == 1 and #info.items > 0 and info.items
]]

local function popup(name, before)
  local c = T.start({ setup = { ghost = name ~= 'as set' and nil or false },
    before = 'vim.o.completeopt = "menuone,noinsert" ' .. before })
  c:ready()
  c:edit(open)
  c:press('<C-x><C-o>')
  local items = c:wait_for(ITEMS)
  T.check(items and #items == 1, name .. ': the popup holds the text', items)
  c:press('<C-y>')
  T.check(items and T.wait(function()
    return c:line() == open[#open] .. items[1].word
  end, 20000), name .. ': and it can be taken', c:line())
  T.check(c:ghost() == nil, name .. ': no ghost text beside it')
  c:press('<Esc>o<Tab>x<Esc>')
  c:settle()
  T.check(c:line():find('^%s+x') ~= nil, name .. ': Tab indents', c:line())
  c:press(':checkhealth fimd<CR>')
  local health = c:wait_for([[
    local text = table.concat(vim.api.nvim_buf_get_lines(0, 0, -1, false), '\n')
    return vim.bo.filetype == 'checkhealth' and text:find('The daemon runs') and text
  ]]) or ''
  T.check(health:find(name == 'as set' and 'popup' or '0%.12'),
    name .. ': :checkhealth says why', health)
  T.check(#c:errors() == 0 and #c:said() == 0, name .. ': nothing is said, no error in any log',
    c:errors())
  c:stop()
end

popup('as set', '')
-- What this Neovim has more than 0.11 and 0.10 is taken away, as far as that goes.
popup('as in 0.11', 'vim.lsp.inline_completion = false')
popup('as in 0.10', [[
  vim.lsp.inline_completion, vim.lsp.completion, vim.lsp.enable = false, { _omnifunc =
    vim.lsp.completion._omnifunc }, false
]])
T.done()
