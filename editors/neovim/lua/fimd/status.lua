-- What the statusline shows: the daemon's state, the last latency, why nothing is shown.
local M = {
  enabled = true,
  state = 'stopped', -- missing, stopped, starting, loading, ready, failed
  percent = nil, ---@type integer?
  last_ms = nil, ---@type number? of the last answer, from fimd/status
  reason = nil, ---@type string? why the last answer showed nothing, from fimd/why
}

local working = {} -- by buffer
local used = false -- whether a statusline shows us

local function redraw()
  if used then vim.cmd('redrawstatus!') end
end

function M.set(state)
  M.state = state
  if state ~= 'loading' then M.percent = nil end
  if state == 'stopped' or state == 'missing' then working = {} end
  vim.schedule(redraw)
end

function M.working(bufnr, is)
  if (working[bufnr] or false) == is then return end
  working[bufnr] = is or nil
  redraw()
end

local function client_of(bufnr)
  return vim.lsp.get_clients({ name = 'fimd', bufnr = bufnr })[1]
end

local function take_status(result)
  local model = result.model or {}
  if model.state then M.set(model.state) end
  if model.state == 'loading' and model.progress then
    M.percent = math.floor(model.progress * 100)
  end
  local last = (result.statistics or {}).last or {}
  M.last_ms = (last.answerMs or 0) > 0 and last.answerMs or nil -- 0: there was none yet
end

-- Asks the daemon how it is. done(status, why) is called once both are there, with nil for what
-- did not come.
function M.ask(bufnr, done)
  local client = client_of(bufnr) or vim.lsp.get_clients({ name = 'fimd' })[1]
  if not client then return false end
  local function ask(method, params, got)
    if vim.fn.has('nvim-0.11') == 1 then
      client:request(method, params, got, bufnr)
    else
      client.request(method, params, got, bufnr)
    end
  end
  ask('fimd/status', vim.empty_dict(), function(err, result)
    if not err and result then take_status(result) end
    ask('fimd/why', { uri = vim.uri_from_bufnr(bufnr) }, function(failed, why)
      if failed or why == vim.NIL then why = nil end
      M.reason = why and why.reason or nil
      redraw()
      if done then done(not err and result or nil, why) end
    end)
  end)
  return true
end

local asking = false
-- After an answer, unless nobody looks; a few times a second at most.
function M.refresh(bufnr)
  if not used or asking then return end
  asking = true
  vim.defer_fn(function()
    asking = false
    if vim.api.nvim_buf_is_valid(bufnr) then M.ask(bufnr) end
  end, 300)
end

-- The daemon tells how far the model is loaded.
function M.progress(value)
  if value.kind == 'end' then
    M.set(value.message == 'failed' and 'failed' or 'ready')
  else
    M.set('loading')
    M.percent = value.percentage or M.percent
  end
end

function M.buffer_on(bufnr)
  return M.enabled and vim.b[bufnr].fimd_enabled ~= false
end

-- One of off, missing, stopped, starting, loading, failed, working, quiet, ready; or nil where
-- fimd has nothing to do with the buffer.
function M.kind(bufnr)
  local config = require('fimd.config')
  if not vim.tbl_contains(config.current.filetypes, vim.bo[bufnr].filetype) then return nil end
  if not M.buffer_on(bufnr) then return 'off' end
  if M.state ~= 'ready' then return M.state end
  if working[bufnr] then return 'working' end
  return M.reason and 'quiet' or 'ready'
end

function M.line()
  used = true
  local kind = M.kind(vim.api.nvim_get_current_buf())
  if not kind then return '' end
  if kind == 'loading' and M.percent then return ('fimd: loading %d%%%%'):format(M.percent) end
  if kind == 'failed' then return 'fimd: no model' end
  if kind == 'quiet' then return 'fimd: ' .. M.reason:gsub('%%', '%%%%') end
  if kind == 'ready' then
    if not M.last_ms then return 'fimd: ready' end
    return M.last_ms < 1 and 'fimd: <1 ms' or ('fimd: %.0f ms'):format(M.last_ms)
  end
  return 'fimd: ' .. kind
end

return M
