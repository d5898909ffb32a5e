// fimd replay on a small git repository: which holes it finds, what it counts, what git is asked.
import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, fimd } from './helpers/check.mjs';

const scratch = mkdtempSync(path.join(os.tmpdir(), 'fimd-replay-'));
process.on('exit', () => rmSync(scratch, { recursive: true, force: true }));
const repository = path.join(scratch, 'a repository'); // a blank: no shell is in between
mkdirSync(path.join(repository, 'src'), { recursive: true });

const clean = Object.fromEntries(Object.entries(process.env).filter(([k]) => !k.startsWith('GIT_')));
const env = { ...clean, GIT_CONFIG_NOSYSTEM: '1', GIT_CONFIG_GLOBAL: '/dev/null', HOME: scratch };
const git = (...args) => execFileSync('git', ['-C', repository, ...args], {
  encoding: 'utf8',
  env: { ...env, GIT_AUTHOR_NAME: 'a', GIT_AUTHOR_EMAIL: 'a@b', GIT_COMMITTER_NAME: 'a', GIT_COMMITTER_EMAIL: 'a@b', GIT_AUTHOR_DATE: '2020-01-01T00:00:00Z', GIT_COMMITTER_DATE: '2020-01-01T00:00:00Z' },
});
const write = (name, text) => writeFileSync(path.join(repository, name), text);
function run(args, more = {}) {
  const r = spawnSync(fimd, ['replay', ...args], { encoding: 'utf8', env: { ...env, ...more } });
  check(!/Sanitizer|runtime error/.test(r.stderr), 'no sanitizer report', r.stderr);
  return r;
}

const shape = (n) => `def area_${n}(width, height):\n    if width < 0 or height < 0:\n        raise ValueError("negative ${n}")\n    return width * height * ${n}\n\n\n`;
const c = (n) => `int scale_${n}(int value) {\n  if (value > ${n}00) {\n    value = value / ${n};\n  }\n  return value * ${n};\n}\n\n`;
const all = (make, to) => Array.from({ length: to }, (_, i) => make(i + 1)).join('');
git('init', '-q', '-b', 'main');
write('src/area.py', all(shape, 5)), write('src/other.py', all(shape, 3)), write('scale.c', all(c, 4));
write('data.json', `{"numbers": [${Array.from({ length: 200 }, (_, i) => i)}]}\n`);
git('add', '.'), git('commit', '-qm', 'first');
write('src/area.py', `${all(shape, 5)}def perimeter(width, height):\n    doubled = width + height\n    return 2 * doubled\n`);
write('scale.c', all(c, 4).replace('value / 2', 'value / 2 + ONLY_IN_THE_SECOND'));
git('add', '.'), git('commit', '-qm', 'second');
// What lies on the disk, and what a repository may configure, is no concern of ours.
const trap = path.join(scratch, 'trap.sh'), sprung = path.join(scratch, 'sprung');
writeFileSync(trap, `#!/bin/sh\ntouch '${sprung}'\n`), chmodSync(trap, 0o755);
git('config', 'diff.external', trap), git('config', 'diff.noprefix', 'true'), git('config', 'diff.trap.textconv', trap);
git('config', 'core.fsmonitor', trap), git('config', 'core.pager', trap);
writeFileSync(path.join(repository, '.git/info/attributes'), '*.py diff=trap\n*.c diff=trap\n');
write('src/area.py', 'nothing is left\n');

// ---- figures

const base = [repository, '--holes', '8', '--max-tokens', '12', '--prompt-tokens', '256'];
const json = (r, what) => {
  if (!check(r.status === 0, `${what}: exit 0`, `${r.status}: ${r.stderr}`)) return { kinds: {} };
  return JSON.parse(r.stdout);
};
const first = json(run([...base, '--json']), 'replay');
equal(first.commit, git('rev-parse', 'HEAD').trim(), 'the commit is named');
equal(Object.keys(first.kinds), ['hunk', 'tail', 'middle', 'node', 'all'], 'every kind has figures');
equal(Object.values(first.kinds).map((k) => k.holes), [2, 2, 2, 2, 8], 'holes of every kind');
for (const [kind, k] of Object.entries(first.kinds)) {
  check(k.shown <= k.holes && k.exact <= k.shown && k.suffixTwice <= k.shown, `${kind}: counts fit`, JSON.stringify(k));
  equal(k.stopRight + k.stopShort + k.stopLong, k.shown, `${kind}: every completion stopped somewhere`);
  check(k.similarity >= 0 && k.similarity <= 1, `${kind}: similarity`, k.similarity);
  check(k.broken <= k.whole && k.wrong <= k.parsed && k.parsed <= k.shown, `${kind}: parse errors`, JSON.stringify(k));
  check(k.openingMs.p50 > 0 && k.openingMs.p90 >= k.openingMs.p50, `${kind}: latencies`, JSON.stringify(k.openingMs));
  check(k.prefilledOpening > 0, `${kind}: the prompt was computed`, k.prefilledOpening);
  equal(k.leakedTokens, 0, `${kind}: no special token`);
}
const sum = (name) => ['hunk', 'tail', 'middle', 'node'].reduce((n, k) => n + (first.kinds[k]?.[name] ?? 0), 0);
for (const name of ['shown', 'exact', 'leakedTokens', 'broken', 'stopRight']) equal(first.kinds.all?.[name], sum(name), `${name} adds up`);

// The same seed gives the same, but for the time it took.
const untimed = (r) => JSON.stringify(r, (k, v) => (k.endsWith('Ms') ? undefined : v));
equal(untimed(json(run([...base, '--json']), 'again')), untimed(first), 'a seed repeats');

// ---- holes

const shown = (args, more) => { const r = run([...base, '--show', ...args], more); check(r.status === 0, `${args}: exit 0`, r.stderr); return r.stdout; };
const places = (text) => [...text.matchAll(/^(hunk|tail|middle|node) (.+):(\d+) at/gm)].map((m) => m.slice(1));
const kinds = places(shown([]));
equal(kinds.length, 8, 'every hole is shown');
check(kinds.every(([, p]) => ['src/area.py', 'src/other.py', 'scale.c'].includes(p)), 'only code', JSON.stringify(kinds));
const hunks = shown(['--kind', 'hunk', '--holes', '20']);
check(places(hunks).length >= 3, 'hunks of the second commit are found', hunks);
for (const [, p, line] of places(hunks)) {
  const good = p === 'scale.c' ? Number(line) === 10 : p === 'src/area.py' && Number(line) >= 31 && Number(line) <= 33;
  check(good, 'hunks are what the commit added', `${p}:${line}`);
}
check(/return 2 \* doubled|urn 2 \* doubled/.test(hunks), 'the true text is that of the commit', hunks);
equal(places(shown(['--kind', 'tail', '--holes', '2'])), kinds.filter(([k]) => k === 'tail'), 'one kind alone has the holes that all have');
check(JSON.stringify(places(shown(['--seed', '5']))) !== JSON.stringify(kinds), 'another seed, other holes');
check(!existsSync(sprung), 'nothing that the repository configures is run');

// ---- where it is asked from, and what is refused

equal(places(shown([], { GIT_DIR: '/nowhere', GIT_WORK_TREE: '/nowhere' })), kinds, 'GIT_DIR of the caller changes nothing');
const below = run([path.join(repository, 'src'), ...base.slice(1), '--json', '--no-context']);
equal(json(below, 'below').context, false, 'a folder below the root, without context');
const bare = path.join(scratch, 'bare.git');
execFileSync('git', ['clone', '-q', '--bare', repository, bare], { env });
equal(places(run([bare, ...base.slice(1), '--show']).stdout), kinds, 'a bare repository has the same holes');

const refuse = (code, pattern, args) => { const r = run(args); equal(r.status, code, `fimd replay ${args}: exit code`); check(pattern.test(r.stderr) && r.stdout === '', `fimd replay ${args}: what it says`, r.stderr + r.stdout); };
refuse(2, /usage/, []);
refuse(2, /usage/, ['a', 'b']);
refuse(2, /--kind/, [repository, '--kind', 'whole']);
refuse(2, /--commits/, [repository, '--commits', '0']);
refuse(1, /not in a git repository/, [scratch]);
refuse(1, /not in a git repository/, [path.join(scratch, 'missing')]);
refuse(1, /no-such-model/, [repository, '--model', './no-such-model.gguf']);
const empty = path.join(scratch, 'empty');
execFileSync('git', ['init', '-q', empty], { env });
refuse(1, /newest commit|HEAD/, [empty]);
const help = run(['--help']);
equal(help.status, 0, 'help');
for (const word of ['exact', 'similarity', 'stop', 'suffix twice', 'leaked', 'saved', 'parse errors', 'prefilled', '--seed']) check(help.stdout.includes(word), `help tells of ${word}`);

done();
