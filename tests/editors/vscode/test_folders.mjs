// A workspace of two folders: ghost text and the folders' own settings in each, and the files of
// both are read. The workbench is a remote one: the extension runs where the files are.
import fs from 'node:fs';
import path from 'node:path';
import { check, equal, run } from './helpers/check.mjs';
import { open, root, until } from './helpers/workbench.mjs';

const source = 'def first(items):\n    return';
const helper = (name) => `def ${name}(values):\n    return sum(values) / len(values)\n`;

await run(async (keep) => {
  const wb = keep(await open({
    files: {
      'one/a.py': source, 'one/mean.py': helper('mean_of_one'),
      'two/b.py': source, 'two/mean.py': helper('mean_of_two'),
      'two/c.js': 'function first(items) {\n  return',
    },
    folders: [{ path: 'project/one' }, { path: 'project/two' }],
  }));
  const asks = async () => {
    await wb.press('Control+End', 'Escape', 'Alt+Backslash');
    return wb.comes(10_000);
  };
  const page = async (word) => {
    const lines = wb.page.locator('.editor-instance .view-lines').last();
    return until(`the page with ${word}`, async () => {
      const text = (await lines.innerText()).replace(/\u00a0/g, ' ');
      return text.includes(word) && text;
    });
  };
  const shows = async (name) => {
    await wb.file(name);
    await wb.ready();
    const ghost = await until(`ghost text in ${name}`, asks);
    const before = fs.readFileSync(path.join(wb.ws, name), 'utf8');
    await wb.ghostShown();
    const text = await wb.ghost();
    await wb.press('Tab');
    equal(await wb.saved(), before + text, `Tab takes it in ${name}`);
    return ghost;
  };

  await shows('one/a.py');
  await shows('two/b.py');
  await wb.command('fimd: Show Statistics');
  const said = await until('all files were read', async () => {
    await wb.command('fimd: Show Statistics');
    const text = await page('workspace');
    return /5 files read(?!, still)/.test(text) && text;
  });
  check(said, 'the files of both folders are in the daemon\'s list');
  await wb.press('Control+Alt+w');

  // A folder's own settings, of the second one only.
  const own = (settings) => {
    fs.mkdirSync(`${wb.ws}/two/.vscode`, { recursive: true });
    fs.writeFileSync(`${wb.ws}/two/.vscode/settings.json`, JSON.stringify(settings));
  };
  const off = wb.page.locator('[id="fimd.fimd.fimd.status"] .codicon-circle-slash');
  await wb.file('two/b.py');
  await wb.ready();
  own({ 'fimd.languages': { python: false } });
  await off.waitFor();
  equal(await asks(), '', 'a language that the second folder turns off');
  await wb.file('two/c.js');
  await wb.ready();
  check((await until('ghost text', asks)) !== '', 'and another one there goes on');
  await wb.file('one/a.py');
  await wb.ready();
  await wb.press('Control+End');
  await wb.type('\n\ndef last(items):\n    return');
  await wb.ghostShown();
  check(true, 'and so does the first folder');
  await wb.file('two/c.js');
  await wb.ready();
  own({ 'fimd.enable': false });
  await off.waitFor();
  equal(await asks(), '', 'all of it turned off in the second folder');
  await wb.file('one/a.py');
  await wb.ready();
  check((await until('ghost text', asks)) !== '', 'is on in the first');
  await wb.file('two/c.js');
  await off.waitFor();
  await wb.command('fimd: Turn On or Off');
  await off.waitFor({ state: 'detached' });
  const now = JSON.parse(fs.readFileSync(`${wb.ws}/two/.vscode/settings.json`, 'utf8'));
  equal(now['fimd.enable'], true, 'and the command turns it on there, in the folder\'s settings');

  const manifest = JSON.parse(fs.readFileSync(`${root}/editors/vscode/package.json`, 'utf8'));
  equal(manifest.extensionKind, ['workspace'], 'it runs where the files are');
  check(wb.logs().some(([name]) => /exthost.*fimd/i.test(name)),
    'which is the remote extension host', wb.logs().map(([name]) => name));
  equal(wb.complaints(), [], 'no error is in the logs');
});
