// Someone who types a real file into the daemon, one key after another, and now and then follows
// the ghost text, goes back a character, or opens a bracket that the editor closes.
import { at, open } from './daemon.mjs';

// The text of an item from the cursor on, or '' where nothing is shown.
export function ghost(answer, character) {
  const item = answer.result?.items?.[0];
  if (!item) return '';
  return item.insertText.slice(character - item.range.start.character);
}

export class Typist {
  // The document is the text without what lies between from and to; the cursor is at from.
  constructor(d, uri, text, from, to, language) {
    Object.assign(this, { d, uri, before: text.slice(0, from), after: text.slice(to), version: 1, asked: 0, prefix: `${uri.split('/').pop()}:` });
    this.ids = [];
    open(d, uri, this.before + this.after, language);
  }
  place() {
    const lines = this.before.split('\n');
    return { line: lines.length - 1, character: lines.at(-1).length };
  }
  change(range, text) {
    this.d.notify('textDocument/didChange', { textDocument: { uri: this.uri, version: ++this.version }, contentChanges: [{ range, text }] });
  }
  // Puts text in at the cursor, which is then before the last `behind` characters of it.
  type(text, behind = 0) {
    const p = this.place(), n = text.length - behind;
    this.change({ start: p, end: p }, text);
    this.before += text.slice(0, n);
    this.after = text.slice(n) + this.after;
  }
  back() {
    const end = this.place();
    this.before = this.before.slice(0, -1);
    this.change({ start: this.place(), end }, '');
  }
  ask() {
    const id = `${this.prefix}${++this.asked}`, p = this.place();
    this.ids.push(id);
    return this.d.request(id, 'textDocument/inlineCompletion', at(this.uri, p.line, p.character));
  }
  // What was computed for the client so far.
  async work() {
    const s = (await this.d.request(`work${this.prefix}${++this.asked}`, 'fimd/status')).result.statistics;
    this.last = s.last;
    return { prefilled: s.prefilledTokens, steps: s.steps, tokens: s.tokens };
  }
}
