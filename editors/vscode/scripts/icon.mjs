// Draws icon.png: a line that was typed, the cursor, and two lines of ghost text.
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { crc32, deflateSync } from 'node:zlib';

const SIZE = 128, FINE = 4; // each pixel is the mean of FINE * FINE samples
// x, y, width, height, radius, red, green, blue; the later ones lie on top
const SHAPES = [
  [0, 0, 128, 128, 24, 30, 34, 42],
  [20, 34, 40, 12, 6, 214, 222, 235],
  [66, 26, 5, 28, 2, 97, 175, 239],
  [77, 34, 32, 12, 6, 100, 108, 122],
  [20, 60, 66, 12, 6, 100, 108, 122],
  [20, 84, 44, 12, 6, 100, 108, 122],
];

function inside([x, y, w, h, r], px, py) {
  const dx = Math.max(x + r - px, px - (x + w - r), 0);
  const dy = Math.max(y + r - py, py - (y + h - r), 0);
  return px >= x && px <= x + w && py >= y && py <= y + h && dx * dx + dy * dy <= r * r;
}

function pixel(px, py) {
  const sum = [0, 0, 0, 0];
  for (let i = 0; i < FINE * FINE; i++) {
    const x = px + ((i % FINE) + 0.5) / FINE, y = py + (Math.floor(i / FINE) + 0.5) / FINE;
    const shape = SHAPES.findLast((s) => inside(s, x, y));
    if (shape) [shape[5], shape[6], shape[7], 255].forEach((v, c) => { sum[c] += v; });
  }
  const covered = sum[3] / 255;
  return [...sum.slice(0, 3).map((v) => (covered ? Math.round(v / covered) : 0)),
    Math.round(sum[3] / (FINE * FINE))];
}

function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]), out = Buffer.alloc(8 + body.length);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), 4 + body.length);
  return out;
}

const rows = [];
for (let y = 0; y < SIZE; y++) {
  rows.push(0); // no filter
  for (let x = 0; x < SIZE; x++) rows.push(...pixel(x, y));
}
const head = Buffer.alloc(13);
head.writeUInt32BE(SIZE, 0);
head.writeUInt32BE(SIZE, 4);
head.set([8, 6], 8); // 8 bits, RGBA
const folder = path.dirname(fileURLToPath(import.meta.url));
writeFileSync(path.join(folder, '../icon.png'), Buffer.concat([
  Buffer.from('\x89PNG\r\n\x1a\n', 'latin1'),
  chunk('IHDR', head), chunk('IDAT', deflateSync(Buffer.from(rows), { level: 9 })),
  chunk('IEND', Buffer.alloc(0)),
]));
