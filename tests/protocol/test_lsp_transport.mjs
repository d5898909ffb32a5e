// The Unix socket and the loopback port: permissions, stale files, several clients, the end.
import { existsSync, mkdtempSync, rmSync, statSync, writeFileSync, readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal } from './helpers/check.mjs';
import { answeredOnce, at, client, connect, initializeParams, peer, start } from './helpers/daemon.mjs';
import { startHeld } from './helpers/held.mjs';
import { onPort, withToken } from './helpers/listening.mjs';
import rpc from 'vscode-languageserver-protocol/node';

const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
const text = 'def fibonacci(n):\n    if n < 2:\n        return n\n    return ';

async function ready(p, params = initializeParams()) {
  await p.request('init', 'initialize', params);
  p.notify('initialized', {});
}

// ---- a socket

{
  const file = path.join(dir, 'one.sock');
  const d = start(['lsp', '--socket', file]);
  const a = peer(await connect(file, d)), b = peer(await connect(file, d));
  equal((statSync(file).mode & 0o777).toString(8), '600', 'the socket is for its owner alone');
  await Promise.all([ready(a), ready(b)]);
  const uri = 'file:///w/a.py';
  for (const [p, t] of [[a, text], [b, text.replaceAll('fibonacci', 'tribonacci')]]) p.notify('textDocument/didOpen', { textDocument: { uri, languageId: 'python', version: 1, text: t } });
  const ids = [];
  const answers = [];
  for (let i = 0; i < 10; i++) for (const p of [a, b]) {
    if (p === a) ids.push(`c${i}`);
    answers.push(p.request(`c${i}`, 'textDocument/inlineCompletion', at(uri, 3, 11)));
  }
  await Promise.all(answers);
  answeredOnce(a.wire, ids, 'two clients, the first');
  answeredOnce(b.wire, ids, 'two clients, the second');
  equal((await a.request('s', 'fimd/status')).result.clients, 2, 'both are counted');
  equal((await b.request('s', 'fimd/status')).result.documents, 1, 'each has its own documents');
  // One leaves in the middle of a request, without a word; the other is served on.
  a.send({ jsonrpc: '2.0', id: 'left', method: 'textDocument/inlineCompletion', params: at(uri, 3, 11) });
  a.socket.destroy();
  check(Array.isArray((await b.request('still', 'textDocument/inlineCompletion', at(uri, 3, 11))).result.items), 'the other client is served on');
  // One says shutdown and exit: its connection ends, the server stays.
  await b.request('bye', 'shutdown');
  b.notify('exit');
  await b.wire.ended;
  const c = client(...((s) => [s, s])(await connect(file, d)));
  const init = await c.sendRequest(rpc.InitializeRequest.type, initializeParams());
  equal(init.serverInfo.name, 'fimd', 'a later client is served');
  // A second server on the same socket is refused; this one stays.
  const second = start(['lsp', '--socket', file]);
  equal(await second.exit, 2, 'a second server on the socket: exit code');
  check(/another server listens/.test(second.stderr), 'and why', second.stderr);
  check(await c.sendRequest('fimd/status') !== undefined, 'the first one goes on');
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'a signal ends the socket server: exit code');
  check(!existsSync(file), 'its file is gone');
}
{
  const file = path.join(dir, 'stale.sock');
  const dead = start(['lsp', '--socket', file]);
  (await connect(file, dead)).destroy();
  dead.child.kill('SIGKILL');
  await dead.exit;
  check(existsSync(file), 'a killed server leaves its file');
  const d = start(['lsp', '--socket', file]);
  const a = peer(await connect(file, d));
  await ready(a);
  check((await a.request(1, 'fimd/status')).result !== undefined, 'a stale socket is replaced');
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'stale: exit code');
}
{
  const file = path.join(dir, 'notes.txt');
  writeFileSync(file, 'mine');
  const d = start(['lsp', '--socket', file]);
  equal(await d.exit, 2, 'a file in the place of the socket: exit code');
  equal(readFileSync(file, 'utf8'), 'mine', 'and it is left alone');
  for (const bad of [path.join(dir, 'no/such/folder/x.sock'), path.join(dir, 'x'.repeat(120))]) {
    const e = start(['lsp', '--socket', bad]);
    equal(await e.exit, 2, 'a path that cannot be: exit code');
    check(e.stderr.length > 0, 'a path that cannot be: why');
  }
}

// A client comes while the model works for another one: neither it nor the first waits for that.
{
  const file = path.join(dir, 'held.sock');
  const d = startHeld(['lsp', '--socket', file]);
  const a = peer(await connect(file, d));
  await ready(a);
  a.notify('textDocument/didOpen', { textDocument: { uri: 'file:///w/a.py', languageId: 'python', version: 1, text } });
  await d.hold('step');
  const held = a.request('held', 'textDocument/inlineCompletion', at('file:///w/a.py', 3, 11));
  await d.at('step');
  const b = peer(await connect(file, d));
  await ready(b);
  b.notify('textDocument/didOpen', { textDocument: { uri: 'file:///w/b.py', languageId: 'python', version: 1, text } });
  const asked = b.request('asked', 'textDocument/inlineCompletion', at('file:///w/b.py', 3, 11));
  equal((await b.request(1, 'fimd/status')).result.requests, 1, 'a client that comes meanwhile is served');
  equal((await a.request(1, 'fimd/status')).result.requests, 1, 'and so is the first');
  d.go('step');
  check((await held).result.items.length === 1 && (await asked).result.items.length === 1, 'then both have their text');
  // Gone before there is anything to complete with.
  await d.hold('step');
  a.notify('textDocument/didOpen', { textDocument: { uri: 'file:///w/a2.py', languageId: 'python', version: 1, text: text.replaceAll('fibonacci', 'other') } });
  const again = a.request('again', 'textDocument/inlineCompletion', at('file:///w/a2.py', 3, 11));
  await d.at('step');
  const c = peer(await connect(file, d));
  await ready(c);
  c.socket.destroy();
  b.socket.destroy();
  await a.request('seen', 'fimd/status');
  d.go('step');
  await again;
  while ((await a.request(`s${Math.random()}`, 'fimd/status')).result.clients > 1);
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'several clients, held: exit code');
}

// ---- a port

{
  const { d, port, token, connect: come } = await onPort(path.join(dir, 'crowd.token'));
  const a = peer(await come());
  await ready(a, withToken(token));
  check((await a.request(1, 'fimd/status')).result !== undefined, 'the port is served');
  // Listening nowhere else: the kernel's table has the port for 127.0.0.1 (0100007F) alone.
  const hex = port.toString(16).toUpperCase().padStart(4, '0');
  const tables = await Promise.all(['tcp', 'tcp6'].map((t) => readFile(`/proc/net/${t}`, 'utf8').catch(() => '')));
  const listening = tables.join('\n').split('\n').map((l) => l.trim().split(/\s+/)).filter((f) => f[3] === '0A' && f[1]?.endsWith(`:${hex}`)).map((f) => f[1]);
  equal(listening, [`0100007F:${hex}`], 'on loopback alone');
  const taken = start(['lsp', '--port', String(port), '--token-file', path.join(dir, 'taken.token')]);
  equal(await taken.exit, 2, 'a port that is taken: exit code');
  // More clients than are served: the last is let go, the first is served on.
  const crowd = [];
  for (let i = 0; i < 16; i++) crowd.push(peer(await come()));
  await crowd.at(-1).wire.ended;
  check((await a.request(2, 'fimd/status')).result.clients === 16, 'no more than 16 clients are served');
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'a signal ends the port server: exit code');
}
rmSync(dir, { recursive: true });
done();
