// fimd reaches for no network: whole sessions and its other commands under a kernel filter that kills
// who makes a socket other than the machine's own. With --port it listens, and connects nowhere.
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, done, equal, fimd, tool } from './helpers/check.mjs';
import { at, connect, finish, initializeParams, open, peer, start } from './helpers/daemon.mjs';
import { onPort, withToken } from './helpers/listening.mjs';

const filter = tool('no_network'), dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const under = (words, listen) => spawnSync(filter, [...(listen ? ['--listen'] : []), ...words], { encoding: 'utf8', timeout: 120000, env: { ...process.env, HOME: dir } });

// ---- that the filter does what it is for

const node = (code, listen) => under([process.execPath, '-e', code], listen);
const reach = "require('net').connect(9, '127.0.0.1').on('error', () => process.exit(3))";
const first = node('process.exit(5)');
if (first.status === 77) {
  console.log(`skipped: ${first.stderr}`);
  check(true, 'no filters here');
  done();
}
equal(first.status, 5, 'a program without sockets runs');
for (const [listen, code, what] of [
  [false, reach, 'a TCP connection'], [true, reach, 'a TCP connection where one may listen'],
  [false, "require('net').connect(9, '::1').on('error', () => process.exit(3))", 'IPv6'],
  [true, "require('net').createServer().listen(0, '::1').on('error', () => process.exit(3))", 'IPv6 where one may listen'],
  [false, "require('net').createServer().listen(0, '127.0.0.1', () => process.exit(3))", 'a TCP server'],
  [false, "require('dgram').createSocket('udp4').bind(0, () => process.exit(3))", 'UDP'],
  [true, "require('dgram').createSocket('udp4').send('x', 9, '127.0.0.1', () => process.exit(3))", 'UDP that is sent where one may listen'],
  [false, "require('child_process').spawnSync(process.execPath, ['-e', " + JSON.stringify(reach) + "]).signal === 'SIGSYS' && process.kill(process.pid, 'SIGSYS')", 'a child that connects']])
  equal(node(code, listen).signal, 'SIGSYS', `killed: ${what}`);
equal(node("require('net').createServer().listen(0, '127.0.0.1', () => process.exit(4))", true).status, 4, 'one may listen where that was said');

// ---- a whole session

const w = path.join(dir, 'w'), uri = pathToFileURL(path.join(w, 'a.py')).href, text = 'from b import add\n\ndef twice(a):\n    return ';
mkdirSync(w);
writeFileSync(path.join(w, 'a.py'), text);
writeFileSync(path.join(w, 'b.py'), 'def add(a, b):\n    return a + b\n');
async function session(d, params) {
  await d.request('init', 'initialize', { ...params, workspaceFolders: [{ uri: pathToFileURL(w).href, name: 'w' }] });
  d.notify('initialized', {});
  open(d, uri, text);
  for (const method of ['textDocument/inlineCompletion', 'textDocument/completion', 'fimd/status', 'fimd/why', 'fimd/document'])
    check((await d.request(method, method, at(uri, 3, 11))).result !== undefined, `${method} is answered`);
  for (const command of ['fimd.showStatistics', 'fimd.why']) await d.request(command, 'workspace/executeCommand', { command, arguments: [] });
  d.notify('textDocument/didChange', { textDocument: { uri, version: 2 }, contentChanges: [{ range: { start: { line: 3, character: 11 }, end: { line: 3, character: 11 } }, text: 'a' }] });
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { draft: 'lookahead', unloadAfter: 0.001 } } });
  check((await d.request('typed', 'textDocument/inlineCompletion', at(uri, 3, 12, { context: { triggerKind: 1 } }))).result !== undefined, 'a request by hand is answered');
  d.notify('textDocument/didSave', { textDocument: { uri } });
  d.notify('textDocument/didClose', { textDocument: { uri } });
}
const through = (...more) => ({ program: filter, before: [...more, fimd] });
{
  const d = start(['lsp', '--trace-file', path.join(dir, 'trace.jsonl')], through());
  await session(d, initializeParams());
  equal(await finish(d), 0, 'a session on standard input and output: exit code');
}
{
  const d = start(['lsp', '--socket', path.join(dir, 's')], through());
  await session(peer(await connect(path.join(dir, 's'), d)), initializeParams());
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'a session on a socket: exit code');
}
{
  const s = await onPort(path.join(dir, 'token'), [], through('--listen'));
  await session(peer(await s.connect()), withToken(s.token));
  s.d.child.kill('SIGTERM');
  equal(await s.d.exit, 0, 'a session on a port: exit code');
}
equal(await start(['lsp', '--port', '0', '--token-file', path.join(dir, 'none')], through()).exit, 'SIGSYS', 'without --listen a port cannot be opened');

// ---- the other commands, a model's name that is not there among them

for (const words of [['help'], ['--version'], ['doctor'], ['setup', 'neovim'], ['complete', path.join(w, 'a.py'), '4:12'], ['complete', path.join(w, 'a.py'), '4:12', '--model', 'Qwen/Nothing'], ['tokenize', '--count'], ['trace', path.join(dir, 'trace.jsonl')]]) {
  const r = under([fimd, ...words]);
  equal(r.signal, null, `fimd ${words[0]}: no socket was made`);
  check(r.status === 0 || ((words[0] === 'doctor' || words.includes('Qwen/Nothing')) && r.status > 0), `fimd ${words[0]}: exit code ${r.status}`, r.stderr);
}
done();
