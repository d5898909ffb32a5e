// The daemon's life: it is killed with an answer in flight and comes back, said once; it ends
// again and again and is left; it is not there, said once; it refuses to start.
import fs from 'node:fs';
import { check, equal, run } from './helpers/check.mjs';
import { daemon, open, until } from './helpers/workbench.mjs';

const count = async (wb, words) => (await wb.messages()).filter((m) => m.includes(words)).length;
await run(async (keep) => {
  const wb = keep(await open({ files: { 'a.py': '' } }));
  await wb.file('a.py');
  await wb.ready();
  await wb.type('def first(items):\n    return');
  await wb.ghostShown();
  check(true, 'the daemon answers');
  const before = 'def first(items):\n    return';

  // Killed while it works: the key before has just asked for an answer.
  await wb.type(' x');
  process.kill(wb.pids().at(-1), 'SIGKILL');
  await until('it is started again', () => wb.pids().length === 2);
  const said = await until('the message', () => count(wb, 'ended unexpectedly'));
  equal(said, 1, 'it says so, once');
  await wb.ready();
  await wb.press('Backspace', 'Backspace');
  await until('ghost text comes again', async () => {
    if ((await wb.ghost()) !== '') return true;
    await wb.press('Alt+Backslash');
    return wb.comes(10_000);
  });
  check(true, 'ghost text comes again by itself');
  await wb.shot('killed');
  equal(await wb.saved(), before, 'the file has what was typed');
  const ghost = await wb.ghostShown();
  await wb.press('Tab');
  equal(await wb.saved(), before + ghost, 'and Tab takes the ghost text');

  // Again and again: it is started a few times, then left, and says that once.
  let most = 0;
  for (let n = 2; n <= 6; n++) {
    await until(`start ${n}`, () => wb.pids().length >= n);
    await wb.ready(); // one that ends before is not started again
    most = Math.max(most, await count(wb, 'ended unexpectedly'));
    process.kill(wb.pids().at(-1), 'SIGKILL');
  }
  await until('it is left', () => count(wb, 'too often'));
  equal(await count(wb, 'too often'), 1, 'after five times in three minutes it is left, said once');
  check(most <= 1, 'and no further message came in between', most);
  equal(wb.pids().length, 6, 'it was started six times in all');
  await wb.shot('left');

  await wb.command('fimd: Restart');
  await until('restarted by hand', () => wb.pids().length === 7);
  await wb.focus();
  await wb.press('Control+End');
  await wb.type('\n\ndef last(items):\n    return');
  await wb.ghostShown();
  check(true, 'restarted by hand it answers');

  await wb.close();

  // Not there: one message, nothing else, and typing goes on.
  const gone = keep(await open({ files: { 'a.py': '' }, fimd: false }));
  await gone.file('a.py');
  await until('the message', () => count(gone, 'There is no program at'));
  await gone.type('def first(items):\n    return');
  await gone.page.locator('[id="fimd.fimd.fimd.status"] .codicon-warning').waitFor();
  equal((await gone.messages()).length, 1, 'a program that is not there is said once');
  equal(await gone.saved(), 'def first(items):\n    return', 'and typing goes on');
  await gone.shot('missing');
  fs.writeFileSync(`${gone.home}/fimd`, `#!/bin/sh\nexec "${daemon}" "$@"\n`,
    { mode: 0o755 });
  await gone.command('fimd: Restart');
  await gone.ready(); // VS Code keeps an empty answer until the next key
  await gone.focus();
  await gone.press('Control+End');
  await until('ghost text', async () => {
    await gone.press('Alt+Backslash');
    return gone.comes(10_000);
  });
  check(true, 'once it is there, Restart finds it');
});
