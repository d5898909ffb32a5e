// A cache that forgets: by age, and by least recent use.

import { CacheOptions, Entry, Eviction, Loader, isExpired } from "./types";

export class Cache<V> {
  private entries = new Map<string, Entry<V>>();
  private loading = new Map<string, Promise<V>>();
  hits = 0;
  misses = 0;

  constructor(private readonly options: CacheOptions) {}

  get size(): number {
    return this.entries.size;
  }

  get(key: string): V | undefined {
    const entry = this.entries.get(key);
    if (!entry) {
      this.misses++;
      return undefined;
    }
    if (isExpired(entry, Date.now())) {
      this.evict(key, Eviction.Expired);
      this.misses++;
      return undefined;
    }
    this.hits++;
    entry.hits++;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.value;
  }

  set(key: string, value: V): void {
    if (!this.entries.has(key) && this.entries.size >= this.options.capacity) {
      const oldest = this.entries.keys().next().value;
      if (oldest !== undefined) {
        this.evict(oldest, Eviction.Capacity);
      }
    }
    const expiresAt = Date.now() + this.options.ttlMs;
    this.entries.set(key, { key, value, expiresAt, hits: 0 });
  }

  async load(key: string, loader: Loader<V>): Promise<V> {
    const known = this.get(key);
    if (known !== undefined) {
      return known;
    }
    let pending = this.loading.get(key);
    if (!pending) {
      pending = loader(key).finally(() => this.loading.delete(key));
      this.loading.set(key, pending);
    }
    const value = await pending;
    this.set(key, value);
    return value;
  }

  private evict(key: string, why: Eviction): void {
    if (this.entries.delete(key)) {
      this.options.onEvict?.(key, why);
    }
  }
}
