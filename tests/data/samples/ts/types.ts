// Shapes that the cache and its users share.

export interface Entry<V> {
  key: string;
  value: V;
  expiresAt: number;
  hits: number;
}

export type Loader<V> = (key: string) => Promise<V>;

export enum Eviction {
  Expired = "expired",
  Capacity = "capacity",
  Deleted = "deleted",
}

export interface CacheOptions {
  capacity: number;
  ttlMs: number;
  onEvict?: (key: string, why: Eviction) => void;
}

export function isExpired(entry: Entry<unknown>, now: number): boolean {
  return entry.expiresAt <= now;
}
