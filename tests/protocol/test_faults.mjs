// What goes wrong around the daemon: a disk that is full under the recording, a model that is gone,
// standard streams that are closed or not read, too few descriptors. It says what to do, and where it
// can it goes on completing.
import { spawnSync } from 'node:child_process';
import { closeSync, constants, copyFileSync, mkdtempSync, openSync, readFileSync, readdirSync, rmSync, statSync, writeSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, fimd, root } from './helpers/check.mjs';
import { at, begin, connect, finish, initializeParams, open, peer, start } from './helpers/daemon.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const inside = (name) => path.join(dir, name);
const uri = 'file:///w/a.py', text = 'def add(a, b):\n    return ';
let asked = 0;
async function completes(d, what) {
  const answer = await d.request(`c${++asked}`, 'textDocument/inlineCompletion', at(uri, 1, 11));
  return check(answer.result?.items?.length === 1, `${what}: it completes`, JSON.stringify(answer));
}

// The daemon behind a shell that takes something away first. What `start` gives, and `ready`.
function limited(prelude, args, stdio = ['pipe', 'pipe', 'pipe']) {
  const env = { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' }; // to look for them takes what was taken away
  if (process.env.SANITIZE === 'thread') env.TMPDIR = '/nowhere'; // before main its library writes a file there, if it can
  const d = start(args, { stdio, env, program: 'bash', before: ['-c', `${prelude}; exec "$@"`, 'bash', fimd] });
  d.ready = async () => {
    const init = await d.request('init', 'initialize', initializeParams());
    d.notify('initialized', {});
    open(d, uri, text);
    return init.result;
  };
  return d;
}

// ---- the recording's disk is full: one message, and it goes on. /dev/full is never taken.

for (const blocks of [1, 0]) {
  const file = inside(`trace${blocks}.jsonl`);
  const d = limited(`ulimit -f ${blocks}`, ['lsp', '--trace-file', file]);
  await d.ready();
  for (let i = 0; i < 3; i++) await completes(d, `a recording of ${blocks} KiB at most`);
  equal(await finish(d), 0, 'a full disk: exit code');
  equal(d.stderr.match(/the recording ends here: .*; completions go on\n/g)?.length, 1, `a full disk: one message, and not ${d.stderr}`);
  check(statSync(file).size <= 1024 * blocks, 'a full disk: no more than fits');
}
{
  const d = start(['lsp', '--trace-file', '/dev/full']);
  equal(await d.exit, 2, 'recording to /dev/full: exit code');
  check(/cannot record to \/dev\/full: there is a file already/.test(d.stderr), 'recording to /dev/full: why', d.stderr);
}
{
  const d = limited('ulimit -f 0', ['lsp', '--port', '0', '--token-file', inside('token')]);
  equal(await d.exit, 2, 'no room for the token: exit code');
  check(/cannot write the token to .*name another file with --token-file/.test(d.stderr), 'no room for the token: why', d.stderr);
  check(!readdirSync(dir).some((f) => f.startsWith('token')), 'no room for the token: nothing is left');
}

// ---- the model is gone: the client is told once, and requests are answered

{
  const d = await begin({}, ['lsp', '--model', inside('gone.gguf')]);
  const shown = await d.wire.notification('window/showMessage');
  check(/gone\.gguf: there is no such file.*--model.*restart/.test(shown.params.message), 'a model that is gone: what to do', shown.params.message);
  open(d, uri, text);
  const a = await d.request('a', 'textDocument/inlineCompletion', at(uri, 1, 11));
  check(a.error || a.result?.items?.length === 0, 'a model that is gone: the request is answered', JSON.stringify(a));
  equal((await d.request('doc', 'fimd/document', { textDocument: { uri } })).result.bytes, text.length, 'a model that is gone: the document is kept');
  equal(d.wire.messages.filter((m) => m.method === 'window/showMessage').length, 1, 'a model that is gone: one message');
  equal(await finish(d), 0, 'a model that is gone: exit code');
}
{ // Removed while it is used, and loaded again after it was given back: the file is mapped still.
  const model = inside('model.gguf');
  copyFileSync(path.join(root, 'engine/models/fimd-mini-31m-q8_0.gguf'), model);
  const d = await begin({}, ['lsp', '--model', model, '--unload-after', '0.0005']);
  open(d, uri, text);
  await completes(d, 'before the model is removed');
  rmSync(model);
  while ((await d.request(`u${++asked}`, 'fimd/status')).result.model.unloads < 1);
  d.notify('textDocument/didChange', { textDocument: { uri, version: 2 }, contentChanges: [{ text: `x = 1\n\n${text}` }] });
  const a = await d.request('again', 'textDocument/inlineCompletion', at(uri, 3, 11));
  check((await d.request('loads', 'fimd/status')).result.model.loads > 1, 'the model is removed: it was loaded again');
  check(a.result?.items !== undefined, 'the model is removed and loaded again: it completes', JSON.stringify(a));
  equal(await finish(d), 0, 'the model is removed: exit code');
}

// ---- standard streams that are closed

for (const [closing, words] of [['0<&-', /standard input or output is closed; an editor starts fimd/], ['1>&-', /standard input or output is closed/]]) {
  const d = limited(`exec ${closing}`, ['lsp']);
  equal(await d.exit, 2, `started with ${closing}: exit code`);
  check(words.test(d.stderr), `started with ${closing}: why`, d.stderr);
}
{ // Nothing that belongs on standard error gets into a file that took its number.
  const d = limited('ulimit -f 1; exec 2>&-', ['lsp', '--trace-file', inside('closed.jsonl')]);
  await d.ready();
  await completes(d, 'without standard error');
  equal(await finish(d), 0, 'without standard error: exit code');
  check(!readFileSync(inside('closed.jsonl'), 'utf8').includes('fimd: '), 'without standard error: the recording has no words');
}
{ // The reader of our output is gone: an end like any other, no signal.
  const d = await begin();
  d.child.stdout.destroy();
  for (let i = 0; i < 50; i++) d.send({ jsonrpc: '2.0', id: i, method: 'fimd/status' });
  equal(await d.exit, 1, 'nobody reads standard output: exit code');
}
{ // Standard error is a pipe that nobody reads and that is full: the daemon does not wait for it.
  equal(spawnSync('mkfifo', [inside('stderr')]).status, 0, 'mkfifo');
  const unread = openSync(inside('stderr'), constants.O_RDWR | constants.O_NONBLOCK), full = openSync(inside('stderr'), constants.O_WRONLY);
  for (const size of [4096, 1]) try { for (;;) writeSync(unread, Buffer.alloc(size)); } catch (e) { equal(e.code, 'EAGAIN', 'it is full'); }
  const d = limited(':', ['lsp', '--socket', inside('s')], ['pipe', 'pipe', full]);
  for (let i = 0; i < 5; i++) { // each leaves in the middle of a message, and the daemon would say so
    const p = peer(await connect(inside('s'), d));
    p.socket.write('Content-Length: 9\r\n\r\n{');
    p.socket.end();
    await p.wire.ended;
  }
  const p = peer(await connect(inside('s'), d));
  check((await p.request(1, 'initialize', initializeParams())).result, 'standard error is full: clients are served');
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'standard error is full: exit code');
  closeSync(unread);
  closeSync(full);
}

// ---- too few descriptors: it starts and completes, or says what to do

{
  let served = 0, refused = 0;
  for (const n of [6, 9, 11, 13, 15, 18, 24]) {
    const d = limited(`ulimit -n ${n}`, ['lsp', '--backend', 'cpu']);
    const first = await Promise.race([d.ready().catch(() => null), d.exit.then(() => null)]);
    if (first) {
      served++;
      await completes(d, `with ${n} descriptors`);
      equal(await finish(d), 0, `with ${n} descriptors: exit code`);
    } else {
      refused++;
      check([2, 127, 1].includes(await d.exit), `with ${n} descriptors: exit code`, await d.exit);
      check(/too many open files; allow more with ulimit -n|cannot open shared object|error while loading/i.test(d.stderr), `with ${n} descriptors: what to do`, d.stderr);
    }
  }
  check(served > 0 && refused > 0, `both were seen: ${served} served, ${refused} refused`);
}
{ // A server that has no descriptor for another client lets it go and serves the others on.
  const d = limited('ulimit -n 20', ['lsp', '--socket', inside('few')]);
  const first = peer(await connect(inside('few'), d));
  await first.request(1, 'initialize', initializeParams());
  const crowd = [];
  for (let i = 0; i < 15; i++) crowd.push(peer(await connect(inside('few'), d)));
  await Promise.race(crowd.map((p) => p.wire.ended));
  check((await first.request(2, 'fimd/status')).result.clients < 16, 'clients without a descriptor are let go');
  for (const p of crowd) p.socket.destroy();
  check((await first.request(3, 'fimd/status')).result !== undefined, 'and the first is served on');
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'few descriptors: exit code');
}
done();
