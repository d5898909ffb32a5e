// Someone at work: opens files, goes to a place, types at human speed with pauses, follows the ghost
// text or not, saves, closes. What is typed is mostly what stands in the file already, so that the
// documents keep their size, and everything is undone at the end of a visit.
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const OPEN_MOST = 10;
const LANGUAGES = { c: 'c', h: 'c', py: 'python', ts: 'typescript', tsx: 'typescriptreact', js: 'javascript', mjs: 'javascript', go: 'go', rs: 'rust', lua: 'lua', sh: 'shellscript', css: 'css', html: 'html', json: 'json', java: 'java', rb: 'ruby', php: 'php', cpp: 'cpp', cs: 'csharp' };
export const languageOf = (name) => LANGUAGES[name.split('.').pop()];

// FNV-1a, as fimd/document has it.
export function fnv1a(bytes) {
  let h = 2166136261;
  for (const b of bytes) h = Math.imul(h ^ b, 16777619);
  return h >>> 0;
}

class Document {
  constructor(uri, text) { Object.assign(this, { uri, first: text, text, version: 0, open: false }); }
  position(at) {
    const start = this.text.lastIndexOf('\n', at - 1) + 1;
    let line = 0;
    for (let i = this.text.indexOf('\n'); i >= 0 && i < at; i = this.text.indexOf('\n', i + 1)) line++;
    return { line, character: at - start };
  }
}

export class User {
  constructor(daemon, files, random, speed) {
    Object.assign(this, { daemon, random, speed, open: [], ended: false, keys: 0, accepted: 0, visits: 0, compared: 0, differ: 0 });
    this.documents = files.map(([uri, text]) => new Document(uri, text));
  }
  pause(ms) { return sleep(ms / this.speed); }
  // Between keys: mostly 80 to 250 ms, now and then a thought.
  keyPause() {
    const r = this.random.float();
    return this.pause(r < 0.03 ? 1000 + 3000 * this.random.float() : 80 + 170 * r * r + 40 * this.random.float());
  }
  edit(d, from, to, text) {
    const range = { start: d.position(from), end: d.position(to) };
    d.text = d.text.slice(0, from) + text + d.text.slice(to);
    this.daemon.notify('textDocument/didChange', { textDocument: { uri: d.uri, version: ++d.version }, contentChanges: [{ range, text }] });
  }
  show(d) {
    if (d.open) return;
    if (this.open.length >= OPEN_MOST) this.close(this.random.pick(this.open));
    d.open = true;
    this.open.push(d);
    this.daemon.notify('textDocument/didOpen', { textDocument: { uri: d.uri, languageId: languageOf(d.uri), version: ++d.version, text: d.text } });
  }
  close(d) {
    d.open = false;
    this.open = this.open.filter((o) => o !== d);
    this.daemon.notify('textDocument/didClose', { textDocument: { uri: d.uri } });
  }
  save(d) {
    writeFileSync(fileURLToPath(d.uri), d.text);
    this.daemon.notify('textDocument/didSave', { textDocument: { uri: d.uri } });
  }
  async compare(d) {
    const { result } = await this.daemon.request('fimd/document', { textDocument: { uri: d.uri } });
    const bytes = Buffer.from(d.text);
    this.compared++;
    if (result && !result.lost && result.version === d.version && result.bytes === bytes.length && result.fnv1a === fnv1a(bytes)) return;
    this.differ++;
    console.log(`TEXTS DIFFER ${d.uri} version ${d.version}: ${JSON.stringify(result)}, ${bytes.length} bytes here`);
  }
  // The ghost text at a place, what of it is not there yet; or '' where the answer came too late.
  async ask(d, at, method = 'textDocument/inlineCompletion') {
    const version = d.version, position = d.position(at);
    const answer = await this.daemon.request(method, { textDocument: { uri: d.uri }, position, context: { triggerKind: method.includes('inline') ? 2 : 1 } }, true);
    const item = answer.result?.items?.[0];
    if (!item?.range || d.version !== version) return '';
    return item.insertText.slice(position.character - item.range.start.character);
  }
  // Types the text at a place, one key after the other; returns where that ends.
  async type(d, at, text) {
    let shown = '', asked = null;
    for (let i = 0; i < text.length && !this.ended; i++) {
      const r = this.random.float();
      if (shown.length > 3 && r < 0.08) { // takes it, and sees that it was not meant
        this.edit(d, at, at, shown);
        this.accepted++;
        await this.pause(400);
        if (this.random.chance(0.5)) this.ask(d, at + shown.length);
        this.edit(d, at, at + shown.length, '');
      } else if (r > 0.97 && i > 0) { // a slip
        this.edit(d, at, at, 'q');
        this.ask(d, at + 1);
        await this.keyPause();
        this.edit(d, at, at + 1, '');
      }
      this.edit(d, at, at, text[i]);
      this.keys++;
      at++;
      shown = '';
      if (asked && this.random.chance(0.5)) this.daemon.cancel(asked);
      const answer = this.ask(d, at).then((s) => { if (asked === answer.id) { shown = s; asked = null; } });
      answer.id = asked = this.daemon.last;
      if (this.random.chance(0.02)) this.ask(d, at, 'textDocument/completion');
      await this.keyPause();
    }
    return at;
  }
  // Takes a passage of some lines out and writes it again.
  async visit() {
    const d = this.random.pick(this.documents), r = this.random;
    this.show(d);
    this.visits++;
    await this.pause(500 + 2500 * r.float());
    const from = d.text.indexOf('\n', r.int(d.text.length)) + 1;
    let to = from;
    for (let lines = 1 + r.int(4); lines > 0 && to >= 0; lines--) to = d.text.indexOf('\n', to) + 1 || d.text.length;
    const passage = d.text.slice(from, Math.min(to, from + 200));
    if (passage && !/[^\n\x20-\x7e]/.test(passage)) {
      this.edit(d, from, from + passage.length, '\n');
      const end = await this.type(d, from, passage);
      await this.compare(d);
      if (end === from + passage.length) this.edit(d, end, end + 1, '');
    }
    if (r.chance(0.1)) { // a paste, and undo
      const other = r.pick(this.documents).first.slice(0, 5000);
      this.edit(d, from, from, other);
      await this.ask(d, from + other.length);
      this.edit(d, from, from + other.length, '');
    }
    if (r.chance(0.1)) { // the whole text anew, as formatters do
      d.text = d.first;
      this.daemon.notify('textDocument/didChange', { textDocument: { uri: d.uri, version: ++d.version }, contentChanges: [{ text: d.text }] });
    }
    if (r.chance(0.3)) this.save(d);
    if (r.chance(0.2)) await this.daemon.request('fimd/why', { uri: d.uri });
    if (r.chance(0.2)) await this.daemon.request('workspace/executeCommand', { command: 'fimd.showStatistics' });
    await this.compare(d);
    if (r.chance(0.3)) this.close(d);
  }
  async work() {
    for (const d of this.documents) { // all there is was seen once before anything is measured
      this.show(d);
      await this.ask(d, d.text.length >> 1);
    }
    this.warm = true;
    while (!this.ended) await this.visit();
  }
}
