// What a process takes, from outside, and whether that grows.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

const DRIFT = 0.01;

let hasGpu = true;
function gpuMegabytes(pid) {
  if (!hasGpu) return NaN;
  try {
    const ask = (q) => execFileSync('nvidia-smi', [q, '--format=csv,noheader,nounits'], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim();
    const own = ask('--query-compute-apps=pid,used_memory').split('\n').find((l) => Number(l.split(',')[0]) === pid);
    return Number(own ? own.split(',')[1] : ask('--query-gpu=memory.used').split('\n')[0]); // in a container, of all
  } catch {
    hasGpu = false;
    return NaN;
  }
}

export function sample(pid) {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const number = (key) => Number(new RegExp(`^${key}:\\s+(\\d+)`, 'm').exec(status)?.[1] ?? NaN);
  return { rss: number('VmRSS') / 1024, own: number('RssAnon') / 1024, gpu: gpuMegabytes(pid), threads: number('Threads'), files: readdirSync(`/proc/${pid}/fd`).length };
}

const quantile = (list, q) => { const s = [...list].sort((a, b) => a - b); return s.length ? s[Math.min(s.length - 1, Math.floor(q * s.length))] : NaN; };
const cells = (list) => list.map((c) => String(c).padStart(9)).join(' ');
const one = (x) => (Number.isNaN(x) ? '-' : x.toFixed(1));
export const columns = cells(['seconds', 'keys', 'RSS MB', 'own MB', 'pool MB', 'GPU MB', 'files', 'threads', 'answers', 'p50 ms', 'p90 ms']);
export const row = (s) => cells([Math.round(s.seconds), s.keys, one(s.rss), one(s.own), one(s.pool), one(s.gpu), s.files, s.threads, s.answers.length, one(quantile(s.answers, 0.5)), one(quantile(s.answers, 0.9))]) + (s.warm ? '' : '  warming up');

// Of the samples after warming up, the means of the first and the last third are
// compared for memory; the most of the first and the last half for files and threads.
export function judge(samples, say) {
  const faults = [], warm = samples.filter((s) => s.warm);
  if (warm.length < 6) return [`only ${warm.length} samples after warming up`];
  const mean = (list, key) => list.reduce((a, s) => a + s[key], 0) / list.length;
  const third = Math.floor(warm.length / 3), half = Math.floor(warm.length / 2), tenth = Math.max(1, Math.floor(warm.length / 10));
  for (const [key, name] of [['rss', 'RSS'], ['gpu', 'GPU memory']]) {
    const from = mean(warm.slice(0, third), key), to = mean(warm.slice(-third), key), drift = to / from - 1;
    if (Number.isNaN(from)) continue;
    say(`${name}: ${one(from)} MB, then ${one(to)} MB: ${(100 * drift).toFixed(2)} %`);
    if (drift > DRIFT) faults.push(`${name} grew by ${(100 * drift).toFixed(2)} %`);
  }
  for (const [key, name] of [['files', 'open files'], ['threads', 'threads']]) {
    const from = Math.max(...warm.slice(0, half).map((s) => s[key])), to = Math.max(...warm.slice(half).map((s) => s[key]));
    say(`${name}: at most ${from}, then ${to}`);
    if (to > from) faults.push(`${name} grew from ${from} to ${to}`);
  }
  const p90 = (list) => quantile(list.flatMap((s) => s.answers), 0.9);
  say(`p90: ${one(p90(warm.slice(0, tenth)))} ms in the first tenth, ${one(p90(warm.slice(-tenth)))} ms in the last`);
  return faults;
}
