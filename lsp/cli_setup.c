/* cli_setup.c - `fimd setup EDITOR`: what an editor needs to show ghost text; says it, or does it.
 *
 * The editors' files travel in the binary. They go where the editor looks by itself; of the user's
 * own files only Emacs' init file is touched, by a block between two marks that the next setup finds
 * again. A file is written beside its place and put there whole. */
#include <errno.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/buffer.h"
#include "lsp/cli.h"
#include "lsp/editor_files.h"

#define BLOCK_BEGIN ";; fimd: written by `fimd setup emacs --write`, up to the closing mark\n"
#define BLOCK_END ";; fimd: closing mark\n"

typedef struct setup {
  bool write;
  char program[PATH_MAX]; /* this one */
  int failed, changed;
} setup;

/* ---- files ----------------------------------------------------------------------------- */

static void fail(setup *s, const char *path, const char *why) {
  fprintf(stderr, "fimd: %s: %s\n", path, why);
  s->failed++;
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* Makes the folders above a file. */
static bool make_folders(char *path) {
  for (char *p = path + 1; (p = strchr(p, '/')) != NULL; p++) {
    *p = '\0';
    bool ok = mkdir(path, 0777) == 0 || errno == EEXIST;
    *p = '/';
    if (!ok) return false;
  }
  return true;
}

static bool is_same(const char *path, const char *text, size_t len) {
  size_t have_len = 0;
  if (!exists(path)) return false;
  char *have = cli_read_file(path, &have_len);
  bool same = have != NULL && have_len == len && memcmp(have, text, len) == 0;
  free(have);
  return same;
}

static bool write_whole(const char *path, const char *text, size_t len, mode_t mode) {
  char beside[PATH_MAX];
  if (snprintf(beside, sizeof beside, "%s.fimd-new", path) >= (int)sizeof beside) return false;
  FILE *f = fopen(beside, "wb");
  if (f == NULL) return false;
  bool ok = fwrite(text, 1, len, f) == len && fflush(f) == 0 && fchmod(fileno(f), mode) == 0;
  ok = fclose(f) == 0 && ok && rename(beside, path) == 0;
  if (!ok) {
    int why = errno;
    remove(beside);
    errno = why;
  }
  return ok;
}

/* Brings one file up to date, or says that it would be. */
static void put(setup *s, const char *path, const char *text, size_t len) {
  char to[PATH_MAX];
  struct stat st;
  bool there = realpath(path, to) != NULL; /* a link stays one */
  if (!there && snprintf(to, sizeof to, "%s", path) >= (int)sizeof to) {
    fail(s, path, "is too long a name");
    return;
  }
  if (is_same(to, text, len)) {
    printf("  up to date   %s\n", path);
    return;
  }
  s->changed++;
  if (!s->write) {
    printf("  to be %s %s\n", there ? "changed" : "written", path);
    return;
  }
  mode_t mode = there && stat(to, &st) == 0 ? st.st_mode & 0777 : 0644;
  if (make_folders(to) && write_whole(to, text, len, mode))
    printf("  written      %s\n", path);
  else
    fail(s, path, strerror(errno));
}

/* The files below editors/EDITOR/ go below a folder. */
static void put_editor_files(setup *s, const char *editor, const char *folder) {
  size_t n = strlen(editor);
  char path[PATH_MAX];
  for (const lsp__editor_file *f = lsp__editor_files; f->path != NULL; f++) {
    if (strncmp(f->path, editor, n) != 0 || f->path[n] != '/') continue;
    snprintf(path, sizeof path, "%s%s", folder, f->path + n);
    put(s, path, f->text, f->len);
  }
}

/* $variable, or `instead` below the home folder; then `rest`. */
static bool find_folder(setup *s, const char *variable, const char *instead, const char *rest,
                        char out[PATH_MAX]) {
  const char *value = getenv(variable), *home = getenv("HOME");
  int n = -1;
  if (value != NULL && *value == '/')
    n = snprintf(out, PATH_MAX, "%s%s", value, rest);
  else if (home != NULL && *home == '/')
    n = snprintf(out, PATH_MAX, "%s%s%s", home, instead, rest);
  if (n > 0 && n < PATH_MAX - NAME_MAX) return true;
  fail(s, "HOME", "is not set to a folder");
  return false;
}

/* A string of Lua or Emacs Lisp. */
static void put_quoted(lsp__buffer *b, const char *text) {
  lsp__buffer_append(b, "\"", 1);
  for (; *text != '\0'; text++) {
    if (*text == '"' || *text == '\\') lsp__buffer_append(b, "\\", 1);
    lsp__buffer_append(b, text, 1);
  }
  lsp__buffer_append(b, "\"", 1);
}

static void put_buffer(setup *s, const char *path, lsp__buffer *b) {
  if (b->failed)
    fail(s, path, "out of memory");
  else
    put(s, path, b->data, b->len);
  lsp__buffer_free(b);
}

/* ---- Neovim ---------------------------------------------------------------------------- */

/* A package of Neovim's own kind, which it loads by itself. What the user's init.lua says first
 * stays. */
static void set_up_neovim(setup *s) {
  char folder[PATH_MAX], path[PATH_MAX + 32];
  if (!find_folder(s, "XDG_DATA_HOME", "/.local/share", "/nvim/site/pack/fimd/start/fimd", folder))
    return;
  printf("Neovim's package %s\n", folder);
  put_editor_files(s, "neovim", folder);
  lsp__buffer b = {0};
  lsp__buffer_puts(&b,
                   "-- Written by `fimd setup neovim --write`. To set options, call\n"
                   "-- require('fimd').setup{...} in init.lua: that comes first, and this does nothing.\n"
                   "if package.loaded.fimd then return end\n"
                   "require('fimd').setup({ cmd = ");
  put_quoted(&b, s->program);
  lsp__buffer_puts(&b, " })\n"
                       "local doc = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h:h') .. '/doc'\n"
                       "if vim.fn.filereadable(doc .. '/tags') == 0 then pcall(vim.cmd.helptags, doc) end\n");
  snprintf(path, sizeof path, "%s/plugin/fimd.lua", folder);
  put_buffer(s, path, &b);
  puts("Then open a file in Neovim 0.12 or later and type; Tab takes the ghost text.\n"
       "  :checkhealth fimd says what works, :help fimd the rest.");
}

/* ---- Emacs ----------------------------------------------------------------------------- */

/* Where Emacs keeps the user's files, and which it reads at its start. */
static bool find_emacs(setup *s, char folder[PATH_MAX], char init[PATH_MAX]) {
  char home[PATH_MAX], xdg[PATH_MAX];
  static const char *const names[] = {".emacs.el", ".emacs"};
  if (!find_folder(s, "HOME", "", "/", home) ||
      !find_folder(s, "XDG_CONFIG_HOME", "/.config", "/emacs", xdg))
    return false;
  int n = snprintf(folder, PATH_MAX, "%s.emacs.d", home), in_home = -1;
  for (size_t i = 0; i < sizeof names / sizeof *names && in_home < 0; i++) {
    if (snprintf(init, PATH_MAX, "%s%s", home, names[i]) < PATH_MAX && exists(init)) in_home = (int)i;
  }
  if (in_home < 0 && !exists(folder) && exists(xdg)) n = snprintf(folder, PATH_MAX, "%s", xdg);
  if (n < PATH_MAX && in_home < 0) n = snprintf(init, PATH_MAX, "%s/init.el", folder);
  if (n < PATH_MAX - NAME_MAX) return true;
  fail(s, home, "is too long a name");
  return false;
}

static void put_block(lsp__buffer *b, const setup *s, const char *folder) {
  lsp__buffer_puts(b, BLOCK_BEGIN "(add-to-list 'load-path ");
  put_quoted(b, folder);
  lsp__buffer_puts(b, ")\n(require 'fimd)\n(setq fimd-program ");
  put_quoted(b, s->program);
  lsp__buffer_puts(b, ")\n(global-fimd-mode 1)\n" BLOCK_END);
}

/* The init file with our block in the place of the last one, or at its end. */
static void put_init(setup *s, const char *path, const char *folder) {
  size_t len = 0;
  char *have = exists(path) ? cli_read_file(path, &len) : NULL;
  if (have == NULL && exists(path)) {
    s->failed++; /* said already */
    return;
  }
  const char *text = have != NULL ? have : "";
  const char *from = strstr(text, BLOCK_BEGIN);
  const char *to = from != NULL ? strstr(from, BLOCK_END) : NULL;
  lsp__buffer b = {0};
  if (from != NULL && to == NULL) {
    fail(s, path, "has the mark where our lines begin, but not the closing one: remove these lines");
  } else {
    lsp__buffer_append(&b, text, from != NULL ? (size_t)(from - text) : len);
    if (from == NULL && len > 0) lsp__buffer_puts(&b, text[len - 1] == '\n' ? "\n" : "\n\n");
    put_block(&b, s, folder);
    if (to != NULL) lsp__buffer_puts(&b, to + strlen(BLOCK_END));
    put_buffer(s, path, &b);
  }
  free(have);
}

static void set_up_emacs(setup *s) {
  char folder[PATH_MAX], init[PATH_MAX], package[PATH_MAX + 8];
  if (!find_emacs(s, folder, init)) return;
  snprintf(package, sizeof package, "%s/fimd", folder);
  printf("Emacs' package %s\n", package);
  put_editor_files(s, "emacs", package);
  printf("Lines in %s that load it\n", init);
  put_init(s, init, package);
  puts("Then open a file in Emacs and type; Tab takes the ghost text.\n"
       "  M-x customize-group RET fimd has the options.");
}

/* ---- VS Code --------------------------------------------------------------------------- */

/* The package that `make vsix` has built, beside this program or where `make install` puts it. */
static bool find_vsix(const setup *s, char out[PATH_MAX]) {
  static const char *const places[] = {"fimd.vsix", "../fimd.vsix", "../share/fimd/fimd.vsix"};
  const char *slash = strrchr(s->program, '/');
  int folder = slash != NULL ? (int)(slash - s->program) : 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%.*s/%s", folder, s->program, places[i]);
    if (realpath(path, out) != NULL) return true;
  }
  return false;
}

/* VS Code installs a package itself; what it has to say goes through. */
static void set_up_vscode(setup *s) {
  char vsix[PATH_MAX];
  if (!find_vsix(s, vsix)) {
    fail(s, "fimd.vsix", "not found; in a checkout of fimd, make vsix builds it (node 20 or later)");
    return;
  }
  printf("VS Code's extension %s\n", vsix);
  s->changed++;
  if (!s->write) {
    printf("  to be run    code --install-extension %s\n", vsix);
  } else {
    char *const command[] = {"code", "--install-extension", vsix, "--force", NULL};
    pid_t child;
    int status = 0, rc = posix_spawnp(&child, "code", NULL, NULL, command, environ);
    if (rc != 0)
      fail(s, "code", rc == ENOENT ? "not found: in VS Code, \"Shell Command: Install 'code' command\""
                                     " or \"Install from VSIX...\"" : strerror(rc));
    else if (waitpid(child, &status, 0) != child || status != 0)
      fail(s, "code", "did not install the extension");
  }
  printf("It finds fimd on the PATH, in ~/.local/bin and in /usr/local/bin; where it is none of these,\n"
         "set fimd.path to %s.\n", s->program);
}

/* ---- the command ----------------------------------------------------------------------- */

int cli_setup(const cli_options *o) {
  static const struct {
    const char *name;
    void (*run)(setup *s);
  } editors[] = {{"neovim", set_up_neovim}, {"emacs", set_up_emacs}, {"vscode", set_up_vscode}};
  setup s = {.write = o->write};
  ssize_t n = readlink("/proc/self/exe", s.program, sizeof s.program - 1);
  if (n <= 0) strcpy(s.program, "fimd");
  for (size_t i = 0; o->n_args == 1 && i < sizeof editors / sizeof *editors; i++) {
    if (strcmp(o->args[0], editors[i].name) != 0) continue;
    editors[i].run(&s);
    if (!s.write && s.changed > 0)
      printf("Nothing was written: fimd setup %s --write does it.\n", editors[i].name);
    return s.failed > 0;
  }
  fprintf(stderr, "fimd: usage: fimd setup neovim|emacs|vscode [--write]\n");
  return 2;
}
