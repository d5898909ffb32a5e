// The files of the workspace, which guesses come from: what is read, what is left out, what is
// read again after a change on the disk; and the setting that says how to guess.
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, unlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, done, equal, fimd } from './helpers/check.mjs';
import { at, begin, finish, initializeParams, open, start } from './helpers/daemon.mjs';

const INLINE = 'textDocument/inlineCompletion', MOST = Number(process.env.FIMD_WAIT_MS || 180000);
const fibonacci = 'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n    if n < 2:\n        return n\n    return ';
const logs = (d) => d.wire.messages.filter((m) => m.method === 'window/logMessage').map((m) => m.params.message);
const counted = (...texts) => texts.reduce((n, t) => n + Number(execFileSync(fimd, ['tokenize', '--count'], { input: t })), 0);

const temporary = [];
process.on('exit', () => { for (const t of temporary) rmSync(t, { recursive: true, force: true }); });
// A folder with these files; text by name.
function folder(files) {
  const root = mkdtempSync(path.join(os.tmpdir(), 'fimd-workspace-'));
  temporary.push(root);
  const f = {
    root, folder: { uri: pathToFileURL(root).href, name: 'w' },
    uri: (name) => pathToFileURL(path.join(root, name)).href,
    write: (name, text) => { mkdirSync(path.dirname(path.join(root, name)), { recursive: true }); writeFileSync(path.join(root, name), text); },
    remove: (name) => unlinkSync(path.join(root, name)),
  };
  for (const [name, text] of Object.entries(files)) f.write(name, text);
  return f;
}

let asked = 0;
const status = async (d) => (await d.request(`status ${++asked}`, 'fimd/status')).result;
// Asks until the workspace is as it should be.
async function until(d, want, what) {
  for (const end = Date.now() + MOST;;) {
    const w = (await status(d)).workspace;
    const good = !w.busy && Object.keys(want).every((k) => w[k] === want[k]);
    if (good || Date.now() > end) {
      check(good, what, `got ${JSON.stringify(w)}, want ${JSON.stringify(want)}`);
      return w;
    }
  }
}
const changed = (d, f, ...changes) => d.notify('workspace/didChangeWatchedFiles', { changes: changes.map(([name, type]) => ({ uri: f.uri(name), type })) });
const folders = (d, added, removed) => d.notify('workspace/didChangeWorkspaceFolders', { event: { added: added.map((f) => f.folder), removed: removed.map((f) => f.folder) } });

// ---- what is read, and read again

{
  const rules = 'ignored.py\nbuilt/\n', a = 'def first(x):\n    return x + 1\n', b = '#include <stdio.h>\nint second(void) { return 2; }\n';
  const f = folder({ '.gitignore': rules, 'ignored.py': a.repeat(50), 'built/out.py': a.repeat(50), '.env': 'TOKEN=12345\n', 'a.py': a, 'src/b.c': b });
  const d = await begin({ workspaceFolders: [f.folder] });
  const first = await until(d, { files: 3, poolTokens: counted(rules, a, b) }, 'what git does not ignore is read');
  equal([first.leftOut, first.cut, first.megabytes], [1, false, Buffer.byteLength(rules + a + b) / 1e6], 'the secret file is left out');
  check(first.poolMegabytes > 0 && first.ms > 0, 'the pool has a size', JSON.stringify(first));

  const c = 'def third(y):\n    return first(y) * 3\n', longer = a + c;
  f.write('new/c.py', c);
  changed(d, f, ['new/c.py', 1]);
  await until(d, { files: 4, poolTokens: counted(rules, a, b, c) }, 'a file that was made is read');
  f.write('a.py', longer);
  changed(d, f, ['a.py', 2]);
  await until(d, { files: 4, poolTokens: counted(rules, longer, b, c) }, 'a file that was written is read again');
  f.remove('new/c.py');
  changed(d, f, ['new/c.py', 3]);
  await until(d, { files: 3, poolTokens: counted(rules, longer, b) }, 'a file that was removed is gone');
  f.write('a.py', a);
  d.notify('textDocument/didSave', { textDocument: { uri: f.uri('a.py') } });
  await until(d, { files: 3, poolTokens: counted(rules, a, b) }, 'a file that was saved is read again');

  // What must not be read is not read on a change either; the last of them shows that all were seen.
  f.write('ignored.py', longer), f.write('.env', 'TOKEN=54321\n'), f.write('.git/x.py', a), f.write('d.py', c);
  changed(d, f, ['ignored.py', 2], ['.env', 2], ['.git/x.py', 1], ['built/out.py', 2], ['../elsewhere.py', 1], ['d.py', 1]);
  await until(d, { files: 4, poolTokens: counted(rules, a, b, c) }, 'changes of ignored and secret files are passed over');
  for (const odd of [{}, { changes: 1 }, { changes: [1, null, {}, { uri: 7 }, { uri: 'untitled:x' }, { uri: 'file:///%' }] }]) d.notify('workspace/didChangeWatchedFiles', odd);
  for (const odd of [{}, { textDocument: 1 }, { textDocument: { uri: 'untitled:x' } }]) d.notify('textDocument/didSave', odd);
  d.notify('workspace/didChangeWatchedFiles');

  // So many changes that the folder is read anew: what nobody named is found too.
  f.write('unnamed.py', longer);
  changed(d, f, ...Array.from({ length: 2500 }, (_, i) => [`gone/${i}.py`, 3]));
  await until(d, { files: 5, poolTokens: counted(rules, a, b, c, longer) }, 'after a flood of changes the folder is read anew');
  f.write('unnamed2.py', a);
  changed(d, f, ...Array.from({ length: 2500 }, (_, i) => [`.git/objects/${i}`, 1]), ['a.py', 2], ['d.py', 2]);
  f.write('e.py', a);
  changed(d, f, ['e.py', 1]);
  await until(d, { files: 6, poolTokens: counted(rules, a, b, c, longer, a) }, "git's own files are no flood");

  // The rules themselves.
  const fewer = rules + 'unnamed*\nd.py\ne.py\n';
  f.write('.gitignore', fewer);
  d.notify('textDocument/didSave', { textDocument: { uri: f.uri('.gitignore') } });
  await until(d, { files: 3, poolTokens: counted(fewer, a, b) }, 'what is newly ignored is forgotten');

  folders(d, [], [f]);
  await until(d, { files: 0, poolTokens: 0 }, 'a folder that is removed leaves the pool');
  f.write('a.py', longer);
  changed(d, f, ['a.py', 2]);
  await until(d, { files: 0, poolTokens: 0 }, 'and nothing of it is read');
  const g = folder({ 'g.py': c });
  folders(d, [g], []);
  await until(d, { files: 1, poolTokens: counted(c) }, 'a folder that is added later is read');
  folders(d, [f], []);
  await until(d, { files: 4, poolTokens: counted(c, fewer, longer, b) }, 'one that comes back, too');
  folders(d, [], [g, f]);
  await until(d, { files: 0, poolTokens: 0 }, 'both are removed');
  check(!d.wire.messages.some((m) => m.method === 'client/registerCapability'), 'a client that cannot watch files is not asked to');
  equal(await finish(d), 0, 'workspace: exit code');
}

// ---- a root with a closing slash; a client that watches files

{
  const text = 'def only():\n    pass\n', f = folder({ 'a.py': text });
  const d = await begin({ rootUri: `${f.folder.uri}/`, capabilities: { workspace: { didChangeWatchedFiles: { dynamicRegistration: true } } } });
  const r = await d.wire.wait((m) => m.method === 'client/registerCapability', 'a registration');
  equal(r.params.registrations.map((x) => [x.method, x.registerOptions]), [['workspace/didChangeWatchedFiles', { watchers: [{ globPattern: '**/*' }] }]], 'all files are to be watched');
  d.send({ jsonrpc: '2.0', id: r.id, result: null });
  await until(d, { files: 1, poolTokens: counted(text) }, 'the root is read');
  f.write('b.py', text);
  changed(d, f, ['b.py', 1]);
  await until(d, { files: 2, poolTokens: counted(text, text) }, 'and its changes');
  folders(d, [], [f]);
  await until(d, { files: 0, poolTokens: 0 }, 'it is the folder without the slash');
  equal(await finish(d), 0, 'root: exit code');
}

// ---- the setting

{
  const f = folder({ 'a.py': `${fibonacci}fibonacci(n - 1) + fibonacci(n - 2)\n` }), uri = f.uri('b.py');
  const near = (a, b) => Math.abs(a - b) <= 1e-4 * (1 + Math.abs(a)); // six digits are told
  let plain, drafted = 0;
  for (const how of ['none', 'all', 'prompt', 'pool', 'recycle', 'lookahead', 'lookahead:5,3,4']) {
    const reads = how === 'all' || how === 'pool';
    const d = await begin({ workspaceFolders: [f.folder], initializationOptions: { fimd: { draft: how, midLine: true } } });
    open(d, uri, fibonacci);
    await d.request(1, INLINE, at(uri, 2, 4));
    await until(d, { files: Number(reads) }, `${how}: files are ${reads ? '' : 'not '}read`);
    const { settings, statistics: before } = await status(d);
    const text = (await d.request(2, INLINE, at(uri, 1, 4))).result.items[0]?.insertText;
    const { statistics: s } = await status(d), l = s.last;
    plain ??= { text, steps: l.steps };
    drafted += s.drafted;
    check(l.tokens > 1, `${how}: some tokens`, JSON.stringify(l));
    equal(settings.draft, how, `${how}: the setting is taken`);
    check(text?.length > 0 && text === plain.text, `${how}: the same text`, `${text}, not ${plain.text}`);
    check(l.accepted <= l.drafted && l.accepted <= l.tokens && l.steps > 0 && l.steps <= plain.steps, `${how}: no more steps than without`, JSON.stringify(l));
    if (how === 'none') equal([s.drafted, s.accepted], [0, 0], 'none: nothing is guessed');
    check(near(l.tokensPerStep, l.tokens / l.steps) && near(s.tokensPerStep, s.tokens / s.steps), `${how}: tokens a step`, JSON.stringify(s));
    for (const key of ['tokens', 'steps', 'drafted', 'accepted', 'hostMs']) check(near(s[key], before[key] + l[key]), `${how}: the sum of ${key}`, JSON.stringify([before, s]));
    check(l.hostMs >= 0 && l.hostMs <= l.decodeMs, `${how}: hostMs is a part of decodeMs`, JSON.stringify(l));
    const shown = await d.request(3, 'workspace/executeCommand', { command: 'fimd.showStatistics' });
    equal(shown.result, s, `${how}: the command tells the same`);
    equal(await finish(d), 0, `${how}: exit code`);
  }
  check(drafted > 0, 'some of them guess');
}
{
  // While it runs: what is to be guessed from the files makes them be read, and forgotten.
  const text = 'def only():\n    pass\n', f = folder({ 'a.py': text });
  const d = await begin({ workspaceFolders: [f.folder], initializationOptions: { fimd: { draft: 'none' } } });
  const configure = (draft) => d.notify('workspace/didChangeConfiguration', { settings: { fimd: { draft } } });
  const draft = async () => (await status(d)).settings.draft;
  await d.wire.wait((m) => m.method === 'window/logMessage' && /is ready/.test(m.params.message), 'the model');
  for (const how of ['all', 'prompt', 'pool', 'none', 'all', 'pool', 'lookahead']) {
    configure(how);
    equal(await draft(), how, `${how} is taken at once`);
    const reads = how === 'all' || how === 'pool';
    await until(d, { files: Number(reads), poolTokens: reads ? counted(text) : 0 }, `${how}: the files are ${reads ? 'read' : 'forgotten'}`);
  }
  for (const odd of ['sometimes', '', 'ALL', 'lookahead:', 'lookahead:0,4,8', 'lookahead:8,4', 'lookahead:900,4,8', 3, true, {}, ['all']]) {
    const from = logs(d).length;
    configure(odd);
    equal(await draft(), 'none', `${JSON.stringify(odd)} is as at the start`);
    check(logs(d).slice(from).some((t) => /fimd\.draft must be .*lookahead:W,N,G/.test(t)), `${JSON.stringify(odd)} is warned about`);
  }
  const from = logs(d).length;
  configure(null);
  equal([await draft(), logs(d).length], ['none', from], 'null is no setting');
  equal(await finish(d), 0, 'draft: exit code');
}
{
  // As the answer to workspace/configuration, over what the command line says.
  const d = start(['lsp', '--draft', 'lookahead:4,3,2']);
  await d.request('init', 'initialize', initializeParams({ capabilities: { workspace: { configuration: true } } }));
  equal((await status(d)).settings.draft, 'lookahead:4,3,2', 'the command line');
  d.notify('initialized', {});
  const asks = await d.wire.wait((m) => m.method === 'workspace/configuration', 'workspace/configuration');
  d.send({ jsonrpc: '2.0', id: asks.id, result: [{ draft: 'recycle' }] });
  equal((await status(d)).settings.draft, 'recycle', 'the answer to workspace/configuration');
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: {} } });
  equal((await status(d)).settings.draft, 'lookahead:4,3,2', 'a setting that is gone is as at the start');
  equal(await finish(d), 0, 'configuration: exit code');
}
done();
