-- A real Neovim in a clean home, driven from outside over its own API.
--
-- Conditions are waited for, never times: M.wait gives up after LIMIT, which no machine should
-- need. What is drawn is read from Neovim's extmarks, what was said from a list that the edited
-- Neovim keeps (init.lua).
local M = {}

local LIMIT = 60000 -- milliseconds
local here = vim.fs.dirname(vim.fs.abspath(debug.getinfo(1, 'S').source:sub(2)))
local root = vim.fs.dirname(vim.fs.dirname(vim.fs.dirname(here)))

io.stdout:setvbuf('line')

local failed, passed = 0, 0
local homes = {}

function M.check(ok, what, got)
  if ok then passed = passed + 1 else failed = failed + 1 end
  local more = ''
  if not ok and got ~= nil then
    more = '   ' .. vim.inspect(got, { newline = ' ', indent = '' }):sub(1, 1000)
  end
  io.stdout:write(ok and 'ok   ' or 'FAIL ', what, more, '\n')
  return ok
end

function M.say(...)
  io.stdout:write('     ', string.format(...), '\n')
end

function M.done()
  for _, home in ipairs(homes) do
    vim.fn.delete(home, 'rf')
  end
  io.stdout:write(('%d passed, %d failed\n'):format(passed, failed))
  os.exit(failed == 0 and 0 or 1)
end

-- Ends the test as a failure, with all cleaned up, where going on makes no sense.
function M.give_up(why)
  M.check(false, why)
  M.done()
end

function M.fimd()
  local path = vim.env.FIMD or root .. '/build/cpu/fimd'
  if vim.fn.executable(path) ~= 1 then
    io.stdout:write('skipped: no fimd; set FIMD to the built program\n')
    os.exit(77)
  end
  return vim.fs.abspath(path)
end

-- For the edited Neovim: on_request(params, done) is called with every request for inline
-- completions, and gives what is called with the answer in done's place; on_update, which may be
-- nil, with what is told of an answer later.
M.WATCH_REQUESTS = [[
  function WatchRequests(on_request, on_update)
    local start = vim.lsp.rpc.start
    vim.lsp.rpc.start = function(cmd, dispatchers, ...)
      local told = dispatchers.notification
      dispatchers = setmetatable({
        notification = function(method, params)
          if on_update and method == 'fimd/inlineCompletion/didUpdate' then on_update(params) end
          return told(method, params)
        end,
      }, { __index = dispatchers })
      local rpc = start(cmd, dispatchers, ...)
      local request = rpc.request
      rpc.request = function(method, params, done, ...)
        if method == 'textDocument/inlineCompletion' then done = on_request(params, done) end
        return request(method, params, done, ...)
      end
      return rpc
    end
  end
]]

-- What another server than fimd says of a place, as JSON; false while none does.
function M.hover(line, character)
  return ([[
    local got = vim.lsp.buf_request_sync(0, 'textDocument/hover', {
      textDocument = vim.lsp.util.make_text_document_params(),
      position = { line = %d, character = %d },
    }, 20000)
    for id, answer in pairs(got or {}) do
      local client = vim.lsp.get_client_by_id(id)
      if client and client.name ~= 'fimd' and answer.result then
        return vim.json.encode(answer.result)
      end
    end
    return false
  ]]):format(line, character)
end

local child = {}
child.__index = child

-- opts: setup (for require('fimd').setup), files (name -> text), file (the one opened), before (Lua
-- that the edited Neovim runs first), args (of the command line).
function M.start(opts)
  opts = opts or {}
  local self = setmetatable({}, child)
  self.home = vim.fn.tempname()
  homes[#homes + 1] = self.home
  self.project = self.home .. '/project'
  vim.fn.mkdir(self.project .. '/.git', 'p')
  for name, text in pairs(opts.files or M.samples()) do
    vim.fn.writefile(vim.split(text, '\n', { plain = true }), self.project .. '/' .. name)
  end
  local setup = vim.tbl_extend('keep', opts.setup or {}, { cmd = M.fimd() })
  local xdg = {}
  for _, name in ipairs({ 'CONFIG', 'DATA', 'STATE', 'CACHE' }) do
    xdg['XDG_' .. name .. '_HOME'] = self.home .. '/' .. name:lower()
  end
  self.log = self.home .. '/nvim.log'
  local env = vim.tbl_extend('force', xdg, {
    HOME = self.home,
    NVIM_LOG_FILE = self.log,
    FIMD_TEST_PLUGIN = root .. '/editors/neovim',
    FIMD_TEST_SETUP = vim.json.encode(setup),
    FIMD_TEST_BEFORE = opts.before or '',
  })
  local cmd = { vim.v.progpath, '--embed', '--headless', '-i', 'NONE', '-n',
    '-u', here .. '/init.lua' }
  vim.list_extend(cmd, opts.args or {})
  if opts.file ~= false then cmd[#cmd + 1] = self.project .. '/' .. (opts.file or 'queue.c') end
  self.chan = vim.fn.jobstart(cmd, { rpc = true, env = env, cwd = self.project })
  assert(self.chan > 0, 'Neovim could not be started')
  return self
end

function M.samples()
  local out = {}
  for _, name in ipairs({ 'queue.c', 'queue.h' }) do
    local path = root .. '/tests/data/samples/c/' .. name
    out[name] = table.concat(vim.fn.readfile(path), '\n')
  end
  return out
end

function child:lua(code, ...)
  return vim.rpcrequest(self.chan, 'nvim_exec_lua', code, { ... })
end

function child:keys(keys)
  vim.rpcrequest(self.chan, 'nvim_input', (keys:gsub('<', '<lt>')))
end

-- With <Esc> and so on.
function child:press(keys)
  vim.rpcrequest(self.chan, 'nvim_input', keys)
end

function M.wait(condition, limit)
  return vim.wait(limit or LIMIT, condition, 5)
end

function child:wait_for(code, ...)
  local args = { ... }
  local got
  local ok = M.wait(function()
    got = self:lua(code, unpack(args))
    return got ~= nil and got ~= vim.NIL and got ~= false
  end)
  return ok and got or nil
end

-- What is drawn: text behind the cursor, then whole lines; nil for nothing.
function child:ghost()
  local g = self:lua('return Ghost()')
  return g ~= vim.NIL and g or nil
end

-- Ghost text of which no lines are still to come.
function child:wait_ghost(test, limit)
  local g
  local ok = M.wait(function()
    g = self:lua('return not Growing() and Ghost()')
    return g and g ~= vim.NIL and (not test or test(g))
  end, limit)
  return ok and g or nil
end

function child:no_ghost()
  return M.wait(function()
    return self:ghost() == nil
  end)
end

function child:text()
  return vim.rpcrequest(self.chan, 'nvim_buf_get_lines', 0, 0, -1, false)
end

-- The buffer from a line on, as one text.
function child:tail(from)
  return table.concat(vim.list_slice(self:text(), from), '\n')
end

-- All of a ghost text.
function M.whole(g)
  return g and table.concat(vim.list_extend({ g.text }, g.lines), '\n') or ''
end

function child:cursor()
  return vim.rpcrequest(self.chan, 'nvim_win_get_cursor', 0)
end

-- The line under the cursor.
function child:line()
  return vim.rpcrequest(self.chan, 'nvim_get_current_line')
end

-- Until nothing that was typed is still to be worked off.
function child:settle()
  self:lua('return 1')
  return M.wait(function()
    return self:lua('return vim.fn.getchar(1) == 0')
  end)
end

function child:said()
  return self:lua('return Said')
end

-- All that went wrong by any log: said as an error, errors of Neovim, its log and the LSP log.
function child:errors()
  local out = self:lua('return Errors()')
  if vim.fn.filereadable(self.log) == 1 then
    for _, line in ipairs(vim.fn.readfile(self.log)) do
      if line:find('^ERR') then out[#out + 1] = line end
    end
  end
  return out
end

-- Waits for the daemon and its model.
function child:ready()
  local ok = self:wait_for([[
    local c = vim.lsp.get_clients({ name = 'fimd', bufnr = 0 })[1]
    if not c or not c.initialized then return false end
    require('fimd.status').ask(vim.api.nvim_get_current_buf())
    return require('fimd').status().state == 'ready'
  ]])
  if not ok then M.give_up('the daemon is ready') end
  return true
end

-- A buffer of these lines, the cursor in insert mode at the end of the given one.
function child:edit(lines, at)
  self:press('<Esc>')
  self:settle()
  self:lua([[
    vim.api.nvim_buf_set_lines(0, 0, -1, false, ...)
  ]], lines)
  self:lua('vim.api.nvim_win_set_cursor(0, { ..., 0 })', at or #lines)
  self:press('A')
  M.wait(function()
    return vim.rpcrequest(self.chan, 'nvim_get_mode').mode == 'i'
  end)
end

function child:stop()
  pcall(vim.rpcnotify, self.chan, 'nvim_input', '<Esc>:qa!<CR>')
  if vim.fn.jobwait({ self.chan }, 10000)[1] == -1 then vim.fn.jobstop(self.chan) end
end

return M
