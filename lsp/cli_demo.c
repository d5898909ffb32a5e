/* cli_demo.c - `fimd demo`: ghost text in five languages, through the daemon.
 *
 * Starts this very program as an LSP daemon, opens a sample of each language with the cursor
 * where a programmer would be typing, asks for an inline completion as an editor does, and shows
 * the answer in grey where an editor would show it. The milliseconds are from the request's
 * first byte out to the answer's last byte in. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "lsp/cli.h"
#include "lsp/cli_client.h"
#include "lsp/demo_samples.h"

#define LINES_ABOVE 6
#define LINES_BELOW 2

/* ---- a sample ---------------------------------------------------------------------------- */

/* A sample as the programmer has it: text up to the cursor, and what follows. */
typedef struct scene {
  char *text; /* owned */
  size_t cursor;
  cli_position at;
} scene;

/* Cuts what is yet to be typed out of the sample. False if the sample lacks the marks. */
static bool scene_make(scene *s, const demo_sample *d) {
  const char *at = strstr(d->text, d->before);
  if (at == NULL) return false;
  at += strlen(d->before);
  const char *rest = strstr(at, d->after);
  if (rest == NULL) return false;
  size_t head = (size_t)(at - d->text);
  s->text = malloc(strlen(d->text) + 1);
  if (s->text == NULL) return false;
  memcpy(s->text, d->text, head);
  strcpy(s->text + head, rest);
  s->cursor = head;
  s->at = cli_position_of(s->text, head);
  return true;
}

/* The ghost text at the cursor, owned by the caller; NULL when there is none. */
static char *scene_ask(cli_client *c, const scene *s, const char *uri, double *ms) {
  cli_ghost g;
  *ms = 0;
  int shown = cli_client_ask(c, uri, s->at, &g);
  if (shown < 0) return NULL;
  *ms = g.ms;
  if (shown == 0) return NULL;
  /* What stands between the range's start and the cursor is typed already. */
  size_t typed = g.from < s->at.character ? (size_t)(s->at.character - g.from) : 0;
  size_t len = strlen(g.text);
  memmove(g.text, g.text + (typed < len ? typed : len), len - (typed < len ? typed : len) + 1);
  return g.text;
}

static void scene_print(const demo_sample *d, const scene *s, const char *ghost, double ms,
                        bool color) {
  const char *title = color ? "\033[1m" : "", *grey = color ? "\033[38;5;245;3m" : "\u2039";
  const char *plain = color ? "\033[0m" : "", *end = color ? "\033[0m" : "\u203a";
  printf("%s%s:%d%s  %.1f ms\n", title, d->name, s->at.line + 1, plain, ms);
  size_t from = s->cursor;
  for (int lines = 0; from > 0; from--)
    if (s->text[from - 1] == '\n' && ++lines > LINES_ABOVE) break;
  size_t to = s->cursor;
  for (int lines = 0; s->text[to] != '\0'; to++)
    if (s->text[to] == '\n' && ++lines > LINES_BELOW) break;
  printf("  ");
  for (size_t i = from; i < to; i++) {
    if (i == s->cursor) {
      printf("%s", grey);
      for (const char *g = ghost; *g != '\0'; g++) printf(*g == '\n' ? "\n  " : "%c", *g);
      printf("%s", end);
    }
    printf(s->text[i] == '\n' ? "\n  " : "%c", s->text[i]);
  }
  printf("\n\n");
}

/* Returns 1 if ghost text was shown, 0 if the daemon gave none, -1 on failure. */
static int show_sample(cli_client *c, const demo_sample *d, bool color) {
  scene s = {0};
  char uri[128];
  if (!scene_make(&s, d)) {
    fprintf(stderr, "fimd: the sample %s lacks its marks\n", d->name);
    return -1;
  }
  snprintf(uri, sizeof uri, "file:///demo/%s", d->name);
  int shown = -1;
  if (cli_client_open(c, uri, d->language, s.text)) {
    double ms;
    char *ghost = scene_ask(c, &s, uri, &ms);
    shown = ghost != NULL && ghost[0] != '\0';
    if (shown)
      scene_print(d, &s, ghost, ms, color);
    else
      printf("%s:%d: no ghost text\n", d->name, s.at.line + 1);
    free(ghost);
  }
  free(s.text);
  return shown;
}

/* Waits until the model is loaded, so that the first figure is a completion's: any request is
 * answered only then. */
static bool warm_up(cli_client *c) {
  static const demo_sample blank = {"warm-up.txt", "plaintext", "fimd\n", "fimd\n", ""};
  static const char uri[] = "file:///demo/warm-up.txt";
  scene s = {0};
  double ms;
  bool ok = scene_make(&s, &blank) && cli_client_open(c, uri, blank.language, s.text);
  if (ok) free(scene_ask(c, &s, uri, &ms));
  free(s.text);
  return ok;
}

int cli_demo(const cli_options *o) {
  cli_client c;
  bool color = o->color || isatty(STDOUT_FILENO);
  if (!cli_client_start(&c, o)) {
    fprintf(stderr, "fimd: the daemon cannot be started: %s\n", strerror(errno));
    return 1;
  }
  bool ok = cli_client_initialize(&c, NULL) && warm_up(&c);
  int shown = 0;
  for (int i = 0; ok && i < demo_samples_count; i++) {
    int n = show_sample(&c, &demo_samples[i], color);
    ok = n >= 0;
    shown += n > 0;
  }
  int code = cli_client_stop(&c);
  if (ok && code == 0)
    printf("%d of %d places got ghost text. Your editor: see README.md.\n", shown, demo_samples_count);
  else
    fprintf(stderr, "fimd: the daemon failed (exit code %d)\n", code);
  return ok && code == 0 && shown > 0 ? 0 : 1;
}
