// The moments of a completion request's life, each reached by waiting for it: the daemon of held.mjs
// stops there. What a moment says of the request "r", about the document `uri` of the client:
//   before    what it was answered with until then: nothing, 'cancelled' or 'result'
//   live      whether the daemon still knows its id
//   release   lets the daemon go on
import { at, open } from './daemon.mjs';

export const CANCELLED = -32800, INLINE = 'textDocument/inlineCompletion', UPDATE = 'fimd/inlineCompletion/didUpdate';
export const uri = 'file:///w/here.py';
export const box = 'class Box:\n    def __init__(self, width, height, depth):\n        ';
export const end = (text) => { const l = text.split('\n'); return [l.length - 1, l.at(-1).length]; };
const other = (i) => `file:///w/other${i}.py`;
const otherText = (i) => `def other_${i}(a, b):\n    return `;

// One request of the client, counted: ids must be new ones.
export class Client {
  constructor(p, d) { Object.assign(this, { p, d, wire: p.wire, ids: ['init'], text: box, number: 0 }); }
  ask(id, params = at(uri, ...end(this.text)), method = INLINE) {
    this.ids.push(id);
    const answer = this.p.request(id, method, params);
    answer.catch(() => {}); // who leaves does not wait for it
    return answer;
  }
  notify(method, params) { this.p.notify(method, params); }
  status() { return this.ask(`status ${++this.number}`, undefined, 'fimd/status').then((m) => m.result); }
  openHere() { open(this.p, uri, this.text); }
  put(text) { // at the end
    const [line, character] = end(this.text), p = { line, character };
    this.text += text;
    this.notify('textDocument/didChange', { textDocument: { uri, version: ++this.number + 1 }, contentChanges: [{ range: { start: p, end: p }, text }] });
  }
  answers(id) { return this.wire.messages.filter((m) => m.method === undefined && m.id === id); }
}

// Asks "r" and waits until the daemon has read it.
async function sent(c, more) {
  c.r = c.ask('r', at(uri, ...end(c.text), more));
  await c.status();
}
async function heldAt(c, place, more) {
  c.openHere();
  await c.d.hold(place);
  c.r = c.ask('r', at(uri, ...end(c.text), more));
  await c.d.at(place);
}
const part = (c) => c.wire.wait((m) => m.method === '$/progress' && m.params.token === 'part', 'a partial result');
const closeOthers = (c) => {
  for (let i = 0; i < 8 && !c.p.socket?.writableEnded; i++) c.notify('textDocument/didClose', { textDocument: { uri: other(i) } });
};
const others = async (c, n) => {
  c.openHere();
  await c.d.hold('prefill');
  for (let i = 0; i < n; i++) {
    open(c.p, other(i), otherText(i));
    c.ask(`other ${i}`, at(other(i), 1, 11));
  }
  await c.d.at('prefill');
};

export const moments = {
  'waits, as eight jobs are under way': {
    async reach(c) { await others(c, 8); await sent(c); },
    release(c) { closeOthers(c); c.d.go('prefill'); },
  },
  'is queued': {
    async reach(c) { await others(c, 1); await sent(c); },
    release(c) { c.d.go('prefill'); },
  },
  'is queued behind another client': { // c.witness asks for what it knows already
    needsWitness: true,
    async reach(c) {
      c.openHere();
      await c.d.hold('told');
      c.witness.ahead();
      await c.d.at('told');
      await sent(c);
    },
    release(c) { c.d.go('told'); },
  },
  'waits for the first parse': {
    parses: true,
    async reach(c) {
      await c.d.hold('parse');
      c.openHere();
      await c.d.at('parse');
      await sent(c);
    },
    release(c) { c.d.go('parse'); },
  },
  'is in prefill': { reach: (c) => heldAt(c, 'prefill'), release(c) { c.d.go('prefill'); } },
  'is in a step': { reach: (c) => heldAt(c, 'step'), release(c) { c.d.go('step'); } },
  'has told its first line': {
    async reach(c) { await heldAt(c, 'update', { partialResultToken: 'part' }); await part(c); },
    release(c) { c.d.go('update'); },
  },
  'is answered with its first line': {
    before: 'result', live: true, streams: true,
    async reach(c) { await heldAt(c, 'update'); await c.r; },
    release(c) { c.d.go('update'); },
  },
  'is written, not told': { reach: (c) => heldAt(c, 'told'), release(c) { c.d.go('told'); } },
  'was just cancelled': {
    before: 'cancelled',
    async reach(c) { await heldAt(c, 'step'); c.notify('$/cancelRequest', { id: 'r' }); await c.r; },
    release(c) { c.d.go('step'); },
  },
  'was typed on': {
    before: 'cancelled',
    async reach(c) {
      await heldAt(c, 'update', { partialResultToken: 'part' });
      const item = (await part(c)).params.value[0];
      c.put(item.insertText.slice(end(c.text)[1] - item.range.start.character)[0]);
      await c.r;
    },
    release(c) { c.d.go('update'); },
  },
  'is over': {
    before: 'result',
    async reach(c) { c.openHere(); c.r = c.ask('r'); await c.r; },
    release() {},
  },
};
