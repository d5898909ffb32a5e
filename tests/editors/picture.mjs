// Redraws a terminal's screen as SVG: tmux capture-pane -epN | node picture.mjs FILE X,Y block|bar
// X,Y is the cursor's cell, from 0. Every character takes one cell; the text stays text, so that it
// can be read and searched. The picture has the terminal's own background, whatever the page's is.
import { readFileSync, writeFileSync } from 'node:fs';

const [file, cursor, shape] = process.argv.slice(2);
const [cursorX, cursorY] = cursor.split(',').map(Number);
const CELL = 8.1, LINE = 18, PAD = 12, SIZE = 13.5;
const FOREGROUND = '#d0d7de', BACKGROUND = '#1c2128';
const PALETTE = ['#16181d', '#e5786d', '#95e454', '#cae682', '#8ac6f2', '#d787ff', '#70c0b1',
  '#d0d7de', '#7d8590', '#ff9a8f', '#b3f27a', '#ecf7a1', '#b5dcf7', '#e5b5ff', '#9adcd0',
  '#ffffff'];

const hex = (...rgb) => '#' + rgb.map((n) => n.toString(16).padStart(2, '0')).join('');

// The colour number n of 256, as xterm has it above the first 16.
function indexed(n) {
  if (n < 16) return PALETTE[n];
  if (n >= 232) return hex(...Array(3).fill(8 + 10 * (n - 232)));
  const level = (i) => (i === 0 ? 0 : 55 + 40 * i);
  return hex(...[Math.floor((n - 16) / 36), Math.floor((n - 16) / 6) % 6, (n - 16) % 6].map(level));
}

// Takes a colour from the numbers that follow 38 or 48.
function extended(numbers) {
  return numbers.shift() === 5 ? indexed(numbers.shift()) : hex(...numbers.splice(0, 3));
}

const FLAGS = { 1: ['bold', 1], 2: ['dim', 1], 3: ['italic', 1], 4: ['underline', 1],
  7: ['reverse', 1], 23: ['italic', 0], 24: ['underline', 0], 27: ['reverse', 0] };

// The style after the parameters of one SGR sequence.
function styled(before, parameters) {
  let style = { ...before };
  const numbers = parameters.split(';').map((p) => parseInt(p, 10) || 0); // 4:3 is 4
  while (numbers.length) {
    const n = numbers.shift();
    if (n === 0) style = {};
    else if (n === 22) style.bold = style.dim = 0;
    else if (FLAGS[n]) style[FLAGS[n][0]] = FLAGS[n][1];
    else if (n === 38) style.fg = extended(numbers);
    else if (n === 48) style.bg = extended(numbers);
    else if (n === 58) extended(numbers);
    else if (n === 39) delete style.fg;
    else if (n === 49) delete style.bg;
    else if (n >= 30 && n < 38) style.fg = PALETTE[n - 30];
    else if (n >= 40 && n < 48) style.bg = PALETTE[n - 40];
    else if (n >= 90 && n < 98) style.fg = PALETTE[n - 82];
    else if (n >= 100 && n < 108) style.bg = PALETTE[n - 92];
  }
  return style;
}

// Rows of [character, style]; tmux carries the style from line to line.
function cells(text) {
  let style = {};
  return text.replace(/\n$/, '').split('\n').map((line) => {
    const row = [];
    for (const [, sequence, character] of line.matchAll(/\x1b\[([0-9;:]*)m|(.)/gu)) {
      if (sequence !== undefined) style = styled(style, sequence);
      else row.push([character, style]);
    }
    return row;
  });
}

const rows = cells(readFileSync(0, 'utf8'));
const columns = Math.max(...rows.map((row) => row.length));

function mostCommon(values, otherwise) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? otherwise;
}
const all = rows.flat().map(([, style]) => style);
const background = mostCommon(all.map((s) => s.bg), BACKGROUND);
const foreground = mostCommon(all.map((s) => s.fg), FOREGROUND);

function look(style) {
  let fg = style.fg ?? foreground, bg = style.bg ?? background;
  if (style.reverse) [fg, bg] = [bg, fg];
  return { bg, text: [
    fg === foreground ? '' : `fill="${fg}"`,
    style.bold ? 'font-weight="bold"' : '',
    style.italic ? 'font-style="italic"' : '',
    style.underline ? 'text-decoration="underline"' : '',
    style.dim ? 'opacity=".6"' : ''].filter(Boolean).join(' ') };
}

// Neighbours that look the same: [first column, text, look].
function runs(row, key) {
  const out = [];
  row.forEach(([character, style], x) => {
    const seen = look(style);
    const last = out.at(-1);
    if (last && key(last[2]) === key(seen)) last[1] += character;
    else out.push([x, character, seen]);
  });
  return out;
}

const escape = (s) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;');
const number = (n) => String(Math.round(n * 10) / 10);
const top = (y) => PAD + y * LINE;

// A run without its outer and its wide blanks, which SVG need not keep: [first column, text].
// Each is given its width, which keeps the columns straight in whatever font there is.
function pieces(text, column) {
  return [...text.matchAll(/\S+(?: \S+)*/g)]
    .map((found) => [column + [...text.slice(0, found.index)].length, found[0]]);
}

function drawn(row, y) {
  const fields = runs(row, (l) => l.bg).filter(([, , l]) => l.bg !== background)
    .map(([x, text, l]) => `<rect x="${number(PAD + x * CELL)}" y="${top(y)}" ` +
      `width="${number([...text].length * CELL)}" height="${LINE}" fill="${l.bg}"/>`);
  const words = runs(row, (l) => l.text).flatMap(([x, text, l]) => pieces(text, x)
    .map(([from, piece]) => `<text x="${number(PAD + from * CELL)}" y="${top(y) + 13}" ` +
      `textLength="${number([...piece].length * CELL)}"${l.text && ' ' + l.text}>` +
      `${escape(piece)}</text>`));
  return [...fields, ...words].join('');
}

// A block is drawn as a frame, so that the ghost text's first character shows in it.
function pointer() {
  const x = PAD + cursorX * CELL, y = top(cursorY);
  return shape === 'bar' ? `<rect x="${number(x - 1)}" y="${y}" width="2" height="${LINE}"/>`
    : `<rect x="${number(x)}" y="${y + 0.5}" width="${CELL}" height="${LINE - 1}" ` +
      `fill="none" stroke="${foreground}"/>`;
}

const width = Math.ceil(columns * CELL + 2 * PAD), height = rows.length * LINE + 2 * PAD;
writeFileSync(file, `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" \
viewBox="0 0 ${width} ${height}">
<rect width="100%" height="100%" rx="8" fill="${background}"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \
'DejaVu Sans Mono', monospace" font-size="${SIZE}" fill="${foreground}">
${pointer()}
${rows.map(drawn).filter(Boolean).join('\n')}
</g>
</svg>
`);
