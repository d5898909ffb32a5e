// Allocations that fail in the daemon when a test says so: tests/preload/short_memory.c.
import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import path from 'node:path';
import { build } from './check.mjs';

export class Memory {
  constructor(dir) {
    this.path = path.join(dir, 'short-memory');
    this.file = openSync(this.path, 'w+');
    this.set([0, 1, 0, 0, 0]);
  }
  // What the daemon must be started with.
  get env() {
    return {
      ...process.env,
      LD_PRELOAD: path.join(build, 'tests/preload/short_memory.so'),
      FIMD_SHORT_MEMORY: this.path,
      // Ours comes before the sanitizer's allocator, on purpose, and hands on to it.
      ASAN_OPTIONS: `${process.env.ASAN_OPTIONS ?? ''}:verify_asan_link_order=0`,
    };
  }
  set(numbers, at = 0) { writeSync(this.file, Buffer.from(BigInt64Array.from(numbers.map(BigInt)).buffer), 0, numbers.length * 8, at * 8); }
  get(at) {
    const b = Buffer.alloc(8);
    readSync(this.file, b, 0, 8, at * 8);
    return Number(b.readBigInt64LE());
  }
  // From now on the nth allocation fails, and as many as `span` says from there on.
  arm(n, span = 1, oneThread = false) { this.set([0]); this.set([span, oneThread ? 1 : 0, 0, 0], 1); this.set([n]); }
  disarm() { this.set([0]); }
  get counted() { return this.get(3); }
  get failed() { return this.get(4); }
  close() { closeSync(this.file); }
}
