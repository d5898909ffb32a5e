-- A small language server for the tests, run by `nvim -l`: popup items, hover, and, with "inline"
-- as its argument, inline completions. It answers each of these with its own name.
local inline = vim.tbl_contains(vim.v.argv, 'inline')
local input = ''

local function send(message)
  message.jsonrpc = '2.0'
  local body = vim.json.encode(message)
  io.stdout:write(('Content-Length: %d\r\n\r\n%s'):format(#body, body))
  io.stdout:flush()
end

local answers = {
  initialize = function()
    return { capabilities = {
      textDocumentSync = 1,
      hoverProvider = true,
      completionProvider = vim.empty_dict(),
      inlineCompletionProvider = inline or nil,
    } }
  end,
  ['textDocument/hover'] = function()
    return { contents = 'stub' }
  end,
  ['textDocument/completion'] = function()
    return { { label = 'stub_item' } }
  end,
  ['textDocument/inlineCompletion'] = function(params)
    return { items = { {
      insertText = 'STUB',
      range = { start = params.position, ['end'] = params.position },
    } } }
  end,
}

local function on_message(m)
  if m.method == 'exit' then os.exit(0) end
  if m.id == nil or m.method == nil then return end
  local answer = answers[m.method]
  send({ id = m.id, result = answer and answer(m.params) or vim.NIL })
end

while true do
  local length
  while true do
    local line = io.stdin:read('*l')
    if not line then os.exit(0) end
    line = line:gsub('\r$', '')
    if line == '' then break end
    length = length or tonumber(line:match('^[Cc]ontent%-[Ll]ength: (%d+)'))
  end
  input = io.stdin:read(length)
  if not input then os.exit(0) end
  on_message(vim.json.decode(input))
end
