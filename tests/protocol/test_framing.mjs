// A recorded session fed to the daemon whole, one byte at a time and in random pieces: the same
// answers. Then headers as they should not be, and that the session goes on after them.
import net from 'node:net';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { check, done, equal, fimd, random } from './helpers/check.mjs';
import { at, begin, finish, frame, initializeParams, open, start, Wire } from './helpers/daemon.mjs';
import { onPort, withToken } from './helpers/listening.mjs';

const texts = [
  ['file:///w/fib.py', 'python', 'def fibonacci(n):\n    if n < 2:\n        return n\n    return '],
  ['file:///w/max.c', 'c', '#include <stddef.h>\n\n/* The largest of n numbers, é😀. */\nint array_max(const int *a, size_t n) {\n  int best = a[0];\n  for (size_t i = 1; '],
  ['file:///w/crlf.js', 'javascript', 'function add(a, b) {\r\n  return '],
  ['file:///w/main.go', 'go', 'package main\n\nimport "fmt"\n\nfunc main() {\n\tfmt.'],
];

// Every document is open before the first request, and none is changed after it, so the answers
// do not depend on when the model was ready or on which request the engine took first.
function session() {
  const requests = [], m = [];
  const request = (method, params) => { requests.push(`r${requests.length}`); m.push({ jsonrpc: '2.0', id: requests.at(-1), method, params }); };
  request('initialize', initializeParams({ capabilities: { general: { positionEncodings: ['utf-16'] } } }));
  m.push({ jsonrpc: '2.0', method: 'initialized', params: {} });
  for (const [uri, languageId, text] of texts) m.push({ jsonrpc: '2.0', method: 'textDocument/didOpen', params: { textDocument: { uri, languageId, version: 1, text: text.slice(0, -1) } } });
  for (const [uri, , text] of texts) {
    const lines = text.slice(0, -1).split(/\r?\n/), p = { line: lines.length - 1, character: lines.at(-1).length };
    m.push({ jsonrpc: '2.0', method: 'textDocument/didChange', params: { textDocument: { uri, version: 2 }, contentChanges: [{ range: { start: p, end: p }, text: text.at(-1) }] } });
  }
  for (const [uri, , text] of texts) {
    const lines = text.split(/\r?\n/);
    request('textDocument/inlineCompletion', at(uri, lines.length - 1, lines.at(-1).length));
  }
  request('no/such/method', { text: '\u0000\u2028é😀' });
  request('textDocument/inlineCompletion', { nonsense: [] });
  return { requests, bytes: Buffer.concat(m.map(frame)) };
}

async function play(pieces, requests) {
  const d = start();
  for (const p of pieces) await new Promise((r) => d.child.stdin.write(p, r)); // each a write of its own
  const answers = {};
  for (const id of requests) answers[id] = await d.wire.answer(id);
  const code = await finish(d);
  return { answers, code, extra: [...d.wire.counts().values()].filter((n) => n !== 1).length };
}

const { requests, bytes } = session();
const whole = await play([bytes], requests);
equal(whole.code, 0, 'whole: exit code');
equal(whole.extra, 0, 'whole: one answer each');
const shown = requests.slice(1, 1 + texts.length).map((id) => whole.answers[id].result.items.length);
check(shown.some((n) => n === 1), 'the recorded session shows completions', JSON.stringify(shown));
const single = await play([...bytes].map((b) => Buffer.from([b])), requests);
equal(single.answers, whole.answers, 'one byte at a time: the same answers');
for (let seed = 1; seed <= 3; seed++) {
  const r = random(seed), pieces = [];
  for (let i = 0; i < bytes.length;) { const n = 1 + r.int(seed * 60); pieces.push(bytes.subarray(i, i + n)); i += n; }
  equal((await play(pieces, requests)).answers, whole.answers, `random pieces ${seed}: the same answers`);
}

// ---- headers that are odd but right

const ask = (id) => JSON.stringify({ jsonrpc: '2.0', id, method: 'fimd/status' });
const odd = [
  ['lower case', (b) => `content-length: ${b.length}\r\n\r\n${b}`],
  ['no blank', (b) => `Content-Length:${b.length}\r\n\r\n${b}`],
  ['many blanks', (b) => `CONTENT-LENGTH:  \t ${b.length} \r\n\r\n${b}`],
  ['plain line ends', (b) => `Content-Length: ${b.length}\n\n${b}`],
  ['a type before', (b) => `Content-Type: application/vscode-jsonrpc; charset=utf-8\r\nContent-Length: ${b.length}\r\n\r\n${b}`],
  ['a type after', (b) => `Content-Length: ${b.length}\r\nContent-Type: application/vscode-jsonrpc; charset=utf8\r\n\r\n${b}`],
  ['an unknown header', (b) => `X-Trace: 1\r\nContent-Length: ${b.length}\r\n\r\n${b}`],
  ['the length twice', (b) => `Content-Length: ${b.length}\r\nContent-Length: ${b.length}\r\n\r\n${b}`],
  ['an empty line before', (b) => `\r\nContent-Length: ${b.length}\r\n\r\n${b}`],
];
{
  const d = await begin();
  for (const [what, make] of odd) {
    d.child.stdin.write(make(ask(what)));
    check((await d.wire.answer(what)).result !== undefined, `header with ${what}`);
  }
  equal(d.wire.messages.filter((m) => m.error).length, 0, 'odd but right headers: no error');
  equal(await finish(d), 0, 'odd headers: exit code');
}

// ---- headers that are wrong, each followed by a good message

const body = ask('lost'), good = (id) => frame(ask(id));
const wrong = [
  ['no length', `Content-Type: x\r\n\r\n${body}`],
  ['a length that is no number', `Content-Length: twelve\r\n\r\n${body}`],
  ['a negative length', `Content-Length: -5\r\n\r\n${body}`],
  ['an empty length', `Content-Length: \r\n\r\n${body}`],
  ['two lengths', `Content-Length: 10\r\nContent-Length: 11\r\n\r\n${body}`],
  ['no header at all', body],
  ['a line that is no header', `what is this\r\n\r\n${body}`],
  ['a short length', `Content-Length: ${body.length - 9}\r\n\r\n${body}`],
  ['a length that covers the next header', `Content-Length: ${body.length + 20}\r\n\r\n${body}`],
  ['a header without end', `Content-Length${'x'.repeat(20000)}`],
  ['binary rubbish', Buffer.from(Array.from({ length: 9000 }, (_, i) => (i * 7919) & 0xff))],
  ['a body that holds a header', frame(`{"jsonrpc":"2.0","x":"Content-Length: 5\\r\\n\\r\\n`)],
  ['a length of zero', 'Content-Length: 0\r\n\r\n'],
  ['a truncated body in UTF-8', frame(Buffer.from([0x22, 0xc3]))],
];
for (const [what, bad] of wrong) {
  const d = await begin();
  d.child.stdin.write(bad);
  // The next message may be swallowed (a long length covers it); the one after must get through.
  d.child.stdin.write(good('swallowed'));
  d.child.stdin.write(good('through'));
  check((await d.wire.answer('through')).result !== undefined, `after ${what}: answers again`);
  check(d.wire.messages.some((m) => m.id === null && m.error), `after ${what}: said so`);
  equal(await finish(d), 0, `after ${what}: exit code`);
}

// ---- a message over the bound, and the largest numbers

{
  const d = await begin();
  const huge = 65 * 1024 * 1024;
  d.child.stdin.write(`Content-Length: ${huge}\r\n\r\n`);
  d.child.stdin.write(Buffer.alloc(huge, 0x20));
  d.child.stdin.write(good('after'));
  check((await d.wire.answer('after')).result !== undefined, 'a message of 65 MiB is passed over');
  equal(d.wire.messages.filter((m) => m.id === null).map((m) => m.error?.code), [-32600], 'and said to be too large');
  equal(await finish(d), 0, 'too large: exit code');
}
for (const length of ['99999999999999999999999999', '18446744073709551615', '9223372036854775808']) {
  const d = await begin();
  d.child.stdin.end(`Content-Length: ${length}\r\n\r\nabc`);
  equal(await d.exit, 1, `a length of ${length}, then the end: exit code`);
}

// ---- files in the place of pipes

{
  const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
  const input = path.join(dir, 'in'), output = path.join(dir, 'out');
  writeFileSync(input, Buffer.concat([frame({ jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() }),
    frame({ jsonrpc: '2.0', id: 2, method: 'shutdown' }), frame({ jsonrpc: '2.0', method: 'exit' })]));
  const stdin = openSync(input, 'r'), stdout = openSync(output, 'w');
  const run = spawnSync(fimd, ['lsp'], { stdio: [stdin, stdout, 'inherit'], timeout: 60000 });
  closeSync(stdin); closeSync(stdout);
  equal(run.status, 0, 'standard input and output are files: exit code');
  const wire = new Wire({ on() {} });
  wire.feed(readFileSync(output));
  equal(wire.messages.map((m) => m.id), [1, 2], 'standard input and output are files: answers');
  rmSync(dir, { recursive: true });
}

// ---- a Unix socket and a port are framed alike; a port drops what is not LSP

{
  const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
  const { d, port, token } = await onPort(path.join(dir, 'token'));
  const http = net.connect(port, '127.0.0.1');
  http.on('error', () => {});
  const inside = frame({ jsonrpc: '2.0', id: 'web', method: 'initialize', params: withToken(token) });
  http.write(Buffer.concat([Buffer.from(`POST / HTTP/1.1\r\nHost: x\r\nContent-Type: text/plain\r\n\r\n`), inside]));
  const web = new Wire(http);
  await web.ended;
  check(!web.messages.some((m) => m.id === 'web' && m.result), 'a web page that posts to the port is not served');
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'the port: a signal ends it well');
  rmSync(dir, { recursive: true });
}
done();
