// Secrets planted in a workspace: what the daemon says and writes has none of them, but for the
// recording, which has what its user asked to be recorded: the messages as they are, and nothing
// that is not in them. What prompts and the pool have is looked at in tests/completion.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, done, equal, random, root } from './helpers/check.mjs';
import { answeredOnce, begin, finish, open } from './helpers/daemon.mjs';
import { Typist, ghost } from './helpers/typist.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const w = path.join(dir, 'w'), uri = (name) => pathToFileURL(path.join(w, name)).href;
const canaries = new Map(); // by where they are
function canary(where) {
  canaries.set(where, `7fQ3canary${canaries.size}9Zx`);
  return canaries.get(where);
}
function plant(name, text) {
  const file = path.join(w, name);
  mkdirSync(path.dirname(file), { recursive: true });
  writeFileSync(file, text);
}
for (const name of ['.env', '.npmrc', 'id_rsa', 'keys/tls.pem', '.git/config', '.git/hooks/pre.py', 'ignored.py', 'mine.py', '../outside/secret.py', 'node_modules/a/index.js'])
  plant(name, `def from_a_secret_file(${canary(name)}):\n    return "${canaries.get(name)}"\n`);
plant('.gitignore', 'ignored.py\n');
plant('.fimdignore', 'mine.py\n');
plant('key.py', `a = 1\n# -----BEGIN PRIVATE KEY-----\n${canary('key.py')}\n`);
plant('tokens.py', `def stock_shown(first, second):\n    return first\n\nSTOCK_TOKEN = "ghp_abcdefghijklmnop${canary('tokens.py')}abcdef"\n`);
symlinkSync('../outside/secret.py', path.join(w, 'link.py'));
symlinkSync('../outside', path.join(w, 'linked'));
const code = readFileSync(path.join(root, 'tests/data/samples/py/inventory.py'), 'utf8');
plant('inventory.py', code);

const settled = async (d) => { for (let s; (s = (await d.request(`idle${Math.random()}`, 'fimd/status')).result).workspace?.busy !== false;) ; };

// The sanitizers see nothing new in the others, and make them slow.
for (const draft of process.env.SANITIZE ? ['all'] : ['all', 'pool', 'prompt', 'recycle', 'lookahead', 'none']) {
  const trace = path.join(dir, `${draft}.jsonl`);
  const d = await begin({ trace: 'verbose', workspaceFolders: [{ uri: uri(''), name: 'w' }], initializationOptions: { fimd: { draft, maxTokens: 12, promptTokens: 512, debounce: 0 } } }, ['lsp', '--trace-file', trace]);
  if (['all', 'pool'].includes(draft)) await settled(d);
  const opened = ['.env', 'ignored.py', 'key.py'];
  for (const name of opened) open(d, uri(name), readFileSync(path.join(w, name), 'utf8'));
  const r = random(5), from = code.indexOf('\n', code.length / 2) + 1;
  const t = new Typist(d, uri('inventory.py'), code, from, from, 'python');
  t.type('    x = stock_shown(STOCK_TOKEN, from_a_secret_file(1))\n    \n', 1);
  const before = d.wire.messages.length;
  for (let i = 0; i < 4; i++) {
    const shown = ghost(await t.ask(), t.place().character);
    t.type(shown && r.chance(0.5) ? shown : 'x = '[i % 4]);
    for (const name of opened) d.notify('textDocument/didChange', { textDocument: { uri: uri(name), version: 2 + i }, contentChanges: [{ range: { start: { line: 0, character: 0 }, end: { line: 0, character: 0 } }, text: `# ${i}\n` }] });
  }
  answeredOnce(d.wire, t.ids, draft);
  const why = (await d.request('why', 'fimd/why', { uri: t.uri })).result;
  await d.request('why2', 'workspace/executeCommand', { command: 'fimd.why', arguments: [] });
  await d.request('statistics', 'workspace/executeCommand', { command: 'fimd.showStatistics', arguments: [] });
  await d.request('status', 'fimd/status');
  // Those would be seen: the file with the token is in the prompt, its other definition shown.
  if (['all', 'pool'].includes(draft)) check(why.pieces.some((p) => p.path === 'tokens.py'), `${draft}: what stands beside a token is in the prompt`, JSON.stringify(why.pieces));
  equal(await finish(d), 0, `${draft}: exit code`);
  const said = JSON.stringify(d.wire.messages.slice(before)), recorded = readFileSync(trace, 'utf8');
  for (const [where, c] of canaries) {
    check(!said.includes(c), `${draft}: no message has what ${where} hides`);
    check(!d.stderr.includes(c), `${draft}: standard error has not what ${where} hides`, d.stderr);
    equal(recorded.includes(c), opened.includes(where), `${draft}: the recording, of what ${where} hides, only where the user opened it`);
    const others = recorded.split('\n').filter((l) => l && !/"method":"textDocument\/didOpen"/.test(l));
    check(!others.some((l) => l.includes(c)), `${draft}: and only as it was opened`);
  }
}
done();
