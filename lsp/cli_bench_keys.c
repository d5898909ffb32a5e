/* cli_bench_keys.c - `fimd bench keys DIR...`: what a keystroke costs, end to end, and where the
 * time goes.
 *
 * The daemon is a child that is spoken to as an editor does; the clock runs from the first byte of
 * didChange (or didOpen) to the last byte of the answer. One to four lines are cut out of a file
 * and written again:
 *   new file   didOpen and the first request at once: all of the prompt is computed
 *   first key  the first key, in a file that was opened before: likewise
 *   new line   the first line stands and Enter was pressed: the prompt is another one
 *   other key  a key that is not what the ghost text said: the model writes anew
 *   next key   a key that agrees with it: nothing is computed
 *
 * Without a model's weights (--random-weights) what the model writes means nothing, so the cut text
 * itself is put in the place of its choices ("replayed"): guesses meet real code, and the model's
 * steps cost what they cost. Answers of 16 to 32 tokens are counted then, so that the figures
 * are of completions of about 24; with --own the model writes, and all are counted. */
#include <cjson/cJSON.h>
#include <fts.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "lsp/cli_client.h"
#include "lsp/cli_replay.h"
#include "lsp/utf8.h"

#define HOLES 100
#define TRIES 40           /* for each hole */
#define FILE_MIN 6000      /* bytes: a prompt is full */
#define FILE_MAX 262144
#define HOLE_MIN 50        /* bytes cut out */
#define HOLE_MAX 160
#define REPLAYED_MAX 400   /* bytes told, beyond the hole's end: it must stop by itself */
#define TOKENS_MIN 16
#define TOKENS_MAX 32
#define KEYS 4

enum { NEW_FILE, FIRST_KEY, NEW_LINE, OTHER_KEY, NEXT_KEY, KINDS };
static const char *const kind_names[KINDS] = {"new file", "first key", "new line", "other key",
                                               "next key"};

/* Of one answer. What the daemon tells of itself is of its last answer. */
enum { TOTAL, FIRST, IO, CONTEXT, PROMPT, PREFILL, STEPS, HOST, GATE, PARTS };
static const char *const part_names[PARTS] = {"total", "first", "I/O", "context", "prompt",
                                              "prefill", "steps", "host", "gate"};

typedef struct samples {
  double *ms[PARTS]; /* [n] owned */
  int n, capacity;
  double tokens, steps, prompt, prefilled; /* sums */
} samples;

typedef struct bench {
  const cli_options *o;
  cli_client client;
  replay_random random;
  char **files; /* [n_files] owned */
  int n_files, files_capacity;
  int documents; /* opened so far: every one gets a name of its own */
  samples samples[KINDS];
} bench;

/* ---- samples --------------------------------------------------------------------------- */

static bool add_sample(samples *s, const double *ms) {
  if (s->n == s->capacity) {
    s->capacity = s->capacity > 0 ? 2 * s->capacity : 64;
    for (int p = 0; p < PARTS; p++) {
      double *grown = realloc(s->ms[p], (size_t)s->capacity * sizeof *grown);
      if (grown == NULL) return false;
      s->ms[p] = grown;
    }
  }
  for (int p = 0; p < PARTS; p++) s->ms[p][s->n] = ms[p];
  s->n++;
  return true;
}

static double number(const cJSON *object, const char *name) {
  const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);
  return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* Asks, and takes the answer down as one of a kind. */
static bool ask(bench *b, int kind, const char *uri, cli_position at, double start_ms,
                const char *replay) {
  cli_ghost ghost;
  if (cli_client_ask_measured(&b->client, uri, at, b->o->own ? NULL : replay, NULL, &ghost) < 0)
    return false;
  double ms[PARTS] = {[TOTAL] = b->client.received_ms - start_ms};
  bool shown = ghost.text != NULL;
  free(ghost.text);
  cJSON *status = cli_client_request(&b->client, "fimd/status", cJSON_CreateObject());
  const cJSON *statistics = cJSON_GetObjectItemCaseSensitive(status, "statistics");
  const cJSON *last = cJSON_GetObjectItemCaseSensitive(statistics, "last");
  if (last == NULL) {
    cJSON_Delete(status);
    return false;
  }
  double tokens = number(last, "tokens"), steps = number(last, "steps");
  if (kind == OTHER_KEY && steps == 0) kind = NEXT_KEY; /* it is what the model says, too */
  if (kind == NEXT_KEY && steps > 0) kind = OTHER_KEY;
  ms[IO] = ms[TOTAL] - number(last, "totalMs");
  ms[FIRST] = ms[IO] + number(last, "firstTokenMs");
  ms[CONTEXT] = number(last, "contextMs");
  ms[PROMPT] = number(last, "promptMs");
  ms[PREFILL] = number(last, "prefillMs");
  ms[HOST] = number(last, "hostMs");
  ms[STEPS] = number(last, "decodeMs") - ms[HOST];
  ms[GATE] = number(last, "gateMs");
  bool counts = kind == NEXT_KEY ? shown : steps > 0;
  if (!b->o->own && kind != NEXT_KEY) counts = tokens >= TOKENS_MIN && tokens <= TOKENS_MAX;
  samples *s = &b->samples[kind];
  bool ok = true;
  if (counts) {
    ok = add_sample(s, ms);
    s->tokens += tokens;
    s->steps += steps;
    s->prompt += number(last, "promptTokens");
    s->prefilled += number(last, "prefilledTokens");
  }
  cJSON_Delete(status);
  return ok;
}

/* ---- one hole -------------------------------------------------------------------------- */

typedef struct hole {
  char *text; /* [len] owned: the file */
  size_t len, from, line_end, to;
  const char *language;
} hole;

static size_t end_of_line(const char *text, size_t at) { return at + strcspn(text + at, "\n"); }

/* From a place in a line, its first letter in half of them, over as many lines as it takes. */
static bool cut_hole(bench *b, hole *h) {
  size_t at = replay__pick(&b->random, h->len);
  while (at > 0 && h->text[at - 1] != '\n') at--;
  at += strspn(h->text + at, " \t");
  h->line_end = end_of_line(h->text, at);
  if (h->line_end < at + 12) return false;
  if (replay__pick(&b->random, 2)) at += replay__pick(&b->random, (h->line_end - at) / 2);
  if (((unsigned char)h->text[at] & 0xc0) == 0x80 || h->text[at] == ' ') return false;
  h->from = at;
  h->to = h->line_end;
  while (h->to - h->from < HOLE_MIN && h->to + 1 < h->len) h->to = end_of_line(h->text, h->to + 1);
  return h->to - h->from >= HOLE_MIN && h->to - h->from <= HOLE_MAX;
}

static char *join(const char *a, size_t a_len, const char *b) {
  char *text = malloc(a_len + strlen(b) + 1);
  if (text == NULL) return NULL;
  memcpy(text, a, a_len);
  strcpy(text + a_len, b);
  return text;
}

/* What stands at a place of the file, as far as it is told; owned by the caller. */
static char *rest_from(const hole *h, size_t at) {
  size_t len = strnlen(h->text + at, REPLAYED_MAX);
  while (len > 0 && ((unsigned char)h->text[at + len] & 0xc0) == 0x80) len--;
  return strndup(h->text + at, len);
}

/* Opens the file without the hole; its name, owned by the caller, or NULL. */
static char *open_hole(bench *b, const hole *h, double *start_ms) {
  char *uri = malloc(64), *without = join(h->text, h->from, h->text + h->to);
  bool ok = uri != NULL && without != NULL;
  if (ok) {
    snprintf(uri, 64, "file:///measured/%d", ++b->documents);
    ok = cli_client_open(&b->client, uri, h->language, without);
    *start_ms = b->client.sent_ms;
  }
  free(without);
  if (ok) return uri;
  free(uri);
  return NULL;
}

/* Types text[len] of the file at `at`, asks, and goes on behind it. */
static bool type(bench *b, const hole *h, int kind, const char *uri, int version, size_t *at,
                 size_t len) {
  char *typed = strndup(h->text + *at, len), *rest = NULL;
  cli_position place = cli_position_of(h->text, *at);
  bool ok = typed != NULL && cli_client_type(&b->client, uri, version, place, typed);
  double start_ms = b->client.sent_ms;
  *at += len;
  if (ok) rest = rest_from(h, *at);
  ok = ok && rest != NULL && ask(b, kind, uri, cli_position_of(h->text, *at), start_ms, rest);
  free(rest);
  free(typed);
  return ok;
}

/* The file is new; keys agree; the line is complete, Enter. */
static bool write_hole(bench *b, const hole *h) {
  double start_ms = 0;
  char *uri = open_hole(b, h, &start_ms), *rest = rest_from(h, h->from);
  size_t at = h->from;
  bool ok = uri != NULL && rest != NULL &&
            ask(b, NEW_FILE, uri, cli_position_of(h->text, at), start_ms, rest);
  int version = 1;
  for (int key = 0; ok && key < KEYS && at + 4 < h->line_end; key++)
    ok = type(b, h, NEXT_KEY, uri, ++version, &at, lsp__utf8_length((unsigned char)h->text[at]));
  if (ok && h->to > h->line_end) {
    size_t next = h->line_end + 1;
    next += strspn(h->text + next, " \t");
    if (next < h->to) ok = type(b, h, NEW_LINE, uri, ++version, &at, next - at);
  }
  if (uri != NULL) ok = cli_client_close(&b->client, uri) && ok;
  free(rest);
  free(uri);
  return ok;
}

/* As a person does who opens a file, reads and types. */
static bool write_first(bench *b, const hole *h) {
  double start_ms = 0;
  char *uri = open_hole(b, h, &start_ms);
  size_t at = h->from;
  bool ok = uri != NULL && replay__wait_ready(&b->client) &&
            type(b, h, FIRST_KEY, uri, 2, &at, lsp__utf8_length((unsigned char)h->text[at]));
  if (uri != NULL) ok = cli_client_close(&b->client, uri) && ok;
  free(uri);
  return ok;
}

/* The model is taken to have said something else before the first key. */
static bool write_other(bench *b, const hole *h) {
  double start_ms = 0;
  char *uri = open_hole(b, h, &start_ms), *rest = rest_from(h, h->from), *other = NULL;
  cli_ghost ghost = {0};
  size_t at = h->from;
  if (rest != NULL) other = join("_", 1, rest);
  bool ok = uri != NULL && other != NULL &&
            cli_client_ask_measured(&b->client, uri, cli_position_of(h->text, at), other, NULL,
                                    &ghost) >= 0 &&
            type(b, h, OTHER_KEY, uri, 2, &at, lsp__utf8_length((unsigned char)h->text[at]));
  if (uri != NULL) ok = cli_client_close(&b->client, uri) && ok;
  free(ghost.text);
  free(other);
  free(rest);
  free(uri);
  return ok;
}

/* 1: done, 0: none there, -1: failed. */
static int try_hole(bench *b, bool first) {
  const char *path = b->files[replay__pick(&b->random, (size_t)b->n_files)];
  hole h = {.language = replay__language(path)};
  h.text = cli_read_file(path, &h.len);
  if (h.text == NULL) return -1;
  int rc = replay__text_is_fit(h.text, h.len) && cut_hole(b, &h);
  if (rc == 1 && first) {
    if (!write_first(b, &h)) rc = -1;
  } else if (rc == 1) {
    if (!write_hole(b, &h) || (!b->o->own && !write_other(b, &h))) rc = -1;
  }
  free(h.text);
  return rc;
}

/* ---- files ----------------------------------------------------------------------------- */

static bool keep_file(bench *b, const FTSENT *entry) {
  if (entry->fts_info != FTS_F || entry->fts_statp->st_size < FILE_MIN ||
      entry->fts_statp->st_size > FILE_MAX || replay__language(entry->fts_path) == NULL)
    return true;
  if (b->n_files == b->files_capacity) {
    int capacity = b->files_capacity > 0 ? 2 * b->files_capacity : 64;
    char **grown = realloc(b->files, (size_t)capacity * sizeof *grown);
    if (grown == NULL) return false;
    b->files = grown;
    b->files_capacity = capacity;
  }
  b->files[b->n_files] = strdup(entry->fts_path);
  return b->files[b->n_files] != NULL && ++b->n_files > 0;
}

static int by_name(const void *a, const void *b) {
  return strcmp(*(char *const *)a, *(char *const *)b);
}

static bool find_files(bench *b) {
  FTS *tree = fts_open((char *const *)(b->o->args + 1), FTS_PHYSICAL | FTS_NOCHDIR, NULL);
  bool ok = tree != NULL;
  for (FTSENT *entry; ok && (entry = fts_read(tree)) != NULL;) {
    if (entry->fts_info == FTS_D && strcmp(entry->fts_name, ".git") == 0)
      fts_set(tree, entry, FTS_SKIP);
    else
      ok = keep_file(b, entry);
    if (entry->fts_level == 0 && (entry->fts_info == FTS_NS || entry->fts_info == FTS_DNR)) {
      fprintf(stderr, "fimd: %s: %s\n", entry->fts_path, strerror(entry->fts_errno));
      ok = false;
    }
  }
  if (tree != NULL) fts_close(tree);
  if (ok && b->n_files == 0) fprintf(stderr, "fimd: no code in files of 6 to 256 kB there\n");
  if (b->n_files > 0) qsort(b->files, (size_t)b->n_files, sizeof *b->files, by_name);
  return ok && b->n_files > 0;
}

/* ---- figures --------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double mean(const double *v, int n) {
  double sum = 0;
  for (int i = 0; i < n; i++) sum += v[i];
  return n > 0 ? sum / n : 0;
}

/* Nearest rank; sorts. */
static double percentile(double *v, int n, double p) {
  if (n == 0) return 0;
  qsort(v, (size_t)n, sizeof *v, by_size);
  int rank = (int)(p * n + 0.999999);
  return v[rank > 0 ? rank - 1 : 0];
}

static void print_table(bench *b) {
  printf("%-10s %5s %7s %6s %7s %7s %8s %8s %8s %8s  mean ms of total: I/O context prompt prefill"
         " steps host gate\n",
         "", "n", "tokens", "steps", "prompt", "new", "first50", "first90", "p50", "p90");
  for (int k = 0; k < KINDS; k++) {
    samples *s = &b->samples[k];
    double n = s->n > 0 ? s->n : 1, means[PARTS];
    for (int p = 0; p < PARTS; p++) means[p] = mean(s->ms[p], s->n);
    bool steps = s->steps > 0;
    printf("%-10s %5d %7.1f %6.1f %7.0f %7.1f %8.2f %8.2f %8.2f %8.2f  %.2f:", kind_names[k], s->n,
           s->tokens / n, s->steps / n, s->prompt / n, s->prefilled / n,
           steps ? percentile(s->ms[FIRST], s->n, 0.5) : 0,
           steps ? percentile(s->ms[FIRST], s->n, 0.9) : 0, percentile(s->ms[TOTAL], s->n, 0.5),
           percentile(s->ms[TOTAL], s->n, 0.9), means[TOTAL]);
    for (int p = IO; p < PARTS; p++) printf(" %.2f", means[p]);
    putchar('\n');
  }
}

static int print_json(bench *b) {
  cJSON *j = cJSON_CreateObject();
  cJSON_AddStringToObject(j, "text", b->o->own ? "own" : "replayed");
  for (int k = 0; k < KINDS; k++) {
    samples *s = &b->samples[k];
    double n = s->n > 0 ? s->n : 1;
    cJSON *kind = cJSON_AddObjectToObject(j, kind_names[k]);
    cJSON_AddNumberToObject(kind, "count", s->n);
    cJSON_AddNumberToObject(kind, "tokens", s->tokens / n);
    cJSON_AddNumberToObject(kind, "steps", s->steps / n);
    cJSON_AddNumberToObject(kind, "promptTokens", s->prompt / n);
    cJSON_AddNumberToObject(kind, "prefilledTokens", s->prefilled / n);
    for (int p = 0; p < PARTS; p++) {
      cJSON *part = cJSON_AddObjectToObject(kind, part_names[p]);
      cJSON_AddNumberToObject(part, "mean", mean(s->ms[p], s->n));
      cJSON_AddNumberToObject(part, "p50", percentile(s->ms[p], s->n, 0.5));
      cJSON_AddNumberToObject(part, "p90", percentile(s->ms[p], s->n, 0.9));
    }
  }
  return cli_print_json(j);
}

/* The first keys have holes of their own: of the same ones the prompts would be known. */
static bool measure(bench *b) {
  int holes = b->o->holes > 0 ? b->o->holes : HOLES;
  for (int first = 0; first < 2; first++) {
    int done = 0;
    for (int tries = 0; done < holes && tries < holes * TRIES; tries++) {
      int rc = try_hole(b, first);
      if (rc < 0) return false;
      done += rc;
    }
    if (done < holes) fprintf(stderr, "fimd: only %d holes found\n", done);
  }
  return true;
}

int cli_bench_keys(const cli_options *o) {
  bench b = {.o = o, .random = {o->completion.seed + 1}};
  if (o->n_args < 2) {
    fprintf(stderr, "fimd: bench keys needs a folder with code\n");
    return 2;
  }
  bool ok = find_files(&b);
  cli_options daemon = *o;
  daemon.lsp.measured = !o->own;
  bool started = ok && cli_client_start(&b.client, &daemon);
  if (ok && !started) perror("fimd: the daemon does not start");
  ok = started && cli_client_initialize(&b.client, NULL) && replay__wait_ready(&b.client) &&
       measure(&b);
  if (started && cli_client_stop(&b.client) != 0) ok = false;
  if (ok && o->json)
    ok = print_json(&b) == 0;
  else if (ok)
    print_table(&b);
  for (int i = 0; i < b.n_files; i++) free(b.files[i]);
  free(b.files);
  for (int k = 0; k < KINDS; k++)
    for (int p = 0; p < PARTS; p++) free(b.samples[k].ms[p]);
  return ok ? 0 : 1;
}
