// Random edits of a document, for two who must agree on it: npm vscode-languageserver-textdocument,
// which counts in UTF-16, and the daemon, which counts in any of three encodings.
export const pieces = ['', 'a', 'x = 1;', '\n', '\r\n', '\r', '\n\n', '😀', '𝒳𝒴', 'é', '漢字', '\t', '    ', '}', 'foo(bar, "baz")',
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
export const state = (doc) => `${hash(doc.getText())} ${doc.getText().length} ${doc.lineCount}`;

const isHigh = (c) => c >= 0xd800 && c <= 0xdbff, isLow = (c) => c >= 0xdc00 && c <= 0xdfff;
export const splitsPair = (text, i) => i > 0 && i < text.length && isHigh(text.charCodeAt(i - 1)) && isLow(text.charCodeAt(i));
// Units of a piece of a line in an encoding. A lone surrogate is three bytes, as in lsp/utf8.h.
function units(s, encoding) {
  if (encoding === 'utf-16') return s.length;
  return encoding === 'utf-32' ? [...s].length : Buffer.byteLength(s);
}

// A position in UTF-16 (for the npm document) and the same in the encoding (for ours). Past
// the end in one is past the end in the other.
export function place(r, doc, encoding) {
  const text = doc.getText();
  let p = doc.positionAt(r.int(text.length + 1));
  if (splitsPair(text, doc.offsetAt(p)) && !(encoding === 'utf-16' && r.chance(0.3))) p = { line: p.line, character: p.character - 1 };
  if (r.chance(0.05)) p = { line: p.line, character: 100000 + r.int(1000) };
  if (r.chance(0.03)) p = { line: doc.lineCount + r.int(3), character: r.int(5) };
  return p;
}
export function convert(doc, p, encoding) {
  if (encoding === 'utf-16' || p.line >= doc.lineCount || p.character >= 100000) return p;
  const line = doc.getText({ start: { line: p.line, character: 0 }, end: p });
  return { line: p.line, character: units(line, encoding) };
}

export function change(r, doc, encoding) {
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

// The other way: a position of the daemon's as npm counts it.
export function convertBack(doc, p, encoding) {
  if (encoding === 'utf-16') return p;
  const line = doc.getText({ start: { line: p.line, character: 0 }, end: { line: p.line + 1, character: 0 } });
  let character = 0, left = p.character;
  for (const c of line) {
    if (left <= 0) break;
    left -= units(c, encoding);
    character += c.length;
  }
  return { line: p.line, character };
}
