// The daemon's life: found, started, watched, started again when it ends by itself.
import * as vscode from 'vscode';
import type { LanguageClient } from 'vscode-languageclient/node';
import { findBinary } from './binary';
import { newClient, type Progress, type Wishes } from './client';
import * as config from './config';
import type { Status } from './protocol';
import { Restarts } from './restarts';
import { modelLine, type Phase } from './words';

export class Daemon implements vscode.Disposable {
  phase: Phase = 'off';
  percent: number | undefined;
  problem: string | undefined;
  model: string | undefined;

  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;

  private client: LanguageClient | undefined;
  private starting = false;
  private told = new Set<string>();
  private readonly restarts = new Restarts();
  private timer: NodeJS.Timeout | undefined;
  private queue: Promise<void> = Promise.resolve();

  constructor(
    private readonly log: vscode.LogOutputChannel,
    private readonly provide: Wishes['provide'],
    private readonly listen: (client: LanguageClient) => void,
  ) {}

  /** The client, while it can be asked. */
  get running(): LanguageClient | undefined {
    return this.client?.isRunning() === true ? this.client : undefined;
  }

  start(): Promise<void> {
    return this.enqueue(() => this.doStart());
  }

  /** By hand, or for a setting: what went wrong before is forgotten. */
  restart(): Promise<void> {
    this.restarts.forget();
    this.told.clear();
    return this.enqueue(async () => {
      await this.doStop();
      await this.doStart();
    });
  }

  stop(): Promise<void> {
    return this.enqueue(() => this.doStop());
  }

  async status(): Promise<Status | undefined> {
    return this.running?.sendRequest<Status>('fimd/status');
  }

  sendSettings(): void {
    void this.running
      ?.sendNotification('workspace/didChangeConfiguration', {
        settings: { fimd: config.forDaemon() },
      })
      .catch((e: unknown) => this.log.warn(`settings were not sent: ${String(e)}`));
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }

  /** Starts and stops one after the other, whoever asked. */
  private enqueue(work: () => Promise<void>): Promise<void> {
    this.queue = this.queue.then(work).catch((e: unknown) => this.log.error(String(e)));
    return this.queue;
  }

  private set(phase: Phase, problem?: string): void {
    this.phase = phase;
    this.problem = problem;
    this.changed.fire();
  }

  /** A sentence that is shown once, until the user has acted. */
  private tell(sentence: string, ...actions: ('Open Settings' | 'Restart' | 'Show Log')[]): void {
    this.log.warn(sentence);
    if (this.told.has(sentence)) return;
    this.told.add(sentence);
    void vscode.window.showWarningMessage(sentence, ...actions).then((choice) => {
      if (choice === 'Restart') void this.restart();
      if (choice === 'Show Log') this.log.show();
      if (choice === 'Open Settings')
        void vscode.commands.executeCommand('workbench.action.openSettings', 'fimd.path');
    });
  }

  private async doStart(): Promise<void> {
    clearTimeout(this.timer);
    if (this.client !== undefined) return;
    const found = findBinary(config.read('path', ''));
    if ('why' in found) {
      this.set('missing', found.why);
      this.tell(`${found.why} Install it, or set fimd.path.`, 'Open Settings');
      return;
    }
    const client: LanguageClient = newClient({
      command: found.path,
      log: this.log,
      provide: this.provide,
      onProgress: (progress) => this.onProgress(progress),
      onEnd: () => this.onEnd(client),
    });
    this.client = client;
    this.percent = undefined;
    this.model = undefined;
    this.set('loading');
    this.listen(client);
    this.starting = true;
    try {
      await client.start();
      this.starting = false;
      await this.look();
    } catch (e) {
      this.log.error(String(e));
      if (this.client === client) this.failToStart(client);
    } finally {
      this.starting = false;
    }
  }

  private failToStart(client: LanguageClient): void {
    this.client = undefined;
    void client.dispose().catch(() => undefined);
    const sentence = 'fimd could not be started.';
    this.set('failed', sentence);
    this.tell(sentence, 'Show Log', 'Open Settings');
  }

  private async doStop(): Promise<void> {
    clearTimeout(this.timer);
    const client = this.client;
    this.client = undefined;
    this.set('off');
    if (client !== undefined) await client.dispose();
  }

  /** How the model is; after this, its progress says when to look again. */
  private async look(): Promise<void> {
    const model = (await this.status())?.model;
    if (model === undefined || this.client === undefined) return;
    this.model = modelLine(model);
    if (model.state === 'ready') this.set('ready');
    else if (model.state === 'failed') this.set('failed', `No model: ${model.error ?? 'unknown'}`);
    else this.set('loading');
  }

  private onProgress(progress: Progress): void {
    if (progress.kind === 'end') {
      void this.look().catch((e: unknown) => this.log.warn(String(e)));
      return;
    }
    this.percent = progress.percentage;
    this.changed.fire();
  }

  private onEnd(client: LanguageClient): void {
    if (this.client !== client) return; // stopped, or another has taken its place
    if (this.starting) return; // start() fails, and says so
    this.client = undefined;
    const delay = this.restarts.ended(Date.now());
    if (delay === undefined) {
      const sentence = 'fimd ended too often and is not started again.';
      this.set('stopped', sentence);
      this.tell(sentence, 'Restart', 'Show Log');
      return;
    }
    this.set('loading');
    this.tell('fimd ended unexpectedly and is started again.', 'Show Log');
    this.timer = setTimeout(() => void this.start(), delay);
  }
}
