// 200 characters typed as fast as the browser takes them, with answers in flight: no key is lost,
// no ghost text is left over that does not go on from what was typed, no error is in any log.
import { check, equal, run } from './helpers/check.mjs';
import { open, until } from './helpers/workbench.mjs';

const text = `
def count_words(lines):
    counts = {}
    for line in lines:
        for word in line.split():
            counts[word] = counts.get(word, 0) + 1
    return counts


def most_common(counts, n):
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return ordered[:n]
`.trimStart();

await run(async (keep) => {
  const wb = keep(await open({ files: { 'a.py': '', 'b.py': '' } }));
  await wb.file('a.py');
  await wb.ready();
  await wb.type('def first(items):\n    return');
  await wb.ghostShown();
  check(true, 'the daemon answers');

  for (const [delay, how] of [[0, 'at once'], [15, 'quickly'], [45, 'with answers in between']]) {
    await wb.press('Escape', 'Control+a', 'Delete');
    await wb.type(text, delay);
    check(text.length >= 200, `${text.length} characters are typed, ${how}`);
    equal(await wb.saved(), text, 'and every one is in the file, in order');
    await wb.dismissed();
    // A ghost text that is left over would come into the file with this, or stay on the screen.
    await wb.type('x');
    await wb.press('Backspace');
    await wb.dismissed();
    equal(await wb.saved(), text, 'nothing came into it by itself');
  }

  await wb.press('Control+a', 'Delete');
  await wb.type(`${text}\n\ndef join(words):\n    ret`, 5);
  const ghost = await wb.ghostShown();
  const before = await wb.saved();
  const still = await wb.ghost();
  check(still.length > 0, 'ghost text comes when the typing ends');
  await wb.press('Tab');
  equal(await wb.saved(), before + still, 'and it goes on from the last key', ghost);

  // One daemon for all of it.
  equal(wb.pids().length, 1, 'the daemon was not started again');
  await until('the item in the status bar is calm', async () => / ms/.test(await wb.status()));
  equal(await wb.messages(), [], 'no message was shown');
  equal(wb.complaints(), [], 'no error is in the logs');
});
