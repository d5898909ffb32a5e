// The item in the status bar: how the daemon is, and the last answer. A click shows statistics.
import * as vscode from 'vscode';
import * as config from './config';
import type { Daemon } from './daemon';
import type { Snooze } from './snooze';
import type { Suggestions } from './suggestions';
import { say, type View } from './words';

const LINKS: [string, string][] = [
  ['Turn on or off', 'fimd.toggle'],
  ['Snooze', 'fimd.snooze'],
  ['Why no suggestion', 'fimd.whyNot'],
  ['Restart', 'fimd.restart'],
  ['Log', 'fimd.showLog'],
];

export class StatusBar implements vscode.Disposable {
  private readonly item = vscode.window.createStatusBarItem(
    'fimd.status', vscode.StatusBarAlignment.Right, 100);
  private readonly subscriptions: vscode.Disposable[];

  constructor(
    private readonly daemon: Daemon,
    private readonly suggestions: Suggestions,
    private readonly snooze: Snooze,
  ) {
    const show = () => this.show();
    this.item.name = 'fimd';
    this.subscriptions = [
      daemon.onDidChange(show), suggestions.onDidChange(show), snooze.onDidChange(show),
      vscode.window.onDidChangeActiveTextEditor(show),
      vscode.workspace.onDidChangeConfiguration(show),
    ];
    show();
    this.item.show();
  }

  dispose(): void {
    for (const s of this.subscriptions) s.dispose();
    this.item.dispose();
  }

  private view(): View {
    const document = vscode.window.activeTextEditor?.document;
    const on = document === undefined || config.wantedIn(document);
    return {
      phase: config.read('enable', true) ? this.daemon.phase : 'off',
      percent: this.daemon.percent,
      problem: this.daemon.problem,
      working: this.suggestions.working,
      snoozedMinutes: this.snooze.left,
      offFor: on ? undefined : document.languageId,
      lastMs: this.suggestions.lastMs,
      daemonMs: this.suggestions.daemonMs,
      reason: this.suggestions.reason,
      model: this.daemon.model,
    };
  }

  private show(): void {
    const view = this.view(), said = say(view);
    const links = LINKS.map(([title, command]) => `[${title}](command:${command})`).join(' | ');
    const tip = new vscode.MarkdownString('', true);
    tip.isTrusted = { enabledCommands: LINKS.map(([, command]) => command) };
    tip.appendText(said.lines.join('\n')).appendMarkdown(`\n\n${links}`);
    this.item.text = said.text;
    this.item.tooltip = tip;
    this.item.command = view.phase === 'off' ? 'fimd.toggle'
      : said.warning ? 'fimd.showLog' : 'fimd.statistics';
    this.item.backgroundColor = said.warning
      ? new vscode.ThemeColor('statusBarItem.warningBackground') : undefined;
  }
}
