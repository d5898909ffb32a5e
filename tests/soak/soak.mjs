// make soak HOURS=1: someone types in many files for so long, and the daemon is watched.
//   node tests/soak/soak.mjs --hours H [--speed N] [--seed N] [--texts DIR] [--log FILE] [-- OPTIONS]
// Speed is that of a person times N; OPTIONS are those of fimd lsp. The first fifth of the time goes
// at WARM_SPEED, so that what is kept for speed and is bounded (predictions by token, the index of
// open texts) has filled before memory is judged. The exit status is 1 where memory
// drifts by more than 1 %, open files or threads grow, the texts differ, or a request was not answered
// exactly once. Latencies are told, not judged.
import { spawn } from 'node:child_process';
import { createWriteStream, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { fimd, random, root } from '../protocol/helpers/check.mjs';
import { Daemon } from './daemon.mjs';
import { columns, judge, row, sample } from './watch.mjs';
import { User, languageOf } from './user.mjs';

const WARM_SPEED = 12, FILES_MOST = 40, FILE_BYTES = 60000;

function options(argv) {
  const o = { hours: 1, speed: 1, seed: 1, texts: '', log: '' };
  while (argv.length) {
    const word = argv.shift(), key = word.slice(2);
    if (word === '--') return { ...o, rest: argv };
    if (!word.startsWith('--') || !(key in o) || !argv.length) throw new Error(`what is ${word}?`);
    o[key] = typeof o[key] === 'number' ? Number(argv.shift()) : argv.shift();
  }
  return { ...o, rest: [] };
}

// The files that are worked on: copies, as they are saved.
function* walk(dir) {
  for (const e of readdirSync(dir, { withFileTypes: true })) {
    if (e.name.startsWith('.') || ['node_modules', 'build'].includes(e.name)) continue;
    const at = path.join(dir, e.name);
    if (e.isDirectory()) yield* walk(at);
    else if (e.isFile() && languageOf(e.name) && statSync(at).size <= FILE_BYTES && statSync(at).size > 500) yield at;
  }
}
function texts(dirs, r, to) {
  const byLanguage = new Map();
  for (const dir of dirs) for (const f of walk(dir)) {
    const l = languageOf(f);
    byLanguage.set(l, [...(byLanguage.get(l) ?? []), f]);
  }
  const files = [], heaps = [...byLanguage.values()];
  while (files.length < FILES_MOST && heaps.some((h) => h.length))
    for (const heap of heaps) if (heap.length && files.length < FILES_MOST) files.push(heap.splice(r.int(heap.length), 1)[0]);
  return files.map((f, i) => {
    const text = readFileSync(f, 'utf8').replaceAll('\r\n', '\n'), copy = path.join(to, `d${i % 5}`, `${i}_${path.basename(f)}`);
    mkdirSync(path.dirname(copy), { recursive: true });
    writeFileSync(copy, text);
    return [pathToFileURL(copy).href, text];
  });
}

const o = options(process.argv.slice(2)), r = random(o.seed);
const log = o.log ? createWriteStream(o.log) : null;
const say = (line) => { console.log(line); log?.write(`${line}\n`); };
const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-soak-'));
const child = spawn(fimd, ['lsp', ...o.rest], { stdio: ['pipe', 'pipe', 'pipe'] });
process.on('exit', () => { child.kill('SIGKILL'); rmSync(dir, { recursive: true, force: true }); });
const files = texts(o.texts ? [o.texts] : ['tests/data/samples', 'editors', 'lsp', 'completion', 'tests/protocol'].map((d) => path.join(root, d)), r, dir);
const daemon = new Daemon(child), user = new User(daemon, files, r, Math.max(WARM_SPEED, o.speed));
let gone = null;
child.on('exit', (code, signal) => { gone = code ?? signal; });
child.stderr.on('data', (t) => say(`stderr: ${t.toString().trimEnd()}`));
for (const s of ['SIGINT', 'SIGTERM']) process.on(s, () => { user.ended = true; });

say(`${files.length} files in ${new Set(files.map(([u]) => languageOf(u))).size} languages, ${o.hours} hours at ${o.speed} times human speed, seed ${o.seed}: fimd ${['lsp', ...o.rest].join(' ')}`);
const init = await daemon.request('initialize', { processId: process.pid, rootUri: null, capabilities: {}, workspaceFolders: [{ uri: pathToFileURL(dir).href, name: 'soak' }] });
say(`${init.result.serverInfo.name} ${init.result.serverInfo.version}`);
daemon.notify('initialized', {});

const total = o.hours * 3600e3, every = Math.min(60000, total / 20), begun = Date.now(), samples = [];
let warm = false;
const failed = (e) => { say(`the work ended: ${e.stack}`); user.failed = user.ended = true; };
const work = user.work().catch(failed);
say(columns);
while (Date.now() - begun < total && !user.ended && gone === null) {
  await sleep(Math.max(1, Math.min(every, begun + total - Date.now())));
  if (gone !== null) break;
  const { workspace } = (await daemon.request('fimd/status')).result;
  const s = { ...sample(child.pid), pool: workspace.poolMegabytes, seconds: (Date.now() - begun) / 1000, warm, keys: user.keys, answers: daemon.times.splice(0) };
  samples.push(s);
  say(row(s));
  if (warm || !user.warm || Date.now() - begun < total / 5 - 1) continue;
  warm = true;
  user.speed = o.speed;
}
user.ended = true;
await Promise.race([work, sleep(120000)]);
if (gone === null) {
  await daemon.settled();
  for (const d of user.open) await user.compare(d);
  await daemon.request('shutdown');
  daemon.notify('exit');
  for (let i = 0; i < 100 && gone === null; i++) await sleep(100);
}
say(`${user.keys} keys, ${user.visits} visits, ${user.accepted} texts taken; ${daemon.asked} requests, ${daemon.cancelled} cancelled; ${user.compared} comparisons`);
const faults = judge(samples, say);
if (user.failed) faults.push('the work ended early');
if (user.differ) faults.push(`${user.differ} texts differ`);
if (gone !== 0) faults.push(`the daemon ended with ${gone}`);
if (daemon.waiting.size) faults.push(`${daemon.waiting.size} requests without an answer`);
if (daemon.odd) faults.push(`${daemon.odd} answers to nothing, or second ones`);
say(faults.length ? `FAIL: ${faults.join('; ')}` : 'ok');
if (log) await new Promise((resolve) => log.end(resolve));
process.exit(faults.length ? 1 : 0);
