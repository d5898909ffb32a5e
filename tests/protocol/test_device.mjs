// An idle daemon gives the model's memory back and a request brings it in again, unseen: the same
// answer, a line in the log, the counts in fimd/status. Switched on by the command line and by a
// setting. What a GPU's failure does is tested in tests/engine; its news take the same way.
import { check, done, equal } from './helpers/check.mjs';
import { answeredOnce, at, begin, finish, open } from './helpers/daemon.mjs';

const uri = 'file:///w/square.py';
const text = 'class Square:\n    def __init__(self, side):\n        self.side = side\n\n    def area(self):\n        return ';
const lines = text.split('\n');
const log = (d, words, from) => d.wire.wait((m) => m.method === 'window/logMessage' && words.test(m.params.message), String(words), from);
const status = async (d, id) => (await d.request(id, 'fimd/status')).result;
const ask = async (d, id, line) => (await d.request(id, 'textDocument/inlineCompletion', at(uri, line, lines.at(-1).length))).result;
const unloads = (d) => d.wire.messages.filter((m) => m.method === 'window/logMessage' && /given back/.test(m.params.message)).length;
const unloaded = (d, n) => d.wire.wait(() => unloads(d) >= n, `unload ${n}`);
// Another text above the same code: the prompt is computed, not the last answer given again.
const change = (d, n) => d.notify('textDocument/didChange', { textDocument: { uri, version: n + 2 }, contentChanges: [{ text: `# version ${n}\n${text}` }] });

// Four completions; with `idle`, an unload before each of the last three.
async function session(args, idle) {
  const d = await begin({}, ['lsp', ...args]), answers = [];
  await log(d, /is ready/);
  open(d, uri, text);
  answers.push(await ask(d, 'first', lines.length - 1));
  for (let round = 0; round < 3; round++) {
    if (idle) await unloaded(d, round + 1);
    change(d, round);
    answers.push(await ask(d, `again${round}`, lines.length));
  }
  return { d, answers };
}

// ---- by the command line

{
  const plain = await session([], false), idle = await session(['--unload-after', '0.0005'], true);
  equal(idle.answers, plain.answers, 'unloading changes no answer');
  check(plain.answers[0].items.length === 1, 'there is a completion', JSON.stringify(plain.answers));
  await unloaded(idle.d, 4);
  const s = await status(idle.d, 'status'), p = await status(plain.d, 'status');
  equal([s.model.loaded, s.model.fellBack, s.model.deviceFailures], [false, false, 0], 'unloaded, nothing failed');
  check(s.model.loads >= 4 && s.model.unloads >= 4, 'loads and unloads are counted', JSON.stringify(s.model));
  equal([p.model.loaded, p.model.loads, p.model.unloads], [true, 1, 0], 'without the option it stays');
  check(s.settings.unloadAfter > 0 && p.settings.unloadAfter === 0, 'the setting starts as the command line says');
  check(!idle.d.wire.messages.some((m) => m.method === 'window/showMessage'), 'nobody is bothered by it');
  equal([await finish(idle.d), await finish(plain.d)], [0, 0], 'exit codes');
  answeredOnce(idle.d.wire, ['first', 'again0', 'again1', 'again2', 'status', 'bye'], 'unloading');
}

// ---- by the setting, on and off

{
  const d = await begin({ initializationOptions: { fimd: { gpuMemory: '20GB' } } });
  await log(d, /fimd\.gpuMemory is read at the start only: restart with --gpu-memory/);
  await log(d, /is ready/);
  open(d, uri, text);
  await ask(d, 'first', lines.length - 1);
  equal((await status(d, 's0')).model.loaded, true, 'loaded, and it stays so');
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { unloadAfter: 0.0005 } } });
  await log(d, /given back/);
  equal((await status(d, 's1')).model.loaded, false, 'unloaded');
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { unloadAfter: 0 } } });
  change(d, 0);
  await ask(d, 'second', lines.length);
  const s = (await status(d, 's2')).model;
  equal([s.loaded, s.loads, s.unloads], [true, 2, 1], 'loaded once more, and it stays so');
  equal(await finish(d), 0, 'exit code');
}

done();
