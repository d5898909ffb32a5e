// Sessions as editors have them, with npm vscode-languageserver-protocol: open, type, complete,
// cancel at every moment, supersede, change, close, shut down. Exactly one answer per request,
// and the right exit code.
import { spawn } from 'node:child_process';
import { check, done, equal } from './helpers/check.mjs';
import { answeredOnce, at, begin, client, finish, frame, initializeParams, open, slow, start } from './helpers/daemon.mjs';
import rpc from 'vscode-languageserver-protocol/node';

const CANCELLED = -32800;
const fibonacci = 'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n    if n < 2:\n        return n\n    return ';
const end = (text) => { const l = text.split('\n'); return [l.length - 1, l.at(-1).length]; };
// Some code long enough that its prefill takes a while.
const long = (seed) => Array.from({ length: 150 }, (_, i) => `def handler_${seed}_${i}(request):\n    return render(request, "page_${i}.html", {"id": ${i * seed}})\n`).join('\n') + '\ndef handler_last(request):\n    ';
const code = (m) => m.error?.code;

// ---- with the protocol client: type, complete, shut down

{
  const d = start(), c = client(d.child.stdout, d.child.stdin);
  const progress = [], created = [];
  c.onRequest(rpc.WorkDoneProgressCreateRequest.type, (p) => { created.push(p.token); });
  c.onProgress(rpc.WorkDoneProgress.type, 'fimd/model', (v) => progress.push(v));
  const init = await c.sendRequest(rpc.InitializeRequest.type, initializeParams({
    capabilities: { window: { workDoneProgress: true }, general: { positionEncodings: ['utf-16'] } },
    workspaceFolders: [{ uri: 'file:///w', name: 'w' }],
  }));
  equal(init.capabilities.positionEncoding, 'utf-16', 'the encoding is the one offered');
  equal(init.capabilities.textDocumentSync, { openClose: true, change: 2, save: true }, 'incremental sync');
  equal(init.capabilities.inlineCompletionProvider, true, 'inline completions are offered');
  equal(init.capabilities.executeCommandProvider.commands, ['fimd.showStatistics', 'fimd.why'], 'the commands are offered');
  equal(init.serverInfo.name, 'fimd', 'serverInfo');
  await c.sendNotification(rpc.InitializedNotification.type, {});
  const uri = 'file:///w/fib.py';
  await c.sendNotification(rpc.DidOpenTextDocumentNotification.type, { textDocument: { uri, languageId: 'python', version: 1, text: '' } });
  let version = 1, shown = 0, asked = 0;
  for (const piece of fibonacci.match(/[\s\S]{1,9}/g)) { // typed a few letters at a time
    const text = fibonacci.slice(0, fibonacci.indexOf(piece) + piece.length);
    const [line, character] = end(text.slice(0, text.length - piece.length));
    const p = { line, character };
    await c.sendNotification(rpc.DidChangeTextDocumentNotification.type, { textDocument: { uri, version: ++version }, contentChanges: [{ range: { start: p, end: p }, text: piece }] });
    const [l, ch] = end(text);
    const r = await c.sendRequest(rpc.InlineCompletionRequest.type, { ...at(uri, l, ch) });
    asked++;
    check(Array.isArray(r.items) && r.items.length <= 1, 'a list of at most one item');
    for (const i of r.items) {
      shown++;
      check(typeof i.insertText === 'string' && i.insertText.length > 0, 'insertText is a string');
      check(i.range.start.line === l && i.range.end.line === l, 'the range is on the line of the cursor', JSON.stringify(i));
      check(i.range.start.character <= ch && ch <= i.range.end.character, 'the range holds the cursor', JSON.stringify(i));
      check(!/<\|/.test(i.insertText), 'no special token is shown', i.insertText);
    }
  }
  check(shown > 0, `${shown} of ${asked} requests while typing show something`);
  const [l, ch] = end(fibonacci);
  const popup = await c.sendRequest(rpc.CompletionRequest.type, { textDocument: { uri }, position: { line: l, character: ch } });
  equal(popup.isIncomplete, true, 'the popup list is incomplete');
  const stats = await c.sendRequest(rpc.ExecuteCommandRequest.type, { command: 'fimd.showStatistics' });
  equal(Object.values(stats.inlineCompletion).reduce((a, b) => a + b), asked, 'the statistics count every request');
  const status = await c.sendRequest('fimd/status');
  equal([status.model.state, status.documents, status.requests], ['ready', 1, 0], 'fimd/status');
  if (created.length > 0) {
    equal([progress[0]?.kind, progress.at(-1)?.kind], ['begin', 'end'], 'progress begins and ends');
    check(progress.every((v, i) => i === 0 || (v.percentage ?? 100) >= progress[i - 1].percentage), 'progress only grows');
  }
  await c.sendNotification(rpc.DidCloseTextDocumentNotification.type, { textDocument: { uri } });
  equal(await c.sendRequest(rpc.ShutdownRequest.type), null, 'shutdown');
  await c.sendNotification(rpc.ExitNotification.type);
  equal(await d.exit, 0, 'exit code');
  check([...d.wire.counts().values()].every((n) => n === 1), 'typing: one answer for each request');
}

// ---- cancel in prefill and in decode, on slow kernels so that there is time for it

{
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 200, maxLines: 100 } } }, slow);
  const ids = ['init', 'bye', 'ready', 'peek'], texts = [
    'class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n',
    'def bubble_sort(a):\n    """Sort a list."""\n    n = len(a)\n    for i in range(n):\n        '];
  const ask = (id, uri, text, more) => { ids.push(id); return d.request(id, 'textDocument/inlineCompletion', at(uri, ...end(text), more)); };
  await d.wire.wait((m) => m.method === 'window/logMessage' && /is ready/.test(m.params.message), 'the model');

  // In decode: a partial result shows that tokens come.
  let decoding = 0;
  for (let i = 0; i < 6; i++) {
    const text = texts[i % 2].replace(/Stack|bubble/, `$&_${i}`), uri = `file:///w/decode${i}.py`, from = d.wire.messages.length;
    open(d, uri, text);
    const decode = ask(`decode${i}`, uri, text, { partialResultToken: `token${i}` });
    const mine = (m) => m.params?.token === `token${i}`;
    await Promise.race([d.wire.wait(mine, 'a partial result', from), decode]);
    d.notify('$/cancelRequest', { id: `decode${i}` });
    const r = await decode, parts = d.wire.messages.filter(mine);
    check(code(r) === CANCELLED || r.result, 'cancel in decode: cancelled, or done before', JSON.stringify(r));
    if (code(r) === CANCELLED) decoding++;
    if (r.result && parts.length > 0) equal(r.result.items, [], 'after partial results the answer is empty');
    for (const m of parts) check(Array.isArray(m.params.value) && m.params.value.length === 1 && m.params.value[0].range !== undefined, 'a partial result holds one item', JSON.stringify(m));
  }
  check(decoding > 0, 'some were cancelled in decode');

  // In prefill: it takes seconds here, and the engine has nothing else to do.
  open(d, 'file:///w/long.py', long(3));
  const prefill = ask('prefill', 'file:///w/long.py', long(3));
  await d.request('ready', 'fimd/status');
  equal((await d.request('peek', 'fimd/status')).result.requests, 1, 'one request is under way');
  d.notify('$/cancelRequest', { id: 'prefill' });
  equal(code(await prefill), CANCELLED, 'cancel in prefill');
  equal(await finish(d), 0, 'cancels on slow kernels: exit code');
  answeredOnce(d.wire, ids, 'cancels in prefill and decode');
}

// ---- cancel while queued and after the answer; supersede, change, close

{
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 200, maxLines: 100 } } });
  const [a, b, c] = ['file:///w/a.py', 'file:///w/b.py', 'file:///w/c.py'];
  const ids = [];
  const ask = (id, uri, text, more) => { ids.push(id); return d.request(id, 'textDocument/inlineCompletion', at(uri, ...end(text), more)); };
  const cancel = (id) => d.notify('$/cancelRequest', { id });
  open(d, a, long(3)); open(d, b, long(5)); open(d, c, fibonacci);
  await ask('warm', c, fibonacci);

  // Queued: b waits for a on the engine thread.
  const running = ask('running', a, long(3)), queued = ask('queued', b, long(5));
  cancel('queued');
  equal(code(await queued), CANCELLED, 'cancel while queued');
  cancel('running');
  equal(code(await running), CANCELLED, 'cancel while it runs');

  // After the answer, of nothing, and of what never was: no answer, no harm.
  await ask('after', c, fibonacci);
  cancel('after'); cancel('never'); cancel(17); d.notify('$/cancelRequest', {}); d.notify('$/cancelRequest');

  // Superseded: of five for one document the last is served; a popup and another document's are left alone.
  const other = ask('other', c, fibonacci);
  const five = [0, 1, 2, 3, 4].map((i) => ask(`five${i}`, a, long(3)));
  const popup = d.request('popup', 'textDocument/completion', { textDocument: { uri: a }, position: { line: 3, character: 0 } });
  ids.push('popup');
  const answers = await Promise.all(five);
  equal(answers.slice(0, 4).map(code), [CANCELLED, CANCELLED, CANCELLED, CANCELLED], 'the older ones are superseded');
  check(answers[4].result !== undefined, 'the newest is served');
  check((await other).result !== undefined && (await popup).result !== undefined, 'others are served beside it');

  // The text changes, the document closes: while a new prompt is read, as what was asked before
  // may be answered at once.
  const change = (version, text) => d.notify('textDocument/didChange', { textDocument: { uri: a, version }, contentChanges: [{ text }] });
  change(2, long(7));
  const stale = ask('stale', a, long(7));
  change(3, long(9));
  equal(code(await stale), CANCELLED, 'a change of the text ends the request');
  const closed = ask('closed', a, long(9));
  d.notify('textDocument/didClose', { textDocument: { uri: a } });
  equal(code(await closed), CANCELLED, 'closing the document ends the request');
  equal((await ask('gone', a, long(9))).result, { items: [] }, 'nothing for a document that is not open');

  // A burst, cancelled at all sorts of moments.
  const burst = [];
  for (let i = 0; i < 200; i++) {
    burst.push(ask(`burst${i}`, [b, c][i % 2], fibonacci));
    if (i % 3 === 0) cancel(`burst${i}`);
    if (i % 7 === 0) cancel(`burst${i - 3}`);
  }
  await Promise.all(burst);

  // shutdown ends what runs, before its own answer.
  const last = ask('last', b, long(11));
  const exit = finish(d);
  equal(code(await last), CANCELLED, 'shutdown ends the request');
  equal(await exit, 0, 'exit code after shutdown');
  answeredOnce(d.wire, [...ids, 'init', 'bye'], 'cancels');
  check([...d.wire.counts().keys()].every((id) => [...ids, 'init', 'bye'].includes(id)), 'no answer that nobody asked for');
}

// ---- requests before the model is ready wait; the newest of a document is served

{
  const d = start(), uri = 'file:///w/early.py';
  d.send({ jsonrpc: '2.0', id: 'init', method: 'initialize', params: initializeParams() });
  d.notify('initialized', {});
  open(d, uri, fibonacci);
  const early = [0, 1, 2].map((i) => d.request(i, 'textDocument/inlineCompletion', at(uri, ...end(fibonacci))));
  const answers = await Promise.all(early);
  equal(answers.slice(0, 2).map(code), [CANCELLED, CANCELLED], 'while loading: older requests are superseded');
  check(Array.isArray(answers[2].result?.items), 'while loading: the newest is served when the model is ready');
  equal(await finish(d), 0, 'early: exit code');
  answeredOnce(d.wire, [0, 1, 2, 'init', 'bye'], 'early');
}

// ---- streaming, for clients that ask for it

{
  const d = await begin({ initializationOptions: { fimd: { streaming: true, maxTokens: 96, maxLines: 40 } } });
  equal(d.init.capabilities.experimental.fimd.streaming, true, 'streaming is confirmed');
  let streamed = 0;
  const tokens = new Set();
  for (let i = 0; i < 6; i++) {
    const uri = `file:///w/stream${i}.py`;
    const text = ['class Stack:\n    def __init__(self):\n        self.items = []\n\n    def push(self, item):\n', 'def read_config(path):\n', 'import os\n\ndef main():\n'][i % 3];
    open(d, uri, text);
    const from = d.wire.messages.length;
    const first = await d.request(i, 'textDocument/inlineCompletion', at(uri, ...end(text), { context: { triggerKind: 1 } }));
    check(first.result.items.length <= (first.result.more ? 1 : 3), 'streaming: the answer has one item while it grows, then all candidates');
    const updates = () => d.wire.messages.slice(from).filter((m) => m.method === 'fimd/inlineCompletion/didUpdate');
    if (first.result.more) {
      await d.wire.wait((m) => m.method === 'fimd/inlineCompletion/didUpdate' && m.params.final, 'the last update', from);
      streamed++;
    }
    await d.request(`settled${i}`, 'fimd/status');
    check(first.result.more === true || updates().length === 0, 'what is whole is not followed by updates');
    const last = updates();
    check(last.every((m) => m.params.id === i && Array.isArray(m.params.items)), 'updates name the request');
    check(first.result.more !== true || last.every((m) => m.params.token === first.result.token), 'and the token of its answer', JSON.stringify([first, last]));
    check(first.result.more !== true ? first.result.token === undefined : !tokens.has(first.result.token) && tokens.add(first.result.token), 'which no other has', JSON.stringify(first));
    check(last.filter((m) => m.params.final).length <= 1 && last.every((m, n) => !m.params.final || n === last.length - 1), 'final comes last, once');
  }
  check(streamed > 0, 'something was streamed');
  equal(await finish(d), 0, 'streaming: exit code');
}

// ---- errors of the protocol

{
  const d = start();
  equal(code(await d.request(1, 'textDocument/inlineCompletion', {})), -32002, 'a request before initialize');
  equal(code(await d.request(2, 'shutdown')), -32002, 'shutdown before initialize');
  d.notify('textDocument/didOpen', { textDocument: { uri: 'x:', languageId: 'c', version: 1, text: '' } });
  await d.request(3, 'initialize', initializeParams());
  equal(code(await d.request(4, 'initialize', initializeParams())), -32600, 'initialize twice');
  equal(code(await d.request(5, 'no/such')), -32601, 'an unknown method');
  equal(code(await d.request(6, '$/odd')), -32601, 'an unknown method of the protocol itself');
  equal(code(await d.request(7, 'textDocument/inlineCompletion', [])), -32602, 'params of the wrong kind');
  equal(code(await d.request(8, 'textDocument/inlineCompletion', at('x:', 'zero', 0))), -32602, 'a line that is no number');
  equal(code(await d.request(9, 'textDocument/completion', { textDocument: {} })), -32602, 'no position');
  equal(code(await d.request(10, 'workspace/executeCommand', { command: 'rm' })), -32602, 'an unknown command');
  equal(code(await d.request(11, 'textDocument/inlineCompletion', 5)), -32600, 'params that are a number');
  equal((await d.request(12, 'fimd/status')).result.documents, 0, 'what came before initialize was ignored');
  d.notify('$/unknown', {}); d.notify('no/such/notification', { x: 1 });
  d.notify('textDocument/didChange', { textDocument: { uri: 'file:///never', version: 3 }, contentChanges: [] });
  d.notify('textDocument/didClose', { textDocument: { uri: 'file:///never' } });
  d.notify('textDocument/didOpen', {}); d.notify('textDocument/didChange', {}); d.notify('textDocument/didClose');
  const nobody = async (text, want, what) => {
    const from = d.wire.messages.length;
    d.child.stdin.write(frame(text));
    equal((await d.wire.wait((m) => m.id === null && m.error, what, from)).error.code, want, what);
  };
  await nobody('{"jsonrpc":"2.0","id":1,', -32700, 'text that ends early');
  await nobody('{"jsonrpc":"2.0","id":1,"method":"shutdown"} x', -32700, 'text after the message');
  await nobody(Buffer.from([0x7b, 0xff, 0x7d]), -32700, 'bytes that are not UTF-8');
  await nobody('[{"jsonrpc":"2.0","id":1,"method":"shutdown"}]', -32600, 'a batch');
  await nobody('[]', -32600, 'an empty batch');
  await nobody('"shutdown"', -32600, 'a message that is a string');
  await nobody('{"jsonrpc":"2.0","id":{},"method":"shutdown"}', -32600, 'an id that is an object');
  await nobody('{"jsonrpc":"2.0","id":1.5,"method":"shutdown"}', -32600, 'an id that is a fraction');
  await nobody('{"jsonrpc":"2.0","id":null,"method":"shutdown"}', -32600, 'an id of null');
  await nobody(`{"jsonrpc":"2.0","method":"x","params":${'['.repeat(600)}${']'.repeat(600)}}`, -32600, 'too deep');
  const version = await d.request(13, 'fimd/status');
  check(version.result !== undefined, 'still answers');
  d.child.stdin.write(frame('{"jsonrpc":"1.0","id":14,"method":"fimd/status"}'));
  equal(code(await d.wire.answer(14)), -32600, 'another version of JSON-RPC');
  d.child.stdin.write(frame('{"jsonrpc":"2.0","id":15,"method":7}'));
  equal(code(await d.wire.answer(15)), -32600, 'a method that is a number');
  d.child.stdin.write(frame('{"jsonrpc":"2.0","id":"a\\u0000\\ud83dé","method":"fimd/status"}'));
  check((await d.wire.answer('a\u0000\ud83dé')).result !== undefined, 'an odd string id comes back as it was');
  d.send({ jsonrpc: '2.0', id: 99, result: {} }); d.send({ jsonrpc: '2.0', id: null, error: { code: 1, message: '' } });
  d.child.stdin.write(frame('{"jsonrpc":"2.0","Id":16,"METHOD":"shutdown","method":"no/such/notification"}'));
  equal(await d.request(17, 'shutdown').then((m) => m.result), null, 'shutdown');
  equal(code(await d.request(18, 'fimd/status')), -32600, 'a request after shutdown');
  equal(code(await d.request(19, 'shutdown')), -32600, 'shutdown twice');
  d.notify('exit');
  equal(await d.exit, 0, 'errors: exit code');
  const logs = d.wire.messages.filter((m) => m.method === 'window/logMessage').map((m) => m.params.message);
  check(logs.some((t) => t.includes('file:///never')), 'a change of a document that is not open is logged', logs.join(' | '));
}

// ---- the ways to end

for (const [what, act, want] of [
  ['exit without shutdown', (d) => d.notify('exit'), 1],
  ['the end of input without shutdown', (d) => d.child.stdin.end(), 1],
  ['the end of input inside a message', (d) => d.child.stdin.end('Content-Length: 10\r\n\r\n{'), 1],
  ['shutdown, then the end of input', async (d) => { await d.request(9, 'shutdown'); d.child.stdin.end(); }, 0],
  ['a signal without shutdown', (d) => d.child.kill('SIGTERM'), 1],
  ['a signal after shutdown', async (d) => { await d.request(9, 'shutdown'); d.child.kill('SIGINT'); }, 0],
  ['a reader that is gone', (d) => { d.child.stdout.destroy(); const t = setInterval(() => d.child.exitCode === null ? d.send({ jsonrpc: '2.0', id: 1, method: 'fimd/status' }) : clearInterval(t), 20); }, 1],
]) {
  const d = await begin();
  open(d, 'file:///w/a.py', fibonacci);
  d.send({ jsonrpc: '2.0', id: 'under way', method: 'textDocument/inlineCompletion', params: at('file:///w/a.py', ...end(fibonacci)) });
  await act(d);
  equal(await d.exit, want, `${what}: exit code`);
  if (what === 'a reader that is gone') continue;
  await d.wire.ended;
  answeredOnce(d.wire, ['under way'], what);
}
{
  const d = start();
  d.notify('exit');
  equal(await d.exit, 1, 'exit before initialize: exit code');
}
{
  const parent = spawn('sleep', ['600']); // the process that initialize names
  const d = await begin({ processId: parent.pid });
  parent.kill('SIGKILL');
  equal(await d.exit, 1, 'the parent process is gone: exit code');
}
{
  const d = await begin({ processId: 2 ** 22 + 5 }); // no process has this number
  check((await d.request(1, 'fimd/status')).result !== undefined, 'a parent that cannot be seen is not waited for');
  equal(await finish(d), 0, 'unseen parent: exit code');
}
{
  // A client that never reads: answers that carry a long id pile up until it is let go.
  const d = start(['lsp'], { unread: true });
  const m = frame({ jsonrpc: '2.0', id: 'x'.repeat(1 << 20), method: 'no/such' });
  let over = false;
  d.exit.then(() => { over = true; });
  for (let i = 0; i < 400 && !over; i++) await Promise.race([d.exit, new Promise((r) => d.child.stdin.write(m, r))]);
  equal(await d.exit, 1, 'a client that never reads is let go: exit code');
  check(/does not read/.test(d.stderr), 'and that is said', d.stderr);
}
done();
