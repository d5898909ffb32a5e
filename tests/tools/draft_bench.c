/* draft_bench.c - what guessing ahead takes on the host, and how many tokens a step it would
 * bring, without a model: the tokens of holes in real files are dictated, and the drafter is led
 * through them as engine/decode.c leads it.
 *   draft_bench [--holes N] [--most N] [--warm | --hot] DIR...
 * Build: make build/tests/tools/draft_bench. DIR is a workspace, read into the pool as `fimd bench
 * lookahead` reads it; holes, prompts and open documents are as there.
 *
 * Two curves of a step's cost: an H100's with a 1.5B model, and a flat one, by which every step
 * has as many guesses as there are. Between two steps the caches are spoiled by a walk over an
 * array, after what is done while a step runs (--warm: before it, as on a host that only waits for
 * its device; --hot: not at all). Recycled predictions are made up: the last successors of a token
 * in the folder.
 *
 * Printed: tokens a step; guesses a step; nodes that were added to the tree and look-ups in the
 * indexes, a step; and median and 90th percentile in microseconds of build, learn, push and all
 * three (the host's time between two steps), of begin (once a completion), and of what runs while
 * the step does. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "completion/completion.h"
#include "engine/draft.h"
#include "engine/internal.h"

#define HOLES 50
#define HOLE_MIN 3 /* tokens */
#define HOLE_MAX 96
#define FILE_MIN 400 /* bytes */
#define FILE_MOST ((size_t)2 << 20)
#define TRIES 40
#define SPOILED ((size_t)16 << 20) /* bytes */
#define SAMPLES 200000
#define REST_MOST 8

enum { SINGLE, MULTI, KINDS };
enum { BUILD, LEARN, PUSH, HOST, BEGIN, MEANWHILE, PARTS };
static const char *const part_names[PARTS] = {"build", "learn", "push", "host", "begin",
                                              "meanwhile"};
enum { H100, FLAT, CURVES };
static const char *const curve_names[CURVES] = {"H100", "flat"};

typedef struct series {
  float *us; /* [n] owned */
  int n;
} series;

typedef struct sums {
  long tokens, steps, guesses, nodes, look_ups;
} sums;

typedef struct bench {
  engine *e;
  completion *c;
  char **files; /* [n_files] owned */
  int n_files;
  uint64_t seed;
  int holes, most;
  bool warm, hot;
  float cost[1 + DRAFT_NODES_MAX];
  int32_t *after; /* [vocab, RECYCLE_WIDTH] owned: last successors, -1: none */
  char *spoiled;  /* [SPOILED] owned */
  drafter *drafters[CURVES];
  sums sums[CURVES][KINDS];
  series times[CURVES][PARTS];
} bench;

static uint32_t pick(bench *b, size_t below) {
  b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((b->seed >> 33) % below);
}

static void spoil(bench *b) {
  if (b->hot) return;
  for (size_t i = 0; i < SPOILED; i += 64) b->spoiled[i]++;
}

static void note(series *s, double us) {
  if (s->n < SAMPLES) s->us[s->n++] = (float)us;
}

/* ---- files ------------------------------------------------------------------------------- */

static char *read_file(const char *path, size_t *len) {
  FILE *f = fopen(path, "rb");
  char *text = malloc(FILE_MOST);
  *len = 0;
  if (f != NULL && text != NULL) *len = fread(text, 1, FILE_MOST, f);
  if (f != NULL) fclose(f);
  return text;
}

static int keep_file(void *user, const char *path) {
  static const char *const code[] = {".c", ".h", ".cc", ".cpp", ".py", ".js", ".mjs",
                                     ".ts", ".tsx", ".go", ".rs", ".java"};
  bench *b = user;
  const char *end = strrchr(path, '.');
  for (size_t i = 0; end != NULL && i < sizeof code / sizeof *code; i++) {
    if (strcmp(end, code[i]) != 0) continue;
    char **grown = realloc(b->files, ((size_t)b->n_files + 1) * sizeof *grown);
    if (grown == NULL) return 1;
    b->files = grown;
    b->files[b->n_files] = strdup(path);
    return b->files[b->n_files++] == NULL;
  }
  return 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static void know_successors(bench *b, const char *text, size_t len) {
  engine_tokens t = {0};
  if (engine_tokenize(b->e, text, len, false, &t) == ENGINE_OK)
    for (int i = 0; i + 1 < t.n; i++) {
      int32_t *row = b->after + (size_t)t.ids[i] * RECYCLE_WIDTH;
      int at = 0;
      while (at < RECYCLE_WIDTH - 1 && row[at] != t.ids[i + 1]) at++;
      memmove(row + 1, row, (size_t)at * sizeof *row);
      row[0] = t.ids[i + 1];
    }
  engine_tokens_free(&t);
}

static void find_files(bench *b) {
  int n = 0;
  completion_workspace_each(b->c, keep_file, b);
  qsort(b->files, (size_t)b->n_files, sizeof *b->files, by_name);
  for (int i = 0; i < b->n_files; i++) {
    size_t len;
    char *text = read_file(b->files[i], &len);
    if (text != NULL && len >= FILE_MIN) {
      know_successors(b, text, len);
      b->files[n++] = b->files[i];
    } else {
      free(b->files[i]);
    }
    free(text);
  }
  b->n_files = n;
}

/* ---- one completion ------------------------------------------------------------------------ */

/* A step whose predictions are not yet known to the drafter. */
typedef struct lesson {
  bool waiting;
  int32_t before, first;
  draft_tree tree;
} lesson;

static void saw(bench *b, drafter *d, int32_t before, int32_t last) {
  static const float logits[RECYCLE_WIDTH] = {0, -1, -1.6f, -2, -2.4f, -2.8f, -3, -3.2f};
  drafter_saw(d, before, last, b->after + (size_t)last * RECYCLE_WIDTH, logits, RECYCLE_WIDTH);
}

static void learn_lesson(bench *b, drafter *d, lesson *l) {
  const draft_tree *t = &l->tree;
  for (int row = 0; l->waiting && row <= t->n; row++) {
    int parent = row == 0 ? DRAFT_ROOT : t->parent[row - 1];
    int32_t before = row == 0 ? l->before : parent == DRAFT_ROOT ? l->first : t->ids[parent];
    saw(b, d, before, row == 0 ? l->first : t->ids[row - 1]);
  }
  l->waiting = false;
}

static int find_child(const draft_tree *t, int parent, int32_t id) {
  for (int i = parent + 1; i < t->n; i++)
    if (t->parent[i] == parent && t->ids[i] == id) return i;
  return DRAFT_ROOT;
}

/* Decodes text[n] behind the prompt. */
static void decode(bench *b, int curve, int kind, const engine_tokens *prompt,
                   const engine_tokens *text) {
  drafter *d = b->drafters[curve];
  sums *s = &b->sums[curve][kind];
  series *times = b->times[curve];
  draft_tree t;
  lesson l = {0};
  int path[DRAFT_NODES_MAX + 1], done = 0, rest = 0, resting = 0;
  spoil(b);
  double start = engine__now_ms(), built = 0, learned = 0, pushed = 0;
  drafter_begin(d, prompt->ids, prompt->n);
  note(&times[BEGIN], (engine__now_ms() - start) * 1e3);
  int32_t current = prompt->ids[prompt->n - 1];
  while (done < text->n) {
    draft_terms terms = {.sources = DRAFT_BIT(ENGINE_SOURCE_WINDOW) - 1,
                         .pool = completion_pool(b->c),
                         .most = b->most,
                         .depth = text->n - done - 1,
                         .cost = curve == FLAT ? NULL : b->cost,
                         .floor = 0.001f};
    bool looks = rest-- <= 0;
    start = engine__now_ms();
    t.n = 0;
    if (looks) drafter_build(d, &terms, &t);
    built = (engine__now_ms() - start) * 1e3;
    if (looks) {
      resting = t.n > 0 ? 0 : 2 * resting + 1 < REST_MOST ? 2 * resting + 1 : REST_MOST;
      rest = resting;
      draft_counts counts = drafter_get_counts(d);
      s->nodes += counts.nodes;
      s->look_ups += counts.look_ups;
    }
    note(&times[BUILD], built);
    if (done > 0) note(&times[HOST], built + learned + pushed);
    /* While the step runs. */
    if (b->warm) spoil(b);
    start = engine__now_ms();
    drafter_settle(d);
    learn_lesson(b, d, &l);
    drafter_rehearse(d);
    note(&times[MEANWHILE], (engine__now_ms() - start) * 1e3);
    if (!b->warm) spoil(b);
    /* Its result. */
    int n = 0, node = DRAFT_ROOT;
    const int32_t *came = text->ids + done;
    start = engine__now_ms();
    for (;;) {
      n++;
      if (done + n == text->n) break;
      node = find_child(&t, node, came[n - 1]);
      if (node == DRAFT_ROOT) break;
      path[n - 1] = node;
    }
    l = (lesson){.waiting = true, .before = drafter_before(d), .first = current, .tree = t};
    if (looks) drafter_learn(d, came, path, n);
    learned = (engine__now_ms() - start) * 1e3;
    start = engine__now_ms();
    drafter_push(d, came, n);
    pushed = (engine__now_ms() - start) * 1e3;
    note(&times[LEARN], learned);
    note(&times[PUSH], pushed);
    current = came[n - 1];
    done += n;
    s->tokens += n;
    s->guesses += t.n;
    s->steps++;
  }
  learn_lesson(b, d, &l);
}

/* ---- holes --------------------------------------------------------------------------------- */

static size_t end_of_line(const char *text, size_t len, size_t at) {
  const char *end = memchr(text + at, '\n', len - at);
  return end != NULL ? (size_t)(end - text) : len;
}

/* From a place in a line to its end, or from a line's first letter over two to six lines. */
static bool cut_hole(bench *b, int kind, const char *text, size_t len, size_t *from, size_t *to) {
  size_t at = pick(b, len), end;
  while (at > 0 && text[at - 1] != '\n') at--;
  end = end_of_line(text, len, at);
  while (at < end && (text[at] == ' ' || text[at] == '\t')) at++;
  if (end - at < 6) return false;
  *from = kind == SINGLE ? at + pick(b, (end - at) * 2 / 3) : at;
  if (((unsigned char)text[*from] & 0xc0) == 0x80) return false;
  uint32_t more = kind == SINGLE ? 0 : 1 + pick(b, 5);
  for (; more > 0 && end + 1 < len; more--) end = end_of_line(text, len, end + 1);
  *to = end;
  return true;
}

/* 1: done, 0: no hole there. */
static int try_hole(bench *b, int kind) {
  const char *path = b->files[pick(b, (size_t)b->n_files)];
  engine_tokens prompt = {0}, text = {0};
  size_t len, from = 0, to = 0;
  char uri[4200], *file = read_file(path, &len);
  bool good = file != NULL && cut_hole(b, kind, file, len, &from, &to) &&
              engine_tokenize(b->e, file + from, to - from, false, &text) == ENGINE_OK &&
              text.n >= HOLE_MIN && text.n <= HOLE_MAX;
  if (good) {
    memmove(file + from, file + to, len - to);
    snprintf(uri, sizeof uri, "file://%s", path);
    completion_document doc = {.uri = uri, .text = file, .len = len - (to - from)};
    good = completion_document_set(b->c, &doc) == COMPLETION_OK &&
           completion_prompt(b->c, uri, from, &prompt) == COMPLETION_OK;
    for (int curve = 0; good && curve < CURVES; curve++) decode(b, curve, kind, &prompt, &text);
    completion_document_remove(b->c, uri);
    completion_workspace_wait(b->c);
  }
  free(file);
  engine_tokens_free(&prompt);
  engine_tokens_free(&text);
  return good;
}

/* ---- figures ------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static void report(bench *b, const char *name) {
  for (int curve = 0; curve < CURVES; curve++) {
    const sums *one = &b->sums[curve][SINGLE], *more = &b->sums[curve][MULTI];
    double steps = (double)(one->steps + more->steps);
    printf("%-24s %-5s tokens a step %.3f %.3f %.3f  guesses %4.1f  nodes %4.1f  look-ups %4.1f |",
           name, curve_names[curve], ratio((double)one->tokens, (double)one->steps),
           ratio((double)more->tokens, (double)more->steps),
           ratio((double)(one->tokens + more->tokens), steps),
           ratio((double)(one->guesses + more->guesses), steps),
           ratio((double)(one->nodes + more->nodes), steps),
           ratio((double)(one->look_ups + more->look_ups), steps));
    for (int part = 0; part < PARTS; part++) {
      series *t = &b->times[curve][part];
      if (t->n == 0) continue;
      qsort(t->us, (size_t)t->n, sizeof *t->us, by_size);
      printf(" %s %.1f %.1f", part_names[part], (double)t->us[t->n / 2],
             (double)t->us[t->n - 1 - t->n / 10]);
    }
    printf("\n");
    fflush(stdout);
  }
}

/* Milliseconds of a step with so many rows: as the next size that steps are made to. */
static void h100(float *cost) {
  static const int rows[] = {1, 8, 16, 32, 48, 64, 1 + DRAFT_NODES_MAX};
  static const float ms[] = {1.34f, 1.46f, 1.56f, 1.88f, 2.20f, 2.27f, 3.5f};
  for (int n = 1, i = 0; n <= 1 + DRAFT_NODES_MAX; n++) {
    if (n > rows[i]) i++;
    cost[n - 1] = ms[i];
  }
}

static bool run(bench *b, const char *folder) {
  const char *name = strrchr(folder, '/') ? strrchr(folder, '/') + 1 : folder;
  char *root = realpath(folder, NULL);
  bool good = root != NULL && completion_new(&b->c, b->e, NULL) == COMPLETION_OK &&
              completion_root_add(b->c, root) == COMPLETION_OK;
  b->seed = 1;
  if (good) {
    completion_workspace_wait(b->c);
    find_files(b);
  }
  good = good && b->n_files > 0;
  for (int curve = 0; good && curve < CURVES; curve++) {
    good = drafter_new(&b->drafters[curve], b->e) == ENGINE_OK;
    memset(b->sums[curve], 0, sizeof b->sums[curve]);
    for (int part = 0; part < PARTS; part++) b->times[curve][part].n = 0;
  }
  for (int kind = 0; good && kind < KINDS; kind++) {
    int done = 0;
    for (int tries = 0; done < b->holes && tries < b->holes * TRIES; tries++)
      done += try_hole(b, kind);
  }
  if (good) report(b, name);
  else fprintf(stderr, "%s: cannot be read, or has no code in it\n", folder);
  for (int curve = 0; curve < CURVES; curve++) {
    drafter_delete(b->drafters[curve]);
    b->drafters[curve] = NULL;
  }
  for (int i = 0; i < b->n_files; i++) free(b->files[i]);
  free(b->files);
  b->files = NULL;
  b->n_files = 0;
  completion_delete(b->c);
  b->c = NULL;
  free(root);
  return good;
}

int main(int argc, char **argv) {
  static bench b = {.holes = HOLES, .most = 64};
  char err[512];
  int first = 1, failed = 0;
  for (; first < argc && argv[first][0] == '-'; first++) {
    if (strcmp(argv[first], "--warm") == 0) b.warm = true;
    else if (strcmp(argv[first], "--hot") == 0) b.hot = true;
    else if (strcmp(argv[first], "--holes") == 0 && first + 1 < argc) b.holes = atoi(argv[++first]);
    else if (strcmp(argv[first], "--most") == 0 && first + 1 < argc) b.most = atoi(argv[++first]);
    else first = argc;
  }
  if (first >= argc || b.holes < 1 || b.most < 1 || b.most > DRAFT_NODES_MAX) {
    fprintf(stderr, "usage: draft_bench [--holes N] [--most N] [--warm | --hot] DIR...\n");
    return 2;
  }
  if (engine_open(&b.e, &(engine_options){.backend = "cpu"}, err, sizeof err) != ENGINE_OK) {
    fprintf(stderr, "%s\n", err);
    return 1;
  }
  size_t successors = (size_t)engine_get_info(b.e)->vocab * RECYCLE_WIDTH;
  b.after = malloc(successors * sizeof *b.after);
  b.spoiled = calloc(1, SPOILED);
  bool good = b.after != NULL && b.spoiled != NULL;
  for (int i = 0; good && i < CURVES * PARTS; i++) {
    series *s = &b.times[i / PARTS][i % PARTS];
    good = (s->us = malloc(SAMPLES * sizeof *s->us)) != NULL;
  }
  h100(b.cost);
  for (int i = first; good && i < argc; i++) {
    for (size_t k = 0; k < successors; k++) b.after[k] = -1;
    failed += !run(&b, argv[i]);
  }
  if (!good) fprintf(stderr, "out of memory\n");
  for (int i = 0; i < CURVES * PARTS; i++) free(b.times[i / PARTS][i % PARTS].us);
  free(b.after);
  free(b.spoiled);
  engine_close(b.e);
  return good && failed == 0 ? 0 : 1;
}
