// Memory that ends at the Nth allocation of a session, for N after N, in one daemon that serves
// on: nothing falls over, every request has an answer, and as soon as there is memory again the
// same document is completed as ever. Loop, engine, parser and workspace threads, and all
// libraries. A spread of N; FIMD_TEST_EVERY=1 tries every one.
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, root } from './helpers/check.mjs';
import { at, frame, initializeParams, start, Wire } from './helpers/daemon.mjs';
import { Memory } from './helpers/memory.mjs';

const every = process.env.FIMD_TEST_EVERY === '1';
const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
const folder = path.join(dir, 'work');
fs.mkdirSync(folder);
for (let i = 0; i < 3; i++) fs.writeFileSync(path.join(folder, `m${i}.c`), `int gauge_${i}(int n) {\n  return n + ${i};\n}\n`);
const uri = 'file:///w/inventory.py';
const text = fs.readFileSync(path.join(root, 'tests/data/samples/py/inventory.py'), 'utf8');
const lines = text.split('\n');
const line = lines.findIndex((l, i) => i > 20 && /^ {8}\S/.test(l));
const memory = new Memory(dir);
const SLOW = 3; // times that a session is tried again where the gate's time did not suffice

class Peer {
  constructor(socket) {
    this.socket = socket;
    this.wire = new Wire(socket);
    this.dead = false;
    socket.on('error', () => {});
  }
  static async connect(where, d) {
    for (;;) {
      const s = net.connect(where);
      const ok = await new Promise((resolve) => { s.once('connect', () => resolve(true)); s.once('error', () => resolve(false)); });
      if (ok) return new Peer(s);
      if (d.child.exitCode !== null || d.child.signalCode !== null) throw new Error(`the daemon is gone: ${d.stderr.slice(-2000)}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
  }
  notify(method, params) { if (!this.wire.over) this.socket.write(frame({ jsonrpc: '2.0', method, params })); }
  // The answer, or null where the connection ended instead.
  async ask(id, method, params) {
    if (this.wire.over) return null;
    this.socket.write(frame({ jsonrpc: '2.0', id, method, params }));
    try {
      return await this.wire.answer(id);
    } catch (e) {
      if (this.wire.over) return null;
      throw e;
    }
  }
}

const document = (version, t = text) => ({ textDocument: { uri, languageId: 'python', version, text: t } });
const cursor = at(uri, line, 11);
const edit = { textDocument: { uri, version: 2 }, contentChanges: [{ range: { start: { line, character: 8 }, end: { line, character: lines[line].length } }, text: 're' }, { range: { start: { line, character: 10 }, end: { line, character: 10 } }, text: 't' }] };

// What an editor does with one document; calls `hungry` before it and `fed` after it, and then
// asks once more.
async function session(p, hungry, fed) {
  const answers = [];
  const ask = async (id, method, params) => answers.push([id, await p.ask(id, method, params)]);
  hungry();
  await ask('init', 'initialize', initializeParams({ processId: null, workspaceFolders: [{ uri: `file://${folder}`, name: 'w' }], initializationOptions: { fimd: { maxTokens: 6, debounce: 0 } } }));
  p.notify('initialized', {});
  p.notify('textDocument/didOpen', document(1));
  p.notify('textDocument/didChange', edit);
  await ask('ghost', 'textDocument/inlineCompletion', cursor);
  await ask('popup', 'textDocument/completion', cursor);
  await ask('hand', 'textDocument/inlineCompletion', { ...cursor, context: { triggerKind: 1 } });
  await ask('why', 'fimd/why', { uri });
  await ask('status', 'fimd/status');
  p.notify('textDocument/didClose', { textDocument: { uri } });
  p.notify('workspace/didChangeConfiguration', { settings: { fimd: { maxTokens: 6, debounce: 0, languages: { '*': true, markdown: false } } } });
  const n = fed();
  // Whatever became of it: the same again, as from an editor that starts anew.
  const first = answers[0][1];
  if (first?.error) await p.ask('init2', 'initialize', initializeParams({ processId: null, initializationOptions: { fimd: { maxTokens: 6, debounce: 0 } } }));
  p.notify('textDocument/didOpen', document(1));
  p.notify('textDocument/didChange', edit);
  const last = await p.ask('again', 'textDocument/inlineCompletion', cursor);
  const why = await p.ask('why again', 'fimd/why', { uri });
  await p.ask('bye', 'shutdown');
  p.notify('exit');
  await p.wire.ended;
  return { answers, last, why, n };
}

const good = (m) => m !== null && (m.error === undefined) !== (m.result === undefined);

async function sweep(name, oneThread, span, most) {
  const file = path.join(dir, `${name}.sock`);
  // Of every N one thread and a short prompt, as it is the number of sessions that counts.
  const cheap = every ? ['--threads', '1', '--prompt-tokens', '300', '--context', '512'] : [];
  const d = start(['lsp', '--socket', file, ...cheap], { env: memory.env });
  let gone = false;
  d.exit.then(() => { gone = true; });
  const fresh = await session(await Peer.connect(file, d), () => memory.arm(1e15, 1, oneThread), () => memory.counted);
  const whole = JSON.stringify(fresh.last?.result);
  check(fresh.last?.result?.items?.length > 0, `${name}: something is completed`, whole);
  equal(fresh.answers.filter(([, m]) => !good(m) || m.error).map(([id]) => id), [], `${name}: with memory, no error`);
  // To the end and a little further, as no session allocates exactly as much as another one.
  const total = Math.ceil(fresh.n * 1.05), step = every ? 1 : Math.max(1, total / most);
  let tried = 0, failed = 0, errors = 0, closed = 0, slow = 0;
  const odd = [];
  const from = Number(process.env.FIMD_TEST_FROM || 1);
  for (let at = from; at <= (process.env.FIMD_TEST_TO ?? total) && odd.length < 5; at += step) {
    const n = Math.floor(at);
    try {
      let hit = 0;
      const s = await session(await Peer.connect(file, d), () => memory.arm(n, span, oneThread), () => { memory.disarm(); hit = memory.failed; });
      tried++;
      if (hit > 0) failed++;
      errors += s.answers.filter(([, m]) => m?.error).length;
      // Or behind its answers, over what was told and not asked.
      const ended = s.last === null || s.answers.some(([, m]) => m === null);
      if (ended) closed++;
      for (const [id, m] of s.answers) if (m !== null && !good(m)) odd.push(`N=${n}: ${id} was answered with ${JSON.stringify(m)}`);
      const other = !ended && JSON.stringify(s.last?.result) !== whole;
      // No memory's doing, once or twice: the machine was at something else.
      if (other && s.why?.result?.gate?.noTime && slow++ < SLOW) {
        at -= step;
        continue;
      }
      slow = 0;
      if (other) odd.push(`N=${n}: afterwards ${JSON.stringify(s.last)}, as ${JSON.stringify(s.why)}; ${JSON.stringify(s.answers).slice(0, 3000)} ${d.stderr.slice(-2500)}`);
    } catch (e) {
      odd.push(`N=${n}: ${e.message.slice(0, 300)}`);
    }
    memory.disarm();
    if (gone) { odd.push(`N=${n}: the daemon ended: ${await d.exit}: ${d.stderr.slice(-3000)}`); break; }
  }
  equal(odd, [], `${name}: every session`);
  check(failed > tried / 2, `${name}: most sessions met with a failure`, `${failed} of ${tried}`);
  console.log(`${name}: ${fresh.n} allocations in a session; ${tried} sessions, ${failed} with failures; ${errors} answers were errors, ${closed} connections were closed`);
  if (!gone) {
    d.child.kill('SIGTERM');
    equal(await d.exit, 0, `${name}: exit code`);
  }
}

// From the start of the process on, while the model loads: fimd serves, or ends with a status and
// says why; a session that begins gets its answers.
async function load(span, most) {
  const fresh = async (n) => {
    memory.arm(n, span);
    const d = start(['lsp'], { env: memory.env });
    const ask = async (id, method, params) => {
      d.send({ jsonrpc: '2.0', id, method, params });
      try { return await d.wire.answer(id); } catch (e) { if (d.wire.over) return null; throw e; }
    };
    const init = await ask('init', 'initialize', initializeParams({ processId: null, initializationOptions: { fimd: { maxTokens: 6, debounce: 0 } } }));
    d.notify('initialized', {});
    d.notify('textDocument/didOpen', document(1));
    d.notify('textDocument/didChange', edit);
    const ghost = await ask('ghost', 'textDocument/inlineCompletion', cursor);
    const counted = memory.counted, hit = memory.failed;
    memory.disarm();
    await ask('bye', 'shutdown');
    d.notify('exit');
    d.child.stdin.end();
    return { init, ghost, counted, hit, code: await d.exit, stderr: d.stderr, said: d.wire.messages.some((m) => m.method === 'window/showMessage') };
  };
  const whole = await fresh(1e15);
  check(whole.ghost?.result?.items?.length > 0 && whole.code === 0, 'load: with memory all is well', JSON.stringify(whole).slice(0, 500));
  const step = every ? 1 : Math.max(1, whole.counted / most), odd = [];
  let tried = 0, failed = 0, ended = 0, served = 0;
  for (let at = 1; at <= whole.counted && odd.length < 5; at += step) {
    const n = Math.floor(at), s = await fresh(n);
    tried++;
    if (s.hit > 0) failed++;
    if (s.code !== 0) ended++;
    if (s.ghost?.result?.items?.length > 0) served++;
    const told = s.code === 0 || s.stderr !== '' || s.said || [s.init, s.ghost].some((m) => m?.error);
    if (typeof s.code !== 'number' || !told || /Sanitizer/.test(s.stderr)) odd.push(`N=${n}: ${s.code}: ${s.stderr.slice(-1500)}`);
    for (const m of [s.init, s.ghost]) if (m && !good(m)) odd.push(`N=${n}: ${JSON.stringify(m)}`);
  }
  equal(odd, [], 'load: every start');
  check(failed > tried / 2, 'load: most starts met with a failure', `${failed} of ${tried}`);
  console.log(`load: ${whole.counted} allocations; ${tried} starts, ${failed} with failures; ${served} served all the same, ${ended} ended with a status`);
}

const few = Number(process.env.FIMD_TEST_SESSIONS || (process.env.SANITIZE ? 4 : 8));
const only = process.env.FIMD_TEST_ONLY;
for (const [name, ...how] of [['loop', true, 1], ['all', false, 1], ['hunger', false, 30], ['famine', false, 1e15]])
  if (!only || only === name) await sweep(name, ...how, few);
if (!only || only === 'load') await load(1, few);
memory.close();
fs.rmSync(dir, { recursive: true });
done();
