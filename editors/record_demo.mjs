// Records `fimd demo` as a picture for the README: node editors/record_demo.mjs build/fimd
// The text is what the command printed; only the first place of each file is kept.
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';

const fimd = process.argv[2] ?? 'build/fimd';
const run = spawnSync(fimd, ['demo', '--color'], { encoding: 'utf8' });
if (run.status !== 0) throw new Error(`${fimd} demo failed: ${run.stderr}`);

const seen = new Set();
const blocks = run.stdout.trimEnd().split(/\n\n(?=\x1b\[1m)/).filter((block) => {
  const name = /\x1b\[1m([^:]+):/.exec(block)?.[1];
  return name && !seen.has(name) && seen.add(name);
});
const lines = ['\x1b[38;5;114m$\x1b[0m fimd demo', ...blocks.flatMap((b) => [...b.split('\n').map((l) => l.trimEnd()), ''])];
while (lines.at(-1) === '' || /places got ghost text/.test(lines.at(-1))) lines.pop();

const LINE = 17, CHAR = 8.1, PAD = 14;
const escape = (s) => s.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/\t/g, '    ');
const style = { '0': '', '1': 'font-weight="bold" fill="#fff"', '38;5;245;3': 'fill="#8a8f98" font-style="italic"', '38;5;114': 'fill="#87d787"' };
let current = '0';
const rows = lines.map((line, i) => {
  const spans = line.split(/\x1b\[([0-9;]+)m/).map((part, j) => {
    if (j % 2 === 1) { current = part; return ''; }
    return part === '' ? '' : `<tspan ${style[current] ?? ''}>${escape(part)}</tspan>`;
  });
  return `<text x="${PAD}" y="${PAD + (i + 1) * LINE - 4}" xml:space="preserve">${spans.join('')}</text>`;
});
const width = Math.ceil(Math.max(...lines.map((l) => l.replace(/\x1b\[[0-9;]+m/g, '').replace(/\t/g, '    ').length)) * CHAR + 2 * PAD);
const height = lines.length * LINE + 2 * PAD;
writeFileSync(new URL('demo.svg', import.meta.url), `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">
<rect width="100%" height="100%" rx="8" fill="#1c2128"/>
<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13.5" fill="#d0d7de">
${rows.join('\n')}
</g>
</svg>
`);
console.log(`editors/demo.svg: ${lines.length} lines, ${seen.size} files`);
