// A daemon that listens on a port, whose clients must know its token.
import { readFileSync } from 'node:fs';
import { connect, initializeParams, start } from './daemon.mjs';

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
