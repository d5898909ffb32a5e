// The end, at every moment of a request's life, on standard input and output: each way to end a
// session against each moment (helpers/moments.mjs), a daemon for each cell. The request is answered
// once, the daemon ends with the right code, and while the model is still being loaded it ends
// without waiting for that. And what is said too early or too late.
//
// MOMENTS in the environment: all: the whole table, else a part in which each moment and each way
// comes.
import { mkdtempSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal } from './helpers/check.mjs';
import { at, connect, initializeParams, peer, start } from './helpers/daemon.mjs';
import { startHeld } from './helpers/held.mjs';
import { CANCELLED, Client, INLINE, box, end, moments, uri } from './helpers/moments.mjs';

const code = (m) => m?.error?.code;
// Without a divisor in common with the number of ways, so that each row and column is met.
const all = process.env.MOMENTS === 'all', stride = process.env.SANITIZE ? 7 : 3;

const shutDown = async (c) => {
  equal((await c.ask('bye', undefined, 'shutdown')).result, null, `${c.cell}: shutdown`);
  equal(c.answers('r').length, c.r ? 1 : 0, `${c.cell}: what was asked before is answered before`);
};
const ways = {
  'shutdown, exit': { code: 0, async act(c) { await shutDown(c); c.notify('exit'); } },
  'shutdown, the end of input': { code: 0, async act(c) { await shutDown(c); c.d.child.stdin.end(); } },
  'shutdown, a signal': { code: 0, async act(c) { await shutDown(c); c.d.child.kill('SIGTERM'); } },
  'exit': { code: 1, act(c) { c.notify('exit'); } },
  'the end of input': { code: 1, act(c) { c.d.child.stdin.end(); } },
  'the end of input in a message': { code: 1, act(c) { c.d.child.stdin.end('Content-Length: 99\r\n\r\n{"jsonrpc"'); } },
  'a signal': { code: 1, act(c) { c.d.child.kill('SIGTERM'); } },
  'nobody reads': { code: 1, deaf: true, act(c) { c.d.child.stdout.destroy(); c.ask('unread', undefined, 'fimd/status'); } },
};

const loading = {
  hold: 'load',
  async reach(c) { c.openHere(); c.r = c.ask('r'); await c.status(); },
  release() {}, // the end waits for nothing
};

async function cell(name, m, w) {
  const d = startHeld(['lsp'], m.hold), c = new Client(d, d);
  c.cell = name;
  d.send({ jsonrpc: '2.0', id: 'init', method: 'initialize', params: initializeParams({ initializationOptions: { fimd: { maxTokens: 12, debounce: 0, streaming: m.streams === true } } }) });
  await d.wire.answer('init');
  d.notify('initialized', {});
  await m.reach(c);
  await w.act(c);
  const answers = d.wire.ended.then(() => c.answers('r').map(code));
  if (!w.deaf && !m.before) { await c.r; equal(c.answers('r').map(code), [CANCELLED], `${name}: answered at once`); }
  m.release(c);
  equal(await d.exit, w.code, `${name}: exit code`);
  if (w.deaf) return;
  equal((await answers).length, 1, `${name}: one answer`);
  const counts = d.wire.counts(), odd = c.ids.filter((id) => counts.get(id) !== 1);
  check(odd.length === 0 && counts.size === c.ids.length, `${name}: one answer for each of ${c.ids.length} requests`, JSON.stringify([...counts]));
}

let met = 0, cells = 0;
for (const [moment, m] of [['waits for the model', loading], ...Object.entries(moments).filter(([, it]) => !it.needsWitness)])
  for (const [way, w] of Object.entries(ways)) {
    if (!all && met++ % stride !== 0) continue;
    await cell(`a request that ${moment}; ${way}`, m, w);
    cells++;
  }

// ---- while the model is loaded: many clients, each with something else

const close = (c) => c.notify('textDocument/didClose', { textDocument: { uri } });
const early = {
  'nothing': { result: true, act() {} },
  'cancelled': { act(c) { c.notify('$/cancelRequest', { id: 'r' }); } },
  'changed': { act(c) { c.put('\n@'); } },
  'closed': { act: close },
  'closed and opened': { act(c) { close(c); c.openHere(); } },
  'opened anew': { act(c) { c.openHere(); } },
  'asked again': { again: true, act(c) { c.ask('again'); } },
  'its folder is removed': { result: true, act(c) { c.notify('workspace/didChangeWorkspaceFolders', { event: { added: [], removed: [{ uri: 'file:///w', name: 'w' }] } }); } },
  'a setting changes': { result: true, act(c) { c.notify('workspace/didChangeConfiguration', { settings: { fimd: { maxTokens: 8, debounce: 0 } } }); } },
  'initialize again': { result: true, async act(c) { equal(code(await c.ask('init 2', initializeParams(), 'initialize')), -32600, 'while loading: a second initialize'); } },
  'shutdown': { gone: true, async act(c) { await shutDown(c); c.notify('exit'); await c.wire.ended; } },
  'no more input': { gone: true, async act(c) { c.p.socket.end(); await c.wire.ended; } },
  'cut': { cut: true, act(c) { c.p.socket.destroy(); } },
};
{
  const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-')), file = path.join(dir, 'sock');
  const d = startHeld(['lsp', '--socket', file], 'load'), clients = [];
  for (const [name, e] of Object.entries(early)) {
    const c = new Client(peer(await connect(file, d)), d);
    Object.assign(c, { cell: `while loading: ${name}`, e });
    c.p.send({ jsonrpc: '2.0', id: 'init', method: 'initialize', params: initializeParams({ workspaceFolders: [{ uri: 'file:///w', name: 'w' }], initializationOptions: { fimd: { maxTokens: 12, debounce: 0 } } }) });
    await c.wire.answer('init');
    c.notify('initialized', {});
    c.openHere();
    c.r = c.ask('r');
    await c.status();
    clients.push(c);
  }
  for (const c of clients) {
    await c.e.act(c);
    if (c.e.cut) continue;
    if (!c.e.gone) await c.status();
    equal(c.answers('r').map(code), c.e.result ? [] : [CANCELLED], `${c.cell}: at once`);
  }
  for (;;) if ((await clients[0].status()).clients === clients.filter((c) => !c.e.gone && !c.e.cut).length) break;
  d.go('load');
  for (const c of clients.filter((it) => !it.e.cut)) {
    if (c.e.result) check((await c.r).result?.items.length === 1, `${c.cell}: answered`);
    if (c.e.again) check((await c.wire.answer('again')).result?.items.length === 1, `${c.cell}: the new one is answered`);
    if (!c.e.gone) await c.status();
    const counts = c.wire.counts(), odd = c.ids.filter((id) => counts.get(id) !== 1);
    check(odd.length === 0 && counts.size === c.ids.length, `${c.cell}: one answer for each request`, JSON.stringify([...counts]));
  }
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'while loading: exit code');
  rmSync(dir, { recursive: true });
}

// ---- too early, too late

{
  const methods = [[INLINE, at(uri, 0, 0)], ['textDocument/completion', at(uri, 0, 0)], ['fimd/status'], ['fimd/why'], ['workspace/executeCommand', { command: 'fimd.why' }], ['no/such'], ['$/no/such']];
  const notifications = (c) => {
    c.openHere();
    c.put('x');
    c.notify('$/cancelRequest', { id: 'r' });
    c.notify('workspace/didChangeConfiguration', { settings: { fimd: { enable: false } } });
    c.notify('initialized', {});
    c.notify('textDocument/didClose', { textDocument: { uri } });
  };
  const d = start(), c = new Client(d, d);
  notifications(c);
  for (const [method, params] of [...methods, ['shutdown']]) equal(code(await c.ask(`early ${method}`, params, method)), -32002, `before initialize: ${method}`);
  equal(d.wire.messages.filter((m) => m.method !== undefined).length, 0, 'before initialize: no word');
  c.ids.push('init');
  c.ids.shift();
  await d.request('init', 'initialize', initializeParams());
  equal((await c.status()).documents, 0, 'what was opened before is not there');
  equal(code(await c.ask('init 2', initializeParams(), 'initialize')), -32600, 'a second initialize');
  c.text = box;
  c.openHere();
  await shutDown(Object.assign(c, { cell: 'too late' }));
  const from = d.wire.messages.length;
  notifications(c);
  for (const [method, params] of [...methods, ['shutdown'], ['initialize', initializeParams()]]) equal(code(await c.ask(`late ${method}`, params, method)), -32600, `after shutdown: ${method}`);
  equal(d.wire.messages.slice(from).filter((m) => m.method !== undefined).length, 0, 'after shutdown: no word');
  d.notify('exit');
  equal(await d.exit, 0, 'too early, too late: exit code');
  check([...d.wire.counts().values()].every((n) => n === 1) && c.ids.length === d.wire.counts().size, 'too early, too late: one answer for each request');
}
console.log(`${cells} cells`);
done();
