-- :Fimd and its subcommands.
local server = require('fimd.server')
local status = require('fimd.status')

local M = {}

local function show(lines)
  vim.api.nvim_echo({ { table.concat(lines, '\n') } }, true, {})
end

local function status_lines(result)
  local model, stats = result.model or {}, result.statistics or {}
  local answers, taken = stats.answerMs or {}, stats.acceptance or {}
  local lines = {
    ('fimd %s: %s'):format(result.version, status.enabled and model.state or 'off'),
  }
  if model.name then lines[#lines + 1] = ('model: %s on %s'):format(model.name, model.backend) end
  if model.error then lines[#lines + 1] = model.error end
  if (answers.count or 0) > 0 then
    lines[#lines + 1] = ('answers: %d, %.0f ms at the median, %.0f ms at the 90th percentile')
      :format(answers.count, answers.p50, answers.p90)
  end
  if (taken.suggestions or 0) > 0 then
    lines[#lines + 1] = ('accepted: %d of %d'):format(taken.accepted, taken.suggestions)
  end
  return lines
end

local function ask(lines_of)
  local bufnr = vim.api.nvim_get_current_buf()
  local asked = status.ask(bufnr, function(result, why)
    show(lines_of(result, why))
  end)
  if asked then return end
  local words, why = require('fimd.config').find()
  show({ words and 'fimd is not running: open a file of one of its file types, or :Fimd restart'
    or ('fimd: ' .. why) })
end

local commands = {}

function commands.toggle(scope)
  require('fimd').toggle(scope == 'buffer' and 'buffer' or nil)
  local on = status.buffer_on(vim.api.nvim_get_current_buf())
  local where = scope == 'buffer' and ' in this buffer' or ''
  show({ ('fimd is %s%s'):format(on and 'on' or 'off', where) })
end

function commands.status()
  ask(function(result)
    return result and status_lines(result) or { 'fimd does not answer' }
  end)
end

function commands.why()
  ask(function(_, why)
    if not why then return { 'fimd: nothing was asked in this buffer' } end
    local ms = (why.ms or {}).answer or 0
    if why.reason then
      return { ('fimd: nothing is shown: %s (%.0f ms)'):format(why.reason, ms) }
    end
    return { ('fimd: %d bytes from %s, ended by %s (%.0f ms)'):format(why.bytes, why.source,
      why.stop, ms) }
  end)
end

function commands.restart()
  server.restart()
end

local function names(lead, list)
  return vim.tbl_filter(function(name)
    return vim.startswith(name, lead)
  end, list)
end

function M.complete(lead, line)
  if line:match('^%s*Fimd%s+toggle%s+%S*$') then return names(lead, { 'buffer' }) end
  if not line:match('^%s*Fimd%s+%S*$') then return {} end
  local all = vim.tbl_keys(commands)
  table.sort(all)
  return names(lead, all)
end

function M.setup()
  vim.api.nvim_create_user_command('Fimd', function(args)
    local name = args.fargs[1] or 'status'
    if not commands[name] then
      server.say(('there is no :Fimd %s'):format(name), vim.log.levels.ERROR)
      return
    end
    commands[name](args.fargs[2])
  end, { nargs = '*', complete = M.complete, desc = 'fimd: toggle, status, why or restart' })
end

return M
