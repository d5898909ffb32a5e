// Starts the daemon and talks to it: raw bytes for what must be exact, and the protocol client
// of vscode-languageserver-protocol for what an editor does. Every message that the daemon sends
// is kept, so that a test can count answers.
import { spawn } from 'node:child_process';
import net from 'node:net';
import { PassThrough } from 'node:stream';
import rpc from 'vscode-languageserver-protocol/node';
import { check, fimd } from './check.mjs';

const TOO_LONG_MS = Number(process.env.FIMD_WAIT_MS || 180000); // a wait that never ends fails instead of hanging

setTimeout(() => { console.log('FAIL the test hangs'); process.exit(1); }, 5 * TOO_LONG_MS).unref();

export function frame(message) {
  const body = Buffer.isBuffer(message) ? message : Buffer.from(typeof message === 'string' ? message : JSON.stringify(message));
  return Buffer.concat([Buffer.from(`Content-Length: ${body.length}\r\n\r\n`), body]);
}

// Messages out of a stream, in their order.
export class Wire {
  constructor(stream) {
    this.messages = [];
    this.waiting = new Set();
    this.rest = Buffer.alloc(0);
    stream.on('data', (d) => this.feed(d));
    this.ended = new Promise((resolve) => { stream.on('end', resolve); stream.on('close', resolve); });
    this.over = false;
    this.ended.then(() => { this.over = true; for (const w of [...this.waiting]) w(); });
  }
  feed(data) {
    this.rest = Buffer.concat([this.rest, data]);
    for (;;) {
      const end = this.rest.indexOf('\r\n\r\n');
      if (end < 0) break;
      const length = Number(/^Content-Length: (\d+)$/m.exec(this.rest.subarray(0, end).toString())[1]);
      if (this.rest.length < end + 4 + length) break;
      this.messages.push(JSON.parse(this.rest.subarray(end + 4, end + 4 + length).toString()));
      this.rest = this.rest.subarray(end + 4 + length);
    }
    for (const w of [...this.waiting]) w();
  }
  // The first message, from index `from` on, that the function likes.
  wait(likes, what, from = 0) {
    return new Promise((resolve, reject) => {
      const fail = (why) => { clearTimeout(timer); this.waiting.delete(look); reject(new Error(`no ${what}: ${why}; have ${JSON.stringify(this.messages).slice(-2000)}`)); };
      const timer = setTimeout(() => fail('too long'), TOO_LONG_MS);
      const look = () => {
        for (; from < this.messages.length; from++) {
          if (!likes(this.messages[from])) continue;
          clearTimeout(timer);
          this.waiting.delete(look);
          resolve(this.messages[from]);
          return;
        }
        if (this.over) fail('the daemon is gone');
      };
      this.waiting.add(look);
      look();
    });
  }
  answer(id) { return this.wait((m) => m.method === undefined && m.id === id, `answer to ${id}`); }
  notification(method, from) { return this.wait((m) => m.method === method && m.id === undefined, method, from); }
  // How many answers each id got.
  counts() {
    const n = new Map();
    for (const m of this.messages) if (m.method === undefined) n.set(m.id, (n.get(m.id) ?? 0) + 1);
    return n;
  }
}

const running = new Set();
process.on('exit', () => { for (const c of running) c.kill('SIGKILL'); });

// The daemon as a child process, with its exit as a promise of a code or a signal's name.
// program: what is started in its place; before: that program's own first arguments.
export function start(args = ['lsp'], { program = fimd, before = [], ...options } = {}) {
  const child = spawn(program, [...before, ...args], { stdio: ['pipe', 'pipe', 'pipe'], ...options });
  running.add(child);
  const d = { child, stderr: '' };
  d.exit = new Promise((resolve) => child.on('exit', (code, signal) => {
    running.delete(child);
    resolve(code ?? signal);
  }));
  child.stderr?.on('data', (t) => {
    d.stderr += t;
    if (!/Sanitizer|runtime error/.test(d.stderr)) return;
    if (!d.unsound) check(false, 'a sanitizer has found something');
    d.unsound = true;
    process.stdout.write(t);
  });
  child.stdin?.on('error', () => {}); // it may be gone before us
  if (child.stdout && !options.unread) d.wire = new Wire(child.stdout);
  d.send = (m) => { child.stdin.write(frame(m)); };
  d.request = (id, method, params) => { d.send({ jsonrpc: '2.0', id, method, params }); return d.wire.answer(id); };
  d.notify = (method, params) => d.send({ jsonrpc: '2.0', method, params });
  return d;
}

// A daemon so slow that there is time for what comes between a request and its answer: the
// reference kernels, and the ordinary ones where the sanitizers make them as slow.
export const slow = ['lsp', '--backend', process.env.SANITIZE ? 'cpu' : 'cpu-reference'];

export const initializeParams = (more = {}) => ({ processId: process.pid, rootUri: null, capabilities: {}, ...more });

// A raw session that is past initialize.
export async function begin(more, args) {
  const d = start(args);
  d.init = (await d.request('init', 'initialize', initializeParams(more))).result;
  d.notify('initialized', {});
  return d;
}
// shutdown, exit, and the exit code.
export async function finish(d) {
  await d.request('bye', 'shutdown');
  d.notify('exit');
  return d.exit;
}
export const open = (d, uri, text, languageId = 'python', version = 1) =>
  d.notify('textDocument/didOpen', { textDocument: { uri, languageId, version, text } });
export const at = (uri, line, character, more = {}) => ({ textDocument: { uri }, position: { line, character }, context: { triggerKind: 2 }, ...more });

// A socket to a daemon that listens, or will; by trying.
export async function connect(where, d) {
  for (;;) {
    const s = net.connect(where);
    const ok = await new Promise((resolve) => { s.once('connect', () => resolve(true)); s.once('error', () => resolve(false)); });
    if (ok) { s.on('error', () => {}); return s; }
    if (d.child.exitCode !== null) throw new Error(`the server is gone: ${d.stderr}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
// A client of a socket, like a daemon of its own.
export function peer(socket) {
  const wire = new Wire(socket);
  const send = (m) => socket.write(frame(m));
  return {
    socket, wire, send,
    request: (id, method, params) => { send({ jsonrpc: '2.0', id, method, params }); return wire.answer(id); },
    notify: (method, params) => send({ jsonrpc: '2.0', method, params }),
  };
}

// The protocol client over any pair of streams; the wire sees what it sees.
export function client(readable, writable) {
  const copy = new PassThrough();
  readable.on('data', (d) => copy.write(d));
  readable.on('end', () => copy.end());
  const c = rpc.createProtocolConnection(new rpc.StreamMessageReader(copy), new rpc.StreamMessageWriter(writable), { error() {}, warn() {}, info() {}, log() {} });
  c.onError(() => {});
  c.listen();
  return c;
}

export function answeredOnce(wire, ids, what) {
  const counts = wire.counts();
  const odd = ids.filter((id) => counts.get(id) !== 1).map((id) => `${id}: ${counts.get(id) ?? 0}`);
  check(odd.length === 0, `${what}: each of ${ids.length} requests answered exactly once`, odd.join(', '));
}
