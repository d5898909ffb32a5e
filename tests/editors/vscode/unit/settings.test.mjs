// The settings that the extension contributes against those that the daemon takes
// (lsp/settings.c), so that neither list gets a key that the other has not.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');
const read = (name) => fs.readFileSync(path.join(root, name), 'utf8');
const { DAEMON_KEYS, START_OPTIONS, OWN_DEFAULTS, RESTART_KEYS, daemonSettings, startArguments,
  languageOn } = createRequire(import.meta.url)(path.join(root, 'editors/vscode/out/settings.js'));

const manifest = JSON.parse(read('editors/vscode/package.json'));
const groups = manifest.contributes.configuration;
const properties = Object.assign({}, ...groups.map((group) => group.properties));
const ours = ['path', 'args', 'trace.server']; // of the editor alone

// {"maxTokens", INT, offsetof(...), 1, 1024, NULL},
const entry = /^\s*\{"(\w+)", (\w+), .*?,\s*([\w.]+),\s*([\w.]+),\s*(NULL|"[-\w]+")\},$/gm;
const rows = [...read('lsp/settings.c').matchAll(entry)];
const known = rows.map(([, name, kind, low, high, option]) =>
  ({ name, kind, low: Number(low), high: bound(high), option: option.replaceAll('"', '') }));

function bound(word) {
  if (!/^[A-Z_]+$/.test(word)) return Number(word);
  const all = read('completion/completion.h') + read('lsp/settings.h');
  return Number(new RegExp(`${word}\\W+(\\d+)`).exec(all)[1]);
}

// What is no setting, though it is no mistake beside them: the token of who connects to a port.
const daemon = known.filter((k) => k.kind !== 'ELSEWHERE');

test('lsp/settings.c is read as a whole', () => {
  const table = /keys\[\] = \{\n([\s\S]*?)\n\};/.exec(read('lsp/settings.c'))[1];
  assert.equal(known.length, table.split('\n').length);
});

test('every key of the daemon is a setting, and every setting a key', () => {
  const want = [...daemon.map((k) => k.name), ...ours].map((n) => `fimd.${n}`).sort();
  assert.deepEqual(Object.keys(properties).sort(), want);
});

test('each is sent the way that the daemon takes it', () => {
  const start = daemon.filter((k) => k.kind === 'COMMAND_LINE');
  const sent = daemon.filter((k) => k.kind !== 'COMMAND_LINE');
  assert.deepEqual([...DAEMON_KEYS].sort(), sent.map((k) => k.name).sort());
  assert.deepEqual(START_OPTIONS, Object.fromEntries(start.map((k) => [k.name, k.option])));
});

test('types and bounds agree', () => {
  const types = { BOOL: 'boolean', NOT: 'boolean', INT: 'integer', SEED: 'integer',
    REAL: 'number', LANGUAGES: 'object', DRAFT: 'string' };
  for (const k of daemon.filter((key) => key.kind !== 'COMMAND_LINE')) {
    const p = properties[`fimd.${k.name}`];
    assert.equal(p.type, types[k.kind], k.name);
    if (!['INT', 'SEED', 'REAL'].includes(k.kind)) continue;
    assert.deepEqual([p.minimum, p.maximum], [k.low, k.high], k.name);
  }
});

test('defaults are those of the README, but for what is said to differ', () => {
  const table = [...read('README.md').matchAll(/^\| ((?:`\w+`(?:, )?)+) \| ([^|]+) \|/gm)];
  const said = {};
  for (const [, names, values] of table) {
    const keys = [...names.matchAll(/`(\w+)`/g)].map((m) => m[1]);
    const list = values.trim().split(', ').map((v) => v.replaceAll('`', ''));
    keys.forEach((key, i) => { said[key] = list[i] ?? list.at(-1); });
  }
  for (const key of DAEMON_KEYS) {
    if (key === 'languages' || key in OWN_DEFAULTS) continue;
    const value = properties[`fimd.${key}`].default;
    assert.equal(JSON.stringify(value), said[key], key);
  }
  for (const [key, value] of Object.entries(OWN_DEFAULTS)) {
    assert.equal(properties[`fimd.${key}`].default, value);
    assert.notEqual(JSON.stringify(value), said[key]);
  }
});

test('a workspace can not change what is started or read', () => {
  for (const key of ['path', 'args', ...Object.keys(START_OPTIONS)])
    assert.equal(properties[`fimd.${key}`].scope, 'machine', key);
});

test('every setting has a description, every restart is mentioned', () => {
  for (const [name, p] of Object.entries(properties)) {
    const text = p.description ?? p.markdownDescription ?? '';
    assert.match(text, /\.$/, name);
    const key = name.slice('fimd.'.length);
    if (key in START_OPTIONS) assert.match(text, /restarts the daemon/, name);
    if (/restarts the daemon/.test(text)) assert.ok(RESTART_KEYS.includes(key), name);
  }
});

const reader = (values) => ({
  get: (key) => values[key] ?? properties[`fimd.${key}`].default,
  isSet: (key) => key in values,
});

test('only what was set is sent', () => {
  assert.deepEqual(daemonSettings(reader({})), { popup: false });
  assert.deepEqual(daemonSettings(reader({ maxTokens: 9, popup: true, model: 'm' })),
    { popup: true, maxTokens: 9 });
});

test('the command line has what was set, and the further options first', () => {
  const up = (s) => s.replace('~', '/home/a');
  assert.deepEqual(startArguments(reader({}), up), ['lsp']);
  const all = { args: ['--trace-file', 'x'], model: '~/m.gguf', threads: 3, backend: 'cpu' };
  assert.deepEqual(startArguments(reader(all), up),
    ['lsp', '--trace-file', 'x', '--model', '/home/a/m.gguf', '--backend', 'cpu',
      '--threads', '3']);
});

test('languages are on or off as for the daemon', () => {
  assert.equal(languageOn({}, 'c'), true);
  assert.equal(languageOn({ '*': false }, 'c'), false);
  assert.equal(languageOn({ '*': false, c: true }, 'c'), true);
  assert.equal(languageOn({ c: false }, 'c'), false);
  assert.equal(languageOn(null, 'c'), true);
});
