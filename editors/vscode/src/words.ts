// What the status-bar item, the statistics and the answer to "why" say. No VS Code in here.
import type { Percentiles, Status, Why } from './protocol';

export type Phase = 'off' | 'missing' | 'loading' | 'ready' | 'failed' | 'stopped';

export interface View {
  phase: Phase;
  /** Of the model, while it is loaded. */
  percent: number | undefined;
  /** What is wrong, in `missing`, `failed` and `stopped`. */
  problem: string | undefined;
  working: boolean;
  snoozedMinutes: number;
  /** The language that is turned off here. */
  offFor: string | undefined;
  lastMs: number | undefined;
  /** Of it, the daemon's own. */
  daemonMs: number | undefined;
  /** Why the last answer was empty. */
  reason: string | undefined;
  model: string | undefined;
}

export interface Said {
  text: string;
  lines: string[];
  warning: boolean;
}

function ready(view: View): Said {
  const lines: string[] = view.model === undefined ? [] : [view.model];
  if (view.snoozedMinutes > 0) {
    lines.push(`Snoozed for ${minutes(view.snoozedMinutes)}.`);
    return { text: `$(bell-slash) fimd ${view.snoozedMinutes} min`, lines, warning: false };
  }
  if (view.offFor !== undefined) {
    lines.push(`Turned off for ${view.offFor}.`);
    return { text: '$(circle-slash) fimd', lines, warning: false };
  }
  if (view.lastMs !== undefined) {
    const own = view.daemonMs === undefined ? '' : `, ${ms(view.daemonMs)} of them in the daemon`;
    lines.push(`The last answer took ${ms(view.lastMs)}${own}.`);
  }
  if (view.reason !== undefined) lines.push(`No suggestion: ${view.reason}.`);
  const icon = view.working ? 'loading~spin' : view.reason !== undefined ? 'dash' : 'sparkle';
  const took = view.lastMs === undefined ? '' : ` ${ms(view.lastMs)}`;
  return { text: `$(${icon}) fimd${took}`, lines, warning: false };
}

export function say(view: View): Said {
  const problem = view.problem === undefined ? [] : [view.problem];
  switch (view.phase) {
    case 'off':
      return { text: '$(circle-slash) fimd', lines: ['Turned off.'], warning: false };
    case 'missing':
    case 'failed':
    case 'stopped':
      return { text: '$(warning) fimd', lines: problem, warning: true };
    case 'loading': {
      const percent = view.percent === undefined ? '' : ` ${view.percent} %`;
      return { text: `$(loading~spin) fimd${percent}`, lines: ['Loading the model.'],
        warning: false };
    }
    case 'ready':
      return ready(view);
  }
}

export function ms(value: number): string {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`;
}

export function minutes(n: number): string {
  return n === 1 ? '1 minute' : `${n} minutes`;
}

function percentiles(p: Percentiles): string {
  return p.count === 0 ? 'none yet'
    : `${ms(p.p50)} at the median, ${ms(p.p90)} at the 90th percentile, of ${p.count}`;
}

function counts(table: Record<string, number>): string {
  const some = Object.entries(table).filter(([, n]) => n > 0);
  return some.length === 0 ? 'none' : some.map(([name, n]) => `${name} ${n}`).join(', ');
}

export function modelLine(m: Status['model']): string {
  if (m.state === 'failed') return `no model: ${m.error ?? 'unknown'}`;
  if (m.state === 'loading') return `loading, ${Math.round((m.progress ?? 0) * 100)} %`;
  return `${m.name ?? 'model'} (${m.types ?? ''}) on ${m.backend ?? '?'}`;
}

export function statistics(status: Status, editor: Percentiles): string {
  const s = status.statistics, a = s.acceptance, w = status.workspace;
  const rows: [string, string][] = [
    ['version', status.version],
    ['model', modelLine(status.model)],
    ['requests', counts(s.inlineCompletion)],
    ['no suggestion', counts(s.quiet)],
    ['suggestions', `${a.suggestions} shown, ${a.accepted} accepted at least in part ` +
      `(${Math.round(a.ratio * 100)} %)`],
    ['accepted', `${a.whole} whole, ${a.lines} lines, ${a.words} words; ` +
      `${a.characters} characters`],
    ['typed through', `${a.typedThrough} characters`],
    ['answers', percentiles(s.answerMs)],
    ['as seen here', percentiles(editor)],
    ['first token', percentiles(s.firstTokenMs)],
    ['last token', percentiles(s.lastTokenMs)],
    ['tokens', `${s.tokens} in ${s.steps} steps (${s.tokensPerStep.toFixed(2)} a step)`],
    ['workspace', `${w.files} files read${w.busy ? ', still reading' : ''}, ${w.leftOut} left out` +
      (w.cut ? ', more than are read' : '')],
  ];
  if (status.model.backendNote) rows.splice(2, 0, ['note', status.model.backendNote]);
  return table(rows);
}

export function why(w: Why): string {
  const rows: [string, string][] = [
    ['file', w.uri],
    ['place', `line ${w.position.line + 1}, column ${w.position.character + 1}`],
    ['outcome', w.outcome],
  ];
  if (w.reason !== undefined) rows.push(['reason', w.reason]);
  rows.push(['asked', w.automatic ? 'while typing' : 'by hand']);
  if (w.source) rows.push(['source', w.source]);
  if (w.stop) rows.push(['ended by', w.stop]);
  if (w.language) rows.push(['language', w.language]);
  rows.push(['time', `${ms(w.ms.answer)}, of which ${ms(w.ms.waited)} waiting`]);
  rows.push(['prompt', `${w.promptTokens} tokens`]);
  for (const p of w.pieces) {
    const range = p.path === '' ? '' : ` ${p.path}:${p.line + 1}`;
    rows.push([p.chosen ? 'in the prompt' : 'left out', `${p.why}${range}, ${p.lines} lines`]);
  }
  return table(rows);
}

/** One sentence for a message. */
export function whyLine(w: Why | null): string {
  if (w === null) return 'There was no request yet.';
  if (w.outcome === 'shown') return `The last request was answered, in ${ms(w.ms.answer)}.`;
  return `No suggestion: ${w.reason ?? w.outcome}.`;
}

function table(rows: [string, string][]): string {
  const width = Math.max(...rows.map(([name]) => name.length));
  return rows.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('');
}
