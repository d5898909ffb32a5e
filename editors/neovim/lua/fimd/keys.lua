-- Keys that do something where there is ghost text and else what they did before.
local config = require('fimd.config')

local M = {}

-- The map that ours stands before: the buffer's from before we came, or else the global one, looked
-- for when the key is pressed, as other plug-ins come later. Neovim itself has one for <Tab>.
local function global_map(lhs)
  local raw = vim.api.nvim_replace_termcodes(lhs, true, true, true)
  for _, map in ipairs(vim.api.nvim_get_keymap('i')) do
    if map.lhsraw == raw or map.lhsrawalt == raw then return map end
  end
end

local function feed(keys, remap)
  local raw = vim.api.nvim_replace_termcodes(keys, true, true, true)
  -- In front of what was typed in the meantime.
  vim.api.nvim_feedkeys(raw, (remap and 'm' or 'n') .. 'i', false)
end

local function fall_through(lhs, before)
  local map = before or global_map(lhs)
  if not map then return feed(lhs) end
  local keys = map.rhs or ''
  if map.callback then
    keys = map.callback()
    if map.expr ~= 1 then return end
  elseif map.expr == 1 then
    keys = vim.api.nvim_eval(keys)
  end
  if type(keys) ~= 'string' or keys == '' then return end
  -- A map that gives its own key means the key.
  feed(keys, map.noremap ~= 1 and keys ~= lhs)
end

local function buffer_map(bufnr, lhs)
  local raw = vim.api.nvim_replace_termcodes(lhs, true, true, true)
  for _, map in ipairs(vim.api.nvim_buf_get_keymap(bufnr, 'i')) do
    if map.lhsraw == raw or map.lhsrawalt == raw then return map end
  end
end

local words = {
  accept = 'Accept the ghost text',
  accept_word = 'Accept the next word of the ghost text',
  accept_line = 'Accept the next line of the ghost text',
  next = 'Show the next ghost text',
  prev = 'Show the previous ghost text',
  dismiss = 'Dismiss the ghost text',
  trigger = 'Ask for ghost text',
}

function M.attach(bufnr, actions)
  if vim.b[bufnr].fimd_keys then return end
  vim.b[bufnr].fimd_keys = true
  for name, lhs in pairs(config.current.keys) do
    if lhs and lhs ~= '' then
      local before = buffer_map(bufnr, lhs)
      vim.keymap.set('i', lhs, function()
        if not actions[name]() then fall_through(lhs, before) end
      end, { buffer = bufnr, desc = 'fimd: ' .. words[name] })
    end
  end
end

return M
