// What a key costs as the user sees it: from the key event to the ghost text in the page, beside
// the extension's and the daemon's own figures. Printed, never asserted: node latency.mjs
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, run } from './helpers/check.mjs';
import { open, root, until } from './helpers/workbench.mjs';

const text = fs.readFileSync(path.join(root, 'tests/data/samples/py/inventory.py'), 'utf8');
const KEYS = Number(process.env.KEYS ?? 150), PATIENCE_MS = 4000, DRAWN_MS = 150;

function percentiles(list) {
  const sorted = [...list].sort((a, b) => a - b);
  const at = (p) => sorted[Math.max(Math.ceil(p * sorted.length) - 1, 0)];
  return sorted.length === 0 ? 'none'
    : `p50 ${at(0.5).toFixed(0)} ms, p90 ${at(0.9).toFixed(0)} ms (${sorted.length} keys)`;
}

/** In the page: when a key went down, and when ghost text was first there after it. */
function watch() {
  const seen = { key: 0, shown: 0 };
  window.fimdSeen = seen;
  document.addEventListener('keydown', (e) => {
    if (e.key.length > 1 && e.key !== 'Enter') return;
    Object.assign(seen, { key: e.timeStamp, shown: 0 });
  }, true);
  new MutationObserver(() => {
    if (seen.shown > 0 || seen.key === 0) return;
    if (document.querySelector('.editor-instance [class*="ghost-text"]') === null) return;
    seen.shown = performance.now();
  }).observe(document.body, { childList: true, subtree: true, attributes: true });
}

console.log(`machine's load at the start   ${os.loadavg()[0].toFixed(2)}, ${os.cpus().length} cores`);
await run(async (keep) => {
  const wb = keep(await open({ files: { 'inventory.py': '' } }));
  await wb.file('inventory.py');
  await wb.ready();
  const start = text.indexOf('\ndef ') > 0 ? text.indexOf('\ndef ') : Math.floor(text.length / 3);
  await wb.type(text.slice(0, start));
  await wb.ghostShown().catch(() => undefined);
  await wb.page.evaluate(watch);
  const all = [], agreed = [], others = [], extension = [], added = [];
  let quiet = 0;
  for (let n = 0; n < KEYS; n++) {
    const key = text[start + n], had = await wb.ghost();
    await wb.press('Escape'); // what was shown goes, so that what comes is new on the screen
    await wb.ghostGone();
    await wb.page.evaluate(() => Object.assign(window.fimdSeen, { key: 0, shown: 0 }));
    await wb.press(key === '\n' ? 'Enter' : key);
    const took = await until('ghost text', () => wb.page.evaluate(() =>
      (window.fimdSeen.shown > 0 ? window.fimdSeen.shown - window.fimdSeen.key : 0)), PATIENCE_MS)
      .catch(() => undefined);
    if (took === undefined) {
      quiet++;
      continue;
    }
    all.push(took);
    (had[0] === key ? agreed : others).push(took);
    await new Promise((r) => setTimeout(r, DRAWN_MS)); // the item in the status bar comes after it
    const said = Number(/([\d.]+) ms/.exec(await wb.status())?.[1]);
    if (!(said <= took)) continue; // of another request
    extension.push(said);
    added.push(took - said);
  }
  console.log(`keys without ghost text      ${quiet}`);
  console.log(`key to ghost text, all       ${percentiles(all)}`);
  console.log(`  that agree with the text   ${percentiles(agreed)}`);
  console.log(`  others                     ${percentiles(others)}`);
  console.log(`request, extension's figure  ${percentiles(extension)}`);
  console.log(`what VS Code adds to that    ${percentiles(added)}`);
  await wb.command('fimd: Show Statistics');
  const page = wb.page.locator('.editor-instance .view-lines').last();
  await until('the statistics', async () => /answers/.test(await page.innerText()));
  const said = (await page.innerText()).replace(/\u00a0/g, ' ').split('\n');
  for (const line of said.filter((l) => /^(answers|as seen|first token)/.test(l.trim())))
    console.log(`daemon: ${line}`);
  check(all.length > 0, 'ghost text was shown', `${quiet} keys without`);
});
