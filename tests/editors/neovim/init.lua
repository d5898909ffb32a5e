-- The configuration of the Neovim that is edited in: the plug-in as users set it up, and what the
-- tests look at.
vim.opt.runtimepath:prepend(vim.env.FIMD_TEST_PLUGIN)
vim.o.shortmess = vim.o.shortmess .. 'I'
vim.o.more = false

Said = {}
vim.notify = function(text, level)
  Said[#Said + 1] = { text = text, level = level or vim.log.levels.INFO }
end

function _G.Errors()
  local out = {}
  for _, said in ipairs(Said) do
    if said.level >= vim.log.levels.ERROR then out[#out + 1] = said.text end
  end
  if vim.v.errmsg ~= '' then out[#out + 1] = vim.v.errmsg end
  local log = vim.lsp.log and vim.lsp.log.get_filename() or vim.lsp.get_log_path()
  for _, line in ipairs(vim.fn.filereadable(log) == 1 and vim.fn.readfile(log) or {}) do
    -- clangd tells all that it does on standard error, which Neovim takes for errors.
    if line:find('^%[ERROR%]') and not line:find('"clangd"\t"stderr"', 1, true) then
      out[#out + 1] = line
    end
  end
  return out
end

-- { row, col, text, lines, pos } of the ghost text.
function _G.Ghost()
  local ns = vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion']
  local mark = ns and vim.api.nvim_buf_get_extmarks(0, ns, 0, -1, { details = true })[1]
  if not mark then return nil end
  local out = { row = mark[2], col = mark[3], text = '', lines = {}, pos = mark[4].virt_text_pos }
  for _, chunk in ipairs(mark[4].virt_text or {}) do
    if chunk[2] == 'ComplHint' then out.text = out.text .. chunk[1] else out.hint = chunk[1] end
  end
  for _, line in ipairs(mark[4].virt_lines or {}) do
    out.lines[#out.lines + 1] = line[1][1]
    if line[2] then out.hint = line[2][1] end
  end
  return out
end

-- Whether later lines of the ghost text are on their way.
function _G.Growing()
  local ok, all = pcall(require, 'vim.lsp._capability')
  local class = ok and all.all.inline_completion
  local self = class and class.active[vim.api.nvim_get_current_buf()]
  return self ~= nil and self.fimd ~= nil and self.fimd.live ~= nil
end

assert(loadstring(vim.env.FIMD_TEST_BEFORE or ''))()
require('fimd').setup(vim.json.decode(vim.env.FIMD_TEST_SETUP))
