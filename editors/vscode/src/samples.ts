// The newest measurements, and their percentiles. No VS Code in here.
import type { Percentiles } from './protocol';

const KEPT = 512;

export class Samples {
  private values: number[] = [];
  private count = 0;

  add(value: number): void {
    this.values[this.count++ % KEPT] = value;
  }

  percentiles(): Percentiles {
    const sorted = [...this.values].sort((a, b) => a - b);
    const at = (p: number) => sorted[Math.max(Math.ceil(p * sorted.length) - 1, 0)] ?? 0;
    return { p50: at(0.5), p90: at(0.9), count: this.count };
  }
}
