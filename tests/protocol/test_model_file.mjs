// The model's file is cut, put back, overwritten and removed under a running daemon. A request that
// meets a cut file fails with words that say so, the daemon lives, and once the file is whole the
// answers are those from before. tests/engine/test_mapping.c has the same at each step of a job.
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal } from './helpers/check.mjs';
import { answeredOnce, at, begin, finish, open } from './helpers/daemon.mjs';

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-model-'));
process.on('exit', () => fs.rmSync(folder, { recursive: true, force: true }));
const file = path.join(folder, 'mini.gguf');
const whole = () => fs.copyFileSync('engine/models/fimd-mini-31m-q8_0.gguf', file); // in its place
const cut = () => fs.truncateSync(file, 4096);

const uri = 'file:///w/square.py';
const text = 'class Square:\n    def __init__(self, side):\n        self.side = side\n\n    def area(self):\n        return ';
const lines = text.split('\n');
const ids = [];
let version = 1;
// A request for a text that no cache knows: another first line each time. The same n, the same text.
const change = (d, n) => d.notify('textDocument/didChange', { textDocument: { uri, version: ++version }, contentChanges: [{ text: `# version ${n}\n${text}` }] });
const send = (d, id) => { ids.push(id); return d.request(id, 'textDocument/inlineCompletion', at(uri, lines.length, lines.at(-1).length)); };
const ask = (d, id, n) => { change(d, n); return send(d, id); };
const shown = (d) => d.wire.messages.filter((m) => m.method === 'window/showMessage').map((m) => m.params.message);
const logged = (d, words) => d.wire.wait((m) => m.method === 'window/logMessage' && words.test(m.params.message), String(words));
// No text, and the reason in fimd/why and the log.
let whys = 0;
async function isCut(d, answer) {
  const why = (await d.request(`why${whys++}`, 'fimd/why', { uri })).result;
  return answer.error === undefined && answer.result.items.length === 0 && why.outcome === 'failed' &&
    /file was cut short or overwritten while in use; put the whole file back/.test(JSON.stringify(why));
}

whole();
fs.chmodSync(file, 0o600);
const d = await begin({}, ['lsp', '--model', file]);
await logged(d, /is ready/);
open(d, uri, text);
const wanted = [];
for (let n = 0; n < 4; n++) wanted.push((await ask(d, `whole${n}`, n)).result);
check(wanted[0].items.length === 1, 'there is a completion', JSON.stringify(wanted[0]));
change(d, 9); // no other text's answer is shown again

// ---- cut between two completions
cut();
for (const id of ['cut0', 'cut1']) {
  const answer = await ask(d, id, 10);
  check(await isCut(d, answer), 'a cut file is a failure that says so', JSON.stringify(answer));
}
equal(shown(d).length, 1, 'it is shown once');
check(shown(d)[0].includes(file) && /the next request reads it again \(.*at byte \d+\)/.test(shown(d)[0]), 'with the file and what is wrong with it', shown(d)[0]);
equal((await d.request('status', 'fimd/status')).result.model.loaded, false, 'the daemon lives, without weights');
whole();
equal((await ask(d, 'back', 11)).error, undefined, 'whole again: an answer');
await logged(d, /the model is on .* again/);

// ---- cut during completions: one is under way, or just over; none may be lost
for (let n = 0; n < 8; n++) {
  change(d, 20 + n);
  const going = send(d, `during${n}`);
  await new Promise((resolve) => setImmediate(resolve));
  cut();
  const answer = await going;
  check(answer.error === undefined && (answer.result.items.length > 0 || await isCut(d, answer)), 'an answer or a failure that says so', JSON.stringify(answer));
  check(await isCut(d, await ask(d, `after${n}`, 30 + n)), 'the next one finds it cut');
  whole();
  equal((await ask(d, `again${n}`, 40 + n)).error, undefined, 'and the one after it does not');
}

// ---- overwritten, replaced, removed: nothing to see
fs.utimesSync(file, 1, 1);
equal((await ask(d, 'touched', 50)).error, undefined, 'written to with the same bytes');
fs.writeFileSync(`${file}.new`, 'no model');
fs.renameSync(`${file}.new`, file);
equal((await ask(d, 'replaced', 51)).error, undefined, 'replaced: the old one is used on');
fs.rmSync(file);
equal((await ask(d, 'removed', 52)).error, undefined, 'removed: it is used on');
d.notify('workspace/didChangeConfiguration', { settings: { fimd: { unloadAfter: 0.0005 } } });
await logged(d, /given back/);
for (let n = 0; n < 4; n++) equal((await ask(d, `same${n}`, n)).result, wanted[n], 'and after an unload, too: the same answers');
check(!d.wire.messages.some((m) => /device failed|was restarted|run on the CPU/.test(m.params?.message ?? '')), 'it is not taken for the device');
equal(await finish(d), 0, 'exit code');
answeredOnce(d.wire, [...ids, 'status', 'bye'], 'a model file that changes');

// ---- a model that is there no more when it is needed again
{
  whole();
  const d = await begin({}, ['lsp', '--model', file, '--unload-after', '0.0005']);
  await logged(d, /is ready/);
  open(d, uri, text);
  version = 1;
  await ask(d, 'first', 0);
  await logged(d, /given back/);
  cut();
  fs.rmSync(file);
  for (const id of ['gone0', 'gone1']) check(await isCut(d, await ask(d, id, 60)), 'cut, then removed: a failure that says so');
  await logged(d, /next request reads it again \(.*No such file/);
  whole();
  equal((await ask(d, 'there', 61)).error, undefined, 'there again');
  equal(await finish(d), 0, 'exit code');
}

done();
