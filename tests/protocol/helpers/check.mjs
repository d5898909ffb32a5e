// What every protocol test needs: counted checks, random numbers that repeat, the built programs.
import { fileURLToPath } from 'node:url';
import path from 'node:path';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../..');
export const build = process.env.FIMD_BUILD || path.join(root, 'build');
export const fimd = process.env.FIMD || path.join(build, 'fimd');
export const tool = (name) => path.join(build, 'tests/tools', name);

let passed = 0;
const failures = [];
export function check(ok, what, detail) {
  if (ok) passed++;
  else {
    failures.push(what);
    console.log(`FAIL ${what}${detail === undefined ? '' : `: ${detail}`}`);
  }
  return ok;
}
export function equal(got, want, what) {
  const a = JSON.stringify(got), b = JSON.stringify(want);
  return check(a === b, what, `got ${a}, want ${b}`);
}

// Prints the count and ends the process; a test without a single check has failed.
export function done() {
  console.log(`${passed} checks passed, ${failures.length} failed`);
  process.exit(failures.length === 0 && passed > 0 ? 0 : 1);
}

// mulberry32: 32 bits of state, good enough to pick edits, the same on every machine.
export function random(seed) {
  let s = seed >>> 0;
  const next = () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = s;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  return {
    float: next,
    int: (n) => Math.floor(next() * n), // 0..n-1
    chance: (p) => next() < p,
    pick: (list) => list[Math.floor(next() * list.length)],
  };
}
