-- What the user may set, its defaults, and where the program is.
local M = {}

---@class fimd.Config
M.defaults = {
  -- The program: a path or a command with its arguments. nil: looked for, see find().
  cmd = nil, ---@type string|string[]|nil
  -- More arguments, as { '--model', 'Qwen/Qwen2.5-Coder-1.5B' }.
  args = {},
  filetypes = {
    'c', 'cpp', 'python', 'javascript', 'javascriptreact', 'typescript', 'typescriptreact', 'go',
    'rust', 'java', 'cs', 'ruby', 'php', 'sh', 'bash', 'lua', 'css', 'html', 'json',
  },
  root_markers = { '.git', '.hg', '.fimdignore' },
  -- The daemon's own settings, as { maxLines = 3 }.
  settings = {},
  -- false: no ghost text, the completion popup instead, which is all that 0.11 and older have.
  ghost = true,
  -- Milliseconds from a key to the request. 200 and more: Neovim's own pace.
  delay = 0,
  -- A daemon that died is started again so often within restart_within milliseconds.
  restarts = 3,
  restart_within = 60000,
  -- A key or false. Each does what it did before where there is no ghost text.
  keys = {
    accept = '<Tab>',
    accept_word = '<M-Right>',
    accept_line = '<M-C-Right>',
    next = '<M-]>',
    prev = '<M-[>',
    dismiss = '<C-]>',
    trigger = '<M-Bslash>',
  },
}

M.current = vim.deepcopy(M.defaults)

-- The types that a value may have.
local types = {
  cmd = { 'string', 'table' },
  args = { 'table' },
  filetypes = { 'table' },
  root_markers = { 'table' },
  settings = { 'table' },
  ghost = { 'boolean' },
  delay = { 'number' },
  restarts = { 'number' },
  restart_within = { 'number' },
  keys = { 'table' },
}

-- Sentences about what is wrong in the options; what is wrong is left at its default.
function M.set(opts)
  local wrong, good = {}, {}
  for name, value in pairs(opts or {}) do
    if not types[name] then
      wrong[#wrong + 1] = ('%s is not an option'):format(name)
    elseif not vim.tbl_contains(types[name], type(value)) then
      wrong[#wrong + 1] = ('%s must be a %s'):format(name, table.concat(types[name], ' or a '))
    else
      good[name] = value
    end
  end
  for name, key in pairs(good.keys or {}) do
    if M.defaults.keys[name] == nil then
      wrong[#wrong + 1] = ('keys.%s is not an action'):format(name)
      good.keys[name] = nil
    elseif key ~= false and type(key) ~= 'string' then
      wrong[#wrong + 1] = ('keys.%s must be a key or false'):format(name)
      good.keys[name] = nil
    end
  end
  M.current = vim.tbl_deep_extend('force', M.defaults, good)
  for _, list in ipairs({ 'args', 'filetypes', 'root_markers' }) do -- lists are taken as they are
    M.current[list] = good[list] or M.defaults[list]
  end
  table.sort(wrong)
  return wrong
end

-- The folder of this plug-in in a checkout of fimd, three levels below the built program.
local function built()
  local here = debug.getinfo(1, 'S').source:sub(2)
  return vim.fn.fnamemodify(here, ':p:h:h:h:h:h') .. '/build/fimd'
end

-- The command to run, or nil and a sentence.
function M.find()
  local cmd = M.current.cmd
  local words = type(cmd) == 'table' and vim.deepcopy(cmd) or { cmd }
  if #words == 0 then
    for _, path in ipairs({ 'fimd', vim.fn.expand('~/.local/bin/fimd'), built() }) do
      if vim.fn.executable(path) == 1 then
        words = { path }
        break
      end
    end
    if #words == 0 then
      return nil, 'fimd was not found on the PATH; install it or set cmd (:help fimd-install)'
    end
  end
  words[1] = vim.fn.expand(words[1])
  if vim.fn.executable(words[1]) ~= 1 then
    return nil, ('%s cannot be run; see cmd in :help fimd-config'):format(words[1])
  end
  return vim.list_extend(words, M.current.args)
end

return M
