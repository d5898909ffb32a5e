// `fimd setup`: in a clean home folder, what it says and what it writes; a user's own lines stay.
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { check, done, equal, fimd, root } from './helpers/check.mjs';

const home = fs.mkdtempSync(path.join(os.tmpdir(), 'fimd-setup-'));
const env = { PATH: process.env.PATH, HOME: home, ...(process.env.ASAN_OPTIONS && { ASAN_OPTIONS: process.env.ASAN_OPTIONS }) };
const setup = (args, more = {}) => {
  const r = spawnSync(fimd, ['setup', ...args], { env: { ...env, ...more }, encoding: 'utf8' });
  return { code: r.status, out: r.stdout, err: r.stderr };
};
const below = (folder) => fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true, withFileTypes: true })
  .filter((f) => f.isFile()).map((f) => path.relative(folder, path.join(f.parentPath ?? f.path, f.name))).sort() : [];
const read = (file) => fs.readFileSync(file, 'utf8');
const at = (name) => path.join(home, name);
const clean = () => { for (const f of fs.readdirSync(home)) fs.rmSync(at(f), { recursive: true }); };
const same = (from, to, files) => { for (const f of files) equal(read(path.join(to, f)), read(path.join(root, from, f)), f); };

// ---- wrong usage

equal(setup([]).code, 2, 'no editor');
equal(setup(['ed']).code, 2, 'an editor that is not known');
equal(setup(['neovim', 'emacs']).code, 2, 'two editors');
check(/usage: fimd setup/.test(setup(['ed']).err), 'the usage');
const homeless = setup(['neovim'], { HOME: '' });
equal(homeless.code, 1, 'no home folder');
check(/HOME: is not set/.test(homeless.err), 'no home folder: said', homeless.err);

// ---- Neovim

{
  const dry = setup(['neovim']);
  equal(dry.code, 0, 'neovim: without --write');
  check(/to be written/.test(dry.out) && /Nothing was written/.test(dry.out), 'neovim: says what it would do', dry.out);
  equal(below(home), [], 'neovim: and writes nothing');

  const folder = at('.local/share/nvim/site/pack/fimd/start/fimd');
  equal(setup(['neovim', '--write']).code, 0, 'neovim: --write');
  const files = below(path.join(root, 'editors/neovim')).filter((f) => /^(lua|doc)\//.test(f) && !/tags$/.test(f));
  check(files.length > 3, 'neovim: there are files', files);
  equal(below(folder), [...files, 'plugin/fimd.lua'].sort(), 'neovim: its files');
  same('editors/neovim', folder, files);
  check(read(path.join(folder, 'plugin/fimd.lua')).includes(`cmd = "${fs.realpathSync(fimd)}"`), 'neovim: this very program');
  equal(below(home).length, files.length + 1, 'neovim: nothing else');

  const again = setup(['neovim', '--write']);
  check(again.code === 0 && !/written {2}/.test(again.out) && /up to date/.test(again.out), 'neovim: again changes nothing', again.out);
  fs.writeFileSync(path.join(folder, files[0]), 'old');
  check(/to be changed/.test(setup(['neovim']).out), 'neovim: an old file is seen');
  setup(['neovim', '--write']);
  same('editors/neovim', folder, files);

  clean();
  setup(['neovim', '--write'], { XDG_DATA_HOME: at('data') });
  equal(below(at('data/nvim/site/pack/fimd/start/fimd')).length, files.length + 1, 'neovim: XDG_DATA_HOME');
  clean();
  fs.writeFileSync(at('.local'), 'a file');
  const blocked = setup(['neovim', '--write']);
  check(blocked.code === 1 && /\.local/.test(blocked.err), 'neovim: a folder that cannot be made', blocked.err);
  clean();
}

// ---- Emacs

{
  const files = below(path.join(root, 'editors/emacs')).filter((f) => /^[^/]+\.el$/.test(f));
  check(files.length > 0, 'emacs: there are files');
  const block = (text) => text.match(/;; fimd: written[^]*;; fimd: closing mark\n/)?.[0] ?? '';

  equal(setup(['emacs', '--write']).code, 0, 'emacs: --write');
  equal(below(home), [...files.map((f) => `.emacs.d/fimd/${f}`), '.emacs.d/init.el'].sort(), 'emacs: its files');
  same('editors/emacs', at('.emacs.d/fimd'), files);
  equal(read(at('.emacs.d/init.el')), block(read(at('.emacs.d/init.el'))), 'emacs: a new init file is our lines');
  check(read(at('.emacs.d/init.el')).includes(`(setq fimd-program "${fs.realpathSync(fimd)}")`), 'emacs: this very program');

  // A user's own lines stay, before and behind ours; a link stays a link, and a mode a mode.
  clean();
  fs.mkdirSync(at('dotfiles')); fs.mkdirSync(at('.emacs.d'));
  fs.writeFileSync(at('dotfiles/init.el'), '(setq mine 1)', { mode: 0o600 });
  fs.symlinkSync(at('dotfiles/init.el'), at('.emacs.d/init.el'));
  setup(['emacs', '--write']);
  let text = read(at('.emacs.d/init.el'));
  equal(text, `(setq mine 1)\n\n${block(text)}`, 'emacs: behind the lines that are there');
  fs.appendFileSync(at('.emacs.d/init.el'), '(setq mine 2)\n');
  text = read(at('.emacs.d/init.el'));
  setup(['emacs', '--write']);
  equal(read(at('.emacs.d/init.el')), text, 'emacs: again changes nothing');
  fs.writeFileSync(at('.emacs.d/init.el'), text.replace('(require \'fimd)', '(require \'old)'));
  setup(['emacs', '--write']);
  equal(read(at('.emacs.d/init.el')), text, 'emacs: our lines are brought up to date in their place');
  check(fs.lstatSync(at('.emacs.d/init.el')).isSymbolicLink(), 'emacs: the link stays');
  equal(fs.statSync(at('dotfiles/init.el')).mode & 0o777, 0o600, 'emacs: the mode stays');

  // Half a block is left alone.
  const half = text.replace(';; fimd: closing mark\n', '');
  fs.writeFileSync(at('.emacs.d/init.el'), half);
  const refused = setup(['emacs', '--write']);
  check(refused.code === 1 && /closing one/.test(refused.err), 'emacs: half a block is refused', refused.err);
  equal(read(at('.emacs.d/init.el')), half, 'emacs: and left alone');

  // The file that Emacs reads.
  clean();
  fs.mkdirSync(at('.config/emacs'), { recursive: true });
  setup(['emacs', '--write']);
  check(fs.existsSync(at('.config/emacs/init.el')) && !fs.existsSync(at('.emacs.d')), 'emacs: the folder in .config');
  fs.writeFileSync(at('.emacs'), '; mine\n');
  setup(['emacs', '--write']);
  check(read(at('.emacs')).startsWith('; mine\n\n;; fimd: '), 'emacs: .emacs');
}

// ---- VS Code: a stand-in for `code` writes down what it was asked to do

{
  clean();
  const program = at('bin/fimd'), vsix = at('share/fimd/fimd.vsix'), told = at('told');
  fs.mkdirSync(at('bin')); fs.mkdirSync(at('share/fimd'), { recursive: true });
  fs.copyFileSync(fimd, program);
  const run = (args, PATH) => spawnSync(program, ['setup', 'vscode', ...args], { env: { ...env, PATH }, encoding: 'utf8' });
  const without = run(['--write'], at('bin'));
  check(without.status === 1 && /make vsix/.test(without.stderr), 'vscode: there is no package', without.stderr);
  fs.writeFileSync(vsix, 'a package');
  const dry = run([], at('bin'));
  check(dry.status === 0 && dry.stdout.includes(`--install-extension ${fs.realpathSync(vsix)}`), 'vscode: says what it would run', dry.stdout);
  const missing = run(['--write'], at('bin'));
  check(missing.status === 1 && /code: not found/.test(missing.stderr), 'vscode: there is no VS Code', missing.stderr);
  fs.writeFileSync(at('bin/code'), `#!/bin/sh\nprintf '%s\\n' "$@" >${told}\n`, { mode: 0o755 });
  equal(run(['--write'], `${at('bin')}:${env.PATH}`).status, 0, 'vscode: --write');
  equal(read(told), `--install-extension\n${fs.realpathSync(vsix)}\n--force\n`, 'vscode: the package is installed');
  fs.writeFileSync(at('bin/code'), '#!/bin/sh\nexit 3\n');
  const failed = run(['--write'], `${at('bin')}:${env.PATH}`);
  check(failed.status === 1 && /did not install/.test(failed.stderr), 'vscode: a failure is one', failed.stderr);
}

fs.rmSync(home, { recursive: true });
done();
