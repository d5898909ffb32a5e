// The stated bounds, each reached (LIMITS.md): what happens there is said, and the next request
// works. What large files and long lines cost is printed, not asserted.
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal } from './helpers/check.mjs';
import { answeredOnce, at, begin, finish, frame, initializeParams, open, start, Wire } from './helpers/daemon.mjs';

const MIB = 1 << 20;
const options = { initializationOptions: { fimd: { maxTokens: 8, debounce: 0 } } };
const code = 'def fibonacci(n):\n    if n < 2:\n        return n\n    return ';
const uri = 'file:///w/a.py';
const items = (m) => m.result?.items;
const works = async (d, id, what) => check(items(await d.request(id, 'textDocument/inlineCompletion', at(uri, 3, 11)))?.length > 0, `${what}: the next request works`);

// ---- messages

{
  const d = await begin(options);
  open(d, uri, code);
  await works(d, 'first', 'at first');
  // A whole message of exactly 64 MiB, and of a byte more.
  const sized = (id, method, bytes) => {
    const head = `{"jsonrpc":"2.0","id":"${id}","method":"${method}","params":{"x":"`, tail = '"}}';
    return Buffer.concat([Buffer.from(head), Buffer.alloc(bytes - head.length - tail.length, 'x'), Buffer.from(tail)]);
  };
  d.child.stdin.write(frame(sized('full', 'fimd/status', 64 * MIB)));
  check((await d.wire.answer('full')).result?.version !== undefined, 'a message of 64 MiB is taken');
  d.child.stdin.write(frame(sized('over', 'fimd/status', 64 * MIB + 1)));
  const over = await d.wire.answer('over');
  equal(over.error?.code, -32600, 'one of a byte more is refused, under its own id');
  check(/64 MiB/.test(over.error?.message), 'and why', over.error?.message);
  await works(d, 'after', 'after it');
  // What it would have changed is not known any more, until the whole text comes; all else is.
  open(d, 'file:///w/b.py', code);
  const change = `{"jsonrpc":"2.0","method":"textDocument/didChange","params":{"textDocument":{"uri":"${uri}","version":2},"contentChanges":[{"text":"`;
  d.child.stdin.write(frame(Buffer.concat([Buffer.from(change), Buffer.alloc(64 * MIB, 'x'), Buffer.from('"}]}}')])));
  equal(items(await d.request('lost', 'textDocument/inlineCompletion', at(uri, 3, 11))), [], 'a document whose edit was too large is not completed');
  check(items(await d.request('other', 'textDocument/inlineCompletion', at('file:///w/b.py', 3, 11)))?.length > 0, 'another one is');
  check(d.wire.messages.some((m) => m.method === 'window/logMessage' && m.params.message.includes(uri) && /64 MiB/.test(m.params.message)), 'and it is said');
  d.notify('textDocument/didChange', { textDocument: { uri, version: 3 }, contentChanges: [{ text: code }] });
  await works(d, 'again', 'after the whole text');

  // A header that never ends: said once.
  const before = d.wire.messages.length;
  for (let i = 0; i < 64; i++) d.child.stdin.write(Buffer.alloc(16384, 'x'));
  d.child.stdin.write('\r\n\r\n');
  await works(d, 'headed', 'a header of 1 MiB');
  equal(d.wire.messages.slice(before).filter((m) => m.id === null && m.error).length, 1, 'it is said once');

  // Containers within each other.
  const nested = (n) => `{"jsonrpc":"2.0","id":"deep${n}","method":"fimd/status","params":${'['.repeat(n - 1)}${']'.repeat(n - 1)}}`;
  d.child.stdin.write(frame(nested(512)));
  check((await d.wire.answer('deep512')).result !== undefined, 'a depth of 512 is read');
  d.child.stdin.write(frame(nested(513)));
  equal((await d.wire.answer('deep513')).error?.code, -32600, 'a depth of 513 is refused, under its own id');
  d.child.stdin.write(frame('['.repeat(MIB)));
  await works(d, 'deeper', 'a million brackets');
  equal(await finish(d), 0, 'messages: exit code');
}

// ---- many

{
  const d = await begin(options);
  open(d, uri, code);
  const ids = [];
  for (let i = 0; i < 10000; i++) {
    ids.push(`q${i}`);
    d.send({ jsonrpc: '2.0', id: `q${i}`, method: i % 2 ? 'textDocument/completion' : 'textDocument/inlineCompletion', params: at(uri, 3, 11) });
  }
  await Promise.all(ids.map((id) => d.wire.answer(id)));
  await works(d, 'next', '10,000 requests at once');
  answeredOnce(d.wire, ids, '10,000 requests at once');
  for (let i = 0; i < 5000; i++) open(d, `file:///w/many${i}.py`, `${code}\n# ${i}\n`);
  equal((await d.request('s', 'fimd/status')).result.documents, 4096, '5,000 documents: 4,096 are kept');
  check(d.wire.messages.some((m) => m.method === 'window/logMessage' && /many4999\.py is left out/.test(m.params.message)), 'the others are named');
  await works(d, 'last', '5,000 documents');
  for (let i = 0; i < 5000; i++) d.notify('textDocument/didClose', { textDocument: { uri: `file:///w/many${i}.py` } });
  equal((await d.request('t', 'fimd/status')).result.documents, 1, 'and closed');
  // 256 MiB of text: what goes beyond is left out, or not applied.
  const big = 'x'.repeat(60 * MIB), log = (re) => d.wire.messages.some((m) => m.method === 'window/logMessage' && re.test(m.params.message));
  for (let i = 0; i < 5; i++) open(d, `file:///w/big${i}.txt`, big, 'plaintext');
  equal((await d.request('u', 'fimd/status')).result.documents, 5, 'texts of 256 MiB together');
  check(log(/come to 240 MiB; .*big4\.txt is left out/), 'the one beyond is named');
  d.notify('textDocument/didChange', { textDocument: { uri: 'file:///w/big0.txt', version: 2 }, contentChanges: [{ range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }, text: big.slice(0, 20 * MIB) }] });
  await works(d, 'full', 'texts of 256 MiB');
  check(log(/big0\.txt: the open documents are too large together/), 'an edit beyond is not applied, and it is said');
  for (let i = 0; i < 4; i++) d.notify('textDocument/didClose', { textDocument: { uri: `file:///w/big${i}.txt` } });
  open(d, 'file:///w/big4.txt', big, 'plaintext');
  equal((await d.request('v', 'fimd/status')).result.documents, 2, 'when they are closed there is room again');
  const folders = Array.from({ length: 100 }, (_, i) => ({ uri: `file:///no/such/folder${i}`, name: `${i}` }));
  d.notify('workspace/didChangeWorkspaceFolders', { event: { added: folders, removed: [] } });
  await works(d, 'folders', '100 folders');
  check(log(/^64 folders are open; .*folder99 is left out/), '64 folders are kept, the others named');
  equal(await finish(d), 0, 'many: exit code');
}

// ---- large texts

async function typed(name, language, text, line, character, insert) {
  const d = await begin({ ...options, capabilities: { general: { positionEncodings: ['utf-16'] } } });
  const where = `file:///w/${name}`, times = [];
  let version = 1, column = character, now = performance.now();
  const took = (what) => { times.push(`${what} ${(performance.now() - now).toFixed(0)}`); now = performance.now(); };
  open(d, where, text, language);
  await d.request('opened', 'fimd/status');
  took('open');
  for (const [i, c] of [...insert].entries()) {
    now = performance.now();
    d.notify('textDocument/didChange', { textDocument: { uri: where, version: ++version }, contentChanges: [{ range: { start: { line, character: column }, end: { line, character: column } }, text: c }] });
    column++;
    await d.request(`synced${i}`, 'fimd/status');
    took('edit');
    const m = await d.request(`key${i}`, 'textDocument/inlineCompletion', at(where, line, column));
    check(items(m) !== undefined, `${name}: key ${i} is answered`, JSON.stringify(m).slice(0, 300));
    took('answer');
    const { result } = await d.request(`why${i}`, 'fimd/why', { uri: where });
    times.push(`(${result.outcome} ${result.quiet} context ${result.ms.context.toFixed(0)} prompt ${result.ms.prompt.toFixed(0)} prefill ${result.ms.prefill.toFixed(0)} gate ${result.ms.gate.toFixed(0)} total ${result.ms.total.toFixed(0)})`);
  }
  console.log(`${name}: ${text.length} bytes, ms: ${times.join(', ')}`);
  equal(await finish(d), 0, `${name}: exit code`);
}
{
  const lines = Array.from({ length: 200000 }, (_, i) => (i % 10 === 0 ? `def f${i}(a, b):` : `    a = a + b * ${i}`));
  lines[100003] = '    ';
  await typed('long.py', 'python', lines.join('\n'), 100003, 4, 'retu');
  const few = lines.slice(90000, 120000);
  await typed('less.py', 'python', few.join('\n'), 10003, 4, 'retu');
  const data = `const data = [${Array.from({ length: 5 * MIB / 8 }, (_, i) => `"v${String(i % 10000).padStart(4, '0')}"`).join(',')}];`;
  await typed('line.js', 'javascript', `${data}\nfunction total(a) {\n  \n}\n`, 0, data.length - 2, ', 1');
  await typed('below.js', 'javascript', `${data}\nfunction total(a) {\n  \n}\n`, 2, 2, 'ret');
  const wide = `// ${'é😀 '.repeat(5 * MIB / 8)}`;
  await typed('wide.js', 'javascript', `${wide}\nlet a = 1;\n`, 0, wide.length - 5, 'abc');
  await typed('shut.py', 'python', `x = ${'('.repeat(MIB)}\n`, 0, 500000, '(1');
}

// ---- a client that never reads

{
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-')), file = path.join(dir, 's.sock');
  const d = start(['lsp', '--socket', file]);
  const connect = async () => {
    for (;;) {
      const s = net.connect(file);
      if (await new Promise((resolve) => { s.once('connect', () => resolve(true)); s.once('error', () => resolve(false)); })) return s;
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  const deaf = await connect(), other = await connect();
  let gone = false;
  deaf.on('error', () => { gone = true; });
  deaf.on('close', () => { gone = true; });
  deaf.pause();
  const id = 'x'.repeat(MIB);
  // Its queue is full after 64 answers of 1 MiB; it then is let go.
  for (let i = 0; i < 200 && !gone; i++)
    await new Promise((resolve) => { deaf.write(frame({ jsonrpc: '2.0', id: `${i}${id}`, method: 'no/such' }), resolve); });
  const wire = new Wire(other);
  other.on('error', () => {});
  const ask = (n, method, params) => { other.write(frame({ jsonrpc: '2.0', id: n, method, params })); return wire.answer(n); };
  await ask(1, 'initialize', initializeParams(options));
  for (let n = 2; ; n++) if ((await ask(n, 'fimd/status')).result.clients === 1) break; // it is gone
  check(/does not read/.test(d.stderr), 'a client that never reads is let go, and why', d.stderr);
  other.write(frame({ jsonrpc: '2.0', method: 'textDocument/didOpen', params: { textDocument: { uri, languageId: 'python', version: 1, text: code } } }));
  check((await ask('c', 'textDocument/inlineCompletion', at(uri, 3, 11))).result?.items?.length > 0, 'the other client is served on');
  deaf.destroy();
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'sockets: exit code');
  fs.rmSync(dir, { recursive: true });
}
done();
