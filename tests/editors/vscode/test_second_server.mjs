// VS Code's own TypeScript server in the same buffer: both answer, neither is in the other's way.
import { check, equal, run } from './helpers/check.mjs';
import { open, until } from './helpers/workbench.mjs';

const source = `interface Point { longitude: number; latitude: number }
export function middle(a: Point, b: Point): Point {
  const x: number = 'not a number';
  return a;
}
`;

await run(async (keep) => {
  const wb = keep(await open({ files: { 'a.ts': source, 'tsconfig.json': '{}' } }));
  await wb.file('a.ts');
  await wb.ready();
  await wb.page.locator('.squiggly-error').first().waitFor();
  check(true, 'TypeScript marks the error');
  await wb.press('Control+End');
  await wb.type('export function first(items: Point[]) {\n  return');
  const ghost = await wb.ghostShown();
  check(true, 'fimd shows ghost text');
  await wb.shot('second-server');
  const before = await wb.saved();
  await wb.press('Tab');
  equal(await wb.saved(), before + ghost, 'Tab takes it');

  await wb.press('Control+z', 'Escape');
  await wb.type(' items[0].');
  await wb.press('Escape', 'Control+Space');
  const row = wb.page.locator('.suggest-widget .monaco-list-row', { hasText: 'longitude' });
  await row.first().waitFor();
  const rows = await wb.page.locator('.suggest-widget .monaco-list-row').allInnerTexts();
  check(rows.some((r) => r.includes('latitude')), 'TypeScript lists the members');
  equal(rows.length, 2, 'and fimd puts nothing into the list');
  await wb.shot('second-server-list');
  await wb.press('Escape', 'Escape');
  equal(await wb.saved(), `${before} items[0].`, 'the file has what was typed');
  await wb.press('Alt+Backslash');
  await wb.ghostShown();
  check(true, 'and fimd still answers');
  equal(wb.pids().length, 1, 'by one daemon');
  equal(wb.complaints(), [], 'no error is in the logs');
  await until('no message', async () => (await wb.messages()).length === 0);
});
