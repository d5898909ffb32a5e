// pyright in the same buffer, as the server of an extension of its own: its errors, hovers and
// members are there as without us, and ghost text is, too. The server is the one that npm has; its
// own extension is in a market place only, so that a small one is made here.
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { check, equal, run, skip } from './helpers/check.mjs';
import { open, root, until } from './helpers/workbench.mjs';

const here = path.dirname(fileURLToPath(import.meta.url));
const server = path.join(here, 'node_modules/pyright/langserver.index.js');
const client = path.join(root, 'editors/vscode'); // its node_modules have the language client
const source = `class Point:
    def __init__(self, longitude: float, latitude: float):
        self.longitude = longitude
        self.latitude = latitude


def north(point: Point) -> float:
    return point.lattitude


`;
const main = `
const { LanguageClient } = require('vscode-languageclient/node');
exports.activate = async (context) => {
  const server = { command: process.execPath, args: [${JSON.stringify(server)}, '--stdio'] };
  const client = new LanguageClient('pyright', 'pyright', server, {
    documentSelector: [{ scheme: 'file', language: 'python' }],
  });
  context.subscriptions.push(client);
  await client.start();
};
`;

async function extension() {
  if (!fs.existsSync(server)) skip('no pyright (install.sh)');
  const need = createRequire(`${client}/package.json`);
  let esbuild;
  try {
    esbuild = need('esbuild');
  } catch {
    return skip('no packages in editors/vscode (make vsix)');
  }
  const { outputFiles } = await esbuild.build({
    stdin: { contents: main, resolveDir: client }, bundle: true, write: false, platform: 'node',
    format: 'cjs', external: ['vscode'], logLevel: 'error',
  });
  const manifest = { name: 'pyright', publisher: 'fimd-tests', version: '0.0.1', main: './main.js',
    engines: { vscode: '^1.100.0' }, activationEvents: ['onLanguage:python'] };
  return { 'package.json': JSON.stringify(manifest), 'main.js': outputFiles[0].text };
}

await run(async (keep) => {
  const wb = keep(await open({ files: { 'a.py': source },
    extensions: { 'fimd-tests.pyright-0.0.1': await extension() } }));
  await wb.file('a.py');
  await wb.ready();
  await wb.page.locator('.squiggly-error').first().waitFor();
  check(true, 'pyright marks the error');
  await wb.press('Control+End');
  await wb.type('def first(items: list[Point]):\n    return');
  const ghost = await wb.ghostShown();
  check(true, 'fimd shows ghost text');
  await wb.shot('pyright');
  const before = await wb.saved();
  await wb.press('Tab');
  equal(await wb.saved(), before + ghost, 'Tab takes it');

  await wb.press('Control+z', 'Escape');
  await wb.type(' items[0].');
  const rows = wb.page.locator('.suggest-widget .monaco-list-row');
  await until('the members', async () => {
    await wb.press('Escape', 'Control+Space');
    await rows.first().waitFor();
    return (await rows.allInnerTexts()).some((r) => r.includes('longitude'));
  });
  const names = await rows.allInnerTexts();
  check(names.some((r) => r.includes('latitude')), 'pyright lists the members', names);
  check(names.every((r) => /^\s*(longitude|latitude|__\w+__)/.test(r)),
    'and fimd puts nothing into the list', names);
  await wb.press('Escape', 'Escape');
  equal(await wb.saved(), `${before} items[0].`, 'the file has what was typed');
  await wb.dismissed();
  await wb.press('Alt+Backslash');
  await wb.ghostShown();
  check(true, 'and fimd still answers');

  // What was typed and taken meanwhile has reached pyright as it stands.
  await wb.dismissed();
  check(/lattitude/.test(await problems(wb)), 'pyright lists the error');
  await wb.go(8, 18);
  await wb.press('Shift+End', 'Delete');
  await wb.type('latitude');
  await until('the error of line 8 is gone', async () => !/lattitude/.test(await problems(wb)));
  check(true, 'the error is mended, for pyright');
  equal(wb.pids().length, 1, 'by one daemon');
  equal(wb.complaints(), [], 'no error is in the logs');
  equal(await wb.messages(), [], 'and no message was shown');
});

/** The list of problems, as text. */
async function problems(wb) {
  await wb.command('Problems: Focus on Problems View');
  const view = wb.page.locator('.markers-panel');
  await view.waitFor();
  const text = await view.innerText();
  await wb.page.locator('.editor-instance .view-lines').first().click();
  return text;
}
