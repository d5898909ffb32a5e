/* gate_bench.c - what it costs to ask the grammar of a text that a model has written.
 *   gate_bench [-n HOLES] [-v] FILE...
 * One to four lines are cut out of a file, and a text for the hole is judged as a completion would
 * be (decide.c), right after the document was parsed and again after one more key, of which the
 * tree does not know. Texts: "true": what stood there, as far as the stop rules let it; "other":
 * the lines of another place in the file, which mostly do not fit; "broken": the true text in a
 * document that has an unclosed bracket at its beginning. Prints milliseconds of the processor's
 * time, how often a text was cut and how often nothing was left, and of the texts left, in how
 * many the whole file has more errors than before ("adds"), and in how many where it had none
 * ("breaks", of so many such files). -v: the slowest, too. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "completion/run.h"

#define HOLES 60 /* in each file */
#define SLOWEST 12

enum { TRUE_TEXT, OTHER_TEXT, BROKEN, CASES };
static const char *const cases[CASES] = {"true", "other", "broken"};

typedef struct sample {
  double ms;
  const char *file;
  size_t at;
  bool unjudged, quiet, key;
  bool adds, could, breaks; /* errors, by the whole file */
  int cut;
} sample;

typedef struct bench {
  completion c;
  uint32_t seed;
  char *text; /* [len] */
  size_t len;
  const char *file;
  sample *samples[CASES];
  int n[CASES];
} bench;

static uint32_t draw(bench *b, size_t below) {
  b->seed = b->seed * 1664525u + 1013904223u;
  return below ? (b->seed >> 8) % (uint32_t)below : 0;
}

static size_t line_end(const bench *b, size_t at) {
  return completion__line_end(completion__slice_of(b->text, b->len), at);
}

/* Of this thread alone: others may be at work, too. */
static double cpu_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static int count_errors(completion__slice a, completion__slice put, completion__slice rest,
                        const char *uri) {
  completion__buffer all = {0};
  if (completion__buffer_append(&all, a.s, a.len) ||
      completion__buffer_append(&all, put.s, put.len) ||
      completion__buffer_append(&all, rest.s, rest.len))
    exit(1);
  int errors = completion_parse_errors(NULL, uri, all.s, all.len);
  completion__buffer_free(&all);
  return errors;
}

/* What is left of the text, judged by the whole file. */
static void judge_left(const completion__run *r, sample *s) {
  completion__buffer put = {0};
  size_t absorb = 0;
  if (completion__run_polish(r, r->keep, &put, &absorb)) exit(1);
  if (r->keep && put.len) {
    const char *uri = r->j->views[0].document->uri;
    int before = count_errors(r->before, completion__slice_of("", 0), r->after, uri);
    int after = count_errors(r->before, completion__buffer_slice(&put),
                             completion__slice_cut(r->after, absorb, r->after.len), uri);
    s->adds = after > before;
    s->could = before == 0;
    s->breaks = before == 0 && after > 0;
  }
  completion__buffer_free(&put);
}

static void note(bench *b, int which, const completion__run *r, double ms, size_t at, bool key) {
  b->samples[which] = realloc(b->samples[which], (size_t)(b->n[which] + 1) * sizeof(sample));
  if (!b->samples[which]) exit(1);
  b->samples[which][b->n[which]++] = (sample){.ms = ms,
                                              .file = b->file,
                                              .at = at,
                                              .unjudged = r->verdict.unjudged,
                                              .quiet = r->verdict.quiet != COMPLETION_QUIET_NO,
                                              .key = key,
                                              .cut = r->verdict.cut};
  judge_left(r, &b->samples[which][b->n[which] - 1]);
}

/* Judges text[len] at byte `at` of the document's text. */
static void judge(bench *b, int which, completion__documents *all, size_t at, const char *text,
                  size_t len, bool key) {
  completion_job j = {.offset = at, .mode = COMPLETION_AUTO, .candidates = 1};
  completion_fill_options(&j.options);
  j.n_views = completion__documents_view(all, all->items[0], j.views, 1);
  completion__run r = {.j = &j, .c = &b->c};
  if (completion__run_find_cursor(&r)) exit(1);
  completion__stop_init(&r.stop_rules, j.views[0].text->language, r.before, r.after, j.mode,
                        j.options.max_lines);
  r.keep = len;
  if (completion__buffer_append(&r.text, text, len)) exit(1);
  completion__slice t = completion__buffer_slice(&r.text);
  for (size_t n = 1; n <= len; n++)
    if (completion__stop_check(&r.stop_rules, completion__slice_cut(t, 0, n), false, &r.keep))
      break;
  double start = cpu_ms();
  if (completion__decide_shown(&r)) exit(1);
  note(b, which, &r, cpu_ms() - start, at, key);
  completion__syntax_refresh(b->c.parser, j.views[0].document, NULL);
  completion__run_free(&r);
  completion__view_release(&j.views[0]);
}

static void set(completion__documents *all, const char *uri, const char *text, size_t len) {
  completion_document d = {.uri = uri, .text = text, .len = len};
  if (completion__documents_set(all, &d)) exit(1);
}

static void hole(bench *b, size_t from, size_t to) {
  char uri[4096];
  snprintf(uri, sizeof uri, "file://%s", b->file);
  char *doc = malloc(b->len + 8);
  if (!doc) exit(1);
  for (int which = 0; which < CASES; which++) {
    completion__documents all = {0};
    size_t lead = which == BROKEN ? 3 : 0, told = from, rest;
    memcpy(doc, "((\n", lead);
    memcpy(doc + lead, b->text, from);
    memcpy(doc + lead + from, b->text + to, b->len - to);
    size_t len = lead + b->len - (to - from), at = lead + from;
    if (which == OTHER_TEXT) told = draw(b, b->len - 400);
    while (told < b->len && completion__utf8_inside(b->text[told])) told++;
    rest = b->len - told < 200 ? b->len - told : 200;
    while (rest && completion__utf8_inside(b->text[told + rest])) rest--;
    set(&all, uri, doc, len);
    completion__document *d = all.items[0];
    if (d->text->language && completion__syntax_tree(b->c.parser, d, d->text, NULL)) {
      judge(b, which, &all, at, b->text + told, rest, false);
      if (rest > 2 && (unsigned char)b->text[told] < 0x80) {
        memmove(doc + at + 1, doc + at, len - at);
        doc[at] = b->text[told];
        set(&all, uri, doc, len + 1);
        judge(b, which, &all, at + 1, b->text + told + 1, rest - 1, true);
      }
    }
    completion__documents_free(&all);
  }
  free(doc);
}

static void holes(bench *b, int n) {
  for (int tries = 0; n > 0 && tries < 40 * n; tries++) {
    size_t at = completion__line_start(completion__slice_of(b->text, b->len), draw(b, b->len));
    at += strspn(b->text + at, " \t");
    size_t end = line_end(b, at);
    if (end < at + 12) continue;
    if (draw(b, 2)) at += draw(b, (end - at) / 2);
    if (completion__utf8_inside(b->text[at]) || b->text[at] == ' ') continue;
    while (end - at < 50 && end + 1 < b->len) end = line_end(b, end + 1);
    if (end - at < 50 || end - at > 160) continue;
    hole(b, at, end);
    n--;
  }
}

static int by_time(const void *a, const void *b) {
  double x = ((const sample *)a)->ms, y = ((const sample *)b)->ms;
  return (x > y) - (x < y);
}

static void report(bench *b, bool slowest) {
  printf("%-8s %6s %8s %8s %8s %8s %8s %7s %7s %8s %7s %7s\n", "ms", "n", "mean", "p50", "p90",
         "p99", "most", "cut", "quiet", "unjudged", "adds", "breaks");
  for (int c = 0; c < CASES; c++) {
    int n = b->n[c], cut = 0, quiet = 0, unjudged = 0, adds = 0, could = 0, breaks = 0;
    double sum = 0;
    if (!n) continue;
    qsort(b->samples[c], (size_t)n, sizeof(sample), by_time);
    for (int i = 0; i < n; i++) {
      sum += b->samples[c][i].ms;
      cut += b->samples[c][i].cut > 0;
      quiet += b->samples[c][i].quiet;
      unjudged += b->samples[c][i].unjudged;
      adds += b->samples[c][i].adds;
      could += b->samples[c][i].could;
      breaks += b->samples[c][i].breaks;
    }
    printf("%-8s %6d %8.3f %8.3f %8.3f %8.3f %8.3f %6.1f%% %6.1f%% %7.1f%% %6.1f%% %3d of %d\n",
           cases[c], n, sum / n,
           b->samples[c][n / 2].ms, b->samples[c][n * 9 / 10].ms, b->samples[c][n * 99 / 100].ms,
           b->samples[c][n - 1].ms, 100.0 * cut / n, 100.0 * quiet / n,
           100.0 * unjudged / n, 100.0 * adds / n, breaks, could);
    for (int i = n - 1; slowest && i >= 0 && i >= n - SLOWEST; i--) {
      const sample *s = &b->samples[c][i];
      printf("  %8.2f ms  %s byte %zu%s, cut %d%s\n", s->ms, s->file, s->at,
             s->key ? " after a key" : "", s->cut,
             s->quiet ? ", quiet" : s->unjudged ? ", unjudged" : "");
    }
  }
}

static bool read_file(bench *b, const char *path) {
  FILE *f = fopen(path, "rb");
  b->text = malloc((size_t)4 << 20);
  if (!f || !b->text) return false;
  b->len = fread(b->text, 1, ((size_t)4 << 20) - 1, f);
  fclose(f);
  b->len = completion__utf8_valid(completion__slice_of(b->text, b->len));
  b->text[b->len] = 0;
  return b->len > 1000;
}

int main(int argc, char **argv) {
  static bench b;
  int n = HOLES, i = 1;
  bool slowest = false;
  for (; i < argc && argv[i][0] == '-'; i++) {
    if (strcmp(argv[i], "-v") == 0) slowest = true;
    if (strcmp(argv[i], "-n") == 0 && i + 1 < argc) n = atoi(argv[++i]);
  }
  if (i == argc) {
    fprintf(stderr, "usage: gate_bench [-n HOLES] [-v] FILE...\n");
    return 2;
  }
  b.c.parser = completion__parser_new(COMPLETION__PATIENCE_MS);
  if (!b.c.parser) return 1;
  for (; i < argc; i++) {
    b.file = argv[i];
    if (read_file(&b, argv[i])) holes(&b, n);
    free(b.text);
  }
  report(&b, slowest);
  for (int c = 0; c < CASES; c++) free(b.samples[c]);
  completion__parser_delete(b.c.parser);
  return 0;
}
