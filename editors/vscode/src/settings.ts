// What the daemon takes, and how it gets it. lsp/settings.c has the same list; a test compares
// the two. No VS Code in here.

/** Sent with `initialize` and `workspace/didChangeConfiguration`. */
export const DAEMON_KEYS = [
  'enable', 'popup', 'streaming', 'languages', 'maxTokens', 'maxLines', 'promptTokens',
  'temperature', 'topP', 'seed', 'noContext', 'comments', 'strings', 'midLine', 'parseGate',
  'confidence', 'candidates', 'debounce', 'draft', 'unloadAfter',
] as const;

/** Read by the daemon when it starts only; empty and 0 leave the choice to it. */
export const START_OPTIONS = {
  model: '--model',
  backend: '--backend',
  threads: '--threads',
  context: '--context',
  gpuMemory: '--gpu-memory',
} as const;

/** What takes a restart to change, of all settings. */
export const RESTART_KEYS = ['path', 'args', 'popup', 'streaming', ...Object.keys(START_OPTIONS)];

/** Where this editor has another default than the daemon: two lists of the same are too many. */
export const OWN_DEFAULTS: Readonly<Record<string, unknown>> = { popup: false };

export interface Reader {
  /** The value in force, the default included. */
  get(key: string): unknown;
  /** Whether somebody has set it. */
  isSet(key: string): boolean;
}

/** Only what was set, so that `fimd.args` and the daemon's own defaults keep their say. */
export function daemonSettings(config: Reader): Record<string, unknown> {
  const settings: Record<string, unknown> = { ...OWN_DEFAULTS };
  for (const key of DAEMON_KEYS) {
    const value = config.isSet(key) ? config.get(key) : undefined;
    if (value !== undefined && value !== null) settings[key] = value;
  }
  return settings;
}

export function startArguments(config: Reader, expand: (file: string) => string): string[] {
  const given = config.get('args');
  const rest = Array.isArray(given) ? given.filter((a): a is string => typeof a === 'string') : [];
  const out = ['lsp', ...rest];
  for (const [key, option] of Object.entries(START_OPTIONS)) {
    const value = config.get(key);
    if (typeof value === 'number' && value > 0) out.push(option, String(value));
    if (typeof value === 'string' && value.trim() !== '') out.push(option, expand(value.trim()));
  }
  return out;
}

/** As the daemon reads `languages`: the language's own word, else the star's, else yes. */
export function languageOn(languages: unknown, language: string): boolean {
  if (typeof languages !== 'object' || languages === null) return true;
  const table = languages as Record<string, unknown>;
  const said = Object.hasOwn(table, language) ? table[language] : table['*'];
  return said !== false;
}
