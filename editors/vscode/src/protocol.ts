// The daemon's own messages, as far as they are read here.

export interface Percentiles {
  p50: number;
  p90: number;
  count: number;
}

export interface Status {
  version: string;
  model: {
    state: 'loading' | 'ready' | 'failed';
    error?: string;
    progress?: number;
    name?: string;
    path?: string;
    backend?: string;
    backendNote?: string;
    types?: string;
    context?: number;
    loadMs?: number;
    loaded?: boolean;
  };
  workspace: { busy: boolean; files: number; leftOut: number; cut: boolean };
  settings: Record<string, unknown>;
  statistics: {
    inlineCompletion: Record<string, number>;
    quiet: Record<string, number>;
    acceptance: {
      suggestions: number;
      accepted: number;
      ratio: number;
      whole: number;
      lines: number;
      words: number;
      characters: number;
      typedThrough: number;
    };
    tokens: number;
    steps: number;
    tokensPerStep: number;
    answerMs: Percentiles;
    firstTokenMs: Percentiles;
    lastTokenMs: Percentiles;
    prefilledPerKeystroke: Percentiles;
    last: { answerMs: number };
  };
}

export interface Why {
  uri: string;
  position: { line: number; character: number };
  automatic: boolean;
  outcome: string;
  reason?: string;
  source?: string;
  stop?: string;
  language?: string;
  promptTokens: number;
  pieces: { why: string; path: string; line: number; lines: number; chosen: boolean }[];
  ms: { answer: number; waited: number };
}
