-- Ghost text by vim.lsp.inline_completion, with what that leaves to be wished for.
--
-- Neovim keeps an answer's items with the range that they had when they were asked for. Typed over,
-- they are still drawn, whatever was typed, and accepted they replace the old range, so that what
-- was typed is there twice. It asks 200 ms after the last key, and takes any answer, late ones too.
--
-- So, for our own client's items only: what was answered is kept with the line that it was for
-- (an offer). Before anything is drawn or taken, the offer is held against the line as it is now:
-- what was typed of it is taken off, and where something else was typed it is gone. An answer to a
-- text or cursor that is no more is dropped. And our client is asked at once, as the daemon has a
-- debounce of its own and drops stale work; other clients keep their 200 ms. It also answers with
-- the first line already, and the text grows as the others are told of.
--
-- For that some methods of Neovim's own class are wrapped. They are no public interface: where they
-- are not what they were, M.guarded() is false and all is left as Neovim has it.
local config = require('fimd.config')
local status = require('fimd.status')

local M = {}

local METHOD = 'textDocument/inlineCompletion'
local INVOKED, AUTOMATIC = 1, 2
local NEOVIM_MS = 200

local class ---@type table? Neovim's class
local base = {} -- its methods as they were

function M.guarded()
  return class ~= nil
end

local function client_of(self)
  for id in pairs(self.client_state) do
    local client = vim.lsp.get_client_by_id(id)
    if client and client.name == 'fimd' then return client end
  end
end

-- What we keep of a buffer, in Neovim's own object so that both end together.
local function mine(self)
  self.fimd = self.fimd or {}
  return self.fimd
end

-- ---- offers -----------------------------------------------------------------------------------

-- An item as it is for the cursor of its request: rest is what goes in there, and tail the bytes
-- right of it that go. Without rest it changes what is left of the cursor, too.
local function entry_of(item, line, row, col, encoding)
  local entry = { item = item }
  local range, text = item.range, item.insertText
  if type(text) ~= 'string' then return entry end
  if not range then
    entry.rest, entry.tail = text, 0
    return entry
  end
  if range.start.line ~= row or range['end'].line ~= row then return entry end
  local from = vim.str_byteindex(line, encoding, range.start.character, false)
  local to = vim.str_byteindex(line, encoding, range['end'].character, false)
  if from <= col and to >= col and vim.startswith(text, line:sub(from + 1, col)) then
    entry.rest, entry.tail = text:sub(col - from + 1), to - col
  end
  return entry
end

local function place()
  local cursor = vim.api.nvim_win_get_cursor(0)
  return cursor[1] - 1, cursor[2]
end

local function new_offer(self, client, items)
  local row, col = place()
  local line = vim.api.nvim_get_current_line()
  local offer = {
    row = row,
    before = line:sub(1, col),
    after = line:sub(col + 1),
    lines = vim.api.nvim_buf_line_count(self.bufnr),
    entries = {},
  }
  for i, item in ipairs(items) do
    offer.entries[i] = entry_of(item, line, row, col, client.offset_encoding)
  end
  return offer
end

-- What was typed since, or nil where the offer is for another text.
local function typed_since(self, offer)
  if vim.api.nvim_get_current_buf() ~= self.bufnr then return nil end
  local row, col = place()
  local line = vim.api.nvim_get_current_line()
  if row ~= offer.row or vim.api.nvim_buf_line_count(self.bufnr) ~= offer.lines then return nil end
  if col < #offer.before or line:sub(1, #offer.before) ~= offer.before then return nil end
  if line:sub(col + 1) ~= offer.after then return nil end
  return line:sub(#offer.before + 1, col)
end

-- The entries that still hold, each with `left`, what is left of its rest (nil: all as it was).
local function holding(self, offer)
  local typed = typed_since(self, offer)
  local out = {}
  if not typed then return out end
  for _, entry in ipairs(offer.entries) do
    if entry.rest and vim.startswith(entry.rest, typed) and #entry.rest > #typed then
      entry.left = entry.rest:sub(#typed + 1)
      out[#out + 1] = entry
    elseif not entry.rest and typed == '' then
      out[#out + 1] = entry
    end
  end
  return out
end

-- The protocol's item for what is left, at the cursor.
local function item_of(entry, client)
  if not entry.left then return entry.item end
  local row, col = place()
  local line = vim.api.nvim_get_current_line()
  local function at(byte)
    return { line = row, character = vim.str_utfindex(line, client.offset_encoding, byte, false) }
  end
  return vim.tbl_extend('force', entry.item, {
    insertText = entry.left,
    range = { start = at(col), ['end'] = at(math.min(col + entry.tail, #line)) },
  })
end

-- How many items come before ours: Neovim counts those of all clients.
local function items_before(self, client)
  local n = 0
  for id, state in pairs(self.client_state) do
    if id < client.id then n = n + #(state.items or {}) end
  end
  return n
end

local function is_ours(self, client)
  return self.current ~= nil and self.current.client_id == client.id
end

local function drop(self, client)
  mine(self).offer = nil
  if self.client_state[client.id] then self.client_state[client.id].items = {} end
  if is_ours(self, client) then
    self.current = nil
    self:hide()
  end
end

-- Gives Neovim the items as they are now, and draws.
local function reconcile(self, client)
  local offer = mine(self).offer
  if not offer then
    if is_ours(self, client) then drop(self, client) end
    return
  end
  local before = items_before(self, client)
  local selected = is_ours(self, client) and offer.shown
    and offer.shown[self.current._index - before]
  offer.shown = holding(self, offer)
  if #offer.shown == 0 then
    drop(self, client)
    return
  end
  local items, index = {}, 1
  for i, entry in ipairs(offer.shown) do
    items[i] = item_of(entry, client)
    if entry == selected then index = i end
  end
  self.client_state[client.id].items = items
  if self.current == nil or is_ours(self, client) then
    self:select(before + index, offer.by_hand)
  end
end

-- ---- asking -----------------------------------------------------------------------------------

local function stamp(self)
  local row, col = place()
  return ('%d %d %d'):format(vim.api.nvim_buf_get_changedtick(self.bufnr), row, col)
end

-- Whether what comes for a request can still be shown. Else it was dismissed, or is for a text or a
-- cursor that is no more: then there is a newer request.
local function is_wanted(self, asked)
  if not vim.startswith(vim.api.nvim_get_mode().mode, 'i') then return false end
  if vim.api.nvim_get_current_buf() ~= self.bufnr then return false end
  return mine(self).asked == asked and asked == stamp(self)
end

-- final: there are no lines to come.
local function offer_items(self, client, items, by_hand, final)
  local own = mine(self)
  local at = is_ours(self, client) and self.current._index - items_before(self, client) or 1
  own.offer = new_offer(self, client, items)
  own.offer.by_hand = by_hand
  if is_ours(self, client) then self.current = nil end
  reconcile(self, client)
  if not own.offer then return end
  local n = #own.offer.shown
  if final and own.turn and n > 1 then at = own.turn > 0 and 2 or n end
  if final then own.turn = nil end
  if at > 1 and at <= n then self:select(items_before(self, client) + at, true) end
end

-- asked: the stamp of the request.
local function on_answer(self, client, asked, err, result, ctx)
  if err or not result or result == vim.NIL then
    self:handler(err, nil, ctx)
    return
  end
  if not is_wanted(self, asked) then return end
  local more = type(result) == 'table' and result.more == true
  local by_hand = ctx.params.context.triggerKind == INVOKED
  if is_ours(self, client) then self.current = nil end -- begins at the first
  mine(self).live = more and { id = ctx.request_id, asked = asked, by_hand = by_hand } or nil
  offer_items(self, client, result.items or result, by_hand, not more)
  status.refresh(self.bufnr)
end

-- The daemon answers with the first line and tells of the others as the model writes them: the
-- text of an answer that is still shown grows where it stands.
function M.on_update(params, client_id)
  local client = vim.lsp.get_client_by_id(client_id)
  for _, self in pairs(class and client and class.active or {}) do
    local own = mine(self)
    local live = own.live
    if live and live.id == params.id then
      if params.final then own.live = nil end
      if is_wanted(self, live.asked) and own.offer then
        offer_items(self, client, params.items, live.by_hand, params.final)
      end
      if params.final then status.refresh(self.bufnr) end
    end
  end
end

local function ask(self, client, kind)
  local own = mine(self)
  if not status.buffer_on(self.bufnr) then return end
  if vim.api.nvim_get_current_buf() ~= self.bufnr then return end
  if kind == AUTOMATIC and own.asked == stamp(self) then return end
  local asked = stamp(self)
  own.asked, own.live = asked, nil
  own.number = (own.number or 0) + 1
  local number = own.number
  status.working(self.bufnr, true)
  local params = vim.lsp.util.make_position_params(0, client.offset_encoding)
  params.context = { triggerKind = kind }
  client:request(METHOD, params, function(err, result, ctx)
    if own.number == number then status.working(self.bufnr, false) end
    on_answer(self, client, asked, err, result, ctx)
  end, self.bufnr)
end

-- ---- Neovim's methods, wrapped ----------------------------------------------------------------

local wrapped = {}

function wrapped.request(self, kind)
  local client = client_of(self)
  if not client then return base.request(self, kind) end
  local all = self.client_state
  self.client_state = {}
  for id, state in pairs(all) do
    if id ~= client.id then self.client_state[id] = state end
  end
  local ok, err = pcall(base.request, self, kind)
  self.client_state = all
  if not ok then error(err, 0) end
  ask(self, client, kind)
end

function wrapped.automatic_request(self)
  local client = client_of(self)
  if not client then return base.automatic_request(self) end
  local own = mine(self)
  own.seen = stamp(self)
  own.turn = nil
  reconcile(self, client)
  base.automatic_request(self)
  local delay = config.current.delay
  -- A macro is not somebody waiting for ghost text.
  if delay >= NEOVIM_MS or vim.fn.reg_executing() ~= '' then return end
  if delay <= 0 then return ask(self, client, AUTOMATIC) end
  local now = own.seen
  vim.defer_fn(function()
    if self.active[self.bufnr] == self and own.seen == now and vim.fn.mode():sub(1, 1) == 'i' then
      ask(self, client, AUTOMATIC)
    end
  end, delay)
end

function wrapped.abort(self)
  local own = mine(self)
  base.abort(self)
  own.offer, own.asked, own.turn, own.live = nil, nil, nil, nil
  local client = client_of(self)
  if client then self.client_state[client.id].items = nil end
  status.working(self.bufnr, false)
end

-- Whether this Neovim's class is one that the above was written for.
local function find_class()
  local ok, all = pcall(function()
    require('vim.lsp.inline_completion')
    return require('vim.lsp._capability').all
  end)
  local found = ok and type(all) == 'table' and all.inline_completion
  if type(found) ~= 'table' or type(found.active) ~= 'table' then return nil end
  for _, name in ipairs({ 'handler', 'request', 'automatic_request', 'abort', 'select', 'show',
    'hide', 'count_items' }) do
    if type(found[name]) ~= 'function' then return nil end
  end
  return found
end

function M.setup()
  if class then return end
  class = find_class()
  if not class then return end
  for name, f in pairs(wrapped) do
    base[name] = class[name]
    class[name] = f
  end
  -- Neovim looks when the cursor moves; <Del> changes the text without that.
  vim.api.nvim_create_autocmd('TextChangedI', {
    group = vim.api.nvim_create_augroup('fimd.ghost', {}),
    callback = function(event)
      local self = class.active[event.buf]
      if self and client_of(self) and mine(self).seen ~= stamp(self) then
        self:automatic_request()
      end
    end,
  })
end

function M.attach(bufnr)
  vim.lsp.inline_completion.enable(true, { bufnr = bufnr })
  -- A daemon that came back while somebody types. Neovim makes its object in the next turn of the
  -- loop, so this is for the one after that.
  vim.schedule(function()
    vim.schedule(function()
      local self = class and class.active[bufnr]
      if self and vim.api.nvim_get_current_buf() == bufnr and vim.fn.mode():sub(1, 1) == 'i' then
        mine(self).asked = nil
        self:automatic_request()
      end
    end)
  end)
end

-- ---- what keys do -----------------------------------------------------------------------------

-- The object, the client and the entry shown, after a look at the text as it is.
local function shown()
  local self = class and class.active[vim.api.nvim_get_current_buf()]
  local client = self and client_of(self)
  if not client then return self end
  reconcile(self, client)
  local offer = mine(self).offer
  if not offer or not is_ours(self, client) then return self, client end
  return self, client, offer.shown[self.current._index - items_before(self, client)]
end

function M.is_visible()
  local self = shown()
  return self ~= nil and self.current ~= nil
end

-- How much of a text a key takes.
local parts = {}
function parts.all(text)
  return text
end
function parts.line(text)
  return text:match('^\n*[^\n]+') or text
end
function parts.word(text)
  local blank = text:match('^%s*')
  local rest = text:sub(#blank + 1)
  local word = rest:match('^[%w_\128-\255]+') or rest:match('^[^%w_%s\128-\255]+') or ''
  return word == '' and text or blank .. word
end

local function put(self, row, col, end_col, text)
  local lines = vim.split(text, '\n', { plain = true })
  vim.cmd('let &g:undolevels = &g:undolevels') -- undone by itself, not with what was typed
  vim.api.nvim_buf_set_text(self.bufnr, row, col, row, end_col, lines)
  local last = #lines == 1 and col + #text or #lines[#lines]
  vim.api.nvim_win_set_cursor(0, { row + #lines, last })
end

local function take(self, client, entry, part)
  local row, col = place()
  local text = parts[part](entry.left)
  local whole = text == entry.left
  -- First, as it may fail, and the offer is then still needed.
  put(self, row, col, whole and col + entry.tail or col, text)
  self:abort()
  if whole then return end
  -- The rest stays where it is, without a moment of nothing.
  local offer = new_offer(self, client, {})
  offer.entries = {
    { item = entry.item, rest = entry.left:sub(#text + 1), tail = entry.tail },
  }
  mine(self).offer = offer
  reconcile(self, client)
end

-- part: all, line or word. False where there is nothing to take.
function M.accept(part)
  if not class then return part == 'all' and vim.lsp.inline_completion.get() end
  local self, client, entry = shown()
  if not self or not self.current then return false end
  if not entry or not entry.left then -- another client's, or one that changes more than it adds
    return part == 'all' and vim.lsp.inline_completion.get()
  end
  if not vim.bo[self.bufnr].modifiable then return false end
  local ok, err = pcall(take, self, client, entry, part)
  if ok then return true end
  if not tostring(err):find('E565') then error(err, 0) end
  -- Within an <expr> map no text can be changed.
  vim.schedule(function()
    local again, of, now = shown()
    if now and now.left then take(again, of, now, part) end
  end)
  return true
end

-- Automatic requests bring one text; the first turn asks for others by hand.
function M.turn(by)
  local self, client, entry = shown()
  if not class then
    vim.lsp.inline_completion.select({ count = by })
    return true
  end
  if not self or not self.current then return false end
  if not entry or mine(self).offer.by_hand or self:count_items() > 1 then
    vim.lsp.inline_completion.select({ count = by })
    return true
  end
  ask(self, client, INVOKED)
  mine(self).turn = by
  return true
end

function M.trigger()
  local self, client = shown()
  if not client then return false end
  ask(self, client, INVOKED)
  return true
end

function M.dismiss()
  local self = shown()
  if not self or not self.current then return false end
  self:abort()
  return true
end

-- Takes all of ours away, in every buffer.
function M.clear()
  for _, self in pairs(class and class.active or {}) do
    local client = client_of(self)
    if client then
      drop(self, client)
      mine(self).asked = nil
    end
  end
end

return M
