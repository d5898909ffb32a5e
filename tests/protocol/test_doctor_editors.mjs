// `fimd doctor` on the editors, in clean home folders: each state of each, with stand-in programs
// that tell versions and extensions, and with the real Neovim and Emacs where they are.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, fimd, root } from './helpers/check.mjs';

const CROSS = '\u2717', TICK = '\u2713', NOTE = '\u00b7';
const home = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-doctor-'));
const at = (name) => path.join(home, name);
const bin = at('bin');
const program = fs.realpathSync(fimd);
const sanitizer = process.env.ASAN_OPTIONS && { ASAN_OPTIONS: process.env.ASAN_OPTIONS };
const env = (more) => ({ PATH: bin, HOME: home, ...sanitizer, ...more });
const run = (what, args, more, binary = fimd) => {
  const r = spawnSync(binary, [what, ...args], { env: env(more), encoding: 'utf8' });
  return { code: r.status, out: r.stdout, err: r.stderr, why: `${r.status}: ${r.stdout}${r.stderr}` };
};
const doctor = (args, more) => run('doctor', args, more);
const setup = (editor) => equal(run('setup', [editor, '--write']).code, 0, `setup ${editor}`);
const write = (name, text, mode) => {
  fs.mkdirSync(path.dirname(at(name)), { recursive: true });
  fs.writeFileSync(at(name), text, { mode });
};
const stand_in = (name, script) => write(`bin/${name}`, `#!/bin/sh\n${script}\n`, 0o755);
const clean = () => {
  for (const f of fs.readdirSync(home)) fs.rmSync(at(f), { recursive: true });
  fs.mkdirSync(bin);
};
// What doctor says of one editor: the mark, the words, the fix.
const line = (out, title) => {
  const lines = out.split('\n'), i = lines.findIndex((l) => l.slice(4).startsWith(title));
  const fix = lines[i + 1]?.match(/^ {6}fix: (.*)/);
  return i < 0 ? { mark: '', words: '', fix: '' }
    : { mark: lines[i].trim()[0], words: lines[i].slice(4 + title.length).trim(), fix: fix ? fix[1] : '' };
};
// Checks one editor by name: the mark, what it says, its fix, and the exit status.
const says = (editor, title, mark, words, fix, what) => {
  const r = doctor([editor]), got = line(r.out, title);
  check(got.mark === mark && words.test(got.words) && fix.test(got.fix) && r.code === (mark === CROSS ? 1 : 0),
    `${editor}: ${what}`, r.why);
  return got;
};
const all = (title) => line(doctor([]).out, title);
const NONE = /^$/;

// ---- wrong usage

clean();
for (const args of [['vim'], ['neovim', 'emacs'], ['']]) {
  const r = doctor(args);
  check(r.code === 2 && /usage: fimd doctor \[neovim\|emacs\|vscode\]/.test(r.err) && r.out === '', `refused: ${args}`, r.why);
}
check(/does not know 'vim'/.test(doctor(['vim']).err), 'what it does not know is named');

// ---- no editor at all

{
  const r = doctor([]);
  equal(r.code, 0, 'no editor is no cross');
  for (const title of ['Neovim', 'Emacs', 'VS Code'])
    check(line(r.out, title).mark === NOTE && /not installed/.test(r.out), `${title}: a quiet line`, r.why);
  says('neovim', 'Neovim', CROSS, /not installed/, /install Neovim 0\.12/, 'by name a cross');
  says('emacs', 'Emacs', CROSS, /not installed/, /install Emacs 30/, 'by name a cross');
  says('vscode', 'VS Code', CROSS, /not installed/, /install VS Code 1\.100/, 'by name a cross');
  check(!/model|CPU/.test(doctor(['emacs']).out), 'by name only that editor is looked at');
}

// ---- Neovim, stand-in

const nvim = (version, answer = '') => stand_in('nvim',
  `[ "$1" = --version ] && { echo "NVIM v${version}"; echo LuaJIT 2.1; exit; }\n${answer}`);
// What the real one prints to doctor's question: the plug-in's folder and the program, or nothing.
const loads = (folder, started) => `printf 'said before\\n\\nfimd-doctor\\t%s\\t%s\\n' '${folder}' '${started}'`;
const pack = at('.local/share/nvim/site/pack/fimd/start/fimd');
const neovim = (...rest) => says('neovim', 'Neovim', ...rest);

nvim('0.9.5', loads('', ''));
neovim(CROSS, /0\.9\.5 is too old/, /install Neovim 0\.12/, 'too old');
check(all('Neovim').mark === NOTE, 'neovim: too old is no cross where it was not asked for');
nvim('0.12.4', loads('', ''));
neovim(CROSS, /0\.12\.4, fimd is not set up/, /^fimd setup neovim --write$/, 'not set up');
check(all('Neovim').mark === CROSS, 'neovim: nor any other editor: a cross');
setup('neovim');
neovim(CROSS, /keeps Neovim from loading/, /vim\.opt\.rtp:prepend\('.*fimd'\)/, 'its configuration does not load it');
nvim('0.12.4', loads(pack, program));
equal(neovim(TICK, /^0\.12\.4: ghost text$/, NONE, 'set up').words, '0.12.4: ghost text', 'neovim: nothing more to say');
equal(doctor([]).code, 0, 'one editor set up, and nothing to fix');
nvim('0.11.2', loads(pack, program));
neovim(TICK, /popup, as ghost text needs 0\.12/, NONE, 'an older one has the popup');
nvim('0.12.4', loads(pack, '/bin/sh'));
neovim(TICK, /starts another fimd, \/bin\/sh/, NONE, 'another program');
nvim('0.12.4', loads(pack, ''));
neovim(CROSS, /finds no program/, /set cmd/, 'no program');
nvim('0.12.4', loads(at('src'), program));
neovim(TICK, /by your configuration from .*src/, NONE, 'from a folder of the user\'s own');
nvim('0.12.4', 'exit 1');
neovim(CROSS, /ends by an error/, /nvim --headless/, 'it fails with its configuration');
nvim('0.12.4', loads(pack, program));
fs.appendFileSync(path.join(pack, 'lua/fimd/keys.lua'), '-- mine\n');
fs.writeFileSync(path.join(pack, 'lua/fimd/init.lua'), '-- of last year\n');
neovim(CROSS, /2 of \d+ files .*lua\/fimd\/init\.lua, lua\/fimd\/keys\.lua/, /^fimd setup neovim --write$/, 'older and changed files');
setup('neovim');
fs.rmSync(path.join(pack, 'doc/fimd.txt'));
neovim(CROSS, /1 of \d+ files are missing/, /^fimd setup neovim --write$/, 'a file is gone');
setup('neovim');
neovim(TICK, /ghost text/, NONE, 'the fix fixes it');
stand_in('nvim', 'exit 3');
neovim(CROSS, /nvim --version fails/, /nvim --version/, 'a program that does not run');
stand_in('nvim', 'echo no figures here');
neovim(CROSS, /nvim --version fails/, /nvim --version/, 'a version that is none');
const homeless = doctor(['neovim'], { HOME: '' });
equal(homeless.code, 1, 'neovim: no home folder');

// ---- Emacs, stand-in

clean();
const emacs = (...rest) => says('emacs', 'Emacs', ...rest);
const init = at('.emacs.d/init.el');
const read = () => fs.readFileSync(init, 'utf8');
stand_in('emacs', 'echo GNU Emacs 29.4');
emacs(CROSS, /29\.4 is too old/, /install Emacs 30\.1/, 'too old');
stand_in('emacs', 'echo GNU Emacs 30.1');
emacs(CROSS, /30\.1, fimd is not set up/, /^fimd setup emacs --write$/, 'not set up');
write('.emacs.d/init.el', ';; one day: fimd\n(setq mine 1)\n');
emacs(CROSS, /not set up/, /setup emacs/, 'a comment sets nothing up');
setup('emacs');
emacs(TICK, /^30\.1: ghost text$/, NONE, 'set up');
const whole = read();
fs.writeFileSync(init, whole.replace('(global-fimd-mode 1)', '(global-fimd-mode 0)'));
emacs(CROSS, /lines of fimd in .*init\.el are not this fimd's/, /^fimd setup emacs --write$/, 'our lines are others');
fs.writeFileSync(init, whole.replace(';; fimd: closing mark\n', ''));
emacs(CROSS, /lost their closing mark/, /^remove the lines of fimd/, 'half of our lines');
fs.writeFileSync(init, '(setq mine 1)\n');
emacs(CROSS, /init\.el does not load/, /^fimd setup emacs --write$/, 'our lines are gone');
fs.writeFileSync(init, '(use-package fimd :load-path "fimd" :hook (prog-mode . fimd-mode))\n');
emacs(TICK, /by your own lines/, NONE, 'the user\'s own lines');
fs.writeFileSync(init, whole);
fs.appendFileSync(at('.emacs.d/fimd/fimd-ghost.el'), ';; mine\n');
emacs(CROSS, /1 of \d+ files .*fimd-ghost\.el/, /^fimd setup emacs --write$/, 'a changed file');
fs.writeFileSync(init, '(require \'fimd)\n');
emacs(CROSS, /1 of \d+ files/, /setup emacs/, 'a changed file that the user\'s own lines load');
fs.rmSync(at('.emacs.d/fimd'), { recursive: true });
emacs(TICK, /by your own lines/, NONE, 'the user\'s own copy');
fs.writeFileSync(init, whole);
emacs(CROSS, /files are missing/, /^fimd setup emacs --write$/, 'our lines without the files');
setup('emacs');
emacs(TICK, /ghost text/, NONE, 'the fix fixes it');

// An editor without fimd is only mentioned where another one has it.
nvim('0.12.4', loads('', ''));
const other = doctor([]);
check(other.code === 0 && line(other.out, 'Emacs').mark === TICK, 'all: Emacs is set up', other.why);
check(line(other.out, 'Neovim').mark === NOTE && /to do it: fimd setup neovim --write/.test(other.out),
  'all: Neovim is not, and that is said quietly', other.why);
neovim(CROSS, /not set up/, /setup neovim/, 'by name it is a cross all the same');

// ---- VS Code, stand-in

clean();
const vscode = (...rest) => says('vscode', 'VS Code', ...rest);
const code = (version, list) => stand_in('code',
  `case $1 in --version) echo ${version}; echo 0123456789abcdef; echo x64 ;; --list-extensions) ${list} ;; esac`);
code('1.99.3', 'true');
vscode(CROSS, /1\.99\.3 is too old/, /install VS Code 1\.100/, 'too old');
code('1.100.3', 'echo not.fimd.fimd@0.1.0; echo ms-python.python@2025.4.0');
vscode(CROSS, /the extension is not installed/, /fimd setup vscode --write$/, 'not set up');
code('1.100.3', 'echo fimd.fimd@0.0.9');
vscode(CROSS, /extension is of version 0\.0\.9/, /fimd setup vscode --write$/, 'an older extension');
code('1.100.3', 'echo ms-python.python@2025.4.0; echo fimd.fimd@0.1.0');
const unset = vscode(CROSS, /fimd is not on the PATH/, /"fimd\.path": "/, 'the extension would not find fimd');
check(unset.fix.includes(`"${program}"`), 'vscode: this very program', unset.fix);
write('.config/Code/User/settings.json', '{\n  // mine\n  "fimd.path": "~/bin/fimd",\n}\n');
vscode(TICK, /^1\.100\.3: ghost text$/, NONE, 'the settings name it');
fs.rmSync(at('.config'), { recursive: true });
fs.symlinkSync(program, at('bin/fimd'));
vscode(TICK, /^1\.100\.3: ghost text$/, NONE, 'it is on the PATH');
code('1.100.3', 'exit 1');
vscode(CROSS, /does not list its extensions/, /code --list-extensions/, 'a list that fails');

// ---- the real Neovim and Emacs

const real_nvim = spawnSync(path.join(root, 'tests/editors/neovim/find.sh'), { encoding: 'utf8' }).stdout.trim();
if (real_nvim) {
  clean();
  // Its path is not looked through for a second one: a link by the name that users have.
  fs.symlinkSync(real_nvim, at('bin/nvim'));
  neovim(CROSS, /^0\.\d+\.\d+, fimd is not set up/, /setup neovim/, 'the real one, not set up');
  setup('neovim');
  neovim(TICK, /^0\.\d+\.\d+: ghost text$/, NONE, 'the real one, set up');
  write('.config/nvim/init.lua', "require('fimd').setup({ cmd = '/bin/sh' })\n");
  neovim(TICK, /another fimd, \/bin\/sh/, NONE, 'the real one, the user\'s own program');
  write('.config/nvim/init.lua', "require('fimd').setup({ cmd = '/no/such/fimd' })\n");
  neovim(CROSS, /finds no program/, /set cmd/, 'the real one, a program that is not there');
  write('.config/nvim/init.lua', 'vim.go.loadplugins = false\n');
  const kept = neovim(CROSS, /keeps Neovim from loading/, /rtp:prepend/, 'the real one, without packages');
  write('.config/nvim/init.lua', `vim.go.loadplugins = false\n${kept.fix.replace(/^.*?: /, '')}\n`);
  neovim(TICK, /ghost text$/, NONE, 'the real one, the fix fixes it');
  write('.config/nvim/init.lua', "io.stdout:write('talk\\n') error('broken')\n");
  neovim(TICK, /ghost text$/, NONE, 'the real one, an init file with an error of its own');
} else console.log('left out: no Neovim 0.12');

const real_emacs = (process.env.PATH ?? '').split(':').map((f) => path.join(f, 'emacs')).find((f) => fs.existsSync(f));
const said = real_emacs ? spawnSync(real_emacs, ['--version'], { encoding: 'utf8' }).stdout : '';
if (Number(said.match(/Emacs (\d+)/)?.[1]) >= 30) {
  clean();
  fs.symlinkSync(real_emacs, at('bin/emacs'));
  emacs(CROSS, /^30|^[3-9]\d/, /setup emacs/, 'the real one, not set up');
  setup('emacs');
  emacs(TICK, /: ghost text$/, NONE, 'the real one, set up');
} else console.log('left out: no Emacs 30');

fs.rmSync(home, { recursive: true });
done();
