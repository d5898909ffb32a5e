// What the user can call by name.
import * as vscode from 'vscode';
import * as config from './config';
import type { Daemon } from './daemon';
import { offered } from './models';
import type { Pages } from './pages';
import type { Why } from './protocol';
import { languageOn } from './settings';
import type { Snooze } from './snooze';
import type { Suggestions } from './suggestions';
import { minutes, statistics, why, whyLine } from './words';

const SNOOZES = [5, 15, 30, 60, 240];

export interface Parts {
  daemon: Daemon;
  suggestions: Suggestions;
  snooze: Snooze;
  pages: Pages;
  log: vscode.LogOutputChannel;
}

async function hide(): Promise<void> {
  await vscode.commands.executeCommand('editor.action.inlineSuggest.hide');
}

async function toggle(): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  const window = config.read('enable', true);
  const on = !(window && config.read('enable', true, document));
  await config.write('enable', on, window ? document : undefined);
  if (!on) await hide();
}

async function toggleLanguage(): Promise<void> {
  const document = vscode.window.activeTextEditor?.document;
  if (document === undefined) {
    void vscode.window.showInformationMessage('Open a file of the language first.');
    return;
  }
  const language = document.languageId;
  const languages = config.read<Record<string, boolean>>('languages', {}, document);
  const on = !languageOn(languages, language);
  await config.write('languages', { ...languages, [language]: on }, document);
  if (!on) await hide();
  vscode.window.setStatusBarMessage(`fimd is ${on ? 'on' : 'off'} for ${language}.`, 4000);
}

async function chooseSnooze(snooze: Snooze): Promise<void> {
  const items = SNOOZES.map((n) => ({ label: minutes(n), minutes: n }));
  if (snooze.active) items.unshift({ label: 'Wake up now', minutes: 0 });
  const chosen = await vscode.window.showQuickPick(items, {
    placeHolder: 'No suggestions while you type for...',
  });
  if (chosen === undefined) return;
  snooze.set(chosen.minutes);
  if (snooze.active) await hide();
}

function notRunning(daemon: Daemon): void {
  void vscode.window.showInformationMessage(daemon.problem ?? 'fimd is not running.');
}

async function showStatistics({ daemon, suggestions, pages }: Parts): Promise<void> {
  const status = await daemon.status();
  if (status === undefined) return notRunning(daemon);
  await pages.show('Statistics of fimd', statistics(status, suggestions.times.percentiles()));
}

async function showWhy({ daemon, pages }: Parts): Promise<void> {
  const client = daemon.running;
  if (client === undefined) return notRunning(daemon);
  const document = vscode.window.activeTextEditor?.document;
  const ours = document !== undefined && ['file', 'untitled'].includes(document.uri.scheme);
  const uri = ours ? client.code2ProtocolConverter.asUri(document.uri) : undefined;
  const about = await client.sendRequest<Why | null>('fimd/why', uri === undefined ? {} : { uri });
  const details = about === null ? [] : ['Details'];
  const choice = await vscode.window.showInformationMessage(whyLine(about), ...details);
  if (choice !== undefined && about !== null) await pages.show('Why by fimd', why(about));
}

async function pickModel(): Promise<void> {
  const current = config.read('model', '');
  const items = offered(current).map((m) => ({
    ...m, description: m.value === current ? 'in use' : '',
  }));
  const chosen = await vscode.window.showQuickPick(items, { placeHolder: 'The model to use' });
  if (chosen === undefined) return;
  const value = chosen.value ?? (await chooseFile());
  if (value !== undefined && value !== current) await config.write('model', value);
}

async function chooseFile(): Promise<string | undefined> {
  const files = await vscode.window.showOpenDialog({
    filters: { 'GGUF models': ['gguf'] }, openLabel: 'Use This Model',
  });
  return files?.[0]?.fsPath;
}

export function register(parts: Parts): vscode.Disposable[] {
  const table: Record<string, () => unknown> = {
    toggle,
    toggleLanguage,
    snooze: () => chooseSnooze(parts.snooze),
    restart: () => parts.daemon.restart(),
    statistics: () => showStatistics(parts),
    whyNot: () => showWhy(parts),
    pickModel,
    showLog: () => parts.log.show(),
    dismiss: () => parts.suggestions.dismiss(),
  };
  return Object.entries(table).map(([name, run]) =>
    vscode.commands.registerCommand(`fimd.${name}`, run));
}
