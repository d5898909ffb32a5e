/* context_bench.c - what one keystroke costs before the model runs.
 *   context_bench [--root DIR] FILE...
 * Types into each file where a random line begins to be written, and prints, in milliseconds at the
 * 50th and 90th percentile, what it took to take the text over (set), to find the context (context,
 * with a parse where one is needed), to lay out the prompt (prompt), their sum, which is what the
 * model waits for, and to parse the text after that where it was not yet (reparse), in four cases:
 * "typing": the prompt is anchored at the line and only what was typed since is tokenized;
 * "next line": one line further down, the pieces of the prompt being settled;
 * "jump": another place in the file; "first": nothing is known but the parsed text. With --root the
 * folder's definitions are there too. The lines are real: one is taken out and typed in again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "completion/job.h"
#include "completion/window.h"

#define ROUNDS 60  /* places in each file */
#define TYPED 12   /* keystrokes at each, and lines further down */
#define BUDGET 2048

enum { SET, CONTEXT, PROMPT, ALL, REPARSE, PARTS };
enum { TYPING, NEXT_LINE, JUMP, FIRST, CASES };
static const char *const cases[CASES] = {"typing", "next line", "jump", "first"};

typedef struct figures {
  double ms[PARTS][ROUNDS * TYPED];
  int n;
} figures;

typedef struct bench {
  engine *engine;
  engine_pool *pool;
  completion__workspace *workspace;
  completion__parser *parser;
  completion__documents documents;
  completion__edits edits;
  completion__settled settled;
  completion__memo memo;
  completion__reuse reuse;
  uint32_t seed;
  char *text; /* [len] */
  size_t len;
  const char *uri;
  figures figures[CASES];
} bench;

static uint32_t draw(bench *b, size_t below) {
  b->seed = b->seed * 1664525u + 1013904223u;
  return below ? (b->seed >> 8) % (uint32_t)below : 0;
}

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static void put(bench *b, size_t at, const char *s, size_t n) {
  char *grown = realloc(b->text, b->len + n + 1);
  if (!grown) exit(1);
  b->text = grown;
  memmove(b->text + at + n, b->text + at, b->len - at + 1);
  memcpy(b->text + at, s, n);
  b->len += n;
}

static void take(bench *b, size_t at, size_t n) {
  memmove(b->text + at, b->text + at + n, b->len - at - n + 1);
  b->len -= n;
}

static size_t line_end(const bench *b, size_t at) {
  return completion__line_end(completion__slice_of(b->text, b->len), at);
}

/* The prompt for a cursor at `at`, as job.c asks for it. */
static void key(bench *b, size_t at, int which, bool anchored) {
  completion__view views[COMPLETION__VIEWS_MAX];
  figures *f = &b->figures[which];
  double start = completion__now_ms(), now;
  completion_document d = {.uri = b->uri, .text = b->text, .len = b->len};
  completion__document *known = completion__documents_find(&b->documents, b->uri);
  completion__text *old = known ? completion__text_hold(known->text) : NULL;
  if (completion__documents_set(&b->documents, &d)) exit(1);
  if (old)
    completion__edits_note(&b->edits, known, completion__text_slice(old),
                           completion__text_slice(known->text));
  completion__text_release(old);
  f->ms[SET][f->n] = (now = completion__now_ms()) - start;
  completion__document *document = completion__documents_find(&b->documents, b->uri);
  int n = completion__documents_view(&b->documents, document, views, COMPLETION__VIEWS_MAX);
  completion__slice text = completion__text_slice(views[0].text);
  completion__slice before = completion__slice_cut(text, 0, at),
                    after = completion__slice_cut(text, at, text.len);
  completion__reuse_key k = {document, BUDGET, false};
  size_t typed = 0;
  if (!anchored || !completion__reuse_fits(&b->reuse, &k, before, after, &typed)) {
    if (anchored) fprintf(stderr, "the anchor does not fit\n");
    completion__prompt prompt;
    completion__prompt_request r = {.engine = b->engine,
                                    .memo = &b->memo,
                                    .parser = b->parser,
                                    .views = views,
                                    .n_views = n,
                                    .workspace = b->workspace,
                                    .edits = &b->edits,
                                    .before = before,
                                    .after = after,
                                    .budget = BUDGET,
                                    .settled = &b->settled};
    if (completion__prompt_build(&r, &prompt)) exit(1);
    f->ms[CONTEXT][f->n] = prompt.context_ms;
    f->ms[PROMPT][f->n] = completion__now_ms() - now - prompt.context_ms;
    if (completion__reuse_anchor(&b->reuse, &k, before, after, &prompt)) exit(1);
  } else {
    completion__tokenizer tokenizer = {b->engine, &b->memo};
    completion__window_count(tokenizer, completion__slice_cut(before, at - typed, at));
    f->ms[PROMPT][f->n] = completion__now_ms() - now;
    f->ms[CONTEXT][f->n] = 0;
  }
  f->ms[ALL][f->n] = completion__now_ms() - start;
  now = completion__now_ms();
  completion__syntax_tree(b->parser, document, views[0].text, NULL);
  f->ms[REPARSE][f->n++] = completion__now_ms() - now;
  for (int i = 0; i < n; i++) completion__view_release(&views[i]);
}

/* A line of at least 8 characters begins at the place that is returned. */
static size_t a_line(bench *b) {
  for (;;) {
    size_t at = completion__line_start(completion__slice_of(b->text, b->len), draw(b, b->len));
    if (line_end(b, at) - at >= 8) return at;
  }
}

static void places(bench *b) {
  for (int i = 0; i < ROUNDS; i++) {
    size_t at = a_line(b), n = line_end(b, at) - at;
    char *line = strndup(b->text + at, n);
    if (!line) exit(1);
    take(b, at, n);
    key(b, at, JUMP, false);
    for (size_t typed = 0; typed < n && typed < TYPED; typed++) {
      put(b, at + typed, line + typed, 1);
      key(b, at + typed + 1, TYPING, true);
    }
    if (n > TYPED) put(b, at + TYPED, line + TYPED, n - TYPED);
    free(line);
    for (int j = 0; j < TYPED / 4 && (at = line_end(b, at)) < b->len; j++) {
      put(b, at, "\n", 1); /* a new line below */
      key(b, ++at, NEXT_LINE, false);
      take(b, --at, 1);
      at++;
    }
    completion__settled_clear(&b->settled);
    key(b, a_line(b), FIRST, false);
  }
}

static void report(bench *b, const char *file) {
  size_t lines = 0;
  for (size_t at = 0; at < b->len; at = line_end(b, at) + 1) lines++;
  printf("%s: %zu lines, %.0f kB\n", file, lines, (double)b->len / 1e3);
  printf("  %-10s %6s   %-13s   %-13s   %-13s   %-13s   %-13s\n", "p50 / p90", "n", "set",
         "context", "prompt", "sum", "reparse");
  for (int c = 0; c < CASES; c++) {
    figures *f = &b->figures[c];
    printf("  %-10s %6d", cases[c], f->n);
    for (int p = 0; p < PARTS && f->n; p++) {
      qsort(f->ms[p], (size_t)f->n, sizeof *f->ms[p], by_size);
      printf("   %5.3f / %5.3f", f->ms[p][f->n / 2], f->ms[p][f->n * 9 / 10]);
    }
    printf("\n");
    f->n = 0;
  }
}

static bool read_file(bench *b, const char *path) {
  FILE *f = fopen(path, "rb");
  b->text = malloc((size_t)4 << 20);
  if (!f || !b->text) return false;
  b->len = fread(b->text, 1, ((size_t)4 << 20) - 1, f);
  b->text[b->len] = 0;
  fclose(f);
  b->len = completion__utf8_valid(completion__slice_of(b->text, b->len));
  return b->len > 1000;
}

static void run(bench *b, char **files, int n) {
  for (int i = 0; i < n; i++) {
    char uri[4096];
    snprintf(uri, sizeof uri, "file://%s", files[i]);
    b->uri = uri;
    if (!read_file(b, files[i])) {
      fprintf(stderr, "%s: cannot be read, or is too short\n", files[i]);
    } else {
      places(b);
      report(b, files[i]);
    }
    free(b->text);
    b->text = NULL;
  }
}

int main(int argc, char **argv) {
  static bench b;
  char err[512];
  const char *root = NULL;
  if (argc > 2 && strcmp(argv[1], "--root") == 0) {
    root = argv[2];
    argv += 2, argc -= 2;
  }
  if (argc < 2) {
    fprintf(stderr, "usage: context_bench [--root DIR] FILE...\n");
    return 2;
  }
  if (engine_open(&b.engine, &(engine_options){.backend = "cpu"}, err, sizeof err)) {
    fprintf(stderr, "%s\n", err);
    return 1;
  }
  b.parser = completion__parser_new(COMPLETION__PATIENCE_MS);
  b.workspace = engine_pool_new(&b.pool, 0) ? NULL : completion__workspace_new(b.engine, b.pool);
  if (!b.parser || !b.workspace) return 1;
  if (root && completion__workspace_add(b.workspace, root)) return 1;
  if (root) completion__documents_root_add(&b.documents, root);
  completion__workspace_wait(b.workspace);
  run(&b, argv + 1, argc - 1);
  completion__workspace_delete(b.workspace);
  completion__reuse_clear(&b.reuse);
  completion__settled_clear(&b.settled);
  completion__memo_clear(&b.memo);
  completion__documents_free(&b.documents);
  completion__parser_delete(b.parser);
  engine_pool_delete(b.pool);
  engine_close(b.engine);
  return 0;
}
