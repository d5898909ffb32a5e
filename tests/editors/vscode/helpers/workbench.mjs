// A real VS Code in a real browser: the server and its extension host in a home of their own,
// the extension installed from the built package, and hands and eyes for a test.
//
// FIMD            the daemon (build/fimd)
// FIMD_VSIX       the package (build/fimd.vsix)
// FIMD_VSCODE     VS Code's server (what install.sh made)
// SHOTS           a folder for screenshots; without it none are kept
import { spawn, spawnSync } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { skip } from './check.mjs';

export const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../..');
const LONG = 120_000;
const ITEM = '[id="fimd.fimd.fimd.status"]';
export const vscode = process.env.FIMD_VSCODE ?? path.join(root, 'build/vscode/package/lib/vscode');
export const vsix = process.env.FIMD_VSIX ?? path.join(root, 'build/fimd.vsix');
export const daemon = path.resolve(process.env.FIMD ?? path.join(root, 'build/fimd'));
const server = path.join(vscode, 'out/server-main.js');

function findChromium() {
  const names = ['chromium', 'chromium-browser', 'google-chrome'];
  const all = (process.env.PATH ?? '').split(':').flatMap((d) => names.map((n) => path.join(d, n)));
  return all.find((file) => fs.existsSync(file));
}

async function need() {
  if (!fs.existsSync(server)) skip(`no VS Code at ${vscode} (tests/editors/vscode/install.sh)`);
  if (!fs.existsSync(daemon)) skip(`no daemon at ${daemon}`);
  if (!fs.existsSync(vsix)) skip(`no package at ${vsix} (npm run package in editors/vscode)`);
  if (findChromium() === undefined) skip('no chromium');
  try {
    return (await import('playwright-core')).chromium;
  } catch {
    return skip('no playwright-core (npm ci in tests/editors/vscode)');
  }
}

const SETTINGS = {
  'telemetry.telemetryLevel': 'off',
  'workbench.startupEditor': 'none',
  'workbench.tips.enabled': false,
  'extensions.autoUpdate': false,
  'extensions.autoCheckUpdates': false,
  'update.mode': 'none',
  'files.autoSave': 'off',
  'editor.quickSuggestions': { other: 'off', comments: 'off', strings: 'off' },
  'editor.wordBasedSuggestions': 'off',
  'editor.suggestOnTriggerCharacters': false,
  'editor.autoClosingBrackets': 'never',
  'editor.autoClosingQuotes': 'never',
  'editor.autoClosingComments': 'never',
  'editor.autoIndent': 'none',
  'editor.acceptSuggestionOnEnter': 'off',
  'editor.parameterHints.enabled': false,
  'editor.minimap.enabled': false,
  'window.confirmBeforeClose': 'never',
};
// VS Code has no key of its own for the first, and a browser takes the second's.
const KEYS = [
  { key: 'ctrl+alt+l', command: 'editor.action.inlineSuggest.acceptNextLine',
    when: 'inlineSuggestionVisible' },
  { key: 'ctrl+alt+w', command: 'workbench.action.closeActiveEditor' },
];

export const until = async (what, test, ms = LONG) => {
  const end = Date.now() + ms;
  for (;;) {
    const value = await test();
    if (value) return value;
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await new Promise((r) => setTimeout(r, 40));
  }
};

function freePort() {
  return new Promise((resolve, reject) => {
    const s = net.createServer().on('error', reject);
    s.listen(0, '127.0.0.1', () => {
      const { port } = s.address();
      s.close(() => resolve(port));
    });
  });
}

/** A script in the daemon's place: writes down its process id, then becomes the daemon. */
function wrap(home) {
  const file = path.join(home, 'fimd');
  fs.writeFileSync(file, `#!/bin/sh\necho $$ >>"${home}/pids"\nexec "${daemon}" "$@"\n`,
    { mode: 0o755 });
  return file;
}

function put(folder, files) {
  for (const [name, text] of Object.entries(files)) {
    fs.mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    fs.writeFileSync(path.join(folder, name), text);
  }
}

function installPackage(home, env) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [server, '--install-extension',
    vsix, '--force', '--server-data-dir', `${home}/data`,
    '--extensions-dir', `${home}/extensions`, '--accept-server-license-terms'],
  { encoding: 'utf8', env });
  if (status !== 0) throw new Error(`the package was not installed: ${stdout}${stderr}`);
}

/** files: of the folder that is opened, by name; settings, machine: further settings of the user
 * and of the machine; fimd: false leaves the daemon off its place; bare: no setting, no extension,
 * nothing of ours; extensions: the files of further ones, by folder. */
export async function open({ files, settings = {}, machine = {}, folders, fimd = true,
  bare = false, extensions = {} }) {
  const chromium = await need();
  const home = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-vscode-'));
  const ws = path.join(home, 'project');
  const env = { PATH: process.env.PATH, HOME: home, LANG: 'C.UTF-8', TMPDIR: home };
  put(ws, files);
  const program = fimd && !bare ? wrap(home) : path.join(home, 'fimd');
  if (!bare) put(`${home}/data/data`, {
    'User/settings.json': JSON.stringify({ ...SETTINGS, ...settings }),
    'User/keybindings.json': JSON.stringify(KEYS),
    'Machine/settings.json': JSON.stringify({ 'fimd.path': program, ...machine }),
  });
  if (folders) put(home, { 'project.code-workspace': JSON.stringify({ folders }) });
  for (const [name, parts] of Object.entries(extensions)) put(`${home}/extensions/${name}`, parts);
  if (!bare) installPackage(home, env); // lists those that are there, too
  const port = await freePort(), log = fs.openSync(`${home}/server.log`, 'w');
  const process_ = spawn(process.execPath, [server, '--host', '127.0.0.1', '--port', String(port),
    '--without-connection-token', '--accept-server-license-terms', '--telemetry-level', 'off',
    '--disable-workspace-trust', '--server-data-dir', `${home}/data`,
    '--extensions-dir', `${home}/extensions`], { env, stdio: ['ignore', log, log],
    detached: true });
  const base = `http://127.0.0.1:${port}`;
  await until('the server', () => fetch(base).then((r) => r.ok, () => false));
  const browser = await chromium.launch({ executablePath: findChromium(), env,
    args: ['--headless', '--no-sandbox', '--disable-gpu', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--disable-sync'] });
  const page = await browser.newPage({ viewport: { width: 1100, height: 640 } });
  page.setDefaultTimeout(LONG);
  await page.route('**', (r) => // nothing leaves this machine
    (new URL(r.request().url()).hostname === '127.0.0.1' ? r.continue() : r.abort()));
  return new Workbench({ home, ws, page, browser, base, server: process_,
    where: folders ? `workspace=${home}/project.code-workspace` : `folder=${ws}` });
}

class Workbench {
  constructor(parts) {
    Object.assign(this, parts);
    this.errors = []; // of the page
    this.page.on('pageerror', (e) => this.errors.push(String(e)));
  }

  /** Opens a file of the folder, the cursor at its beginning. */
  async file(name) {
    const host = new URL(this.base).host;
    const payload = JSON.stringify([['openFile', `vscode-remote://${host}${this.ws}/${name}`]]);
    await this.page.goto(`${this.base}/?${this.where}&payload=${encodeURIComponent(payload)}`);
    await this.page.locator('.editor-instance .view-lines').first().waitFor();
    await this.focus();
    this.name = name;
  }

  /** The daemon has its model. */
  async ready() {
    await this.page.locator(`${ITEM} :is(.codicon-sparkle, .codicon-dash)`).waitFor();
  }

  async focus() {
    await this.page.locator('.editor-instance .view-lines').first().click();
    await this.press('Control+Home');
  }

  press(...keys) {
    return keys.reduce((p, key) => p.then(() => this.page.keyboard.press(key)), Promise.resolve());
  }

  type(text, delay = 0) {
    return this.page.keyboard.type(text, { delay });
  }

  /** The cursor to a line and a column, from 1. */
  async go(line, column) {
    await this.press('Control+g');
    await this.page.locator('.quick-input-widget input').waitFor();
    await this.type(`${line}:${column}`);
    await this.press('Enter');
    await this.page.locator('.quick-input-widget').waitFor({ state: 'hidden' });
  }

  /** Runs a command by its title. */
  async command(title) {
    await this.press('F1');
    await this.page.locator('.quick-input-widget input').waitFor();
    await this.type(title);
    const row = this.page.locator('.quick-input-list .monaco-list-row').first();
    await until(`the command ${title}`, async () =>
      (await row.innerText().catch(() => '')).includes(title));
    await this.press('Enter');
  }

  /** The ghost text on the screen: what stands in the cursor's line, then the lines below. */
  async ghost() {
    return (await this.page.evaluate(() => {
      const all = (s) => [...document.querySelectorAll(`.editor-instance ${s}`)];
      const text = (e) => e.textContent.replace(/\u00a0/g, ' ').replace(/[\u200b\u200c]/g, '');
      const inline = all('.ghost-text-decoration, .ghost-text-decoration-preview').map(text);
      const lines = all('.suggest-preview-text .view-line').map(text);
      return [inline.join(''), ...lines].join('\n');
    })).replace(/^\n$/, '');
  }

  /** Once it stands still: its first line and the others are drawn in different frames. */
  async ghostShown() {
    let last = '', same = 0;
    return until('ghost text', async () => {
      const now = await this.ghost();
      same = now !== '' && now === last ? same + 1 : 0;
      last = now;
      return same >= 5 && now;
    });
  }

  async ghostGone() {
    await until('the ghost text goes', async () => (await this.ghost()) === '');
  }

  /** Escape until there is none any more: an answer may have been in flight. */
  async dismissed() {
    await until('the ghost text goes for good', async () => {
      await this.press('Escape');
      return (await this.comes(1000)) === '';
    });
  }

  /** Ghost text that comes in this time though none should; else ''. */
  async comes(ms = 2000) {
    return until('ghost text', () => this.ghost(), ms).catch(() => '');
  }

  /** The file after it was saved: the screen's text has the ghost in it, the disk has not. */
  async saved(name = this.name) {
    const dirty = this.page.locator('.tabs-container .tab.dirty');
    await this.press('Control+s');
    await until('the file is saved', async () => (await dirty.count()) === 0);
    return fs.readFileSync(path.join(this.ws, name), 'utf8');
  }

  /** The text of the messages that are on the screen. */
  async messages() {
    return this.page.locator('.notification-list-item-message').allInnerTexts();
  }

  status() {
    return this.page.locator(ITEM).innerText().catch(() => '');
  }

  /** The daemons that were started, the newest last. */
  pids() {
    const file = `${this.home}/pids`;
    return fs.existsSync(file) ? fs.readFileSync(file, 'utf8').trim().split('\n').map(Number) : [];
  }

  /** All log files of the extension host and of the extension, by name. */
  logs() {
    const folder = `${this.home}/data/data/logs`;
    const names = fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true }) : [];
    return names.filter((n) => /\.log$/.test(n))
      .map((n) => [n, fs.readFileSync(path.join(folder, n), 'utf8')]);
  }

  /** Lines of the logs that tell of an error, in our extension's log or with our name. */
  complaints() {
    const bad = (name, line) => /\[error\]|\[warning\]/i.test(line) && /fimd/.test(name + line);
    return [...this.errors, ...this.logs().flatMap(([name, text]) =>
      text.split('\n').filter((line) => bad(name, line)).map((line) => `${name}: ${line}`))];
  }

  async shot(name) {
    if (!process.env.SHOTS) return;
    fs.mkdirSync(process.env.SHOTS, { recursive: true });
    await this.page.screenshot({ path: path.join(process.env.SHOTS, `${name}.png`) });
  }

  async close() {
    if (this.closed) return;
    this.closed = true;
    await this.browser.close();
    const ended = new Promise((r) => this.server.once('exit', r));
    const kill = (signal) => { // with the extension host and what that has started
      try {
        process.kill(-this.server.pid, signal);
      } catch {
        // all have gone
      }
    };
    kill('SIGTERM');
    await Promise.race([ended, new Promise((r) => setTimeout(r, 10_000))]);
    kill('SIGKILL');
    fs.rmSync(this.home, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}
