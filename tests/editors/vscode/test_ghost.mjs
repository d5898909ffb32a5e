// Ghost text as a hand sees it: accepted whole, by word and by line, typed through, dismissed,
// cycled, left for an edit elsewhere, undone. What counts is the file on the disk.
import fs from 'node:fs';
import path from 'node:path';
import { check, equal, run } from './helpers/check.mjs';
import { open, root, until } from './helpers/workbench.mjs';

const sample = fs.readFileSync(path.join(root, 'tests/data/samples/c/queue.c'), 'utf8');
const typed = 'int main(int argc, char **argv) {\n  for (int i = 0;';

await run(async (keep) => {
  const wb = keep(await open({ files: { 'queue.c': sample } }));
  await wb.file('queue.c');
  await wb.ready();
  await wb.press('Control+End');
  await wb.type(typed);
  const before = sample + typed;

  const ask = async () => {
    await wb.press('Alt+Backslash');
    return wb.ghostShown();
  };
  const ghost = await wb.ghostShown();
  check(ghost.includes('\n'), 'ghost text of several lines is shown', ghost);
  await wb.shot('ghost');
  equal(await wb.saved(), before, 'the file has what was typed and nothing of the ghost text');

  await wb.press('Escape');
  await wb.ghostGone();
  const first = await ask();
  await wb.press('Alt+BracketRight');
  const second = await wb.ghostShown();
  check(second !== first, 'the next text is another one');
  await wb.shot('cycled');
  await wb.press('Alt+BracketLeft');
  const back = await wb.ghostShown();
  equal(back, first, 'and back');
  await wb.press('Alt+BracketRight');
  equal(await wb.ghostShown(), second, 'and on again');
  await wb.press('Tab');
  equal(await wb.saved(), before + second, 'Tab takes the one that is shown');
  await wb.press('Control+z');
  equal(await wb.saved(), before, 'undone');

  await wb.press('Escape');
  const all = await ask();
  await wb.press('Tab');
  equal(await wb.saved(), before + all, 'Tab takes all of it');
  await wb.shot('accepted');
  await wb.press('Control+z');
  equal(await wb.saved(), before, 'undo takes it back');

  const again = await ask();
  check(again !== '', 'asked by hand, it comes again');
  await wb.press('Control+ArrowRight');
  const word = (await wb.saved()).slice(before.length);
  check(word.length > 0 && again.startsWith(word) && word.trim().length < 8,
    'a word is taken', JSON.stringify(word));
  equal(word + (await wb.ghostShown()), again, 'and the rest stays shown');
  await wb.shot('word');
  await wb.press('Control+Alt+l');
  const line = (await wb.saved()).slice(before.length);
  equal(line.trimEnd(), again.split('\n')[0].trimEnd(), 'then the rest of the line');
  await wb.press('Control+z', 'Control+z');
  equal(await wb.saved(), before, 'undone, both');

  await wb.press('Escape', 'Backspace');
  await wb.type(before.at(-1));
  const own = await wb.ghostShown();
  for (let n = 1; n <= 6; n++) {
    await wb.type(own[n - 1]);
    await until(`the rest after ${n}`, async () => (await wb.ghost()) === own.slice(n), 20_000)
      .catch(() => undefined);
  }
  equal(await wb.ghost(), own.slice(6), 'typing what is shown leaves the rest');
  equal(await wb.saved(), before + own.slice(0, 6), 'and the file has what was typed');
  await wb.press('Tab');
  equal(await wb.saved(), before + own, 'Tab takes the rest');
  await wb.press('Control+z');
  for (let n = 0; n < 6; n++) await wb.press('Backspace');
  equal(await wb.saved(), before, 'deleted again');

  const here = await ask();
  await wb.press('Alt+BracketRight');
  await until('another text', async () => !['', here].includes(await wb.ghost()));
  check(true, 'and there are others to cycle through');
  await wb.dismissed();

  await ask();
  await wb.press('Escape');
  await wb.ghostGone();
  equal(await wb.saved(), before, 'Escape dismisses it, and the file is as it was');

  await ask();
  await wb.go(1, 1);
  await wb.ghostGone();
  check(true, 'the cursor goes elsewhere, and the ghost text goes');
  await wb.type('// kept\n');
  await wb.press('Escape', 'Control+End');
  const there = await ask();
  equal(await wb.saved(), `// kept\n${before}`, 'an edit elsewhere is in the file, alone');
  await wb.press('Tab');
  equal(await wb.saved(), `// kept\n${before}${there}`, 'ghost text goes where the cursor is');
  await wb.press('Control+z', 'Control+z');
  check((await wb.saved()).endsWith(before.slice(-40)), 'undone');

  equal(await wb.messages(), [], 'no message was shown');
  equal(wb.complaints(), [], 'no error is in the logs');
});
