// The command line, run as a user runs it: what it prints, where, and its exit codes.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const fimd = process.env.FIMD ?? 'build/fimd';
const scratch = mkdtempSync(join(tmpdir(), 'fimd-cli-'));
let checks = 0;

function run(args, input = '', env = process.env) {
  const r = spawnSync(fimd, args, { input, env, encoding: 'utf8', timeout: 300_000 });
  assert.equal(r.signal, null, `${args.join(' ')} died of ${r.signal}: ${r.stderr}`);
  return r;
}
function ok(args, input, env) {
  const r = run(args, input, env);
  assert.equal(r.status, 0, `fimd ${args.join(' ')}: exit ${r.status}\n${r.stderr}`);
  checks++;
  return r.stdout;
}
function refused(code, pattern, args, input) {
  const r = run(args, input);
  assert.equal(r.status, code, `fimd ${args.join(' ')}: exit ${r.status}`);
  assert.match(r.stderr, pattern);
  assert.equal(r.stdout, '', 'nothing but the error is printed');
  checks++;
}

// Help and wrong usage.
const help = ok(['help']);
assert.equal(ok(['--help']), help);
for (const word of ['complete', 'tokenize', 'generate', 'bench', 'doctor', 'demo', '--socket', '--model', 'default',
  '--gpu-memory', '--unload-after', '--random-weights', 'bench engine', 'replay'])
  assert.ok(help.includes(word), `help tells of ${word}`);
assert.match(ok(['--version']), /^fimd \d+\.\d+\.\d+\n$/);
refused(2, /no command 'frobnicate'/, ['frobnicate']);
refused(2, /unrecognized option/, ['--frobnicate']);
refused(2, /usage/, ['complete']);
refused(2, /usage/, ['complete', 'README.md', '0:1']);
refused(2, /usage/, ['complete', 'README.md', '1:']);
refused(2, /--threads/, ['generate', '--threads', 'many', '--ids', '1']);
refused(2, /--temperature/, ['generate', '--temperature', 'nan', '--ids', '1']);
refused(2, /usage/, ['generate']);
refused(1, /not a token id/, ['generate', '--ids', '1 99999999']);
refused(1, /no-such-file/, ['complete', 'no-such-file.c', '1:1']);
refused(1, /no-such-model\.gguf/, ['generate', '--ids', '1', '--model', './no-such-model.gguf']);
refused(1, /hf download Qwen\/Qwen2\.5-Coder-1\.5B/, ['generate', '--ids', '1', '--model', 'Qwen/Qwen2.5-Coder-1.5B']);

for (const size of ['20', '20TB', '-1GB', '0GB', 'GB', '1e300GB', '']) refused(2, /--gpu-memory/, ['doctor', '--gpu-memory', size]);
for (const minutes of ['-1', 'nan', 'soon', '1e9']) refused(2, /--unload-after/, ['doctor', '--unload-after', minutes]);
refused(2, /no tokenizer/, ['complete', '--random-weights', 'tiny:f16', 'README.md', '1:1']);
refused(2, /usage: fimd bench engine/, ['bench', 'engine', 'a', 'b']);
refused(1, /SIZE:TYPE/, ['bench', 'engine', '--random-weights', '9b:q8_0']);
refused(1, /blocks of 256/, ['bench', 'engine', '--random-weights', '0.5b:q4_k']);
refused(1, /no-such-model/, ['bench', 'engine', './no-such-model.gguf']);

// tokenize: the golden vectors as a user would get them, and back.
const golden = JSON.parse(readFileSync('tests/data/golden.json', 'utf8'));
for (const { text, ids } of golden.tokenizer.slice(0, 12))
  assert.equal(ok(['tokenize'], text), ids.join(' ') + '\n', JSON.stringify(text));
const source = readFileSync('lsp/main.c', 'utf8');
const ids = ok(['tokenize'], source);
assert.equal(ok(['tokenize', '--decode'], ids), source);
assert.equal(ok(['tokenize', '--count'], source), `${ids.trim().split(' ').length}\n`);
assert.equal(ok(['tokenize'], '<|fim_prefix|>a<|fim_middle|>').split(' ')[0], String(golden.special['<|fim_prefix|>']));

// generate: exactly N tokens, the reference's own up to its first near tie.
const entry = golden.generation[0];
const generated = JSON.parse(ok(['generate', '--ids', entry.ids.join(' '), '-n', '20', '--json', '--backend', 'cpu-reference', '--draft', 'none']));
assert.equal(generated.tokens.length, 20);
assert.equal(generated.steps, 20);
for (const key of ['load', 'prefill', 'decode']) assert.ok(generated.ms[key] >= 0, `ms.${key}`);
for (let i = 0; i < 20 && entry.q8_0.margin[i] >= 0.01; i++) assert.equal(generated.tokens[i], entry.q8_0.greedy[i], `token ${i}`);
assert.equal(ok(['generate', '--ids', entry.ids.join(','), '-n', '3', '--backend', 'cpu-reference']), generated.tokens.slice(0, 3).join(' ') + '\n');
assert.equal(ok(['generate', '--ids', '1', '-n', '0']), '\n');
// A prompt a line: each as if it were alone, whatever the cache has from the line before.
const tiny = ['--random-weights', 'tiny:q8_0', '-n', '6'];
assert.equal(ok(['generate', '--ids', '-', ...tiny], '1 2 3 4\n1 2\n1 2 3 4\n'),
  ['1 2 3 4', '1 2', '1 2 3 4'].map((line) => ok(['generate', '--ids', line, ...tiny])).join(''));
assert.equal(ok(['generate', '--ids', '-', ...tiny], ''), '');
refused(2, /--ids is empty/, ['generate', '--ids', ' ', ...tiny]);

// Without a file: random weights, the same ones each time, and none of them needs a tokenizer.
const random = ok(['generate', '--random-weights', 'tiny:q8_0', '--ids', '1 2 3', '-n', '8']);
assert.equal(random.trim().split(' ').length, 8);
assert.equal(ok(['generate', '--random-weights', 'TINY:Q8_0', '--ids', '1 2 3', '-n', '8', '--gpu-memory', '1.5GiB']), random);

// Guessing ahead: other steps, the same tokens; and words for a method that there is not.
const repeating = ok(['tokenize'], 'a = [1, 2, 3]\nb = [1, 2, 3]\nc = [1, 2, 3]\nd = [1, 2').trim();
const plain = JSON.parse(ok(['generate', '--ids', repeating, '-n', '24', '--json', '--draft', 'none']));
assert.equal(plain.steps, 24);
for (const method of process.env.SANITIZE ? ['all'] : ['prompt', 'recycle', 'pool', 'all', 'lookahead', 'lookahead:4,3,4']) {
  const r = JSON.parse(ok(['generate', '--ids', repeating, '-n', '24', '--json', '--draft', method]));
  assert.deepEqual(r.tokens, plain.tokens, method);
  assert.equal(r.steps + r.accepted, 24, method);
  assert.ok(r.ms.host >= 0 && r.drafted >= r.accepted, method);
}
for (const wrong of ['some', 'lookahead:0,3,4', 'lookahead:4,3', ''])
  refused(2, /--draft: .* is not none, lookahead/, ['generate', '--ids', '1', '--draft', wrong]);

// bench lookahead: the model's own text comes out the same by every method, in a real folder.
const few = process.env.SANITIZE ? ['--quick'] : []; // the sanitizers make 60 rows take a second
const own = JSON.parse(ok(['bench', 'lookahead', '--workspace', 'tests/data/samples', '--holes', '1', '--own', '--json', '--prompt-tokens', '128', ...few]));
const names = own.methods.map((m) => m.name);
if (few.length) assert.deepEqual(names, ['none', 'prompt', 'pool', 'recycle', 'all']);
else assert.deepEqual(names.slice(0, 9),
  ['none', 'lookahead:4,3,4', 'lookahead:8,8,8', 'lookahead:15,5,15', 'prompt', 'pool', 'recycle', 'all', 'all but accepted']);
assert.ok(own.files >= 7 && own.poolTokens > 1000, JSON.stringify(own).slice(0, 300));
for (const m of own.methods) {
  assert.equal(m.differ, 0, m.name);
  assert.equal(m.singleLine.holes + m.multiLine.holes, 2, m.name);
  assert.equal(m.singleLine.tokens, own.methods[0].singleLine.tokens, m.name);
}
const replayed = ok(['bench', 'lookahead', '--workspace', 'tests/data/samples', '--holes', '1', '--draft', 'pool', '--most', '16', '--prompt-tokens', '128']);
for (const word of ['replayed text', 'none', 'pool', 'tokens a step', 'speed-up']) assert.ok(replayed.includes(word), `${word}\n${replayed}`);
const two = ok(['bench', 'lookahead', '--workspace', 'tests/data/samples', 'completion', '--holes', '1', '--draft', 'pool', '--json', '--prompt-tokens', '128']).trim().split(/\n(?=\{)/).map((text) => JSON.parse(text));
assert.equal(two.length, 2);
assert.ok(two[0].workspace.endsWith('/samples') && two[1].workspace.endsWith('/completion'), JSON.stringify(two.map((t) => t.workspace)));
refused(2, /usage: fimd bench lookahead --workspace/, ['bench', 'lookahead']);
refused(1, /not a folder/, ['bench', 'lookahead', '--workspace', join(scratch, 'nowhere')]);

// bench engine: a row for each length and width that the context has room for.
const bench = JSON.parse(ok(['bench', 'engine', '--random-weights', 'tiny:q4_k', '--context', '1024', '--quick', '--json']));
assert.deepEqual([bench.model, bench.types], ['random-tiny', 'Q4_K']);
assert.deepEqual(bench.rows.map((r) => [r.kind, r.tokens, r.context]), [['prefill', 512, 0], ['decode', 1, 512],
  ...[1, 2, 4, 8, 16, 32, 48, 64, 96, 128].map((t) => ['step', t, 512])]);
for (const r of bench.rows) assert.ok(r.ms > 0 && r.bytes > 0 && r.gbPerSecond > 0 && r.tflops > 0, JSON.stringify(r));
assert.equal(bench.rows[1].bytes, bench.rows[2].bytes, 'a decode is a step of one token');
const table = ok(['bench', 'engine', '--random-weights', 'tiny:bf16', '--context', '700', '--quick']);
for (const word of ['random-tiny, BF16', 'prefill', 'decode', 'step', 'must move', 'GB/s']) assert.ok(table.includes(word), `${word}\n${table}`);

// complete: deterministic, JSON and plain agree, the position is checked.
const file = join(scratch, 'shape.py');
writeFileSync(file, 'class Square:\n    def __init__(self, side):\n        self.side = side\n\n    def area(self):\n        return \n');
const json = JSON.parse(ok(['complete', file, '6:16', '--json']));
for (const key of ['text', 'tokens', 'steps', 'model', 'backend', 'ms']) assert.ok(key in json, key);
for (const key of ['load', 'context', 'prefill', 'decode']) assert.ok(json.ms[key] >= 0, `ms.${key}`);
assert.equal(json.model, 'fimd-mini-31M');
assert.ok(json.promptTokens > 20);
assert.ok(!json.text.includes('<|'), 'no special token leaks');
assert.equal(ok(['complete', file, '6:16']), json.text + '\n');
refused(1, /no line 6 with a column 17/, ['complete', file, '6:17']);
refused(1, /no line 9/, ['complete', file, '9:1']);

// doctor, demo and bench run and say what they should. (The editors: test_doctor_editors.mjs.)
const alone = { ...process.env, PATH: '/nonexistent' };
const doctor = ok(['doctor'], '', alone);
assert.ok(!doctor.includes('\u2717'), doctor);
for (const word of ['CPU', 'GPU', 'memory', 'grammars', 'model', 'completion']) assert.ok(doctor.includes(`\u2713 ${word}`), word);
assert.ok(ok(['doctor', '--unload-after', '10'], '', alone).includes('given back after 10 min'));
const sick = run(['doctor', '--model', './no-such-model.gguf']);
assert.equal(sick.status, 1);
assert.match(sick.stdout, /\u2717 model[^\n]*\n\s+fix: /);
const demo = ok(['demo']);
for (const ending of ['.c:', '.py:', '.ts:', '.go:', '.rs:']) assert.ok(demo.includes(ending), `${ending}\n${demo}`);
assert.ok((demo.match(/\u2039[^\u203a]+\u203a/g) ?? []).length >= 5, demo);

rmSync(scratch, { recursive: true });
console.log(`${checks} runs of the command line checked`);
