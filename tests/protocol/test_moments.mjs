// A table: every moment of a request's life against everything that can happen to it. The daemon is
// held at the moment (helpers/moments.mjs), so it lasts until the event was read; then it goes on.
// Asserted in each cell: what the request is answered with, and when; one answer for every id; not
// a word more about a request that is over or a document that is closed; another client, which has
// the same document open and a request of its own under way, gets what it always gets, and no word
// of the others.
//
// MOMENTS in the environment: all: the whole table (a minute), else a part in which each moment and
// each event comes; or some text: the cells whose name has it.
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, done, equal } from './helpers/check.mjs';
import { at, connect, initializeParams, open, peer } from './helpers/daemon.mjs';
import { startHeld } from './helpers/held.mjs';
import { CANCELLED, Client, INLINE, UPDATE, box, end, moments, uri } from './helpers/moments.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
const folder = path.join(dir, 'folder'), file = path.join(dir, 'sock');
// With a stride that has no divisor in common with the number of events every row and column is met.
const which = process.env.MOMENTS ?? '', stride = process.env.SANITIZE ? 10 : 4;
const code = (m) => m?.error?.code;

async function newClient(d, more = {}) {
  const c = new Client(peer(await connect(file, d)), d);
  c.p.send({ jsonrpc: '2.0', id: 'init', method: 'initialize', params: initializeParams({
    workspaceFolders: [{ uri: pathToFileURL(folder).href, name: 'folder' }],
    initializationOptions: { fimd: { maxTokens: 12, debounce: 0, ...more } } }) });
  await c.wire.answer('init');
  c.notify('initialized', {});
  return c;
}

// ---- what happens

const close = (c) => c.notify('textDocument/didClose', { textDocument: { uri } });
const bye = (c) => c.ask('bye', undefined, 'shutdown');
const another = (c) => { c.ask('again', at(uri, ...end(c.text))); };
// A third client's request is under way, and then this happens to it.
const third = (act) => async (c) => {
  const t = c.third = await newClient(c.d);
  t.text = 'def third(a):\n    return ';
  t.openHere();
  t.r = t.ask('r');
  await t.status();
  await act(t);
};

// ends: the request is over with it, and answered so if it was not; else it goes on as if nothing
// had happened. leaves: so does the client.
const events = {
  'nothing': { act() {} },
  'it is cancelled': { ends: true, act(c) { c.notify('$/cancelRequest', { id: 'r' }); } },
  'it is cancelled twice, and what never was': {
    ends: true,
    act(c) { for (const id of ['r', 'r', 'never', 7]) c.notify('$/cancelRequest', { id }); },
  },
  'other text is typed': { ends: true, act(c) { c.put('\n@'); } },
  'its document is closed': { ends: true, act: close, closes: true },
  'its document is closed and opened': { ends: true, act(c) { close(c); c.openHere(); } },
  'its document is opened anew': { ends: true, act(c) { c.openHere(); } },
  'it is asked again': { ends: true, act: another, answer: 'again' },
  'the popup asks, too': {
    act(c) { c.ask('popup', { textDocument: { uri }, position: { line: 0, character: 6 } }, 'textDocument/completion'); },
    answer: 'popup',
    ends: (m) => m.before === 'cancelled', // what goes on for nobody ends where somebody asks
  },
  'its id is used again': { act(c) { c.p.send({ jsonrpc: '2.0', id: 'r', method: INLINE, params: at(uri, ...end(c.text)) }); }, twice: true },
  'its folder is removed': {
    otherText: true,
    act(c) { c.notify('workspace/didChangeWorkspaceFolders', { event: { added: [], removed: [{ uri: pathToFileURL(folder).href, name: 'folder' }] } }); },
  },
  'a setting changes': { act(c) { c.notify('workspace/didChangeConfiguration', { settings: { fimd: { maxTokens: 12, debounce: 0, candidates: 2 } } }); } },
  'initialize comes again': { async act(c) { equal(code(await c.ask('init 2', initializeParams(), 'initialize')), -32600, `${c.cell}: a second initialize`); } },
  'the server shuts down': {
    ends: true, leaves: true,
    async act(c) {
      equal((await bye(c)).result, null, `${c.cell}: shutdown`);
      equal(c.answers('r').length, 1, `${c.cell}: what was asked before is answered before`);
      equal(code(await c.ask('late')), -32600, `${c.cell}: a request after shutdown`);
      c.notify('textDocument/didClose', { textDocument: { uri } });
      c.notify('exit');
      await c.wire.ended;
    },
  },
  'the client says exit': { ends: true, leaves: true, async act(c) { c.notify('exit'); await c.wire.ended; } },
  'the client says no more': { ends: true, leaves: true, async act(c) { c.p.socket.end(); await c.wire.ended; } },
  'the socket is cut': { leaves: true, cut: true, act(c) { c.p.socket.destroy(); } },
  'another client cancels': { act: third(async (t) => { t.notify('$/cancelRequest', { id: 'r' }); equal(code(await t.r), CANCELLED, 'the other client cancels its own'); }) },
  'another client closes': { act: third(async (t) => { close(t); equal(code(await t.r), CANCELLED, 'the other client closes its own'); }) },
  'another client shuts down': { act: third(async (t) => { await bye(t); equal(code(await t.r), CANCELLED, 'the other client shuts down'); t.notify('exit'); await t.wire.ended; }) },
  'another client is cut off': { act: third((t) => { t.p.socket.destroy(); t.r.catch(() => {}); }) },
};

// ---- a cell

const whole = (m, c) => (m.result.more ? c.wire.wait((u) => u.method === UPDATE && u.params.token === m.result.token && u.params.final, 'the last update').then((u) => u.params.items) : m.result.items);
// With a partial result the text is in the parts, and the answer is empty.
const shown = async (c) => {
  const items = await whole(await c.r, c), parts = c.wire.messages.filter((m) => m.params?.token === 'part');
  return [...parts.flatMap((m) => m.params.value), ...items].at(-1)?.insertText;
};

class Witness extends Client {
  async begin() {
    this.text = 'import os\n\ndef list_files(folder):\n    ';
    for (const it of [uri, `${uri}.py`]) open(this.p, it, this.text);
    this.want = await this.one('first', uri);
    this.wantAhead = await this.one('ahead', `${uri}.py`);
  }
  async one(id, it) { return (await this.ask(id, at(it, ...end(this.text)))).result; }
  // Its own request, and where a moment needs it, one before that about another document.
  ahead() { this.first = this.one(`ahead ${++this.number}`, `${uri}.py`); }
  under() { this.answer = this.one(`witness ${++this.number}`, uri); }
}

async function until(what, ok) { while (!await ok()); check(true, what); }

function expectations(m, e) {
  const ends = typeof e.ends === 'function' ? e.ends(m) : e.ends;
  return { ends, result: !m.before && !ends };
}

async function cell(d, witness, references, name, m, e) {
  const { ends, result } = expectations(m, e);
  const c = await newClient(d, m.streams ? { streaming: true } : {});
  Object.assign(c, { witness, cell: name });
  const heard = witness.wire.messages.length;
  await m.reach(c);
  witness.under();
  const was = c.answers('r').length;
  equal([was, code(c.answers('r')[0])], [m.before ? 1 : 0, m.before === 'cancelled' ? CANCELLED : undefined], `${name}: answered before`);
  await e.act(c);
  if (!e.leaves) await c.status(); // the daemon has read it, though a thread of it is held
  const then = c.wire.messages.length;
  if (ends && !m.before) equal(c.answers('r').map(code), [CANCELLED], `${name}: answered at once`);
  if (result && !e.twice && !e.cut) equal(c.answers('r').length, 0, `${name}: not answered yet`);
  check((await witness.status()).model.state === 'ready', `${name}: the other client is answered meanwhile`);
  if (m.parses && ends && !e.answer) equal(await witness.answer, witness.want, `${name}: who waits behind it goes on`);
  m.release(c);
  if (e.cut) c.r.catch(() => {}); // nobody is there for it
  else await afterwards(c, name, m, e, { ends, result, then }, references);
  equal(await witness.answer, witness.want, `${name}: the other client has its text`);
  if (m.needsWitness) equal(await witness.first, witness.wantAhead, `${name}: also the one before`);
  if (c.third) c.third.p.socket.destroy();
  if (!e.leaves) c.p.socket.destroy();
  await until(`${name}: the clients leave`, async () => (await witness.status()).clients === 1);
  check(witness.wire.messages.slice(heard).every((x) => x.method === undefined), `${name}: no word to the other client`, JSON.stringify(witness.wire.messages.slice(heard).filter((x) => x.method)));
  check([...witness.wire.counts().values()].every((n) => n === 1), `${name}: its requests are answered once`);
}

async function afterwards(c, name, m, e, { ends, result, then }, references) {
  if (result && !e.twice) {
    const text = await shown(c);
    check(text?.length > 0, `${name}: it is answered with a text`, JSON.stringify(await c.r));
    if (!e.otherText) equal(text, references[m.name] ??= text, `${name}: the text of always`);
  }
  if (e.answer) check(Array.isArray((await c.wire.answer(e.answer)).result?.items), `${name}: the new one is answered`);
  if (m.streams && !ends && !e.leaves) await whole(await c.r, c);
  if (!e.leaves) {
    await until(`${name}: nothing is left over`, async () => (await c.status()).requests === 0);
    if (e.closes) c.openHere();
    check((await c.ask('next')).result?.items.length > 0, `${name}: the next request is answered`);
  }
  const late = c.wire.messages.slice(then).filter((x) => x.method !== undefined);
  if (ends) check(!late.some((x) => x.params?.id === 'r' || x.params?.token === 'part'), `${name}: no word about what is over`, JSON.stringify(late));
  if (e.closes) check(!late.some((x) => JSON.stringify(x).includes(uri)), `${name}: no word about a closed document`, JSON.stringify(late));
  const counts = c.wire.counts(), wanted = new Map(c.ids.map((id) => [id, 1]));
  if (e.twice) {
    wanted.set('r', 2);
    const codes = c.answers('r').map(code).sort();
    const both = m.live || !m.before ? [-32600, undefined] : m.before === 'cancelled' ? [CANCELLED, undefined] : [undefined, undefined];
    equal(codes, both, `${name}: both are answered`);
  }
  const odd = [...new Set([...wanted.keys(), ...counts.keys()])].filter((id) => counts.get(id) !== wanted.get(id)).map((id) => `${id}: ${counts.get(id) ?? 0}`);
  check(odd.length === 0, `${name}: one answer for each of ${c.ids.length} requests`, odd.join(', '));
}

// ---- the table

mkdirSync(folder);
writeFileSync(path.join(folder, 'notes.txt'), 'notes\n');
const d = startHeld(['lsp', '--socket', file]);
const witness = new Witness(peer(await connect(file, d)), d);
await witness.ask('init 1', initializeParams({ initializationOptions: { fimd: { maxTokens: 12, debounce: 0 } } }), 'initialize');
witness.ids.shift();
witness.notify('initialized', {});
await witness.begin();
const references = {};
let cells = 0, met = 0;
for (const [momentName, m] of Object.entries(moments)) {
  m.name = momentName;
  for (const [eventName, e] of Object.entries(events)) {
    const name = `a request that ${momentName}; ${eventName}`;
    if (which === '' ? met++ % stride !== 0 : which !== 'all' && !name.includes(which)) continue;
    await cell(d, witness, references, name, m, e);
    cells++;
  }
}
d.child.kill('SIGTERM');
equal(await d.exit, 0, 'the end: exit code');
rmSync(dir, { recursive: true });
console.log(`${cells} cells`);
done();
