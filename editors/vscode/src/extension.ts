// Puts the parts together, and hears of changed settings.
import * as vscode from 'vscode';
import { register } from './commands';
import * as config from './config';
import { Daemon } from './daemon';
import { Pages } from './pages';
import { RESTART_KEYS } from './settings';
import { Snooze } from './snooze';
import { StatusBar } from './statusBar';
import { Suggestions } from './suggestions';

let daemon: Daemon | undefined;

export function activate(context: vscode.ExtensionContext): void {
  const log = vscode.window.createOutputChannel('fimd', { log: true });
  const snooze = new Snooze();
  const pages = new Pages();
  const suggestions = new Suggestions(snooze, log, () => daemon?.running);
  const own = new Daemon(log, suggestions.provide, (client) => suggestions.listen(client));
  daemon = own;
  const parts = { daemon: own, suggestions, snooze, pages, log };
  context.subscriptions.push(
    log, snooze, pages, suggestions, own,
    new StatusBar(own, suggestions, snooze),
    ...register(parts),
    vscode.workspace.onDidChangeConfiguration((event) => {
      if (!event.affectsConfiguration('fimd')) return;
      const on = config.read('enable', true);
      if (on && RESTART_KEYS.some((key) => event.affectsConfiguration(`fimd.${key}`)))
        void own.restart();
      else if (on && own.running === undefined) void own.start();
      else own.sendSettings();
    }),
  );
  if (config.read('enable', true)) void own.start();
}

export async function deactivate(): Promise<void> {
  await daemon?.stop();
}
