/* cli_doctor_editors.c - `fimd doctor` on the editors: is one there, new enough, and set up.
 *
 * What `fimd setup` would write is held against what is there. Whether Neovim's configuration loads
 * it is asked of Neovim itself, as plug-in managers decide that by code; of Emacs' init file only
 * the text is looked at, as running it in batch mode would be another thing than Emacs' start. An
 * editor without fimd is a defect only where no other one has it. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/buffer.h"
#include "lsp/cli.h"
#include "lsp/cli_doctor.h"
#include "lsp/cli_setup.h"

/* An editor that has not said its version, or not read its configuration, by then is stuck. */
#define LIMIT_MS 20000

typedef enum editor_state {
  READY,
  ABSENT,     /* the editor */
  TOO_OLD,    /* and without fimd */
  NOT_SET_UP, /* the editor is fine */
  WRONG,      /* it would not work, or not as this fimd would have it */
} editor_state;

typedef struct report {
  editor_state state;
  char words[2048], fix[PATH_MAX + 256];
} report;

static void say(report *r, editor_state state, const char *fix, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void say(report *r, editor_state state, const char *fix, const char *format, ...) {
  va_list args;
  r->state = state;
  snprintf(r->fix, sizeof r->fix, "%s", fix);
  va_start(args, format);
  vsnprintf(r->words, sizeof r->words, format, args);
  va_end(args);
}

/* ---- versions -------------------------------------------------------------------------- */

typedef struct editor_version {
  int major, minor;
  char text[32];
} editor_version;

/* The first number of the kind 1.2 or 1.2.3 in what a program says of itself. */
static bool find_version(const char *said, editor_version *out) {
  int end = 0;
  for (const char *p = said; *p != '\0'; p++) {
    if (*p < '0' || *p > '9') continue;
    if (sscanf(p, "%d.%d%n", &out->major, &out->minor, &end) == 2) {
      snprintf(out->text, sizeof out->text, "%.*s", (int)strspn(p, "0123456789."), p);
      return true;
    }
    p += strspn(p, "0123456789") - 1;
  }
  return false;
}

static bool at_least(const editor_version *v, int major, int minor) {
  return v->major > major || (v->major == major && v->minor >= minor);
}

/* False: said in the report. */
static bool ask_version(report *r, const char *name, const char *program, const char *wanted,
                        editor_version *out) {
  char said[1024], fix[256];
  char *const command[] = {(char *)program, "--version", NULL};
  cli_ask_status rc = cli_ask(command, LIMIT_MS, said, sizeof said);
  if (rc == CLI_ASK_OK && find_version(said, out)) return true;
  if (rc == CLI_ASK_ABSENT) {
    snprintf(fix, sizeof fix, "install %s %s or later", name, wanted);
    say(r, ABSENT, fix, "not installed (no %s on the PATH)", program);
  } else {
    snprintf(fix, sizeof fix, "see what `%s --version` says", program);
    say(r, WRONG, fix, "%s --version %s", program, rc == CLI_ASK_LATE ? "does not end" : "fails");
  }
  return false;
}

/* ---- files ----------------------------------------------------------------------------- */

typedef struct files {
  const char *folder;
  int all, missing, other;
  char names[256]; /* of those that are other ones */
} files;

static void compare(void *user, const char *path, const char *text, size_t len) {
  files *f = user;
  size_t have_len = 0, used = strlen(f->names);
  f->all++;
  if (access(path, F_OK) != 0) {
    f->missing++;
    return;
  }
  char *have = cli_read_file(path, &have_len);
  if (have == NULL || have_len != len || memcmp(have, text, len) != 0) {
    snprintf(f->names + used, sizeof f->names - used, "%s%s", f->other > 0 ? ", " : "",
             path + strlen(f->folder) + 1);
    f->other++;
  }
  free(have);
}

/* Whether the files are those that setup would write; else it is in the report. */
static bool are_ours(report *r, const files *f, const char *editor, const char *fix) {
  if (f->other > 0)
    say(r, WRONG, fix, "%s, but %d of %d files in %s are not this fimd's (older, or changed): %s",
        editor, f->other, f->all, f->folder, f->names);
  else if (f->missing > 0)
    say(r, WRONG, fix, "%s, but %d of %d files are missing in %s", editor, f->missing, f->all,
        f->folder);
  return f->other == 0 && f->missing == 0;
}

static bool same_file(const char *a, const char *b) {
  char ra[PATH_MAX], rb[PATH_MAX];
  return realpath(a, ra) != NULL && realpath(b, rb) != NULL && strcmp(ra, rb) == 0;
}

/* ---- Neovim ---------------------------------------------------------------------------- */

/* What Neovim says once its configuration was read. */
typedef struct loaded {
  bool is;
  char folder[PATH_MAX];  /* that the plug-in comes from */
  char program[PATH_MAX]; /* that it would start; "" if it finds none */
} loaded;

#define MARK "fimd-doctor\t"
static const char neovim_question[] =
    "lua local f = package.loaded.fimd "
    "local from = f and debug.getinfo(f.setup, 'S').source:sub(2) or '' "
    "local ok, words = pcall(function() return require('fimd.config').find() end) "
    "io.stdout:write('\\n" MARK
    "', f and vim.fn.fnamemodify(from, ':p:h:h:h') or '', '\\t', "
    "f and ok and words and vim.fn.exepath(words[1]) or '', '\\n')";

static cli_ask_status ask_neovim(loaded *out) {
  static char said[65536];
  char *const command[] = {"nvim", "--headless", "-n", "-i", "NONE", "-c", (char *)neovim_question,
                           "-c",   "qall!",      NULL};
  *out = (loaded){0};
  cli_ask_status rc = cli_ask(command, LIMIT_MS, said, sizeof said);
  const char *line = strstr(said, MARK);
  if (line == NULL) return rc == CLI_ASK_OK ? CLI_ASK_FAILED : rc;
  line += strlen(MARK);
  size_t folder = strcspn(line, "\t\n"), program = 0;
  if (line[folder] == '\t') program = strcspn(line + folder + 1, "\n");
  snprintf(out->folder, sizeof out->folder, "%.*s", (int)folder, line);
  snprintf(out->program, sizeof out->program, "%.*s", (int)program, line + folder + 1);
  out->is = folder > 0;
  return CLI_ASK_OK;
}

/* The plug-in is loaded from somewhere, and the files of setup are fine or not there. */
static void check_neovim_loaded(report *r, const editor_version *v, const char *program,
                                const char *folder, const loaded *l) {
  bool ours = same_file(folder, l->folder), other = !same_file(l->program, program);
  if (l->program[0] == '\0')
    say(r, WRONG, "fimd setup neovim --write, or set cmd (:help fimd-config)",
        "%s, but the plug-in in %s finds no program to start", v->text, l->folder);
  else
    say(r, READY, "", "%s: %s%s%s%s%s", v->text,
        at_least(v, 0, 12) ? "ghost text" : "completions in the popup, as ghost text needs 0.12",
        ours ? "" : ", loaded by your configuration from ", ours ? "" : l->folder,
        other ? "; it starts another fimd, " : "", other ? l->program : "");
}

static void check_neovim(report *r, const char *program) {
  static const char setup[] = "fimd setup neovim --write";
  char folder[PATH_MAX], err[256];
  editor_version v;
  loaded l;
  if (!ask_version(r, "Neovim", "nvim", "0.12", &v)) return;
  if (!at_least(&v, 0, 10)) {
    say(r, TOO_OLD, "install Neovim 0.12 or later", "%s is too old: ghost text needs 0.12", v.text);
    return;
  }
  if (!cli_setup_neovim_folder(folder, err, sizeof err)) {
    say(r, WRONG, "set HOME", "%s; %s", v.text, err);
    return;
  }
  files f = {.folder = folder};
  cli_setup_neovim_files(folder, program, compare, &f);
  cli_ask_status rc = ask_neovim(&l);
  char link[8];
  bool linked = readlink(folder, link, sizeof link) > 0; /* to a checkout, which has its own way */
  bool none = f.missing == f.all, elsewhere = l.is && !same_file(folder, l.folder);
  if (rc != CLI_ASK_OK) {
    say(r, WRONG, "see what `nvim --headless +qall` says",
        rc == CLI_ASK_LATE ? "%s, but it does not get through its configuration"
                           : "%s, but with its configuration it ends by an error",
        v.text);
  } else if (none && !l.is) {
    say(r, NOT_SET_UP, setup, "%s, fimd is not set up", v.text);
  } else if (none || linked || elsewhere || are_ours(r, &f, v.text, setup)) {
    if (l.is) {
      check_neovim_loaded(r, &v, program, folder, &l);
      return;
    }
    char fix[sizeof r->fix];
    snprintf(fix, sizeof fix,
             "in init.lua, behind plug-in managers: vim.opt.rtp:prepend('%s') "
             "vim.cmd.runtime('plugin/fimd.lua')",
             folder);
    say(r, WRONG, fix, "%s, but your configuration keeps Neovim from loading %s", v.text, folder);
  }
}

/* ---- Emacs ----------------------------------------------------------------------------- */

/* Whether code names fimd, comments left out. */
static bool names_fimd(const char *text) {
  for (const char *line = text; *line != '\0'; line += strcspn(line, "\n"), line += *line == '\n') {
    size_t n = strcspn(line, ";\n");
    const char *found = strstr(line, "fimd");
    if (found != NULL && found < line + n) return true;
  }
  return false;
}

static void check_emacs_init(report *r, const editor_version *v, const files *f, const char *init,
                             const char *program) {
  static const char setup[] = "fimd setup emacs --write";
  char fix[sizeof r->fix];
  size_t len = 0;
  char *have = access(init, F_OK) == 0 ? cli_read_file(init, &len) : NULL;
  const char *text = have != NULL ? have : "";
  lsp__buffer want = {0};
  cli_setup_init found = cli_setup_emacs_init(text, len, f->folder, program, &want);
  bool same = !want.failed && want.len == len && memcmp(want.data, text, len) == 0;
  bool own = found == CLI_SETUP_ADDED && names_fimd(text);
  if (found == CLI_SETUP_HALF) {
    snprintf(fix, sizeof fix, "remove the lines of fimd from %s, then %s", init, setup);
    say(r, WRONG, fix, "%s, but the lines of fimd in %s have lost their closing mark", v->text,
        init);
  } else if (f->missing == f->all && found == CLI_SETUP_ADDED && !own) {
    say(r, NOT_SET_UP, setup, "%s, fimd is not set up", v->text);
  } else if ((f->missing == f->all && own) || are_ours(r, f, v->text, setup)) {
    if (own)
      say(r, READY, "", "%s: ghost text, loaded by your own lines in %s", v->text, init);
    else if (same)
      say(r, READY, "", "%s: ghost text", v->text);
    else if (found == CLI_SETUP_ADDED)
      say(r, WRONG, setup, "%s, but %s does not load %s", v->text, init, f->folder);
    else
      say(r, WRONG, setup,
          "%s, but the lines of fimd in %s are not this fimd's (older, or changed)", v->text, init);
  }
  lsp__buffer_free(&want);
  free(have);
}

static void check_emacs(report *r, const char *program) {
  char package[PATH_MAX], init[PATH_MAX], err[256];
  editor_version v;
  if (!ask_version(r, "Emacs", "emacs", "30", &v)) return;
  if (!at_least(&v, 30, 1)) {
    say(r, TOO_OLD, "install Emacs 30.1 or later", "%s is too old: fimd-mode needs 30.1", v.text);
    return;
  }
  if (!cli_setup_emacs_places(package, init, err, sizeof err)) {
    say(r, WRONG, "set HOME", "%s; %s", v.text, err);
    return;
  }
  files f = {.folder = package};
  cli_setup_emacs_files(package, compare, &f);
  check_emacs_init(r, &v, &f, init, program);
}

/* ---- VS Code --------------------------------------------------------------------------- */

/* The version of the extension fimd.fimd in a list of name@version lines. */
static bool find_extension(const char *list, char out[32]) {
  static const char name[] = "fimd.fimd@";
  for (const char *p = list; (p = strstr(p, name)) != NULL; p++) {
    if (p != list && p[-1] != '\n') continue;
    p += sizeof name - 1;
    snprintf(out, 32, "%.*s", (int)strcspn(p, "\r\n"), p);
    return true;
  }
  return false;
}

static bool on_path(const char *name) {
  const char *path = getenv("PATH");
  char file[PATH_MAX];
  for (const char *p = path; p != NULL && *p != '\0';) {
    size_t n = strcspn(p, ":");
    if (*p == '/' && snprintf(file, sizeof file, "%.*s/%s", (int)n, p, name) < PATH_MAX &&
        access(file, X_OK) == 0)
      return true;
    p += n + (p[n] == ':');
  }
  return false;
}

/* Whether the user's settings name the program. */
static bool set_in_vscode(void) {
  const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");
  bool xdg = config != NULL && *config == '/';
  char path[PATH_MAX];
  size_t len = 0;
  int n = snprintf(path, sizeof path, "%s%s/Code/User/settings.json",
                   xdg            ? config
                   : home != NULL ? home
                                  : "",
                   xdg ? "" : "/.config");
  if (n >= PATH_MAX || access(path, F_OK) != 0) return false;
  char *text = cli_read_file(path, &len);
  bool found = text != NULL && strstr(text, "\"fimd.path\"") != NULL;
  free(text);
  return found;
}

static void check_vscode(report *r, const char *program) {
  char *const list[] = {"code", "--list-extensions", "--show-versions", NULL};
  static char said[65536];
  char have[32], vsix[PATH_MAX], fix[sizeof r->fix];
  editor_version v;
  if (!ask_version(r, "VS Code", "code", "1.100", &v)) return;
  if (!at_least(&v, 1, 100)) {
    say(r, TOO_OLD, "install VS Code 1.100 or later", "%s is too old: the extension needs 1.100",
        v.text);
    return;
  }
  const char *setup = cli_setup_vsix(program, vsix)
                          ? "fimd setup vscode --write"
                          : "in a checkout make -j1 vsix install, then fimd setup vscode --write";
  snprintf(fix, sizeof fix, "in VS Code's settings: \"fimd.path\": \"%s\"", program);
  if (cli_ask(list, LIMIT_MS, said, sizeof said) != CLI_ASK_OK)
    say(r, WRONG, "see what `code --list-extensions` says",
        "%s, but it does not list its extensions", v.text);
  else if (!find_extension(said, have))
    say(r, NOT_SET_UP, setup, "%s, the extension is not installed", v.text);
  else if (strcmp(have, FIMD_VERSION) != 0)
    say(r, WRONG, setup, "%s, but the extension is of version %s", v.text, have);
  else if (!on_path("fimd") && !set_in_vscode())
    say(r, WRONG, fix, "%s with the extension, but fimd is not on the PATH", v.text);
  else
    say(r, READY, "", "%s: ghost text", v.text);
}

/* ---- all of them ----------------------------------------------------------------------- */

static const struct editor {
  const char *name, *title;
  void (*check)(report *r, const char *program);
} editors[] = {{"neovim", "Neovim", check_neovim},
               {"emacs", "Emacs", check_emacs},
               {"vscode", "VS Code", check_vscode}};
enum { EDITORS = sizeof editors / sizeof *editors };

bool cli_doctor_knows_editor(const char *name) {
  for (size_t i = 0; i < EDITORS; i++)
    if (strcmp(name, editors[i].name) == 0) return true;
  return false;
}

/* needed: it is the one that was asked for, or there is no other with fimd. */
static void print(const struct editor *e, const report *r, bool needed, int *crosses) {
  switch (r->state) {
  case READY: cli_doctor_tick(e->title, "%s", r->words); break;
  case WRONG: cli_doctor_cross(crosses, e->title, r->fix, "%s", r->words); break;
  case NOT_SET_UP:
    if (needed)
      cli_doctor_cross(crosses, e->title, r->fix, "%s", r->words);
    else
      cli_doctor_note(e->title, "%s; to do it: %s", r->words, r->fix);
    break;
  default:
    if (needed)
      cli_doctor_cross(crosses, e->title, r->fix, "%s", r->words);
    else
      cli_doctor_note(e->title, "%s", r->words);
  }
}

int cli_doctor_editors(const char *only) {
  char program[PATH_MAX];
  int crosses = 0, set_up = 0;
  report *reports = calloc(EDITORS, sizeof *reports);
  if (reports == NULL) return 1;
  cli_setup_program(program);
  for (size_t i = 0; i < EDITORS; i++) {
    if (only != NULL && strcmp(only, editors[i].name) != 0) continue;
    editors[i].check(&reports[i], program);
    set_up += reports[i].state == READY || reports[i].state == WRONG;
  }
  for (size_t i = 0; i < EDITORS; i++) {
    if (only != NULL && strcmp(only, editors[i].name) != 0) continue;
    bool needed = only != NULL || (set_up == 0 && reports[i].state == NOT_SET_UP);
    print(&editors[i], &reports[i], needed, &crosses);
  }
  free(reports);
  return crosses;
}
