// fimd.streaming: the first line first, then the others as the daemon tells of them; a text that
// is dismissed, typed into or left while lines are to come does not come back.
import fs from 'node:fs';
import path from 'node:path';
import { check, equal, run } from './helpers/check.mjs';
import { open, root, until } from './helpers/workbench.mjs';

const sample = fs.readFileSync(path.join(root, 'tests/data/samples/c/queue.c'), 'utf8');
const heads = ['int main(int argc, char **argv) {\n  for (int i = 0;',
  'static void fill(queue *q) {\n  for', 'int sum(const queue *q) {\n  if (',
  'void clear(queue *q) {\n  while (', 'int most(queue *q) {\n  for'];

/** In the page: the numbers of lines that were on the screen, those for longer than it takes to
 * draw one text, which is not done in one frame. */
function watch() {
  window.fimdLines = [];
  let since = performance.now(), before = 0;
  new MutationObserver(() => {
    const first = document.querySelector('.editor-instance .ghost-text-decoration') !== null;
    const rest = document.querySelectorAll('.editor-instance .suggest-preview-text .view-line');
    const n = (first ? 1 : 0) + rest.length, now = performance.now();
    if (n === before) return;
    if (before > 0 && now - since > 100) window.fimdLines.push(before);
    if (n > 0 && n > before) window.fimdLast = n;
    since = now;
    before = n;
  }).observe(document.body, { childList: true, subtree: true, attributes: true });
}

await run(async (keep) => {
  const wb = keep(await open({ files: { 'queue.c': sample },
    settings: { 'fimd.streaming': true, 'fimd.maxTokens': 160, 'fimd.maxLines': 12,
      'fimd.backend': 'cpu-reference' } })); // so slow that lines are seen to come
  await wb.file('queue.c');
  await wb.ready();
  await wb.press('Control+End');
  await wb.type(heads[0]);
  await wb.ghostShown();
  await wb.page.evaluate(watch);
  // The whole of it: the item in the status bar is calm and nothing changes any more.
  const settled = async () => {
    let last = '', since = Date.now();
    return until('the last line', async () => {
      const now = await wb.ghost();
      if (now !== last) since = Date.now();
      last = now;
      return now !== '' && Date.now() - since > 2500 && now;
    });
  };

  let grew = false, text = sample + heads[0];
  const next = async (head) => { // a further function, below
    await wb.dismissed();
    await wb.page.evaluate(() => { window.fimdLines = []; });
    await wb.type(`\n\n${head}`); // no bracket: VS Code would indent it by itself
    text += `\n\n${head}`;
  };
  for (const head of heads.slice(1)) {
    await next(head);
    const ghost = await settled();
    const lines = await wb.page.evaluate(() => [...window.fimdLines, window.fimdLast]);
    grew ||= lines.some((n, i) => i > 0 && lines[i - 1] > 0 && n > lines[i - 1]);
    equal(await wb.saved(), text, `the file has what was typed (lines shown: ${lines})`);
    await wb.press('Tab');
    text += ghost;
    equal(await wb.saved(), text, 'Tab takes what is shown');
  }
  check(grew, 'lines were added to a text that was shown');
  await wb.shot('streamed');

  for (const [how, act] of [
    ['dismissed', () => wb.press('Escape')],
    ['left', () => wb.press('Control+Home')],
  ]) {
    await next(heads[0]);
    await until('the first line', () => wb.ghost());
    await act();
    await wb.ghostGone();
    const came = await wb.comes(4000);
    equal(came, '', `a text that is ${how} while lines are to come stays away`);
    equal(await wb.saved(), text, 'and the file has what was typed');
  }
  equal(await wb.messages(), [], 'no message was shown');
  equal(wb.complaints(), [], 'no error is in the logs');
});
