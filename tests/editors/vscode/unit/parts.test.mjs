// The parts that need no VS Code: finding the program, restarts, later lines, words, manifest.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import os from 'node:os';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');
const out = (name) =>
  createRequire(import.meta.url)(path.join(root, 'editors/vscode/out', `${name}.js`));
const { findBinary, expandHome } = out('binary');
const { Restarts } = out('restarts');
const { Updates } = out('updates');
const { Samples } = out('samples');
const { offered } = out('models');
const words = out('words');

test('the program is the one that is set, else the first on the PATH', (t) => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-unit-'));
  t.after(() => fs.rmSync(folder, { recursive: true }));
  for (const name of ['a', 'b']) fs.mkdirSync(path.join(folder, name));
  fs.writeFileSync(`${folder}/a/fimd`, '', { mode: 0o644 }); // not a program
  fs.writeFileSync(`${folder}/b/fimd`, '', { mode: 0o755 });
  fs.writeFileSync(`${folder}/b/other`, '', { mode: 0o755 });
  const searched = `.:${folder}/a:${folder}/b`;
  assert.deepEqual(findBinary('', searched), { path: `${folder}/b/fimd` });
  assert.deepEqual(findBinary('other', searched), { path: `${folder}/b/other` });
  assert.deepEqual(findBinary(`${folder}/b/fimd`, ''), { path: `${folder}/b/fimd` });
  assert.match(findBinary('other', `${folder}/a`, folder).why, /was not found/);
  assert.match(findBinary(`${folder}/a/fimd`, searched).why, /no program at/);
  assert.match(findBinary('b/fimd', searched).why, /absolute/);
  assert.match(findBinary(`${folder}/b`, searched).why, /no program at/); // a folder
  fs.mkdirSync(`${folder}/.local/bin`, { recursive: true });
  fs.writeFileSync(`${folder}/.local/bin/fimd`, '', { mode: 0o755 });
  fs.writeFileSync(`${folder}/.local/bin/other`, '', { mode: 0o755 });
  assert.deepEqual(findBinary('', searched, folder), { path: `${folder}/b/fimd` });
  assert.deepEqual(findBinary('', '', folder), { path: `${folder}/.local/bin/fimd` });
  assert.match(findBinary('other', '', folder).why, /was not found/); // only ours is looked for there
  assert.equal(expandHome('~/x', '/h'), '/h/x');
  assert.equal(expandHome('~x', '/h'), '~x');
});

test('it is started again at once, then later, then not', () => {
  const r = new Restarts();
  const waits = [0, 1, 2, 3, 4].map((n) => r.ended(n));
  assert.equal(waits[0], 0);
  assert.deepEqual(waits, [...waits].sort((a, b) => a - b));
  assert.equal(r.ended(5), undefined);
  assert.equal(r.ended(200_000), 0); // long after
  for (let n = 0; n < 9; n++) r.ended(200_000);
  r.forget();
  assert.equal(r.ended(200_001), 0);
});

test('later lines are given once, at the place they are for', () => {
  const at = (version, character) => ({ uri: 'u', version, line: 1, character });
  const u = new Updates();
  assert.equal(u.update(1, ['x'], false, at(1, 2)), false); // nobody asked
  u.begin(7, at(1, 2));
  assert.equal(u.pending, true);
  assert.equal(u.update(6, ['x'], false, at(1, 2)), false); // an older request's
  assert.equal(u.update(7, ['a\nb'], false, at(1, 2)), true);
  assert.deepEqual(u.take(at(1, 2)), ['a\nb']);
  assert.equal(u.take(at(1, 2)), undefined);
  assert.equal(u.update(7, ['a\nb\nc'], true, at(1, 2)), true);
  assert.equal(u.pending, false);
  assert.equal(u.take(at(2, 3)), undefined); // a key was pressed in between
  assert.equal(u.take(at(1, 2)), undefined);

  u.begin(8, at(2, 3));
  assert.equal(u.update(8, ['y'], false, at(2, 4)), false); // the cursor is elsewhere
  assert.equal(u.update(8, ['y'], true, at(2, 3)), false); // and it is over
  u.begin(9, at(2, 3));
  assert.equal(u.update(9, ['z'], false, undefined), false); // no editor
  u.begin(10, at(2, 3));
  u.drop(); // dismissed
  assert.equal(u.update(10, ['z'], true, at(2, 3)), false);
  u.begin(11, at(2, 3));
  assert.equal(u.update(11, [], true, at(2, 3)), false); // nothing to show
});

test('percentiles', () => {
  const s = new Samples();
  assert.deepEqual(s.percentiles(), { p50: 0, p90: 0, count: 0 });
  for (let n = 10; n >= 1; n--) s.add(n);
  assert.deepEqual(s.percentiles(), { p50: 5, p90: 9, count: 10 });
  for (let n = 0; n < 2000; n++) s.add(1);
  assert.deepEqual(s.percentiles(), { p50: 1, p90: 1, count: 2010 });
});

test('the model in use is among those that are offered', () => {
  assert.equal(offered('').filter((m) => m.value === '').length, 1);
  assert.equal(offered('/m/x.gguf')[0].value, '/m/x.gguf');
  const seven = offered('Qwen/Qwen2.5-Coder-7B');
  assert.equal(seven.filter((m) => m.value === 'Qwen/Qwen2.5-Coder-7B').length, 1);
  const readme = fs.readFileSync(path.join(root, 'README.md'), 'utf8');
  for (const m of seven.filter((x) => /Qwen/.test(x.label))) {
    const [, weights, memory] = /^(.*) in Q8_0, for (.*) of memory/.exec(m.detail);
    const row = readme.split('\n').find((l) => l.startsWith(`| ${m.label.replace(' ', '-')} |`));
    assert.ok(row.includes(`| ${weights} |`) && row.endsWith(`| ${memory} |`), m.label);
  }
});

const view = { phase: 'ready', percent: undefined, problem: undefined, working: false,
  snoozedMinutes: 0, offFor: undefined, lastMs: undefined,
  daemonMs: undefined, reason: undefined, model: 'm on cpu' };

test('the item in the status bar', () => {
  const say = (more) => words.say({ ...view, ...more });
  assert.equal(say({}).text, '$(sparkle) fimd');
  assert.equal(say({ lastMs: 12.3 }).text, '$(sparkle) fimd 12 ms');
  assert.equal(say({ lastMs: 1.23 }).text, '$(sparkle) fimd 1.2 ms');
  assert.equal(say({ working: true }).text, '$(loading~spin) fimd');
  assert.equal(say({ phase: 'loading', percent: 40 }).text, '$(loading~spin) fimd 40 %');
  assert.equal(say({ snoozedMinutes: 5 }).text, '$(bell-slash) fimd 5 min');
  assert.equal(say({ phase: 'off', snoozedMinutes: 5 }).lines[0], 'Turned off.');
  assert.match(say({ offFor: 'markdown' }).lines.join(), /off for markdown/);
  assert.match(say({ lastMs: 12 }).lines.join(), /took 12 ms\./);
  assert.match(say({ lastMs: 12, daemonMs: 0.4 }).lines.join(), /took 12 ms, 0\.4 ms of them in/);
  assert.match(say({ reason: 'in a comment' }).lines.join(), /No suggestion: in a comment\./);
  for (const phase of ['missing', 'failed', 'stopped']) {
    const said = say({ phase, problem: 'why' });
    assert.deepEqual([said.warning, said.lines], [true, ['why']]);
  }
});

test('what is contributed is there, and nothing of the daemon is registered twice', () => {
  const manifest = JSON.parse(
    fs.readFileSync(path.join(root, 'editors/vscode/package.json'), 'utf8'));
  const source = fs.readFileSync(path.join(root, 'editors/vscode/src/commands.ts'), 'utf8');
  const daemon = fs.readFileSync(path.join(root, 'lsp/commands.c'), 'utf8');
  const table = /table: [^{]*\{([\s\S]*?)\n  \};/.exec(source)[1];
  const registered = [...table.matchAll(/^ {4}(\w+)[,:]/gm)].map((m) => `fimd.${m[1]}`);
  assert.deepEqual(manifest.contributes.commands.map((c) => c.command).sort(), registered.sort());
  for (const [, name] of daemon.matchAll(/#define \w+ "(fimd\.\w+)"/g))
    assert.ok(!registered.includes(name), `${name} is the client's to register`);
  const makefile = fs.readFileSync(path.join(root, 'Makefile'), 'utf8');
  assert.equal(manifest.version, /FIMD_VERSION := (\S+)/.exec(makefile)[1]);
});
