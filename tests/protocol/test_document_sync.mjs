// lsp/document.c against npm vscode-languageserver-textdocument: random edits in each of the
// three encodings, and after every didChange the same text (by hash of its UTF-16 units), the
// same number of lines; now and then whole texts and positions.
//
// EDITS in the environment: how many edits per encoding (default 100000).
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { check, done, equal, random, tool } from './helpers/check.mjs';

const EDITS = Number(process.env.EDITS || 100000);
const BATCH = 500; // messages in flight, so that neither side waits for each one

const pieces = ['', 'a', 'x = 1;', '\n', '\r\n', '\r', '\n\n', '😀', '𝒳𝒴', 'é', '漢字', '\t', '    ', '}', 'foo(bar, "baz")',
  '\u2028', '\0', '\ufeff', 'e\u0301', '\r\n\r\n', 'line one\nline two\r\nline three\rend', '👩‍👩‍👧', 'a\n', '\ta', '-'.repeat(60)];

function hash(text) {
  let h = 2166136261;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    h = Math.imul(h ^ (unit & 0xff), 16777619);
    h = Math.imul(h ^ (unit >>> 8), 16777619);
  }
  return (h >>> 0).toString(16).padStart(8, '0');
}
const state = (doc) => `${hash(doc.getText())} ${doc.getText().length} ${doc.lineCount}`;

const isHigh = (c) => c >= 0xd800 && c <= 0xdbff, isLow = (c) => c >= 0xdc00 && c <= 0xdfff;
const splitsPair = (text, i) => i > 0 && i < text.length && isHigh(text.charCodeAt(i - 1)) && isLow(text.charCodeAt(i));
// Units of a piece of a line in an encoding. A lone surrogate is three bytes, as in lsp/utf8.h.
function units(s, encoding) {
  if (encoding === 'utf-16') return s.length;
  return encoding === 'utf-32' ? [...s].length : Buffer.byteLength(s);
}

// A position in UTF-16 (for the npm document) and the same in the encoding (for ours). Past
// the end in one is past the end in the other.
function place(r, doc, encoding) {
  const text = doc.getText();
  let p = doc.positionAt(r.int(text.length + 1));
  if (splitsPair(text, doc.offsetAt(p)) && !(encoding === 'utf-16' && r.chance(0.3))) p = { line: p.line, character: p.character - 1 };
  if (r.chance(0.05)) p = { line: p.line, character: 100000 + r.int(1000) };
  if (r.chance(0.03)) p = { line: doc.lineCount + r.int(3), character: r.int(5) };
  return p;
}
function convert(doc, p, encoding) {
  if (encoding === 'utf-16' || p.line >= doc.lineCount || p.character >= 100000) return p;
  const line = doc.getText({ start: { line: p.line, character: 0 }, end: p });
  return { line: p.line, character: units(line, encoding) };
}

function change(r, doc, encoding) {
  if (r.chance(0.002)) return [{ text: Array.from({ length: r.int(40) }, () => r.pick(pieces)).join('') }];
  const a = place(r, doc, encoding);
  let b = r.chance(0.5) ? a : place(r, doc, encoding);
  if (r.chance(0.7)) { // mostly small edits, as people make them
    const at = Math.min(doc.offsetAt(a) + r.int(12), doc.getText().length);
    b = doc.positionAt(at);
    if (splitsPair(doc.getText(), doc.offsetAt(b))) b = doc.positionAt(at + 1);
    if (a.line >= doc.lineCount) b = a;
  }
  let text = Array.from({ length: r.int(4) }, () => r.pick(pieces)).join('');
  if (doc.getText().length > 4000 && r.chance(0.8)) text = '';
  if (encoding === 'utf-16' && r.chance(0.02)) text += r.pick(['\ud83d', '\ude00', '\ude00\ud83d']);
  // The npm document leaves holes in its line table where a range begins past the last line and
  // spans as many lines as are inserted; keep such a range on one line.
  if (a.line >= doc.lineCount && b.line >= doc.lineCount) b = { line: a.line, character: b.character };
  const range = { start: a, end: b };
  const ours = { start: convert(doc, a, encoding), end: convert(doc, b, encoding) };
  const kept = r.chance(0.1) ? { rangeLength: 0 } : {};
  return [{ range, text, ...kept }, { range: ours, text, ...kept }];
}

async function run(encoding, seed) {
  const r = random(seed), child = spawn(tool('document_tool'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  child.stdin.on('error', () => {}); // a tool that died shows in what it did not answer
  let doc = TextDocument.create('test:', 'text', 1, 'first\r\nsecond 😀 line\n\nlast');
  const wanted = [];
  const send = (message, want, what) => { child.stdin.write(JSON.stringify(message) + '\n'); wanted.push([want, what]); };
  const settle = async () => {
    for (const [want, what] of wanted.splice(0)) {
      const { value, done: over } = await lines.next();
      if (over || value !== want) { check(false, `${encoding} ${what}`, `got ${value?.slice(0, 200)}, want ${want.slice(0, 200)}`); return false; }
    }
    return true;
  };
  send({ open: doc.getText(), encoding }, state(doc), 'open');
  let edits = 0, version = 1;
  while (edits < EDITS) {
    const theirs = [], ours = [];
    for (let n = r.chance(0.2) ? 1 + r.int(4) : 1; n > 0; n--, edits++) {
      const [one, other] = change(r, doc, encoding);
      theirs.push(one); ours.push(other ?? one);
      doc = TextDocument.update(doc, [one], ++version);
    }
    send({ changes: ours }, state(doc), `after edit ${edits}`);
    if (r.chance(0.002)) {
      // Lone surrogates are escaped by both writers, in the same way.
      send({ text: true }, JSON.stringify(doc.getText()), `whole text after edit ${edits}`);
      const asked = Array.from({ length: 5 }, () => place(r, doc, encoding));
      const snapped = asked.map((p) => {
        let at = doc.offsetAt(p);
        if (splitsPair(doc.getText(), at)) at--;
        const q = doc.positionAt(at);
        return [q.line, convert(doc, q, encoding).character];
      });
      send({ positions: asked.map((p) => convert(doc, p, encoding)) }, JSON.stringify(snapped), `positions after edit ${edits}`);
    }
    if (wanted.length >= BATCH && !await settle()) break;
  }
  send({ text: true }, JSON.stringify(doc.getText()), 'whole text at the end');
  const fresh = TextDocument.create('test:', 'text', 1, doc.getText());
  equal(doc.lineCount, fresh.lineCount, `${encoding}: the npm document's own line table is whole`);
  check(await settle(), `${encoding}: ${edits} edits, equal text after each`);
  child.stdin.end();
  equal(await ended, 0, `${encoding}: document_tool ends well`);
}

await Promise.all(['utf-16', 'utf-8', 'utf-32'].map((encoding, i) => run(encoding, 1000 + i)));
done();
