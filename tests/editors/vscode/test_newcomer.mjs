// From nothing to the first ghost text, in a clean home: the files are where `make install` puts
// them, `fimd setup vscode --write` runs the window's own `code`, and no setting is made.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { check, equal, run } from './helpers/check.mjs';
import { daemon, open, until, vscode, vsix } from './helpers/workbench.mjs';

const ITEM = '[id="fimd.fimd.fimd.status"]';

/** What `make install PREFIX=~/.local` puts there. */
function install(home) {
  const local = path.join(home, '.local');
  fs.mkdirSync(`${local}/bin`, { recursive: true });
  fs.mkdirSync(`${local}/share/fimd`, { recursive: true });
  fs.copyFileSync(daemon, `${local}/bin/fimd`);
  fs.copyFileSync(vsix, `${local}/share/fimd/fimd.vsix`);
  return `${local}/bin/fimd`;
}

/** A terminal of the window: `code` on its PATH, which talks to the window over a socket. */
async function terminal(home) {
  const socket = await until('the window\'s socket', () =>
    fs.readdirSync(home).find((name) => /^vscode-ipc-.*\.sock$/.test(name)));
  fs.mkdirSync(`${home}/remote-cli`);
  fs.writeFileSync(`${home}/remote-cli/code`,
    `#!/bin/sh\nexec "${vscode}/bin/remote-cli/code-linux.sh" "$@"\n`, { mode: 0o755 });
  return { HOME: home, TMPDIR: home, LANG: 'C.UTF-8', NODE_EXEC_PATH: process.execPath,
    PATH: `${home}/remote-cli:${process.env.PATH}`, VSCODE_IPC_HOOK_CLI: path.join(home, socket) };
}

await run(async (keep) => {
  const wb = keep(await open({ bare: true, files: { 'words.py': '' } }));
  await wb.file('words.py');
  check(!fs.existsSync(`${wb.home}/data/data/User/settings.json`), 'no setting is made');
  equal(await wb.page.locator(ITEM).count(), 0, 'there is no fimd');

  const fimd = install(wb.home);
  const env = await terminal(wb.home);
  const setup = spawnSync(fimd, ['setup', 'vscode', '--write'], { env, encoding: 'utf8' });
  check(setup.status === 0, 'fimd setup vscode --write', setup.stdout + setup.stderr);
  await wb.page.locator(ITEM).waitFor();
  check(true, 'the extension is there, without a restart of the window');
  await wb.ready();

  // As a user types it, with all that VS Code does by itself on: brackets, indentation, lists.
  await wb.focus();
  await wb.type('def count_words(lines):\n', 60);
  await wb.type('counts = {}\nfor line in lines:\n', 60);
  await until('ghost text', () => wb.comes(15_000));
  check(true, 'ghost text comes by typing alone');
  await wb.shot('newcomer');
  const shown = await wb.ghostShown();
  await wb.press('Tab');
  const file = `${wb.ws}/words.py`; // which VS Code saves by itself, here
  await until('the text in the file', () => fs.readFileSync(file, 'utf8').includes(shown));
  check(true, 'Tab takes it');
  check(!fs.existsSync(`${wb.home}/data/data/User/settings.json`), 'still no setting is made');
  equal(wb.complaints(), [], 'no error is in the logs');
});
