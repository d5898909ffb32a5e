// Which program is started: the one that is set, else the first of that name on the PATH, else the
// one where `make install` puts it: a desktop's PATH often has no ~/.local/bin.
// No VS Code in here, so that it can be tested without one.
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export type Found = { path: string } | { why: string };

const NAME = 'fimd';
const USUAL = ['~/.local/bin', '/usr/local/bin'];

export function expandHome(file: string, home = os.homedir()): string {
  return file === '~' || file.startsWith('~/') ? path.join(home, file.slice(1)) : file;
}

function isProgram(file: string): boolean {
  try {
    fs.accessSync(file, fs.constants.X_OK);
    return fs.statSync(file).isFile();
  } catch {
    return false;
  }
}

/** A name without a folder is looked up on the PATH, as a shell does it. */
function onPath(name: string, searched: string): string | undefined {
  return searched
    .split(path.delimiter)
    .filter((folder) => path.isAbsolute(folder)) // nothing out of the current folder
    .map((folder) => path.join(folder, name))
    .find(isProgram);
}

export function findBinary(
  configured: string,
  searched = process.env['PATH'] ?? '',
  home = os.homedir(),
): Found {
  const wanted = expandHome(configured.trim(), home);
  if (wanted.includes('/')) {
    if (!path.isAbsolute(wanted)) return { why: `fimd.path must be absolute: ${configured}` };
    return isProgram(wanted) ? { path: wanted } : { why: `There is no program at ${wanted}.` };
  }
  const usual = wanted === '' ? USUAL.map((folder) => expandHome(folder, home)) : [];
  const found = onPath(wanted || NAME, [searched, ...usual].join(path.delimiter));
  if (found !== undefined) return { path: found };
  const where = ['on the PATH', ...(wanted === '' ? USUAL : [])].join(', ');
  return { why: `fimd was not found: no program ${wanted || NAME} ${where}.` };
}
