// What typing costs: a real file typed key by key into the built daemon, each key answered before
// the next. Prints the prompt tokens computed for a key, and how long the answer took for the keys
// that agree with the ghost text (from sending the change and the request to having the answer).
//   node tests/bench/typing.mjs [KEYS [FILE [OPTIONS OF fimd lsp...]]]
// Of 20 keys one is a typing mistake, taken back with the next one.
import fs from 'node:fs';
import path from 'node:path';
import { random, root } from '../protocol/helpers/check.mjs';
import { begin, finish } from '../protocol/helpers/daemon.mjs';
import { Typist, ghost } from '../protocol/helpers/typist.mjs';

const [keys = '2000', file = path.join(root, 'completion/stop.c'), ...options] = process.argv.slice(2);
const text = fs.readFileSync(file, 'utf8'), r = random(3);
const languages = { '.c': 'c', '.h': 'c', '.py': 'python', '.ts': 'typescript', '.go': 'go', '.rs': 'rust', '.js': 'javascript' };
const from = text.indexOf('\n', text.length / 4) + 1, to = text.lastIndexOf('\n', from + Number(keys) * 1.2); // at a line's end, as one types
const quantile = (list, p) => {
  const sorted = [...list].sort((a, b) => a - b);
  return sorted.length ? sorted[Math.min(sorted.length - 1, Math.ceil(p * sorted.length) - 1)] : NaN;
};
const line = (what, list, digits) => console.log(`${what.padEnd(44)} ${quantile(list, 0.5).toFixed(digits)} median, ${quantile(list, 0.9).toFixed(digits)} p90, ${quantile(list, 1).toFixed(digits)} most (${list.length})`);

const d = await begin({ initializationOptions: { fimd: { debounce: 0 } } }, ['lsp', ...options]); // nobody pauses here
const t = new Typist(d, `file://${path.resolve(file)}`, text, from, to, languages[path.extname(file)] ?? '');
let shown = ghost(await t.ask(), t.place().character), before = await t.work(), next = from, wrong = false;
const all = { prefilled: [], ms: [] }, agreeing = { prefilled: [], ms: [], steps: [], inside: [] }, back = { steps: [], ms: [] };
while (all.ms.length < Number(keys) && next < to) {
  const start = performance.now();
  const was = wrong, agrees = !wrong && shown.length > 1 && shown[0] === text[next];
  if (wrong) t.back();
  else if (!agrees && r.chance(0.05)) t.type(text[next] === '~' ? '#' : '~');
  else t.type(text[next++]);
  wrong = !was && !t.before.endsWith(text.slice(from, next));
  const answer = await t.ask(), ms = performance.now() - start, work = await t.work();
  shown = ghost(answer, t.place().character);
  all.prefilled.push(work.prefilled - before.prefilled);
  all.ms.push(ms);
  if (agrees) {
    agreeing.prefilled.push(work.prefilled - before.prefilled);
    agreeing.steps.push(work.steps - before.steps);
    agreeing.ms.push(ms);
    agreeing.inside.push(t.last.totalMs);
  }
  if (was) {
    back.steps.push(work.steps - before.steps);
    back.ms.push(ms);
  }
  before = work;
}
line('prompt tokens computed for a key', all.prefilled, 0);
line('milliseconds for a key', all.ms, 2);
line('  that agreed: prompt tokens', agreeing.prefilled, 0);
line('               steps', agreeing.steps, 0);
line('               milliseconds', agreeing.ms, 2);
line('               of them until the text was there', agreeing.inside, 2);
line('  that took a mistake back: steps', back.steps, 0);
line('                            milliseconds', back.ms, 2);
await finish(d);
process.exit(0);
