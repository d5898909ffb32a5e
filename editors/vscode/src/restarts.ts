// When a daemon that ended by itself is started again, and after how long. No VS Code in here.

const WINDOW_MS = 180_000;
const MOST = 5;
const DELAYS_MS = [0, 500, 2000, 5000, 10_000];

export class Restarts {
  private ends: number[] = [];

  /** The milliseconds to wait; undefined: it ended too often lately, leave it. */
  ended(now: number): number | undefined {
    this.ends = this.ends.filter((t) => now - t < WINDOW_MS);
    this.ends.push(now);
    return this.ends.length > MOST ? undefined : DELAYS_MS[this.ends.length - 1];
  }

  forget(): void {
    this.ends = [];
  }
}
