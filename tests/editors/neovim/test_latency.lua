-- From the key to the ghost text on screen, against what the daemon says of itself. Printed, never
-- judged: what is checked is only that there was something to measure.
--
-- The clock starts where a key is given to Neovim and ends where the extmark is set (both read the
-- machine's one monotonic clock). "new": the key goes on without, or against, what was shown.
-- "through": it agrees with it. "asked": from the key to the request. Each key waits for its answer
-- and a while more.
local T = require('child')

local WATCH = T.WATCH_REQUESTS .. [[
  Draws, Answered = {}, {}
  local set = vim.api.nvim_buf_set_extmark
  vim.api.nvim_buf_set_extmark = function(buf, ns, row, col, opts)
    if ns == vim.api.nvim_get_namespaces()['nvim.lsp.inline_completion'] then
      local text = ((opts.virt_text or {})[1] or {})[1]
      Draws[#Draws + 1] = { t = vim.uv.hrtime(), row = row, col = col, text = text }
    end
    return set(buf, ns, row, col, opts)
  end
  WatchRequests(function(params, done)
    local at = { row = params.position.line, col = params.position.character,
      tick = vim.api.nvim_buf_get_changedtick(0), sent = vim.uv.hrtime() }
    return function(err, result, ...)
      at.items = #(result and result.items or {})
      done(err, result, ...)
      Answered = at
    end
  end)
  -- When the text that the answer made of it was first drawn after t, as Neovim also draws what it
  -- had: false while no answer is there, 0 where there is none.
  function DrawnSince(t)
    local row, col = unpack(vim.api.nvim_win_get_cursor(0))
    if Answered.row ~= row - 1 or Answered.col ~= col then return false end
    if Answered.tick ~= vim.api.nvim_buf_get_changedtick(0) then return false end
    if Answered.items == 0 then return 0 end
    local last = Draws[#Draws]
    for _, d in ipairs(Draws) do
      if d.t > t and d.row == row - 1 and d.col == col and d.text == last.text then return d.t end
    end
    return false
  end
]]

-- What a user has without the plug-in: Neovim's own inline completion alone.
local PLAIN = WATCH .. ([[
  vim.lsp.config('plain', { cmd = { %q }, filetypes = { 'c' }, root_markers = { '.git' },
    init_options = { fimd = { popup = false } } })
  vim.lsp.enable('plain')
  vim.lsp.inline_completion.enable(true)
]]):format(T.fimd())

local KEYS = {
  'size_t queue_count(const queue *q) {', '  return q->count;', '}', '',
  'const job *queue_first(const queue *q) {', '  return &q->items[q->head];',
}

local function percentile(list, p)
  table.sort(list)
  return #list > 0 and list[math.max(1, math.ceil(p * #list))] or 0
end

local function measure(name, opts)
  local c = T.start(opts)
  if opts.plain then
    local ready = c:wait_for([[
      local client = vim.lsp.get_clients({ bufnr = 0 })[1]
      if not client or not client.initialized then return false end
      local got = client:request_sync('fimd/status', vim.empty_dict(), 10000)
      return got and got.result and got.result.model.state == 'ready'
    ]])
    if not ready then T.give_up('the daemon is ready') end
  else
    c:ready()
  end
  c:lua([[vim.bo.indentexpr, vim.bo.cindent, vim.bo.autoindent = '', false, false]])
  c:edit(vim.split(T.samples()['queue.c'], '\n'))
  local ms = { new = {}, through = {}, asked = {} }
  math.randomseed(1)
  for _, line in ipairs(KEYS) do
    for i = 1, #line do
      local key = line:sub(i, i)
      local before = c:ghost()
      local kind = before and before.text:sub(1, 1) == key and 'through' or 'new'
      local t = vim.uv.hrtime()
      c:keys(key)
      local drawn
      vim.wait(3000, function()
        drawn = c:lua('return DrawnSince(...)', t)
        return drawn ~= false
      end, 1)
      local sent = drawn and c:lua('return Answered.sent') or 0
      if sent > t then table.insert(ms.asked, (sent - t) / 1e6) end
      if drawn and drawn ~= 0 then table.insert(ms[kind], (drawn - t) / 1e6) end
      vim.wait(math.random(30, 150))
    end
    c:press('<CR>')
    c:settle()
  end
  local daemon = c:lua([[
    local client = vim.lsp.get_clients()[1]
    return client:request_sync('fimd/status', vim.empty_dict(), 10000).result.statistics.answerMs
  ]])
  for _, kind in ipairs({ 'asked', 'new', 'through' }) do
    T.say('%-34s %-8s p50 %6.1f ms   p90 %6.1f ms   of %d keys', name, kind,
      percentile(ms[kind], 0.5), percentile(ms[kind], 0.9), #ms[kind])
  end
  T.say('%-34s %-8s p50 %6.1f ms   p90 %6.1f ms   of %d answers', name, 'daemon', daemon.p50,
    daemon.p90, daemon.count)
  T.check(#ms.new > 0 and #ms.through > 0, name .. ': there was ghost text to measure')
  c:stop()
end

measure('Neovim without the plug-in', { before = PLAIN, plain = true,
  setup = { filetypes = { 'none' } } })
measure("the plug-in at Neovim's own pace", { before = WATCH, setup = { delay = 200 } })
measure('the plug-in', { before = WATCH })
T.done()
