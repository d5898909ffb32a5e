// Which program is started: the one that is set, else the first of that name on the PATH.
// No VS Code in here, so that it can be tested without one.
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';

export type Found = { path: string } | { why: string };

const NAME = 'fimd';

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

export function findBinary(configured: string, searched = process.env['PATH'] ?? ''): Found {
  const wanted = expandHome(configured.trim());
  if (wanted.includes('/')) {
    if (!path.isAbsolute(wanted)) return { why: `fimd.path must be absolute: ${configured}` };
    return isProgram(wanted) ? { path: wanted } : { why: `There is no program at ${wanted}.` };
  }
  const found = onPath(wanted || NAME, searched);
  if (found !== undefined) return { path: found };
  return { why: `fimd was not found: no program ${wanted || NAME} on the PATH.` };
}
