-- fimd: ghost text from the daemon of the same name. See :help fimd.
local config = require('fimd.config')
local server = require('fimd.server')
local status = require('fimd.status')

local M = {}

-- Where there is no ghost text, nothing is there to be taken.
local function ghost()
  return server.mode() == 'ghost' and require('fimd.ghost') or nil
end

-- Each is true if it did something and false where there was no ghost text.
function M.accept()
  return ghost() ~= nil and ghost().accept('all') or false
end
function M.accept_word()
  return ghost() ~= nil and ghost().accept('word') or false
end
function M.accept_line()
  return ghost() ~= nil and ghost().accept('line') or false
end
function M.next()
  return ghost() ~= nil and ghost().turn(1) or false
end
function M.prev()
  return ghost() ~= nil and ghost().turn(-1) or false
end
function M.dismiss()
  return ghost() ~= nil and ghost().dismiss() or false
end
function M.trigger()
  return ghost() ~= nil and ghost().trigger() or false
end
function M.is_visible()
  return ghost() ~= nil and ghost().is_visible() or false
end

-- scope 'buffer': in the current one; else everywhere.
function M.toggle(scope)
  if scope == 'buffer' then
    vim.b.fimd_enabled = vim.b.fimd_enabled == false
  else
    status.enabled = not status.enabled
    server.tell_settings()
  end
  if ghost() then ghost().clear() end
  status.set(status.state)
end

M.restart = server.restart
M.statusline = status.line

function M.status()
  return {
    state = status.state,
    enabled = status.enabled,
    last_ms = status.last_ms,
    reason = status.reason,
    percent = status.percent,
  }
end

local function on_attach(client, bufnr)
  local mode = server.mode()
  server.on_attach(bufnr)
  if mode == 'ghost' then
    require('fimd.ghost').attach(bufnr)
    require('fimd.keys').attach(bufnr, M)
  elseif mode == 'popup' then
    vim.lsp.completion.enable(true, client.id, bufnr, { autotrigger = true })
  end
  -- At 0.10 there is omnifunc, which Neovim sets by itself.
  status.ask(bufnr)
end

function M.setup(opts)
  local wrong = config.set(opts)
  if not server.mode() then
    server.say('needs Neovim 0.10 or later; ghost text needs 0.12')
    return
  end
  for _, text in ipairs(wrong) do
    server.say('setup: ' .. text)
  end
  local group = vim.api.nvim_create_augroup('fimd.setup', {})
  vim.api.nvim_create_autocmd('LspAttach', {
    group = group,
    callback = function(event)
      local client = vim.lsp.get_client_by_id(event.data.client_id)
      if client and client.name == 'fimd' then on_attach(client, event.buf) end
    end,
  })
  vim.api.nvim_create_autocmd('LspProgress', {
    group = group,
    callback = function(event)
      local params = event.data.params or {}
      if params.token == 'fimd/model' then status.progress(params.value) end
    end,
  })
  if ghost() then ghost().setup() end
  require('fimd.command').setup()
  server.enable()
end

return M
