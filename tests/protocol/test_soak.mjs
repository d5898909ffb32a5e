// make soak: what it takes for growth, and a few seconds of it with the real daemon. How memory
// goes is told by hours, not by seconds, so here that is not judged.
import { spawnSync } from 'node:child_process';
import path from 'node:path';
import { check, done, equal, root } from './helpers/check.mjs';
import { judge } from '../soak/watch.mjs';

// ---- the judge

const samples = (change) => Array.from({ length: 40 }, (_, i) => ({ warm: i >= 8, rss: 100, own: 60, gpu: NaN, files: 13, threads: 5, answers: [1, 2], ...change(i) }));
const verdict = (change) => judge(samples(change), () => {});
equal(verdict(() => ({})), [], 'nothing grows');
equal(verdict((i) => ({ rss: i < 8 ? 50 : 100 })), [], 'what grows while it warms up');
equal(verdict((i) => ({ rss: 100 + (i % 2) })), [], 'what goes up and down');
equal(verdict((i) => ({ rss: 100 - i })), [], 'what shrinks');
equal(verdict((i) => ({ rss: 100 + i / 25 })).length, 0, 'less than one per cent');
check(/RSS grew by/.test(verdict((i) => ({ rss: 100 + i / 15 }))[0]), 'more than one per cent');
check(/GPU memory grew by/.test(verdict((i) => ({ gpu: 1000 + i }))[0]), 'on the GPU');
check(/open files grew from 13 to 14/.test(verdict((i) => ({ files: i < 30 ? 13 : 14 }))[0]), 'one more open file');
check(/threads grew from 5 to 6/.test(verdict((i) => ({ threads: i < 39 ? 5 : 6 }))[0]), 'one more thread');
check(/only 0 samples/.test(judge([], () => {})[0]), 'no samples say nothing');

// ---- a short run

const r = spawnSync(process.execPath, [path.join(root, 'tests/soak/soak.mjs'), '--hours', process.env.FIMD_SOAK_HOURS ?? '0.004', '--speed', '40', '--texts', path.join(root, 'tests/data/samples')], { encoding: 'utf8', timeout: 900000 });
const last = r.stdout.trim().split('\n').at(-1);
check(/^(ok|FAIL: (RSS grew by [\d.]+ %|only \d+ samples after warming up))$/.test(last), 'texts are equal, each request was answered once, nothing was left open', r.stdout + r.stderr);
check(/^\d{2,} keys, [1-9]\d* visits.* [1-9]\d* comparisons$/m.test(r.stdout), 'something was done', r.stdout);
done();
