// What the completions look like on the wire: encodings, the popup's selected item, the popup's
// own items, settings, folders, trace, documents that go wrong, and a model that is not there.
import { check, done, equal } from './helpers/check.mjs';
import { at, begin, finish, open, start, initializeParams } from './helpers/daemon.mjs';

const fibonacci = 'def fibonacci(n):\n    """Return the n-th Fibonacci number."""\n    if n < 2:\n        return n\n    return ';
const INLINE = 'textDocument/inlineCompletion';
const logs = (d) => d.wire.messages.filter((m) => m.method === 'window/logMessage').map((m) => m.params.message);

// ---- encodings: the same place, counted three ways, gives the same text and the same range

{
  const line = '    total_é😀𝒳 = ', text = `def f(a, b):\n${line}`;
  const seen = [];
  for (const [offered, chosen, column] of [
    [['utf-8', 'utf-16', 'utf-32'], 'utf-8', Buffer.byteLength(line)],
    [['utf-32', 'utf-8', 'utf-16'], 'utf-32', [...line].length],
    [['utf-16'], 'utf-16', line.length],
    [undefined, 'utf-16', line.length],
    [['ebcdic', 'utf-32'], 'utf-32', [...line].length],
  ]) {
    const d = await begin({ capabilities: offered ? { general: { positionEncodings: offered } } : {} });
    equal(d.init.capabilities.positionEncoding, chosen, `offered ${offered}: ${chosen} is taken`);
    open(d, 'file:///w/a.py', text);
    const r = (await d.request(1, INLINE, at('file:///w/a.py', 1, column))).result;
    seen.push(r.items.map((i) => [i.insertText, i.range.start.character - column, i.range.end.character - column]));
    equal(await finish(d), 0, `${chosen}: exit code`);
  }
  check(seen.every((s) => JSON.stringify(s) === JSON.stringify(seen[0])), 'the same completion in every encoding', JSON.stringify(seen));
  equal(seen[0].length, 1, 'and there is one');
}

// ---- the popup's selected item, and the popup

{
  const d = await begin({ capabilities: { textDocument: { completion: { completionItem: { insertTextModeSupport: { valueSet: [1, 2] } } } } } });
  const uri = 'file:///w/a.py', text = 'import os\n\ndef listing(path):\n    return os.LIST';
  open(d, uri, text);
  const range = { start: { line: 3, character: 14 }, end: { line: 3, character: 18 } };
  const r = (await d.request(1, INLINE, at(uri, 3, 18, { context: { triggerKind: 2, selectedCompletionInfo: { range, text: 'listdir' } } }))).result;
  for (const i of r.items) {
    check(i.insertText.startsWith('listdir'), 'the completion continues the selected item', i.insertText);
    equal(i.range.start, range.start, 'and replaces what the item would');
    check(i.filterText.startsWith('LIST'), 'filterText begins with what was typed', i.filterText);
  }
  equal(r.items.length, 1, 'there is one for the selected item');
  for (const odd of [{ range: { start: range.end, end: range.start }, text: 'x' }, { range: 5, text: 'x' }, { range, text: 7 }, {}, null, 'x', { range: { start: { line: 0, character: 0 }, end: range.end }, text: 'listdir' }])
    check((await d.request(`odd ${JSON.stringify(odd)}`, INLINE, at(uri, 3, 18, { context: { triggerKind: 2, selectedCompletionInfo: odd } }))).result !== undefined, 'an odd selectedCompletionInfo is passed over');

  let items = 0;
  for (const [code, symbol] of [[fibonacci + 'fibo', 'fibo'], ['import os\n\nprint(os.pa', 'pa'], [fibonacci, '']]) {
    const l = code.split('\n');
    open(d, `file:///w/p${items}.py`, code);
    const p = (await d.request(`popup ${symbol}`, 'textDocument/completion', { textDocument: { uri: `file:///w/p${items}.py` }, position: { line: l.length - 1, character: l.at(-1).length } })).result;
    equal(p.isIncomplete, true, 'the list is incomplete');
    for (const i of p.items) {
      items++;
      const added = i.insertText ?? i.textEdit.newText;
      check(added.startsWith(symbol) && added.length > symbol.length, `the text begins with the symbol at point: ${symbol}`, added);
      check(i.label.startsWith(symbol) && !i.label.includes('\n') && i.label.length > 0, 'the label is its first line', i.label);
      equal([i.detail, i.kind, i.insertTextFormat, i.insertTextMode], ['fimd', 1, 1, 1], 'the item says what it is');
    }
  }
  check(items > 0, 'the popup has items');
  equal(await finish(d), 0, 'popup: exit code');
}

// ---- settings

{
  const d = await begin({ initializationOptions: { fimd: { languages: { markdown: false }, maxTokens: 'many', colour: 1, popup: false, model: 'x.gguf', temperature: 9, draft: 'often' } } });
  equal(d.init.capabilities.completionProvider, undefined, 'popup: false is not offered');
  open(d, 'file:///w/a.py', fibonacci);
  open(d, 'file:///w/a.md', fibonacci, 'markdown');
  const ask = async (id, uri = 'file:///w/a.py') => (await d.request(id, INLINE, at(uri, 4, 11))).result.items;
  const status = async (id) => (await d.request(id, 'fimd/status')).result;
  equal(await ask(1, 'file:///w/a.md'), [], 'a language that is off');
  check((await ask(2)).length === 1, 'others are on');
  const said = logs(d).join('\n');
  for (const word of ['maxTokens', 'colour', 'model', 'temperature', 'draft']) check(said.includes(word), `a bad setting is said: ${word}`, said);
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { enable: false, maxLines: 3 } } });
  equal(await ask(3), [], 'enable: false');
  equal((await status(4)).settings.maxLines, 3, 'a number is taken');
  d.notify('workspace/didChangeConfiguration', { settings: { fimd: { maxTokens: 7, languages: { '*': false, python: true } } } });
  check((await ask(5)).length === 1, 'a setting that is gone is as at the start');
  const s = (await status(6)).settings;
  equal([s.enable, s.maxLines, s.maxTokens], [true, 8, 7], 'settings are replaced, not added to');
  equal(await ask(7, 'file:///w/a.md'), [], 'all languages but one are off');
  for (const odd of [{ settings: { other: {} } }, { settings: { fimd: 5 } }, { settings: [] }, {}, { settings: { fimd: { languages: [1], enable: 'yes', seed: -1, maxTokens: 1.5, topP: null } } }])
    d.notify('workspace/didChangeConfiguration', odd);
  d.notify('workspace/didChangeConfiguration');
  check((await status(8)).settings.enable === true, 'odd settings do no harm');
  equal(await finish(d), 0, 'settings: exit code');
}
{
  // A client that wants to be asked for its settings.
  const d = start();
  await d.request('init', 'initialize', initializeParams({ capabilities: { workspace: { configuration: true } } }));
  d.notify('initialized', {});
  const asked = await d.wire.wait((m) => m.method === 'workspace/configuration', 'workspace/configuration');
  equal(asked.params, { items: [{ section: 'fimd' }] }, 'asks for its section');
  d.send({ jsonrpc: '2.0', id: asked.id, result: [{ maxTokens: 11 }] });
  equal((await d.request(1, 'fimd/status')).result.settings.maxTokens, 11, 'the answer is taken');
  const from = d.wire.messages.length;
  d.notify('workspace/didChangeConfiguration', { settings: null });
  const again = await d.wire.wait((m) => m.method === 'workspace/configuration', 'a second question', from);
  d.send({ jsonrpc: '2.0', id: again.id, result: [null] });
  equal((await d.request(2, 'fimd/status')).result.settings.maxTokens, 11, 'null is no answer');
  equal(await finish(d), 0, 'configuration: exit code');
}

// ---- folders, trace, documents that go wrong

{
  const d = await begin({ trace: 'verbose', workspaceFolders: [{ uri: 'file:///tmp/', name: 't' }, { uri: 'untitled:x', name: 'u' }, 7] });
  d.notify('workspace/didChangeWorkspaceFolders', { event: { added: [{ uri: 'file:///usr/sh%61re', name: 's' }, {}], removed: [{ uri: 'file:///tmp', name: 't' }] } });
  d.notify('workspace/didChangeWorkspaceFolders', {});
  const uri = 'file:///w/a.py', from = d.wire.messages.length;
  open(d, uri, fibonacci);
  await d.request(1, INLINE, at(uri, 4, 11));
  const trace = await d.wire.wait((m) => m.method === '$/logTrace', 'a trace', from);
  check(/tokens/.test(trace.params.message) && typeof trace.params.verbose === 'string', 'a verbose trace', JSON.stringify(trace));
  d.notify('$/setTrace', { value: 'off' });
  open(d, uri, fibonacci + 'fib'); // opened twice: the new text counts
  const r = (await d.request(2, INLINE, at(uri, 4, 14))).result;
  check(r.items.every((i) => i.range.end.character >= 14), 'opened twice: the new text counts', JSON.stringify(r));
  const traces = d.wire.messages.filter((m) => m.method === '$/logTrace').length;
  d.notify('textDocument/didChange', { textDocument: { uri, version: 2 }, contentChanges: [{ range: { start: 1 }, text: 'x' }] });
  equal((await d.request(3, INLINE, at(uri, 4, 11))).result, { items: [] }, 'a text that is lost is not completed');
  d.notify('textDocument/didChange', { textDocument: { uri, version: 3 }, contentChanges: [{ text: fibonacci }] });
  check((await d.request(4, INLINE, at(uri, 4, 11))).result.items.length === 1, 'and found again by a whole text');
  equal(d.wire.messages.filter((m) => m.method === '$/logTrace').length, traces, 'no trace when it is off');
  for (const [i, p] of [[0, 0], [4, 1e9], [1e9, 0], [-1, -1], [4, -7]].entries())
    check(Array.isArray((await d.request(`far ${i}`, INLINE, at(uri, ...p))).result?.items), `a position of ${p} is clamped`);
  // Text that C strings cannot hold, and half a surrogate pair.
  open(d, 'file:///w/z.py', `a = "\u0000"\nb = "\ud83d"\n${fibonacci}`);
  check(Array.isArray((await d.request(5, INLINE, at('file:///w/z.py', 6, 11))).result?.items), 'zero bytes and lone surrogates');
  equal(await finish(d), 0, 'documents: exit code');
  check(logs(d).some((t) => /open already/.test(t)), 'opening twice is logged');
}

// ---- no model

{
  const d = start(['lsp', '--model', '/no/such/model.gguf']);
  await d.request('init', 'initialize', initializeParams());
  d.notify('initialized', {});
  open(d, 'file:///w/a.py', fibonacci);
  const early = d.request(1, INLINE, at('file:///w/a.py', 4, 11));
  const shown = await d.wire.wait((m) => m.method === 'window/showMessage', 'a message');
  check(shown.params.type === 1 && shown.params.message.includes('/no/such/model.gguf'), 'a missing model is said', shown.params.message);
  equal((await early).result, { items: [] }, 'nothing to show without a model');
  equal((await d.request(2, 'textDocument/completion', at('file:///w/a.py', 4, 11))).result, { isIncomplete: true, items: [] }, 'nor in the popup');
  equal((await d.request(3, 'fimd/status')).result.model.state, 'failed', 'the status says so');
  equal(d.wire.messages.filter((m) => m.method === 'window/showMessage').length, 1, 'it is said once');
  equal(await finish(d), 0, 'no model: exit code');
}
{
  const d = start();
  d.send({ jsonrpc: '2.0', id: 1, method: 'initialize', params: initializeParams() });
  d.send({ jsonrpc: '2.0', id: 2, method: 'shutdown' });
  d.notify('exit');
  equal(await d.exit, 0, 'leaving while the model loads: exit code');
}
done();
