/* cli_setup.c - `fimd setup EDITOR`: what an editor needs to show ghost text; says it, or does it.
 *
 * cli_setup_files.c knows what goes where. A file is written beside its place, then put there
 * whole. */
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lsp/cli.h"
#include "lsp/cli_setup.h"

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
static void put(void *user, const char *path, const char *text, size_t len) {
  setup *s = user;
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

static void fail_place(setup *s, const char *err) {
  fprintf(stderr, "fimd: %s\n", err);
  s->failed++;
}

/* ---- the editors ----------------------------------------------------------------------- */

static void set_up_neovim(setup *s) {
  char folder[PATH_MAX], err[256];
  if (!cli_setup_neovim_folder(folder, err, sizeof err)) {
    fail_place(s, err);
    return;
  }
  printf("Neovim's package %s\n", folder);
  if (!cli_setup_neovim_files(folder, s->program, put, s)) fail(s, folder, "out of memory");
  puts("Then open a file in Neovim 0.12 or later and type; Tab takes the ghost text.\n"
       "  :checkhealth fimd says what works, :help fimd the rest.");
  printf("lazy.nvim keeps Neovim from loading packages; there add { dir = '%s' }.\n", folder);
}

/* The init file with our block in the place of the last one, or at its end. */
static void put_init(setup *s, const char *path, const char *package) {
  size_t len = 0;
  char *have = exists(path) ? cli_read_file(path, &len) : NULL;
  lsp__buffer b = {0};
  if (have == NULL && exists(path))
    s->failed++; /* said already */
  else if (cli_setup_emacs_init(have != NULL ? have : "", len, package, s->program, &b) ==
           CLI_SETUP_HALF)
    fail(s, path, "has the mark where our lines begin, but not the closing one: remove these lines");
  else if (b.failed)
    fail(s, path, "out of memory");
  else
    put(s, path, b.data, b.len);
  lsp__buffer_free(&b);
  free(have);
}

static void set_up_emacs(setup *s) {
  char package[PATH_MAX], init[PATH_MAX], err[256];
  if (!cli_setup_emacs_places(package, init, err, sizeof err)) {
    fail_place(s, err);
    return;
  }
  printf("Emacs' package %s\n", package);
  cli_setup_emacs_files(package, put, s);
  printf("Lines in %s that load it\n", init);
  put_init(s, init, package);
  puts("Then open a file in Emacs and type; Tab takes the ghost text.\n"
       "  M-x customize-group RET fimd has the options.");
}

/* VS Code installs a package itself; what it has to say goes through. */
static void set_up_vscode(setup *s) {
  char vsix[PATH_MAX];
  if (!cli_setup_vsix(s->program, vsix)) {
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
  cli_setup_program(s.program);
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
