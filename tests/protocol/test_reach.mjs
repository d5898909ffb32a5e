// What a client or a workspace says in its settings and messages makes the daemon run no program,
// write no file, load no other model and read nothing outside of the workspace folders.
import { chmodSync, copyFileSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { pathToFileURL } from 'node:url';
import { check, done, equal, fimd, root, tool } from './helpers/check.mjs';
import { at, finish, initializeParams, open, start } from './helpers/daemon.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
process.on('exit', () => rmSync(dir, { recursive: true, force: true }));
const inside = (name) => path.join(dir, name), w = inside('w'), uri = (name) => pathToFileURL(path.join(w, name)).href;
const CANARY = 'canary_7fQ39Zx';
function plant(name, text) {
  mkdirSync(path.dirname(inside(name)), { recursive: true });
  writeFileSync(inside(name), text);
}
const outside = `def ${CANARY}(first, second):\n    return first\n`, text = `from b import shown_here\n\ndef twice(a):\n    x = ${CANARY}(a) + shown_here(a)\n    return `;
plant('w/a.py', text);
plant('w/b.py', 'def shown_here(first, second):\n    return first\n');
plant('outside/secret.py', outside);
plant('outside/.gitignore', 'b.py\n');
plant('w.backup/secret.py', outside); // its path begins as the folder's does
plant('run.sh', `#!/bin/sh\ntouch ${inside('ran')}\n`);
chmodSync(inside('run.sh'), 0o755);
symlinkSync('../outside', path.join(w, 'linked'));
symlinkSync('../outside/secret.py', path.join(w, 'link.py'));
copyFileSync(path.join(root, 'engine/models/fimd-mini-31m-q8_0.gguf'), inside('model.gguf'));
chmodSync(inside('model.gguf'), 0o444);

// Everything that somebody might take for a setting that names a file or a program.
const hostile = {};
for (const key of ['model', 'modelPath', 'backend', 'path', 'command', 'cmd', 'args', 'program', 'server', 'traceFile', 'trace_file', 'trace-file', 'log', 'logFile', 'tokenFile', 'socket', 'port', 'workspace', 'root', 'roots', 'pool', 'poolFile', 'include', 'with', 'randomTokenizer', 'env', 'exec'])
  hostile[key] = inside('run.sh');

const alone = spawnSync(tool('no_network'), ['--alone', process.execPath, '-e', "require('child_process').spawnSync('/bin/true')"]).signal;
const through = alone === 'SIGSYS' ? { program: tool('no_network'), before: ['--alone', fimd] } : {};
if (!through.program) console.log('no kernel filter here: that no program is run is told by what it would write alone');

const before = readdirSync(dir).sort();
const d = start(['lsp', '--model', inside('model.gguf')], { ...through, env: { ...process.env, ASAN_OPTIONS: 'detect_leaks=0' } }); // which takes a second process
await d.request('init', 'initialize', initializeParams({ workspaceFolders: [{ uri: uri(''), name: 'w' }], initializationOptions: { ...hostile, fimd: hostile }, capabilities: { workspace: { configuration: true } } }));
d.notify('initialized', {});
const asked = await d.wire.wait((m) => m.method === 'workspace/configuration', 'the question');
d.send({ jsonrpc: '2.0', id: asked.id, result: [hostile] });
d.notify('workspace/didChangeConfiguration', { settings: { fimd: hostile, ...hostile } });
for (const command of ['fimd.run', 'fimd.open', inside('run.sh'), 'fimd.why; ' + inside('run.sh')])
  check((await d.request(command, 'workspace/executeCommand', { command, arguments: [inside('run.sh')] })).error?.code === -32602, `there is no command ${command}`);
open(d, uri('a.py'), text);

async function idle() {
  for (;;) {
    const s = (await d.request(`s${Math.random()}`, 'fimd/status')).result;
    if (s.model.state !== 'loading' && !s.workspace.busy) return s;
  }
}
await idle(); // before that nothing is read, whatever is said to have changed

// Files outside are named in every way there is; the folder's own are read again.
const elsewhere = [pathToFileURL(inside('outside/secret.py')).href, `${uri('')}/../outside/secret.py`, `${uri('')}/%2e%2e/outside/secret.py`, `${uri('')}/..%2Foutside%2Fsecret.py`, uri('linked/secret.py'), uri('link.py'), pathToFileURL(inside('w.backup/secret.py')).href, 'file:///proc/self/environ', 'file:///dev/zero', `${uri('')}/./../outside/.gitignore`, pathToFileURL(inside('outside/.gitignore')).href];
for (const u of elsewhere) {
  d.notify('textDocument/didSave', { textDocument: { uri: u } });
  for (const type of [1, 2, 3]) d.notify('workspace/didChangeWatchedFiles', { changes: [{ uri: u, type }] });
}
const status = await idle();
equal(status.workspace.files, 2, 'the files that are read are those of the folder');
equal(status.model.path, inside('model.gguf'), 'the model is the one of the command line');
check((await d.request('a', 'textDocument/inlineCompletion', at(uri('a.py'), 4, 11))).result !== undefined, 'it completes');
const why = (await d.request('why', 'fimd/why', { uri: uri('a.py') })).result;
check(why.pieces.some((p) => p.path === 'b.py' && p.chosen), 'what is inside is in the prompt', JSON.stringify(why.pieces));
check(why.pieces.every((p) => ['a.py', 'b.py'].includes(p.path)), 'and nothing else is', JSON.stringify(why.pieces));
const said = d.wire.messages.filter((m) => m.method === 'window/logMessage').map((m) => m.params.message).join('\n');
for (const key of Object.keys(hostile)) check(said.includes(`setting fimd.${key} `), `fimd.${key} is refused, and that is said`);

// The model's file is read, and nothing else: no mapping and no descriptor of it can be written.
const maps = readFileSync(`/proc/${d.child.pid}/maps`, 'utf8').split('\n').filter((l) => l.endsWith('model.gguf'));
check(maps.length > 0 && maps.every((l) => /^\S+ r--p /.test(l)), 'the model is mapped to be read alone', maps.join('\n'));
equal(await finish(d), 0, 'exit code');
equal(readdirSync(dir).sort(), before, 'no file was made, no program was run');
done();
