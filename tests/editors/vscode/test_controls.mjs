// What the user can turn: on and off, by language, snooze, another model; statistics, why there is
// no suggestion; and a workspace of two folders.
import fs from 'node:fs';
import { check, equal, run } from './helpers/check.mjs';
import { open, until } from './helpers/workbench.mjs';

const source = 'def first(items):\n    return';
const item = '[id="fimd.fimd.fimd.status"]';

await run(async (keep) => {
  const wb = keep(await open({
    files: { 'one/a.py': source, 'two/b.py': source },
    folders: [{ path: 'project/one' }, { path: 'project/two' }],
  }));
  const settings = () =>
    JSON.parse(fs.readFileSync(`${wb.home}/data/data/User/settings.json`, 'utf8'));
  const end = async () => {
    await wb.focus();
    await wb.press('Control+End');
  };
  const shows = async () => {
    await wb.press('Escape', 'Alt+Backslash');
    return wb.ghostShown();
  };
  const page = async (word) => {
    const lines = wb.page.locator('.editor-instance .view-lines').last();
    const read = async () => (await lines.innerText()).replace(/\u00a0/g, ' ');
    const text = await until(`the page with ${word}`, async () => {
      const now = await read();
      return now.includes(word) && now;
    });
    await wb.press('Control+Alt+w');
    return text;
  };

  await wb.file('one/a.py');
  await wb.ready();
  await until('an answer', async () => {
    await end();
    await wb.press('Alt+Backslash');
    return wb.comes(10_000);
  });
  check(true, 'ghost text in a workspace of two folders');
  await until('the time', async () => / ms/.test(await wb.status()));
  check(true, 'the item in the status bar has the last latency');
  await wb.page.locator(`${item} .codicon-sparkle`).waitFor();

  await wb.page.locator(`${item} a`).click();
  const said = await page('typed through');
  check(/^model +fimd-mini/m.test(said) && /^requests +shown \d/m.test(said),
    'a click shows the statistics', said);
  await wb.shot('statistics');

  await end();
  await wb.command('fimd: Why Is There No Suggestion?');
  await until('the message', async () =>
    (await wb.messages()).some((m) => m.startsWith('The last request was answered')));
  check(true, 'and the command says what became of the last request');
  await wb.page.locator('.notification-toast .monaco-button', { hasText: 'Details' }).click();
  check((await page('outcome')).includes('a.py'), 'with details on a page');

  await end();
  await wb.command('fimd: Turn On or Off');
  await wb.page.locator(`${item} .codicon-circle-slash`).waitFor();
  equal(settings()['fimd.enable'], false, 'turned off, it is off in the settings');
  await end();
  await wb.type(' ');
  await wb.press('Backspace');
  equal(await wb.comes(), '', 'and shows nothing');
  await wb.command('fimd: Turn On or Off');
  await wb.page.locator(`${item} .codicon-circle-slash`).waitFor({ state: 'detached' });
  await end();
  check((await shows()) !== '', 'turned on, it shows again');

  await wb.command('fimd: Turn On or Off for This Language');
  await until('the setting', () => settings()['fimd.languages']?.python === false);
  await wb.page.locator(`${item} .codicon-circle-slash`).waitFor();
  check(true, 'off for this language, in the settings and in the status bar');
  await wb.command('fimd: Turn On or Off for This Language');
  await until('the setting', () => settings()['fimd.languages']?.python === true);
  await end();
  check((await shows()) !== '', 'and on again');

  await wb.command('fimd: Snooze...');
  await wb.page.locator('.quick-input-list .monaco-list-row', { hasText: '15 minutes' }).click();
  await until('the item', async () => /15 min/.test(await wb.status()));
  check(true, 'snoozed, and the status bar says for how long');
  await end();
  await wb.type(' ');
  await wb.press('Backspace');
  equal(await wb.comes(), '', 'nothing is shown by itself');
  check((await shows()) !== '', 'but asked by hand it answers');
  await wb.press('Escape');
  await wb.command('fimd: Snooze...');
  await wb.page.locator('.quick-input-list .monaco-list-row', { hasText: 'Wake up' }).click();
  await until('the item', async () => !/ min/.test(await wb.status()));
  check(true, 'and it wakes up');

  equal(wb.pids().length, 1, 'all this by one daemon');
  const pick = async (label) => {
    await wb.command('fimd: Pick a Model...');
    await wb.page.locator('.quick-input-list .monaco-list-row', { hasText: label }).click();
  };
  await pick('Qwen2.5-Coder 0.5B');
  await until('the restart', () => wb.pids().length === 2);
  await wb.page.locator(`${item} .codicon-warning`).waitFor();
  check((await wb.messages()).some((m) => m.startsWith('fimd has no model')),
    'a model that is not there: the daemon is restarted and says so');
  await pick('Embedded');
  await until('the restart', () => wb.pids().length === 3);
  await wb.ready();
  await end();
  await until('an answer', async () => {
    await wb.press('Escape', 'Alt+Backslash');
    return wb.comes(10_000);
  });
  check(true, 'and the embedded one answers again');
  const others = wb.complaints().filter((line) => !/no completions|has no model/.test(line));
  equal(others, [], 'no error is in the logs but that one');
});
