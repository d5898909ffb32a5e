// A daemon that listens, and raw clients of it.
import net from 'node:net';
import { readFileSync } from 'node:fs';
import { frame, initializeParams, start, Wire } from './daemon.mjs';

// Waits until somebody listens, by trying.
export async function connect(where, d) {
  for (;;) {
    const s = net.connect(where);
    const ok = await new Promise((resolve) => { s.once('connect', () => resolve(true)); s.once('error', () => resolve(false)); });
    if (ok) { s.on('error', () => {}); return s; }
    if (d.child.exitCode !== null) throw new Error(`the server is gone: ${d.stderr}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}
export function peer(socket) {
  const wire = new Wire(socket);
  const send = (m) => socket.write(frame(m));
  return {
    socket, wire, send,
    request: (id, method, params) => { send({ jsonrpc: '2.0', id, method, params }); return wire.answer(id); },
    notify: (method, params) => send({ jsonrpc: '2.0', method, params }),
  };
}
export const withToken = (token, more = {}) => initializeParams({ initializationOptions: { fimd: { token } }, ...more });

// A daemon on any free port, and what its clients must know. Its token file: `tokenFile`, or by the
// environment where that is undefined.
export async function onPort(tokenFile, args = [], options = {}) {
  const named = tokenFile === undefined ? [] : ['--token-file', tokenFile];
  const d = start(['lsp', '--port', '0', ...named, ...args], options);
  const told = /127\.0\.0\.1:(\d+), the token is in (.*)\n/;
  while (!told.test(d.stderr) && d.child.exitCode === null)
    await Promise.race([d.exit, new Promise((resolve) => d.child.stderr.once('data', resolve))]);
  if (!told.test(d.stderr)) throw new Error(`no port: ${d.stderr}`);
  const [, port, file] = told.exec(d.stderr);
  const where = { port: Number(port), host: '127.0.0.1' };
  return { d, where, port: where.port, tokenFile: file, token: readFileSync(file, 'utf8').trim(), connect: () => connect(where, d) };
}
