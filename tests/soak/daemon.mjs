// The wire to a daemon that runs for hours: nothing of a message is kept once it was answered.
export class Daemon {
  constructor(child) {
    Object.assign(this, { child, last: 0, asked: 0, cancelled: 0, odd: 0, waiting: new Map(), times: [], rest: Buffer.alloc(0), idle: [] });
    child.stdout.on('data', (d) => this.feed(d));
    child.stdin.on('error', () => {});
  }
  feed(data) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, data]) : data;
    for (;;) {
      const end = this.rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const from = end + 4, length = Number(/^Content-Length: (\d+)/m.exec(this.rest.subarray(0, end).toString())[1]);
      if (this.rest.length < from + length) return;
      const message = JSON.parse(this.rest.subarray(from, from + length).toString());
      this.rest = this.rest.subarray(from + length);
      this.take(message);
    }
  }
  take(m) {
    if (m.method !== undefined) {
      if (m.id !== undefined) this.send({ jsonrpc: '2.0', id: m.id, result: null });
      return;
    }
    const w = this.waiting.get(m.id);
    if (!w) { this.odd++; return; }
    this.waiting.delete(m.id);
    if (w.timed && m.result) this.times.push(performance.now() - w.sent);
    w.resolve(m);
    if (!this.waiting.size) for (const f of this.idle.splice(0)) f();
  }
  send(m) {
    const body = Buffer.from(JSON.stringify(m));
    this.child.stdin.write(`Content-Length: ${body.length}\r\n\r\n`);
    this.child.stdin.write(body);
  }
  notify(method, params) { this.send({ jsonrpc: '2.0', method, params }); }
  request(method, params, timed = false) {
    const id = ++this.last;
    this.asked++;
    return new Promise((resolve) => {
      this.waiting.set(id, { resolve, timed, sent: performance.now() });
      this.send({ jsonrpc: '2.0', id, method, params });
    });
  }
  cancel(id) {
    if (!this.waiting.has(id)) return;
    this.cancelled++;
    this.notify('$/cancelRequest', { id });
  }
  // When every request was answered, or never will be.
  settled() {
    if (!this.waiting.size) return Promise.resolve();
    return new Promise((resolve) => { this.idle.push(resolve); setTimeout(resolve, 30000).unref(); });
  }
}
