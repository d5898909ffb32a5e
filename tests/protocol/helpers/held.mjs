// tests/tools/held_fimd: the daemon with places where a thread of it can be held, so that a moment
// is hit because it is waited for, and lasts until the test has done what it is about.
import { createInterface } from 'node:readline';
import { tool } from './check.mjs';
import { start } from './daemon.mjs';

// `first`: a place that holds from the start on.
export function startHeld(args = ['lsp'], first = undefined) {
  const d = start(args, {
    program: tool('held_fimd'),
    stdio: ['pipe', 'pipe', 'pipe', 'pipe'],
    env: { ...process.env, FIMD_HOLD_FD: '3', ...(first ? { FIMD_HOLD: first } : {}) },
  });
  const lines = [], waiting = new Set(), pipe = d.child.stdio[3];
  let read = 0;
  pipe.on('error', () => {}); // the daemon may be gone before us
  createInterface({ input: pipe }).on('line', (line) => {
    if (d.onText && /^(text|asked) /.test(line)) { d.onText(line); return; }
    lines.push(line);
    for (const look of [...waiting]) look();
  });
  // The next line, after those that were waited for, that is this one.
  const line = (want) => new Promise((resolve, reject) => {
    const look = () => {
      const i = lines.indexOf(want, read);
      if (i < 0) return;
      read = i + 1;
      waiting.delete(look);
      resolve();
    };
    waiting.add(look);
    d.exit.then((code) => { if (waiting.delete(look)) reject(new Error(`no "${want}": the daemon ended with ${code}`)); });
    look();
  });
  // Whoever comes there next stops.
  d.hold = (place) => { const told = line(`holds ${place}`); pipe.write(`hold ${place}\n`); return told; };
  // Somebody is there.
  d.at = (place) => line(`at ${place}`);
  d.go = (place) => { pipe.write(`go ${place}\n`); };
  d.texts = () => { pipe.write('texts\n'); };
  return d;
}
