// lsp/document.c against npm vscode-languageserver-textdocument: random edits in each of the
// three encodings, and after every didChange the same text (by hash of its UTF-16 units), the
// same number of lines; now and then whole texts and positions.
//
// EDITS in the environment: how many edits per encoding (default 100000).
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { TextDocument } from 'vscode-languageserver-textdocument';
import { check, done, equal, random, tool } from './helpers/check.mjs';
import { change, convert, place, splitsPair, state } from './helpers/edits.mjs';

const EDITS = Number(process.env.EDITS || 100000);
const BATCH = 500; // messages in flight, so that neither side waits for each one

async function run(encoding, seed) {
  const r = random(seed), child = spawn(tool('document_tool'), { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const ended = new Promise((resolve) => child.on('exit', (code, signal) => resolve(code ?? signal)));
  child.stdin.on('error', () => {}); // a tool that died shows in what it did not answer
  let doc = TextDocument.create('test:', 'text', 1, 'first\r\nsecond 😀 line\n\nlast');
  const wanted = [];
  const send = (message, want, what) => { child.stdin.write(JSON.stringify(message) + '\n'); wanted.push([want, what]); };
  const settle = async () => {
    for (const [want, what] of wanted.splice(0)) {
      const { value, done: over } = await lines.next();
      if (over || value !== want) { check(false, `${encoding} ${what}`, `got ${value?.slice(0, 200)}, want ${want.slice(0, 200)}`); return false; }
    }
    return true;
  };
  send({ open: doc.getText(), encoding }, state(doc), 'open');
  let edits = 0, version = 1;
  while (edits < EDITS) {
    const theirs = [], ours = [];
    for (let n = r.chance(0.2) ? 1 + r.int(4) : 1; n > 0; n--, edits++) {
      const [one, other] = change(r, doc, encoding);
      theirs.push(one); ours.push(other ?? one);
      doc = TextDocument.update(doc, [one], ++version);
    }
    send({ changes: ours }, state(doc), `after edit ${edits}`);
    if (r.chance(0.002)) {
      // Lone surrogates are escaped by both writers, in the same way.
      send({ text: true }, JSON.stringify(doc.getText()), `whole text after edit ${edits}`);
      const asked = Array.from({ length: 5 }, () => place(r, doc, encoding));
      const snapped = asked.map((p) => {
        let at = doc.offsetAt(p);
        if (splitsPair(doc.getText(), at)) at--;
        const q = doc.positionAt(at);
        return [q.line, convert(doc, q, encoding).character];
      });
      send({ positions: asked.map((p) => convert(doc, p, encoding)) }, JSON.stringify(snapped), `positions after edit ${edits}`);
    }
    if (wanted.length >= BATCH && !await settle()) break;
  }
  send({ text: true }, JSON.stringify(doc.getText()), 'whole text at the end');
  const fresh = TextDocument.create('test:', 'text', 1, doc.getText());
  equal(doc.lineCount, fresh.lineCount, `${encoding}: the npm document's own line table is whole`);
  check(await settle(), `${encoding}: ${edits} edits, equal text after each`);
  child.stdin.end();
  equal(await ended, 0, `${encoding}: document_tool ends well`);
}

await Promise.all(['utf-16', 'utf-8', 'utf-32'].map((encoding, i) => run(encoding, 1000 + i)));
done();
