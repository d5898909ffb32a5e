// No ghost text by itself for some minutes; asking by hand still works.
import * as vscode from 'vscode';

const MINUTE_MS = 60_000;

export class Snooze implements vscode.Disposable {
  private until = 0;
  private timer: NodeJS.Timeout | undefined;
  private readonly changed = new vscode.EventEmitter<void>();
  readonly onDidChange = this.changed.event;

  get active(): boolean {
    return Date.now() < this.until;
  }

  /** Minutes that are left, rounded up; 0: awake. */
  get left(): number {
    return Math.max(Math.ceil((this.until - Date.now()) / MINUTE_MS), 0);
  }

  /** 0 wakes it. */
  set(minutes: number): void {
    this.until = Date.now() + minutes * MINUTE_MS;
    this.tick();
  }

  dispose(): void {
    clearTimeout(this.timer);
    this.changed.dispose();
  }

  private tick(): void {
    clearTimeout(this.timer);
    this.changed.fire();
    const rest = this.until - Date.now();
    if (rest > 0) this.timer = setTimeout(() => this.tick(), Math.min(rest + 10, MINUTE_MS));
  }
}
