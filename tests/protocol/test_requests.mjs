// When requests are made, what is told of them, and what becomes of their texts: the settings for
// it, waiting for another key, the grace of a cancelled job, what was accepted, and why.
import { check, done, equal } from './helpers/check.mjs';
import { answeredOnce, at, begin, finish, frame, open, slow } from './helpers/daemon.mjs';
import { Typist, ghost } from './helpers/typist.mjs';

const CANCELLED = -32800, INLINE = 'textDocument/inlineCompletion', POPUP = 'textDocument/completion', UPDATE = 'fimd/inlineCompletion/didUpdate';
const fibonacci = 'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n    if n < 2:\n        return n\n    return ';
const three = 'class Box:\n    def __init__(self, width, height, depth):\n        ';
const crate = three.replace('Box', 'Crate');
let asked = 0;
const status = async (d) => (await d.request(`status ${++asked}`, 'fimd/status')).result;
const statistics = async (d) => (await status(d)).statistics;
const ready = (d) => d.wire.wait((m) => m.method === 'window/logMessage' && /is ready/.test(m.params.message), 'the model');
const logs = (d) => d.wire.messages.filter((m) => m.method === 'window/logMessage').map((m) => m.params.message).join('\n');

// ---- settings, and their options of the command line

{
  const d = await begin();
  const s = (await status(d)).settings;
  equal([s.comments, s.strings, s.midLine, s.confidence, s.parseGate, s.candidates, s.debounce], [true, true, false, 0, true, 3, 75], 'the defaults');
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { comments: false, strings: false, midLine: true, confidence: 0.5, parseGate: false, candidates: 5, debounce: 0 } } });
  const t = (await status(d)).settings;
  equal([t.comments, t.strings, t.midLine, t.confidence, t.parseGate, t.candidates, t.debounce], [false, false, true, 0.5, false, 5, 0], 'all can be set');
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { comments: 0, confidence: 1.5, candidates: 6, debounce: -1, parseGate: 'no', midLine: 1 } } });
  equal((await status(d)).settings.candidates, 3, 'bad values change nothing');
  for (const key of ['comments', 'confidence', 'candidates', 'debounce', 'parseGate', 'midLine']) check(logs(d).includes(`fimd.${key} must be`), `a bad ${key} is said`);
  equal(await finish(d), 0, 'settings: exit code');
  const e = await begin({}, ['lsp', '--no-gate', '--no-polish', '--no-comments', '--no-strings', '--mid-line', '--confidence', '0.25']);
  const o = (await status(e)).settings;
  equal([o.comments, o.strings, o.midLine, o.confidence, o.parseGate], [false, false, true, 0.25, false], 'the options of the command line');
  equal(await finish(e), 0, 'options: exit code');
}

// ---- why

{
  const d = await begin({ initializationOptions: { fimd: { languages: { markdown: false } } } });
  const why = async (params) => (await d.request(`why ${++asked}`, 'fimd/why', params)).result;
  const run = async (args) => (await d.request(`command ${++asked}`, 'workspace/executeCommand', { command: 'fimd.why', arguments: args })).result;
  const a = 'file:///w/a.py', b = 'file:///w/b.py', m = 'file:///w/m.md';
  equal(await why(), null, 'nothing was asked yet');
  open(d, a, fibonacci); open(d, b, three); open(d, m, fibonacci, 'markdown');
  const first = (await d.request('a', INLINE, at(a, 4, 11))).result;
  await d.request('b', POPUP, { textDocument: { uri: b }, position: { line: 2, character: 8 }, context: { triggerKind: 1 } });
  const w = await why({ uri: a });
  equal([w.uri, w.request, w.automatic, w.outcome, w.position], [a, 'inlineCompletion', true, 'shown', { line: 4, character: 11 }], 'which request it was');
  equal(w.bytes, Buffer.byteLength(first.items[0].insertText), 'how much it shows');
  check(w.reason === undefined && Array.isArray(w.pieces) && typeof w.gate.asked === 'boolean' && typeof w.confidence === 'number', 'the decisions', JSON.stringify(w));
  for (const key of ['answer', 'waited', 'context', 'prompt', 'prefill', 'firstToken', 'decode', 'host', 'gate', 'total']) check(w.ms[key] >= 0, `the milliseconds: ${key}`, JSON.stringify(w.ms));
  check(w.ms.answer >= w.ms.waited + w.ms.firstToken && w.steps > 0 && w.promptTokens > 0, 'they fit', JSON.stringify(w));
  equal([(await why()).uri, (await why()).automatic, (await why({ textDocument: { uri: b } })).request], [b, false, 'completion'], 'the last at all; the popup, by hand');
  equal(await why({ uri: 'file:///w/none.py' }), null, 'a document without a request');
  await d.request('m', INLINE, at(m, 0, 0));
  const refused = await run([m]);
  equal([refused.outcome, refused.source, /setting/.test(refused.reason)], ['empty', 'nothing', true], 'a request that was refused');
  const said = d.wire.messages.filter((x) => x.method === 'window/showMessage').map((x) => x.params.message);
  check(/nothing is shown: .*setting/.test(said.at(-1)), 'the command says it to the user', said.at(-1));
  equal((await run()).uri, m, 'the command without an argument');
  d.notify('textDocument/didClose', { textDocument: { uri: m } });
  equal((await run([])).uri, b, 'what is closed is forgotten');
  equal((await d.request('no', 'workspace/executeCommand', { command: 'fimd.what' })).error?.code, -32602, 'a command that there is not');
  equal(await finish(d), 0, 'why: exit code');
}

// ---- several candidates, by hand only

{
  const d = await begin({ initializationOptions: { fimd: { candidates: 4 } } });
  open(d, 'file:///w/a.py', three);
  for (const [id, params] of [['by hand', { context: { triggerKind: 1 } }], ['by hand, in parts', { context: { triggerKind: 1 }, partialResultToken: 'p' }], ['automatic', {}]]) {
    const r = (await d.request(id, INLINE, at('file:///w/a.py', 2, 8, params))).result;
    const parts = d.wire.messages.filter((m) => m.params?.token === 'p').flatMap((m) => m.params.value);
    const items = id.endsWith('parts') ? [...parts, ...r.items] : r.items;
    check(items.length >= 1 && r.items.length <= (id === 'automatic' ? 1 : 4), `${id}: how many`, items.length);
    equal(new Set(items.map((i) => i.insertText)).size, items.length, `${id}: distinct`);
    equal(new Set(items.map((i) => JSON.stringify(i.range))).size, 1, `${id}: the same range`);
  }
  equal(await finish(d), 0, 'candidates: exit code');
}
{
  // Also where the answer was begun before: what goes on with that knows of no other texts.
  const d = await begin({ initializationOptions: { fimd: { streaming: true } } }, slow);
  await ready(d);
  open(d, 'file:///w/a.py', three);
  equal((await d.request('begun', INLINE, at('file:///w/a.py', 2, 8))).result.more, true, 'a text that is being written');
  d.notify('$/cancelRequest', { id: 'begun' });
  for (;;) if ((await status(d)).requests === 0) break;
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { candidates: 3 } } });
  const hand = (await d.request('by hand', INLINE, at('file:///w/a.py', 2, 8, { context: { triggerKind: 1 } }))).result;
  const last = hand.more ? (await d.wire.wait((m) => m.method === UPDATE && m.params.token === hand.token && m.params.final, 'the last update')).params : hand;
  check(last.items.length > 1, 'a text that was begun before, by hand: there are others', last.items.length);
  equal(await finish(d), 0, 'begun before: exit code');
}

// ---- what was accepted

{
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 48 } } });
  const t = new Typist(d, 'file:///w/box.py', three, three.length, three.length, 'python');
  const shown = async () => ghost(await t.ask(), t.place().character);
  const counts = async () => {
    const a = (await statistics(d)).acceptance;
    return { suggestions: a.suggestions, accepted: a.accepted, whole: a.whole, lines: a.lines, words: a.words, characters: a.characters, typed: a.typedThrough };
  };
  const want = { suggestions: 1, accepted: 0, whole: 0, lines: 0, words: 0, characters: 0, typed: 0 };
  const text = await shown();
  check(text.includes('\n') && /^\w+/.test(text), 'several lines are shown', text);
  equal(await counts(), want, 'shown, not accepted');
  let left = text;
  const put = async (piece, more) => {
    const work = await t.work();
    t.type(piece);
    left = left.slice(piece.length);
    Object.assign(want, more);
    const rest = await shown();
    equal(await counts(), want, `put in: ${JSON.stringify(piece)}`);
    check(rest === left, 'the rest stays', JSON.stringify([rest, left]));
    equal(await t.work(), work, 'and costs nothing');
  };
  await put(text[0], { typed: 1 });
  await put(/^\w{2,}/.exec(left)[0], { accepted: 1, words: 1, characters: /^\w*/.exec(left)[0].length });
  const line = left.slice(0, left.indexOf('\n'));
  await put(line, { lines: 1, characters: want.characters + line.length });
  t.type(left);
  Object.assign(want, { lines: want.lines + (left.trimEnd().includes('\n') || /\S\s+\S/.test(left) || left.includes('\n')), characters: want.characters + left.length });
  equal(await counts(), want, 'the rest, by parts');
  await shown();
  const before = await counts();
  equal(before.suggestions, 2, 'another suggestion');
  t.type('@@');
  equal(await counts(), before, 'what does not agree was not accepted');
  // Whole, with the item's range, as VS Code does it.
  const u = new Typist(d, 'file:///w/crate.py', crate, crate.length, crate.length, 'python');
  const item = (await u.ask()).result.items[0], was = await counts();
  u.change(item.range, item.insertText);
  const now = await counts();
  equal([now.whole, now.accepted, now.characters], [was.whole + 1, was.accepted + 1, was.characters + item.insertText.length], 'the whole');
  check(Math.abs((await statistics(d)).acceptance.ratio - now.accepted / now.suggestions) < 1e-5, 'the ratio');
  equal(await finish(d), 0, 'accepted: exit code');
}

// ---- statistics of latencies and keys

{
  const d = await begin();
  const t = new Typist(d, 'file:///w/box.py', three, three.length, three.length, 'python');
  let text = ghost(await t.ask(), t.place().character);
  const one = await statistics(d);
  check(one.last.answerMs >= one.last.firstTokenMs && one.last.firstTokenMs > 0, 'how long the last answer took', JSON.stringify(one.last));
  equal([one.firstTokenMs.count, one.lastTokenMs.count, one.answerMs.count, one.started, one.prefilledPerKeystroke.count], [1, 1, 1, 1, 0], 'one answer');
  check(one.lastTokenMs.p50 >= one.firstTokenMs.p50 && one.firstTokenMs.p50 > 0, 'the last token after the first', JSON.stringify(one));
  t.type(text[0]);
  text = ghost(await t.ask(), t.place().character);
  const two = await statistics(d);
  equal([two.firstTokenMs.count, two.answerMs.count, two.prefilledPerKeystroke], [1, 2, { p50: 0, p90: 0, count: 1 }], 'a key that agrees: no token, none prefilled');
  check(two.last.answerMs > 0 && two.last.answerMs !== one.last.answerMs && two.last.firstTokenMs === 0, 'also of one that was known', JSON.stringify(two.last));
  t.type('@');
  await t.ask();
  t.change({ start: t.place(), end: t.place() }, '');
  const last = await statistics(d);
  equal(last.prefilledPerKeystroke.count, 3, 'every change counts');
  check(last.prefilledPerKeystroke.p90 > 0 && last.prefilledPerKeystroke.p50 === 0, 'what a key that disagrees costs', JSON.stringify(last.prefilledPerKeystroke));
  equal(Object.keys(last.quiet), ['comment', 'string', 'midLine', 'nothing', 'there', 'broken', 'unsure'], 'why requests were kept quiet');
  equal(await finish(d), 0, 'statistics: exit code');
}

// ---- waiting for another key, where answers take longer than a frame

async function burst(debounce, kind) {
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 12, debounce } } }, slow);
  const t = new Typist(d, 'file:///w/fib.py', fibonacci, fibonacci.length, fibonacci.length, 'python');
  await ready(d);
  await t.ask(); // how long an answer takes is known from now on
  for (let i = 0; i < 40; i++) { // and that keys come fast
    t.type('q');
    await status(d);
  }
  const before = await statistics(d), ids = [], bytes = [];
  for (let i = 0; i < 20; i++) { // all at once: nothing can happen in between
    const p = t.place(), id = `burst ${i}`, q = { line: p.line, character: p.character + 1 };
    bytes.push(frame({ jsonrpc: '2.0', method: 'textDocument/didChange', params: { textDocument: { uri: t.uri, version: ++t.version }, contentChanges: [{ range: { start: p, end: p }, text: 'z' }] } }));
    bytes.push(frame({ jsonrpc: '2.0', id, method: INLINE, params: at(t.uri, q.line, q.character, { context: { triggerKind: kind } }) }));
    t.before += 'z';
    ids.push(id);
  }
  d.child.stdin.write(Buffer.concat(bytes));
  const answers = await Promise.all(ids.map((id) => d.wire.answer(id)));
  check(answers.slice(0, -1).every((m) => m.error?.code === CANCELLED) && answers.at(-1).result, 'only the last is answered');
  const after = await statistics(d);
  answeredOnce(d.wire, ids, `a burst, debounce ${debounce}`);
  equal(await finish(d), 0, `a burst, debounce ${debounce}: exit code`);
  return { started: after.started - before.started, waited: after.debounce.waited - before.debounce.waited, never: after.debounce.neverStarted - before.debounce.neverStarted };
}
{
  const on = await burst(75, 2), off = await burst(0, 2), hand = await burst(75, 1);
  check(on.waited >= 15 && on.never >= 15 && on.started <= 5 && on.started + on.never >= on.waited, 'superseded while they wait: never started', JSON.stringify(on));
  equal([off.waited, off.never, hand.waited, hand.never], [0, 0, 0, 0], 'switched off, or by hand: no wait');
  check(off.started > 5 && hand.started > 5, 'and those are started', JSON.stringify([off, hand]));
}
{
  // What the shown text goes on with is not waited for.
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 24, debounce: 2000 } } }, slow);
  const t = new Typist(d, 'file:///w/box.py', three, three.length, three.length, 'python');
  await ready(d);
  const text = ghost(await t.ask(), t.place().character);
  for (let i = 0; i < 12 && i < text.length - 1; i++) {
    t.type(text[i]);
    equal(ghost(await t.ask(), t.place().character), text.slice(i + 1), 'the rest');
  }
  equal((await statistics(d)).debounce.waited, 0, 'a key that agrees waits for no other');
  // A request that waits can be cancelled, and the daemon can go while one waits.
  for (let i = 0; i < 40; i++) { t.type('q'); await status(d); }
  t.type('z');
  const a = t.ask();
  d.notify('$/cancelRequest', { id: t.ids.at(-1) });
  check((await a).error?.code === CANCELLED, 'cancelled while it waits');
  t.type('z');
  const b = t.ask();
  equal(await finish(d), 0, 'the end while a request waits');
  check((await b).error?.code === CANCELLED || (await b).result, 'it is answered');
  answeredOnce(d.wire, t.ids, 'waiting');
}

// ---- VS Code cancels before it sends the key

{
  const settings = { initializationOptions: { fimd: { maxTokens: 64, draft: 'none', streaming: true } } };
  const more = (m) => m.method === 'fimd/inlineCompletion/didUpdate' && m.params.final;
  const whole = async (t, answer) => {
    if (!answer.result.more) return ghost(answer, t.place().character);
    return ghost({ result: (await t.d.wire.wait((m) => more(m) && m.params.id === answer.id, 'the last update')).params }, t.place().character);
  };
  const alone = await begin(settings, slow);
  const s = new Typist(alone, 'file:///w/box.py', three, three.length, three.length, 'python');
  const text = await whole(s, await s.ask()), cost = await s.work();
  check(text.length > 12 && text.includes('\n'), 'several lines are written');
  equal(await finish(alone), 0, 'alone: exit code');

  const d = await begin(settings, slow);
  const t = new Typist(d, 'file:///w/box.py', three, three.length, three.length, 'python');
  equal((await t.ask()).result.more, true, 'the first line comes early');
  const answers = [];
  for (let i = 0; i < 6; i++) { // in one write: no time passes in between
    const p = t.place(), id = `key ${i}`, q = { line: p.line, character: p.character + 1 };
    t.before += text[i];
    d.child.stdin.write(Buffer.concat([
      frame({ jsonrpc: '2.0', method: '$/cancelRequest', params: { id: t.ids.at(-1) } }),
      frame({ jsonrpc: '2.0', method: 'textDocument/didChange', params: { textDocument: { uri: t.uri, version: ++t.version }, contentChanges: [{ range: { start: p, end: p }, text: text[i] }] } }),
      frame({ jsonrpc: '2.0', id, method: INLINE, params: at(t.uri, q.line, q.character) }),
    ]));
    t.ids.push(id);
    answers.push(d.wire.answer(id));
  }
  equal(await whole(t, await answers.at(-1)), text.slice(6), 'the last request has the rest');
  equal(await t.work(), cost, 'and nothing was computed twice');
  const one = await statistics(d);
  equal(one.stopped.jobs, 0, 'no job was stopped');

  // Nobody types on: it is stopped.
  const u = new Typist(d, 'file:///w/long.py', crate, crate.length, crate.length, 'python');
  const a = await u.ask();
  d.notify('$/cancelRequest', { id: u.ids.at(-1) });
  for (;;) if ((await status(d)).requests === 0) break;
  const two = await statistics(d);
  check(!a.result.more || two.stopped.jobs === 1 && two.stopped.ms.count === 1 && two.stopped.mostSteps <= 1, 'a cancelled job is stopped, and counted', JSON.stringify([a, two.stopped]));
  check(d.wire.messages.every((m) => !more(m) || m.params.id !== u.ids.at(-1)), 'and says no more');
  equal(await finish(d), 0, 'cancelled first: exit code');
  answeredOnce(d.wire, [...t.ids, ...u.ids], 'cancelled first');
}
done();
