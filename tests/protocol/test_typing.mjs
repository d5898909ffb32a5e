// Typing, with the built daemon and the embedded model: a real file typed key by key, following the
// ghost text now and then and going back; keys that agree with what is shown or being written cost
// nothing, whatever is shown goes on from what was typed, every request is answered once.
import fs from 'node:fs';
import path from 'node:path';
import { check, done, equal, random, root } from './helpers/check.mjs';
import { answeredOnce, at, begin, finish, slow } from './helpers/daemon.mjs';
import { Typist, ghost } from './helpers/typist.mjs';

const CANCELLED = -32800;
const sample = (name) => fs.readFileSync(path.join(root, 'tests/data/samples', name), 'utf8');
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// ---- one key after another, each answered before the next

for (const [name, language, seed, most] of [['py/inventory.py', 'python', 1, 220], ['c/queue.c', 'c', 2, 60]]) {
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 24 } } });
  const text = sample(name), r = random(seed);
  const from = text.indexOf('\n', text.length / 3) + 1, to = text.indexOf('\n', (text.length * 2) / 3);
  const t = new Typist(d, `file:///w/${name}`, text, from, to, language);
  const seen = new Map(); // what was shown where, by the text before and after
  const key = () => `${t.before}\0${t.after}`;
  let shown = ghost(await t.ask(), t.place().character), before = await t.work(), next = from;
  let keys = 0, agreed = 0, again = 0, strayed = 0;
  while (keys < most && next < to) {
    const follow = shown.length > 1 && r.chance(0.4), back = !follow && keys > 0 && r.chance(0.15);
    let agrees = false;
    if (back) {
      t.back();
      if (strayed > 0) strayed--; else next--;
    } else if (follow) {
      agrees = true;
      if (strayed === 0 && shown[0] === text[next]) next++; else strayed++;
      t.type(shown[0]);
    } else if (strayed > 0) { // takes it back to the file's own text
      const last = t.place();
      t.before = t.before.slice(0, -strayed);
      t.change({ start: t.place(), end: last }, '');
      strayed = 0;
    } else {
      agrees = shown.length > 1 && shown[0] === text[next];
      t.type(text[next++]);
    }
    const had = shown, answer = await t.ask(), at = t.place(), work = await t.work();
    shown = ghost(answer, at.character);
    keys++;
    const item = answer.result.items[0];
    if (item) {
      const typed = t.before.slice(t.before.length - (at.character - item.range.start.character));
      check(item.insertText.startsWith(typed), 'what is shown begins with what was typed', JSON.stringify(item));
    }
    if (agrees) {
      agreed++;
      check(same(work, before), 'a key that agrees computes nothing', `${JSON.stringify(had)}: ${JSON.stringify([before, work])}`);
      check(shown === had.slice(1) || shown.trim() === '' && had.slice(1).trim() === '', 'the rest is shown', JSON.stringify([had, shown]));
    } else if (seen.has(key())) {
      again++;
      check(same(work, before), 'where the text was the same before nothing is computed', JSON.stringify([before, work]));
      equal(shown, seen.get(key()), 'and the same is shown');
    }
    seen.set(key(), shown);
    before = work;
  }
  check(keys >= most && agreed >= most / 8 && again > most / 20, `${name}: ${keys} keys, ${agreed} agreed, ${again} at a place seen before`);
  equal(await finish(d), 0, `${name}: exit code`);
  answeredOnce(d.wire, t.ids, name);
}

// ---- before brackets that are there: what is shown stays the same, however far it was typed

for (const [name, language, places] of [
  ['ts/cache.ts', 'typescript', [[1190, 1192], [1382, 1385], [538, 539]]],
  ['c/queue.c', 'c', [[338, 340], [690, 701], [492, 503], [976, 983]]],
]) {
  const d = await begin({ initializationOptions: { fimd: { midLine: true, maxTokens: 24, candidates: 1 } } });
  const text = sample(name);
  let keys = 0;
  for (const [from, to] of places) {
    const t = new Typist(d, `file:///w/${from}/${name}`, text, from, to, language), p = t.place();
    t.prefix = `${from}:`; // an id for each
    let rest = ghost(await d.request(`hand ${from}`, 'textDocument/inlineCompletion', at(t.uri, p.line, p.character, { context: { triggerKind: 1 } })), p.character);
    while (rest.length > 1) {
      t.type(rest[0]);
      rest = rest.slice(1);
      keys++;
      if (!equal(ghost(await t.ask(), t.place().character), rest, `${name}: the rest stays`)) break;
    }
    d.notify('textDocument/didClose', { textDocument: { uri: t.uri } });
  }
  check(keys >= 10, `${name}: keys`, keys);
  equal(await finish(d), 0, `${name}: exit code`);
}

// ---- keys while the answer is being written, on slow kernels so that there is time

const settings = { initializationOptions: { fimd: { maxTokens: 64, draft: 'none', streaming: true } } };
const three = 'class Box:\n    def __init__(self, width, height, depth):\n        ';
const more = (m) => m.method === 'fimd/inlineCompletion/didUpdate' && m.params.final;
async function whole(t, answer, from) { // the text that a request has come to
  if (!answer.result.more) return ghost(answer, t.place().character);
  const last = await t.d.wire.wait((m) => more(m) && m.params.id === answer.id, 'the last update', from);
  return ghost({ result: last.params }, t.place().character);
}

{
  const d = await begin(settings, slow);
  const t = new Typist(d, 'file:///w/box.py', three, three.length, three.length, 'python');
  await d.wire.wait((m) => m.method === 'window/logMessage' && /is ready/.test(m.params.message), 'the model');
  const alone = await whole(t, await t.ask(), 0), cost = await t.work();
  check(alone.length > 20 && alone.includes('\n'), 'several lines are written');
  await finish(d);

  // Agreeing keys in a row, from the moment that the first line is there.
  const e = await begin(settings, slow);
  const u = new Typist(e, 'file:///w/box.py', three, three.length, three.length, 'python');
  const first = await u.ask(), typed = 9, answers = [];
  equal(first.result.more, true, 'the first line comes early');
  for (let i = 0; i < typed; i++) {
    u.type(alone[i]);
    answers.push(u.ask());
  }
  const last = await answers.at(-1);
  equal(await whole(u, last, 0), alone.slice(typed), 'the last request has the rest');
  for (const a of answers.slice(0, -1)) {
    const m = await a;
    check(m.error?.code === CANCELLED || m.result, 'those before it are superseded, or were answered');
  }
  equal(await u.work(), cost, 'nothing was computed twice');

  // A key that disagrees, an edit elsewhere, a cancellation of the request that follows.
  const stray = async (what, act) => {
    const v = new Typist(e, `file:///w/${what}.py`, three, three.length, three.length, 'python');
    const a = await v.ask();
    check(a.result !== undefined, `${what}: answered`);
    await act(v);
    u.ids.push(...v.ids);
  };
  await stray('disagrees', async (v) => {
    v.type('@');
    const b = await v.ask();
    check(b.result !== undefined, 'after a key that disagrees there is an answer');
  });
  await stray('elsewhere', async (v) => {
    v.change({ start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }, '# ');
    v.before = `# ${v.before}`;
    check((await v.ask()).result !== undefined, 'after an edit elsewhere there is an answer');
  });
  await stray('cancelled', async (v) => {
    v.type(alone[0]);
    const b = v.ask();
    e.notify('$/cancelRequest', { id: v.ids[0] }); // superseded: it is not under way any more
    e.notify('$/cancelRequest', { id: v.ids[1] });
    const m = await b;
    check(m.error?.code === CANCELLED || m.result, 'the request that follows can be cancelled');
    check((await v.ask()).result !== undefined, 'and asked again');
  });
  await stray('closed', async (v) => {
    v.type(alone[0]);
    const b = v.ask();
    e.notify('textDocument/didClose', { textDocument: { uri: v.uri } });
    const m = await b;
    check(m.error?.code === CANCELLED || m.result, 'closing the document ends what goes on');
  });
  await stray('left', async (v) => v.type(alone[0])); // goes on when the daemon is to stop
  equal(await finish(e), 0, 'exit code while a job goes on');
  answeredOnce(e.wire, u.ids, 'keys while the answer is written');
}

// ---- keys at any moment, none waited for

{
  const d = await begin({ initializationOptions: { fimd: { maxTokens: 48, streaming: true, midLine: true } } });
  const r = random(7), text = sample('ts/cache.ts'), from = text.indexOf('\n', 600) + 1;
  const t = new Typist(d, 'file:///w/cache.ts', text, from, from, 'typescript');
  let shown = '', at = '';
  const pending = [];
  for (let i = 0; i < 120; i++) {
    if (shown && t.before.startsWith(at) && shown.startsWith(t.before.slice(at.length)) && t.before.length - at.length < shown.length)
      t.type(shown[t.before.length - at.length]);
    else if (r.chance(0.2) && t.before.length > from) t.back();
    else if (r.chance(0.2)) t.type('()', 1);
    else t.type(r.pick([...'abcdefgh .=\n']));
    const here = t.before, character = t.place().character;
    const a = t.ask().then((m) => {
      check(m.error?.code === CANCELLED || m.result, 'answered or superseded', JSON.stringify(m));
      const g = ghost(m, character);
      if (g) { shown = g; at = here; }
    });
    pending.push(a);
    if (r.chance(0.15)) d.notify('$/cancelRequest', { id: t.ids.at(-1) });
    if (r.chance(0.25)) await a;
  }
  await Promise.all(pending);
  equal((await t.ask()).error, undefined, 'the last one is answered');
  equal(await finish(d), 0, 'keys at any moment: exit code');
  answeredOnce(d.wire, t.ids, 'keys at any moment');
}

done();
