-- :checkhealth fimd
local config = require('fimd.config')
local server = require('fimd.server')

local M = {}

local function check_neovim(h)
  local mode = server.mode()
  local version = tostring(vim.version())
  if mode == 'ghost' and require('fimd.ghost').guarded() then
    h.ok('Neovim ' .. version .. ' has ghost text')
  elseif mode == 'ghost' and not package.loaded['fimd.command'] then
    h.ok('Neovim ' .. version .. ' has ghost text')
  elseif mode == 'ghost' then
    h.warn('Neovim ' .. version .. ' has ghost text of another make than fimd knows: it comes'
      .. ' 200 ms late, and what is typed over it may not move it', 'Look for a newer fimd')
  elseif mode == 'popup' and vim.lsp.inline_completion then
    h.ok('Neovim ' .. version .. ': the completion popup, as ghost = false is set')
  elseif mode == 'popup' then
    h.warn('Neovim ' .. version .. ' has no ghost text; completions come in the popup',
      'Ghost text needs Neovim 0.12')
  elseif mode == 'omni' then
    h.warn('Neovim ' .. version .. ' has no ghost text; completions come with <C-x><C-o>',
      'Ghost text needs Neovim 0.12')
  else
    h.error('Neovim ' .. version .. ' is too old', 'fimd needs 0.10, and 0.12 for ghost text')
  end
end

local function check_program(h)
  local words, why = config.find()
  if not words then
    h.error(why, 'In a checkout of fimd: make install PREFIX=~/.local')
    return
  end
  local said = vim.fn.system({ words[1], '--version' })
  if vim.v.shell_error ~= 0 then
    h.error(('%s does not run: %s'):format(words[1], vim.trim(said)), 'Try: fimd doctor')
    return
  end
  h.ok(('%s: %s'):format(table.concat(words, ' '), vim.trim(said)))
end

local function check_daemon(h)
  local client = server.client()
  if not client then
    h.info('The daemon is not running; it starts with the first file of a type in filetypes')
    return
  end
  local result
  local method = 'fimd/status'
  local take = function(err, got)
    result = not err and got or {}
  end
  if vim.fn.has('nvim-0.11') == 1 then
    client:request(method, vim.empty_dict(), take)
  else
    client.request(method, vim.empty_dict(), take)
  end
  vim.wait(2000, function()
    return result ~= nil
  end, 10)
  local model = result and result.model
  if not model then
    h.error('The daemon does not answer', ':Fimd restart')
  elseif model.state == 'failed' then
    h.error('No model: ' .. tostring(model.error), 'Try: fimd doctor')
  elseif model.state == 'loading' then
    h.info('The model is loading')
  else
    h.ok(('The daemon runs with %s on %s'):format(model.name, model.backend))
    if model.fellBack then h.warn(model.backendNote, ':Fimd restart') end
  end
end

local function check_keys(h)
  if server.mode() ~= 'ghost' then return end
  local buffers = vim.lsp.get_buffers_by_client_id and server.client()
    and vim.tbl_keys(server.client().attached_buffers or {}) or {}
  local taken = {}
  for name, lhs in pairs(config.current.keys) do
    local raw = lhs and vim.api.nvim_replace_termcodes(lhs, true, true, true)
    local maps = raw and buffers[1] and vim.api.nvim_buf_get_keymap(buffers[1], 'i') or {}
    for _, map in ipairs(maps) do
      local same = map.lhsraw == raw or map.lhsrawalt == raw
      if same and not (map.desc or ''):find('^fimd: ') then
        taken[#taken + 1] = ('%s (%s)'):format(lhs, name)
      end
    end
  end
  if #taken > 0 then
    h.warn('Another plug-in has taken ' .. table.concat(taken, ', '),
      'See :help fimd-completion-plugins')
  elseif #buffers > 0 then
    h.ok('The keys are ours')
  end
end

function M.check()
  local h = vim.health
  h.start('fimd')
  check_neovim(h)
  check_program(h)
  check_daemon(h)
  check_keys(h)
end

return M
