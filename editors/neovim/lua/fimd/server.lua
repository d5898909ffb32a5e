-- The daemon as a language server: how it is started, and started again.
local config = require('fimd.config')
local status = require('fimd.status')

local M = {}

-- What this Neovim has: 'ghost' (0.12), 'popup' (0.11), 'omni' (0.10), or nil.
function M.mode()
  if vim.lsp.inline_completion and config.current.ghost then return 'ghost' end
  if vim.lsp.completion and vim.lsp.completion.enable then return 'popup' end
  return vim.fn.has('nvim-0.10') == 1 and 'omni' or nil
end

function M.say(text, level)
  vim.schedule(function()
    vim.notify('fimd: ' .. text, level or vim.log.levels.WARN)
  end)
end

local said = {}
local function say_once(text)
  if said[text] then return end
  said[text] = true
  M.say(text)
end

function M.client(bufnr)
  return vim.lsp.get_clients({ name = 'fimd', bufnr = bufnr })[1]
end

local function settings()
  -- Where there is ghost text the popup would say the same a second time.
  local ghost = M.mode() == 'ghost'
  local all = vim.tbl_extend('keep', { enable = status.enabled }, config.current.settings,
    { popup = not ghost, streaming = true })
  -- Neovim by itself would take the first line for all there is.
  if not (ghost and require('fimd.ghost').guarded()) then all.streaming = false end
  return all
end

local ends = {} -- when it ended by itself, milliseconds
local wanted = {} -- by the number of a start: true where we end it
local starts = 0
local attached = false -- whether the last one got as far as to attach

-- ---- between two daemons ----------------------------------------------------------------------

-- Neovim stops to listen to a buffer that is changed while no server is attached, and does not
-- begin again with the next one, which would then never hear of a change. So until a new daemon is
-- there, a client without a process or any capability holds the place.
local PAUSE = 'fimd_pause'

local function pause_rpc(dispatchers)
  local closing = false
  local function close()
    if closing then return end
    closing = true
    vim.schedule(function()
      dispatchers.on_exit(0, 0)
    end)
  end
  return {
    request = function(method, _, done)
      vim.schedule(function()
        done(nil, method == 'initialize' and { capabilities = {} } or nil)
      end)
      return true, 1
    end,
    notify = function(method)
      if method == 'exit' then close() end
      return true
    end,
    is_closing = function()
      return closing
    end,
    terminate = close,
  }
end

local function hold_buffers()
  for _, client in ipairs(vim.lsp.get_clients({ name = 'fimd' })) do
    for bufnr in pairs(client.attached_buffers) do
      vim.lsp.start({ name = PAUSE, cmd = pause_rpc }, { bufnr = bufnr })
    end
  end
end

function M.on_attach(bufnr)
  attached = true
  for _, client in ipairs(vim.lsp.get_clients({ name = PAUSE, bufnr = bufnr })) do
    vim.lsp.buf_detach_client(bufnr, client.id)
    if next(client.attached_buffers) == nil then
      if vim.fn.has('nvim-0.11') == 1 then client:stop() else client.stop() end
    end
  end
end

-- ---- the end of a daemon ----------------------------------------------------------------------

local function start_again()
  if vim.v.exiting ~= vim.NIL then return end
  if vim.lsp.config and vim.lsp.enable then
    vim.lsp.enable('fimd')
  else
    vim.cmd('silent! doautoall fimd FileType')
  end
end

local function on_end(code, signal)
  local now = vim.uv.now()
  ends = vim.tbl_filter(function(t)
    return now - t < config.current.restart_within
  end, ends)
  ends[#ends + 1] = now
  local how = signal ~= 0 and ('signal ' .. signal) or ('exit code ' .. code)
  if not attached then
    say_once(('ended as soon as it was started (%s); see :checkhealth fimd, then :Fimd restart')
      :format(how))
    return
  end
  if #ends > config.current.restarts then
    say_once(('ended again (%s) and stays off; see :checkhealth fimd, then :Fimd restart')
      :format(how))
    return
  end
  M.say(('ended (%s) and is started again'):format(how))
  vim.defer_fn(start_again, 100 * #ends)
end

-- Neovim names a server that died in words of its own and with the path of a log; wrapped so that
-- it is said once, and with what comes of it.
local function run(dispatchers, cfg)
  local words, why = config.find()
  if not words then error(why, 0) end
  starts, attached = starts + 1, false
  local this, on_exit = starts, dispatchers.on_exit
  dispatchers.on_exit = function(code, signal)
    vim.schedule(function()
      local died = not wanted[this] and vim.v.exiting == vim.NIL and (code ~= 0 or signal ~= 0)
      if died then hold_buffers() end
      on_exit(0, 0)
      status.set('stopped')
      if died then on_end(code, signal) end
    end)
  end
  local cwd = cfg and (cfg.cmd_cwd or cfg.root_dir)
  status.set('starting')
  return vim.lsp.rpc.start(words, dispatchers, {
    cwd = cwd and vim.fn.isdirectory(cwd) == 1 and cwd or nil,
  })
end

-- ---- one daemon for all folders ---------------------------------------------------------------

local function add_folder(client, root)
  local folder = { uri = vim.uri_from_fname(root), name = root }
  for _, known in ipairs(client.workspace_folders or {}) do
    if known.uri == folder.uri then return end
  end
  client.workspace_folders = vim.list_extend(client.workspace_folders or {}, { folder })
  local function tell()
    client:notify('workspace/didChangeWorkspaceFolders',
      { event = { added = { folder }, removed = {} } })
  end
  if client.initialized then return tell() end
  vim.api.nvim_create_autocmd('LspAttach', {
    callback = function(event)
      if event.data.client_id ~= client.id then return end
      tell()
      return true
    end,
  })
end

-- The model is large, so there is one daemon, whatever the folder.
local function reuse(client, cfg)
  if client.name ~= 'fimd' or client:is_stopped() then return false end
  if cfg.root_dir then add_folder(client, cfg.root_dir) end
  return true
end

local function root_of(bufnr)
  return vim.fs.root(bufnr, config.current.root_markers)
end

local function can_start()
  local words, why = config.find()
  if words then return true end
  status.set('missing')
  say_once(why)
  return false
end

local function lsp_config()
  return {
    name = 'fimd',
    cmd = run,
    filetypes = config.current.filetypes,
    reuse_client = reuse,
    root_dir = function(bufnr, on_dir)
      if can_start() then on_dir(root_of(bufnr)) end
    end,
    init_options = { fimd = settings() },
    settings = { fimd = settings() },
    handlers = {
      ['fimd/inlineCompletion/didUpdate'] = function(_, params, ctx)
        require('fimd.ghost').on_update(params, ctx.client_id)
      end,
    },
    get_language_id = function(_, filetype)
      return ({ cs = 'csharp', sh = 'shellscript', bash = 'shellscript' })[filetype] or filetype
    end,
  }
end

-- ---- what the others call ---------------------------------------------------------------------

function M.enable()
  local cfg = lsp_config()
  if vim.lsp.config and vim.lsp.enable then
    vim.lsp.config('fimd', cfg)
    vim.lsp.enable('fimd')
    return
  end
  cfg.root_dir = nil
  cfg.filetypes = nil
  cfg.reuse_client = nil
  vim.api.nvim_create_autocmd('FileType', {
    group = vim.api.nvim_create_augroup('fimd', {}),
    pattern = config.current.filetypes,
    callback = function(event)
      if vim.bo[event.buf].buftype ~= '' or not can_start() then return end
      local one = vim.tbl_extend('force', cfg, { root_dir = root_of(event.buf) })
      vim.lsp.start(one, {
        bufnr = event.buf,
        reuse_client = function(client)
          return client.name == 'fimd' and not client.is_stopped()
        end,
      })
    end,
  })
end

function M.restart()
  ends, said = {}, {}
  local clients = vim.lsp.get_clients({ name = 'fimd' })
  wanted[starts] = true
  hold_buffers()
  for _, client in ipairs(clients) do
    if vim.fn.has('nvim-0.11') == 1 then client:stop(1000) else client.stop(true) end
  end
  -- The old one's end is not a reason to say anything, so the new one waits for it.
  local tries = 0
  local function again()
    tries = tries + 1
    if #vim.lsp.get_clients({ name = 'fimd' }) > 0 and tries < 100 then
      vim.defer_fn(again, 50)
      return
    end
    start_again()
  end
  again()
end

-- Tells the daemon what has become of `enable`.
function M.tell_settings()
  local all = { fimd = settings() }
  if vim.lsp.config then vim.lsp.config('fimd', { settings = all, init_options = all }) end
  for _, client in ipairs(vim.lsp.get_clients({ name = 'fimd' })) do
    client.settings = vim.tbl_deep_extend('force', client.settings or {}, all)
    if vim.fn.has('nvim-0.11') == 1 then
      client:notify('workspace/didChangeConfiguration', { settings = all })
    else
      client.notify('workspace/didChangeConfiguration', { settings = all })
    end
  end
end

return M
