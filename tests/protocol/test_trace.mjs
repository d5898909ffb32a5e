// lsp --trace-file and fimd trace: what is recorded, who may read it, that a recording plays to the
// same texts, and what is said of files that are none.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, fimd, random, root } from './helpers/check.mjs';
import { answeredOnce, at, begin, finish, frame, initializeParams, open, start, Wire } from './helpers/daemon.mjs';
import { onPort, withToken } from './helpers/listening.mjs';
import { Typist, ghost } from './helpers/typist.mjs';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-trace-'));
process.on('exit', () => fs.rmSync(scratch, { recursive: true, force: true }));

const file = (name) => path.join(scratch, name);
const lines = (name) => fs.readFileSync(file(name), 'utf8').trimEnd().split('\n').map((l) => JSON.parse(l));
function trace(...args) {
  const r = spawnSync(fimd, ['trace', ...args], { encoding: 'utf8', timeout: 60000 });
  check(!/Sanitizer|runtime error/.test(r.stderr), 'no sanitizer report', r.stderr);
  return r;
}

// ---- recorded: all messages, in their order, as they were

{
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 16, streaming: true, midLine: true } }, capabilities: { workspace: { configuration: true }, window: { workDoneProgress: true } } }, ['lsp', '--trace-file', file('typing.jsonl')]);
  equal((fs.statSync(file('typing.jsonl')).mode & 0o777).toString(8), '600', 'only its owner may read it');
  const asked = await d.wire.wait((m) => m.method === 'workspace/configuration', 'the question');
  d.send({ jsonrpc: '2.0', id: asked.id, result: [{ maxTokens: 24 }] });
  const text = fs.readFileSync(path.join(root, 'tests/data/samples/py/inventory.py'), 'utf8'), r = random(3);
  const from = text.indexOf('\n', text.length / 3) + 1;
  const t = new Typist(d, 'file:///w/inventory.py', text, from, from + 200, 'python');
  let shown = '';
  for (let i = 0; i < 30; i++) {
    if (shown.length > 1 && r.chance(0.5)) t.type(shown[0]); else t.type(text[from + i]);
    shown = ghost(await t.ask(), t.place().character);
  }
  for (let i = 0; i < 4; i++) { // some that are superseded or cancelled
    t.type('(');
    const a = t.ask();
    if (i % 2) d.notify('$/cancelRequest', { id: t.ids.at(-1) });
    t.back();
    await a;
  }
  d.child.stdin.write(frame('{"jsonrpc": "2.0",\n "id": "\\u0000 odd",\r\n "method": "fimd/status"}'));
  await d.wire.answer('\0 odd');
  d.child.stdin.write(frame('not JSON "\u00e9"'));
  await d.wire.wait((m) => m.error?.code === -32700, 'the error');
  await d.request('popup', 'textDocument/completion', { ...at(t.uri, 0, 0), context: { triggerKind: 1 } });
  await d.request('status', 'fimd/status');
  equal(await finish(d), 0, 'recording: exit code');
  answeredOnce(d.wire, t.ids, 'recorded');

  const all = lines('typing.jsonl');
  equal([Object.keys(all[0]), all[0].trace], [['fimd', 'trace'], 1], 'the first line says what it is');
  const rest = all.slice(1);
  check(rest.every((l, i) => l.client === 1 && l.ms >= (rest[i - 1]?.ms ?? 0)), 'times grow');
  equal(rest.filter((l) => l.from === 'server').map((l) => l.message), d.wire.messages, 'all that the daemon said');
  const sent = rest.filter((l) => l.from === 'client').map((l) => l.message ?? l.text);
  check(sent.includes('not JSON "\u00e9"') && sent.some((m) => m.id === '\0 odd') && sent.at(-1).method === 'exit', 'all that was said to it');

  // Played: the same texts.
  const played = trace(file('typing.jsonl'), '--json');
  equal(played.status, 0, 'played: exit code');
  const j = JSON.parse(played.stdout);
  equal(j.requests.length, t.ids.length + 1, 'every request is told');
  check(j.compared >= 31 && j.differ === 0, 'the texts are the same', played.stdout.slice(0, 3000));
  const answers = j.requests.slice(0, 30);
  check(answers.every((a) => a.then.whole && a.then.ms > 0 && a.now.ms > 0), 'with the milliseconds', JSON.stringify(answers[0]));
  equal(answers.at(-1).then.texts.length > 0, shown !== '', 'and what was shown');
  const table = trace(file('typing.jsonl'));
  equal(table.stdout.split('\n').filter((l) => / inline | popup /.test(l)).length, t.ids.length + 1, 'a line for each');
  check(/texts compared, 0 differ/.test(table.stdout), 'and a count', table.stdout.slice(-300));

  // Another text in the recording is a difference.
  const changed = all.map((l) => JSON.stringify(l));
  const k = all.findIndex((l) => l.from === 'server' && t.ids.includes(l.message.id) && l.message.result?.items?.length);
  check(k > 0, 'an answer with a text');
  all[k].message.result = { items: [{ ...all[k].message.result.items[0], insertText: 'something else' }] };
  changed[k] = JSON.stringify(all[k]);
  fs.writeFileSync(file('changed.jsonl'), `${changed.join('\n')}\n`);
  const differs = trace(file('changed.jsonl'));
  check(differs.status === 0 && /differs: then "something else"/.test(differs.stdout), 'a difference is told', differs.stdout + differs.stderr);
  check(/ 1 differ;/.test(differs.stdout), 'and counted', differs.stdout.slice(-300));
}

// ---- several clients of a socket; the first is played

{
  const { d, token, connect } = await onPort(file('token'), ['--trace-file', file('two.jsonl')], { unread: true });
  for (const name of ['one', 'two']) {
    const s = await connect(), w = new Wire(s);
    s.write(frame({ jsonrpc: '2.0', id: name, method: 'initialize', params: withToken(token) }));
    await w.answer(name);
    s.write(frame({ jsonrpc: '2.0', method: 'textDocument/didOpen', params: { textDocument: { uri: 'file:///w/a.py', languageId: 'python', version: 1, text: 'def add(a, b):\n    return ' } } }));
    s.write(frame({ jsonrpc: '2.0', id: `${name}.1`, method: 'textDocument/inlineCompletion', params: at('file:///w/a.py', 1, 11) }));
    await w.answer(`${name}.1`);
    s.end();
    await w.ended;
  }
  d.child.kill('SIGTERM');
  equal(await d.exit, 0, 'a socket: exit code');
  check(!fs.readFileSync(file('two.jsonl'), 'utf8').includes(token), 'the token is not recorded');
  equal([...new Set(lines('two.jsonl').slice(1).map((l) => l.client))], [1, 2], 'clients are told apart');
  const r = trace(file('two.jsonl'));
  check(r.status === 0 && /1 requests; 1 texts compared, 0 differ/.test(r.stdout) && /messages of other clients/.test(r.stdout), 'the first is played', r.stdout + r.stderr);
}

// ---- files that are there already, or are no recordings

{
  fs.writeFileSync(file('there'), 'mine');
  for (const name of ['there', 'no/such/folder']) {
    const r = spawnSync(fimd, ['lsp', '--trace-file', file(name)], { encoding: 'utf8', input: '', timeout: 60000 });
    check(r.status === 2 && r.stderr.includes(file(name)), `cannot record to ${name}`, r.stderr);
  }
  equal(fs.readFileSync(file('there'), 'utf8'), 'mine', 'a file that was there is left as it is');
  const whole = fs.readFileSync(file('two.jsonl'), 'utf8'), head = whole.slice(0, whole.indexOf('\n') + 1);
  const bad = [
    ['', 'line 1: '], ['hello\n', 'line 1: '], ['{}\n', 'line 1: '], [whole.slice(head.length), 'line 1: '],
    ['{"fimd":"9","trace":2}\n', 'line 1: .*another version'], [`${head}{"ms":1}\n`, 'line 2: '],
    [`${head}{"ms":1,"client":1,"from":"client","message":{}\n`, 'line 2: '], [`${head}\n`, 'line 2: '],
    [`${head}{"ms":"1","client":1,"from":"client","message":{}}\n`, 'line 2: '],
    [`${head}{"ms":1,"client":1,"from":"nobody","message":{}}\n`, 'line 2: '],
    [`${head}{"message":{},"ms":1,"client":1,"from":"client"}\n`, 'line 2: '],
    [`${head}{"ms":1,"client":1,"from":"client","message":{"jsonrpc":"2.0","method":"exit"}}\n`, 'initialize'],
    [whole.replace('"from":"server"', '"from":"server'), 'line \\d+: .*byte'],
  ];
  for (const [i, [text, why]] of bad.entries()) {
    fs.writeFileSync(file(`bad${i}`), text);
    const r = trace(file(`bad${i}`));
    check(r.status === 1 && new RegExp(why).test(r.stderr) && r.stdout === '', `a broken file: ${JSON.stringify(text.slice(0, 60))}`, `${r.status}: ${r.stderr}${r.stdout}`);
  }
  check(trace(file('none')).status === 1, 'no such file');
  equal([trace().status, trace('a', 'b').status], [2, 2], 'wrong usage');
  fs.writeFileSync(file('cut'), whole.slice(0, -9));
  const cut = trace(file('cut'));
  check(cut.status === 0 && /cut short/.test(cut.stderr), 'a last line that is cut short is left out', cut.stderr);
  fs.writeFileSync(file('empty'), head);
  check(/0 requests/.test(trace(file('empty')).stdout), 'a recording of nothing');
}
done();
