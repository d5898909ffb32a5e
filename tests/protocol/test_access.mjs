// Who may speak to a daemon that listens: on a port, who knows the token; on a socket, its user.
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, fimd } from './helpers/check.mjs';
import { at, connect, frame, initializeParams, peer, start, Wire } from './helpers/daemon.mjs';
import { onPort, withToken } from './helpers/listening.mjs';

const dir = mkdtempSync(path.join(os.tmpdir(), 'fimd-'));
const inside = (name) => path.join(dir, name);
const stop = async (d) => { d.child.kill('SIGTERM'); return d.exit; };
const uri = 'file:///w/a.py', text = 'def add(a, b):\n    return ';

// A daemon that must not start: it says why and what to do, and leaves nothing behind.
async function refused(args, words, what, options) {
  const d = start(args, options);
  equal(await d.exit, 2, `${what}: exit code`);
  check(words.test(d.stderr), `${what}: why`, d.stderr);
}

// ---- the token file

const served = await onPort(inside('token'));
equal(served.tokenFile, inside('token'), 'the file is the one that was named');
equal((statSync(inside('token')).mode & 0o7777).toString(8), '600', 'only its user may read it');
check(/^[0-9a-f]{64}$/.test(served.token) && readFileSync(inside('token'), 'utf8').length === 65, 'it holds 256 bits in hex', served.token);
equal(readdirSync(dir), ['token'], 'and is the only file');

// ---- what comes without the token

async function turnedAway(bytes, what, id = null) {
  const p = peer(await served.connect());
  p.socket.write(bytes);
  await p.wire.ended;
  equal(p.wire.messages.length, 1, `${what}: one answer, then the end`);
  const m = p.wire.messages[0];
  check(m?.error?.code === -32600 && /initializationOptions\.fimd\.token/.test(m.error.message), `${what}: what to do`, JSON.stringify(m));
  equal(m?.id, id, `${what}: the id`);
  check(!JSON.stringify(p.wire.messages).includes(served.token), `${what}: the token is not told`);
}
const call = (method, params, id) => ({ jsonrpc: '2.0', id, method, params });
const idle = peer(await served.connect()); // says nothing at all, and is let go meanwhile
const wrong = (token) => frame(call('initialize', withToken(token), 1));
await turnedAway(frame(call('initialize', initializeParams(), 1)), 'no token', 1);
await turnedAway(frame(call('initialize', initializeParams({ initializationOptions: { fimd: null } }), 1)), 'no settings', 1);
await turnedAway(wrong(''), 'an empty token', 1);
await turnedAway(wrong(served.token.slice(1)), 'a token that is too short', 1);
await turnedAway(wrong(`${served.token}0`), 'a token that is too long', 1);
await turnedAway(wrong(served.token.replace(/.$/, (c) => (c === '0' ? '1' : '0'))), 'a token that is wrong at its end', 1);
await turnedAway(wrong(served.token.toUpperCase() === served.token ? 'a'.repeat(64) : served.token.toUpperCase()), 'a token in capitals', 1);
await turnedAway(wrong([served.token]), 'a token that is no string', 1);
await turnedAway(frame(call('fimd/status', { initializationOptions: { fimd: { token: served.token } } }, 7)), 'another method first', 7);
await turnedAway(frame({ jsonrpc: '2.0', method: 'initialize', params: withToken(served.token) }), 'a notification');
await turnedAway(frame({ jsonrpc: '2.0', method: 'textDocument/didOpen', params: { textDocument: { uri, languageId: 'python', version: 1, text } } }), 'a document');
await turnedAway(frame('{'), 'broken JSON');
await turnedAway(`GET /${served.token} HTTP/1.1\r\nHost: x\r\n\r\n`, 'a web page');
await turnedAway(Buffer.concat([wrong('0'.repeat(64)), wrong(served.token)]), 'the right one as a second try', 1);
await turnedAway('Content-Length: 1048577\r\n\r\n', 'a message of more than a stranger may send');

// ---- and with it

const p = peer(await served.connect());
check((await p.request(1, 'initialize', withToken(served.token))).result.capabilities !== undefined, 'the right token: initialize');
p.notify('initialized', {});
p.notify('textDocument/didOpen', { textDocument: { uri, languageId: 'python', version: 1, text: text + ' '.repeat(2 << 20) } });
check((await p.request(2, 'textDocument/inlineCompletion', at(uri, 1, 11))).result !== undefined, 'the right token: it completes, and takes long messages');
check(!p.wire.messages.some((m) => /token is not known/.test(JSON.stringify(m))), 'the token is no unknown setting');
await idle.wire.ended;
equal(idle.wire.messages, [], 'who says nothing is let go');
let clients; // the other's end is heard here before the daemon has put it away
for (let i = 0; i < 1000 && clients !== 1; i++) clients = (await p.request(100 + i, 'fimd/status')).result.clients;
equal(clients, 1, 'and who spoke is not');
check(!served.d.stderr.includes(served.token), 'the token is not on standard error');
equal(await stop(served.d), 0, 'the port: exit code');
check(!existsSync(inside('token')), 'the token file is gone');

// ---- where the file may be

{
  const run = inside('run');
  mkdirSync(run, { mode: 0o700 });
  const s = await onPort(undefined, [], { env: { ...process.env, XDG_RUNTIME_DIR: run } });
  equal(s.tokenFile, path.join(run, `fimd-${s.port}.token`), 'without a name it is in XDG_RUNTIME_DIR');
  // Killed, it leaves its file, and the next one replaces it.
  s.d.child.kill('SIGKILL');
  await s.d.exit;
  const next = await onPort(s.tokenFile);
  check(next.token !== s.token, 'each start has another token');
  // A file that took its place is not removed, not even one that has its inode.
  writeFileSync(s.tokenFile, 'mine');
  await stop(next.d);
  equal(readFileSync(s.tokenFile, 'utf8'), 'mine', 'a file that took its place stays');

  const { XDG_RUNTIME_DIR, ...env } = process.env;
  await refused(['lsp', '--port', '0'], /--token-file.*XDG_RUNTIME_DIR/, 'no place for the token', { env });
  await refused(['lsp', '--port', '0', '--token-file', s.tokenFile], /something else is there/, 'a file in its place');
  equal(readFileSync(s.tokenFile, 'utf8'), 'mine', 'which stays');
  writeFileSync(inside('victim'), 'x'.repeat(65));
  symlinkSync(inside('victim'), inside('link'));
  await refused(['lsp', '--port', '0', '--token-file', inside('link')], /something else is there/, 'a link in its place');
  equal(readFileSync(inside('victim'), 'utf8'), 'x'.repeat(65), 'and what it names stays');
  await refused(['lsp', '--port', '0', '--token-file', inside('none/token')], /No such file/, 'no such folder');
  await refused(['lsp', '--token-file', inside('x')], /goes with --port/, 'a token file without a port');
  for (const mode of [0o777, 0o770]) {
    mkdirSync(inside('open'));
    chmodSync(inside('open'), mode);
    await refused(['lsp', '--port', '0', '--token-file', inside('open/token')], /written to by others.*chmod go-w/, `a token in a folder of mode ${mode.toString(8)}`);
    await refused(['lsp', '--socket', inside('open/s')], /written to by others.*chmod go-w/, `a socket in a folder of mode ${mode.toString(8)}`);
    equal(readdirSync(inside('open')), [], 'and nothing is left there');
    rmSync(inside('open'), { recursive: true });
  }
  if (process.geteuid() !== 0) { // who may write everywhere
    mkdirSync(inside('full'), { mode: 0o500 });
    await refused(['lsp', '--port', '0', '--token-file', inside('full/token')], /Permission denied; name another file/, 'a folder that cannot be written');
    await refused(['lsp', '--socket', inside('full/s')], /permission denied/i, 'a socket in such a folder');
  }
  // /proc takes no files of anybody.
  await refused(['lsp', '--port', '0', '--token-file', '/proc/self/token'], /cannot write the token.*--token-file/, 'a folder that takes no files');
}

// ---- another user's socket, and another user at the other end: only root can try

const other = { uid: 65534, gid: 65534 };
const started = process.geteuid() === 0 ? spawnSync(fimd, ['--version'], { ...other, cwd: '/' }) : undefined;
if (started?.error) {
  console.log(`skipped: another user cannot start the daemon: ${started.error.message}`);
} else if (started) {
  const theirs = inside('theirs');
  chmodSync(dir, 0o755);
  mkdirSync(theirs);
  (await import('node:fs')).chownSync(theirs, 65534, 65534);
  // The test's own folders may be closed to that user, so the program must be one that it can start.
  const d = start(['lsp', '--socket', path.join(theirs, 's')], other);
  const s = await Promise.race([connect(path.join(theirs, 's'), d).catch(() => null), d.exit.then(() => null)]);
  if (s) {
    const w = new Wire(s);
    s.write(frame(call('initialize', initializeParams(), 1)));
    await w.ended;
    equal(w.messages, [], 'another user, though root, is not served');
    await refused(['lsp', '--socket', path.join(theirs, 's')], /belongs to another user/, "a socket in another user's folder");
    const shared = inside('shared');
    mkdirSync(shared);
    chmodSync(shared, 0o1777);
    const e = start(['lsp', '--socket', path.join(shared, 's')], other);
    (await connect(path.join(shared, 's'), e)).destroy();
    e.child.kill('SIGKILL');
    await e.exit;
    await refused(['lsp', '--socket', path.join(shared, 's')], /a socket of another user/, "another user's socket");
    equal(await stop(d), 0, 'that daemon goes on');
    if (!d.child.stderr.readableEnded) await new Promise((resolve) => d.child.stderr.once('end', resolve));
    check(/cannot serve a client: permission denied/.test(d.stderr), 'and it has said so', d.stderr);
  } else console.log(`skipped: another user cannot start the daemon: ${d.stderr.trim()}`);
}
rmSync(dir, { recursive: true });
done();
