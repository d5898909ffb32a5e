/* cli_setup_files.c - where an editor looks for fimd's files, and what they say.
 *
 * The editors' files travel in the binary. They go where the editor looks by itself; of the
 * user's own files only Emacs' init file is touched, by a block between two marks that the next
 * setup finds again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/cli_setup.h"
#include "lsp/editor_files.h"

#define BLOCK_BEGIN ";; fimd: written by `fimd setup emacs --write`, up to the closing mark\n"
#define BLOCK_END ";; fimd: closing mark\n"

void cli_setup_program(char out[PATH_MAX]) {
  ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
  if (n > 0)
    out[n] = '\0';
  else
    strcpy(out, "fimd");
}

static bool exists(const char *path) { return access(path, F_OK) == 0; }

/* $variable, or `instead` below the home folder; then `rest`. */
static bool find_folder(const char *variable, const char *instead, const char *rest,
                        char out[PATH_MAX], char *err, size_t errlen) {
  const char *value = getenv(variable), *home = getenv("HOME");
  int n = -1;
  if (value != NULL && *value == '/')
    n = snprintf(out, PATH_MAX, "%s%s", value, rest);
  else if (home != NULL && *home == '/')
    n = snprintf(out, PATH_MAX, "%s%s%s", home, instead, rest);
  if (n > 0 && n < PATH_MAX - NAME_MAX) return true;
  snprintf(err, errlen, "HOME: is not set to a folder");
  return false;
}

/* The files below editors/EDITOR/ go below a folder. */
static void visit_files(const char *editor, const char *folder, cli_setup_visit visit, void *user) {
  size_t n = strlen(editor);
  char path[PATH_MAX + NAME_MAX];
  for (const lsp__editor_file *f = lsp__editor_files; f->path != NULL; f++) {
    if (strncmp(f->path, editor, n) != 0 || f->path[n] != '/') continue;
    snprintf(path, sizeof path, "%s%s", folder, f->path + n);
    visit(user, path, f->text, f->len);
  }
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

/* ---- Neovim ---------------------------------------------------------------------------- */

bool cli_setup_neovim_folder(char out[PATH_MAX], char *err, size_t errlen) {
  return find_folder("XDG_DATA_HOME", "/.local/share", "/nvim/site/pack/fimd/start/fimd", out, err,
                     errlen);
}

/* A package of Neovim's own kind, which it loads by itself. What the user's init.lua says first
 * stays. */
bool cli_setup_neovim_files(const char *folder, const char *program, cli_setup_visit visit,
                            void *user) {
  char path[PATH_MAX + 32];
  lsp__buffer b = {0};
  visit_files("neovim", folder, visit, user);
  lsp__buffer_puts(&b,
                   "-- Written by `fimd setup neovim --write`. To set options, call\n"
                   "-- require('fimd').setup{...} in init.lua: that comes first, and this does nothing.\n"
                   "if package.loaded.fimd then return end\n"
                   "require('fimd').setup({ cmd = ");
  put_quoted(&b, program);
  lsp__buffer_puts(&b, " })\n"
                       "local doc = vim.fn.fnamemodify(debug.getinfo(1, 'S').source:sub(2), ':p:h:h') .. '/doc'\n"
                       "if vim.fn.filereadable(doc .. '/tags') == 0 then pcall(vim.cmd.helptags, doc) end\n");
  snprintf(path, sizeof path, "%s/plugin/fimd.lua", folder);
  bool ok = !b.failed;
  if (ok) visit(user, path, b.data, b.len);
  lsp__buffer_free(&b);
  return ok;
}

/* ---- Emacs ----------------------------------------------------------------------------- */

bool cli_setup_emacs_places(char package[PATH_MAX], char init[PATH_MAX], char *err, size_t errlen) {
  char home[PATH_MAX], xdg[PATH_MAX], folder[PATH_MAX];
  static const char *const names[] = {".emacs.el", ".emacs"};
  if (!find_folder("HOME", "", "/", home, err, errlen) ||
      !find_folder("XDG_CONFIG_HOME", "/.config", "/emacs", xdg, err, errlen))
    return false;
  int n = snprintf(folder, PATH_MAX, "%s.emacs.d", home), in_home = -1;
  for (size_t i = 0; i < sizeof names / sizeof *names && in_home < 0; i++) {
    if (snprintf(init, PATH_MAX, "%s%s", home, names[i]) < PATH_MAX && exists(init)) in_home = (int)i;
  }
  if (in_home < 0 && !exists(folder) && exists(xdg)) n = snprintf(folder, PATH_MAX, "%s", xdg);
  if (n < PATH_MAX && in_home < 0) n = snprintf(init, PATH_MAX, "%s/init.el", folder);
  if (n < PATH_MAX - NAME_MAX) n = snprintf(package, PATH_MAX, "%s/fimd", folder);
  if (n < PATH_MAX - NAME_MAX) return true;
  snprintf(err, errlen, "%.100s...: is too long a name", home);
  return false;
}

void cli_setup_emacs_files(const char *package, cli_setup_visit visit, void *user) {
  visit_files("emacs", package, visit, user);
}

static void put_block(lsp__buffer *b, const char *package, const char *program) {
  lsp__buffer_puts(b, BLOCK_BEGIN "(add-to-list 'load-path ");
  put_quoted(b, package);
  lsp__buffer_puts(b, ")\n(require 'fimd)\n(setq fimd-program ");
  put_quoted(b, program);
  lsp__buffer_puts(b, ")\n(global-fimd-mode 1)\n" BLOCK_END);
}

cli_setup_init cli_setup_emacs_init(const char *have, size_t len, const char *package,
                                    const char *program, lsp__buffer *out) {
  const char *from = strstr(have, BLOCK_BEGIN);
  const char *to = from != NULL ? strstr(from, BLOCK_END) : NULL;
  if (from != NULL && to == NULL) return CLI_SETUP_HALF;
  lsp__buffer_append(out, have, from != NULL ? (size_t)(from - have) : len);
  if (from == NULL && len > 0) lsp__buffer_puts(out, have[len - 1] == '\n' ? "\n" : "\n\n");
  put_block(out, package, program);
  if (to == NULL) return CLI_SETUP_ADDED;
  to += strlen(BLOCK_END);
  lsp__buffer_append(out, to, len - (size_t)(to - have));
  return CLI_SETUP_REPLACED;
}

/* ---- VS Code --------------------------------------------------------------------------- */

bool cli_setup_vsix(const char *program, char out[PATH_MAX]) {
  static const char *const places[] = {"fimd.vsix", "../fimd.vsix", "../share/fimd/fimd.vsix"};
  const char *slash = strrchr(program, '/');
  int folder = slash != NULL ? (int)(slash - program) : 0;
  for (size_t i = 0; i < sizeof places / sizeof *places; i++) {
    char path[PATH_MAX + 32];
    snprintf(path, sizeof path, "%.*s/%s", folder, program, places[i]);
    if (realpath(path, out) != NULL) return true;
  }
  return false;
}
