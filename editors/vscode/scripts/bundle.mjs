// One file of JavaScript for the package, with the licences of what is in it, and the
// repository's own licence beside it, where vsce wants it.
import { build } from 'esbuild';
import { copyFileSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const here = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(here);
const { metafile } = await build({
  entryPoints: ['src/extension.ts'],
  bundle: true,
  platform: 'node',
  format: 'cjs',
  target: 'node20',
  external: ['vscode'],
  outfile: 'dist/extension.js',
  minify: true,
  metafile: true,
  logLevel: 'warning',
});

const packages = new Set();
for (const input of Object.keys(metafile.inputs)) {
  const name = /(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//.exec(input)?.[1];
  if (name) packages.add(name);
}
const texts = [...packages].sort().map((folder) => {
  const file = readdirSync(folder).find((name) => /^licen[cs]e/i.test(name));
  if (file === undefined) throw new Error(`${folder} is bundled and has no licence`);
  const { name, version } = JSON.parse(readFileSync(path.join(folder, 'package.json'), 'utf8'));
  return `${name} ${version}\n\n${readFileSync(path.join(folder, file), 'utf8').trim()}\n`;
});
writeFileSync('dist/THIRD_PARTY_LICENSES.txt', texts.join(`\n${'-'.repeat(72)}\n\n`));
copyFileSync('../../LICENSE', 'LICENSE');
mkdirSync('../../build', { recursive: true });
