/* cli_bench_lookahead.c - `fimd bench lookahead DIR...`: how many tokens a step brings,
 * and how much faster that is than plain greedy decoding, on holes in real files.
 *
 * A hole is cut out of a file of the workspace: the rest of a line, or several lines. The prompt is
 * the one an editor's request would have, the document is open without the hole, and its version on
 * the disk is hidden from the pool, so the answer is nowhere but in other files. Each method then
 * decodes the same tokens from the same prompt: in mode "own", what the model says by itself,
 * which must come out the same by every method; in mode "replayed", the hole's own tokens,
 * which are put in the place of the model's choices (for models that cannot write code). */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"

#define HOLES 50          /* of each kind, unless the caller says */
#define HOLE_MIN 3        /* tokens */
#define HOLE_MAX 96
#define OWN_TOKENS 32     /* of the model's own text */
#define METHODS_MAX 32
#define FILE_MIN 400      /* bytes of a file that holes are cut into */
#define COPY_MIN 12       /* bytes of a line, blanks aside, that counts as a copy */
#define TRIES 40          /* for each hole */

enum { SINGLE, MULTI, KINDS };
static const char *const kind_names[KINDS] = {"single-line", "multi-line"};

typedef struct sums {
  long holes, tokens, steps, drafted;
  double ms, plain_ms, host_ms;
} sums;

typedef struct method {
  char name[32];
  engine_draft draft;
  engine_drafter *drafter; /* owned; NULL: plain */
  sums sums[KINDS], copied;
  long differ;             /* holes whose own text was not that of plain decoding */
  double *host_us;         /* [host_n] owned: a step's, of each hole */
  int host_n;
} method;

typedef struct bench {
  const cli_options *o;
  engine *e;
  completion *c;
  engine_session *s;
  method methods[METHODS_MAX];
  int n_methods;
  char **files; /* [n_files] owned: of code */
  int n_files;
  uint32_t *lines; /* [1 << LINE_BITS] owned: how often a line stands in the workspace, by hash */
  uint64_t seed;
  bool failed;
} bench;

#define LINE_BITS 20

static uint32_t pick(bench *b, size_t below) {
  b->seed = b->seed * 6364136223846793005u + 1442695040888963407u;
  return (uint32_t)((b->seed >> 33) % below);
}

/* ---- methods --------------------------------------------------------------------------- */

static bool add_method(bench *b, const char *name, engine_draft draft) {
  method *m = &b->methods[b->n_methods++];
  snprintf(m->name, sizeof m->name, "%s", name);
  m->draft = draft;
  m->draft.most = b->o->most;
  m->draft.all_of_them = b->o->most > 0;
  size_t most = (size_t)b->o->holes * KINDS;
  m->host_us = malloc(most * sizeof *m->host_us);
  return m->host_us != NULL &&
         (draft.sources == 0 || engine_drafter_new(&m->drafter, b->e) == ENGINE_OK);
}

static bool add_methods(bench *b) {
  static const char *const all[] = {"none", "lookahead:4,3,4", "lookahead:8,8,8",
                                    "lookahead:15,5,15", "prompt", "pool", "recycle", "all"};
  static const char *const few[] = {"none", "prompt", "pool", "recycle", "all"};
  const char *const *names = b->o->quick ? few : all;
  size_t n = b->o->quick ? sizeof few / sizeof *few : sizeof all / sizeof *all;
  engine_draft draft = {0};
  if (b->o->draft != NULL)
    return add_method(b, "none", (engine_draft){0}) &&
           (b->o->completion.no_draft || add_method(b, b->o->draft, b->o->completion.draft));
  for (size_t i = 0; i < n; i++)
    if (engine_draft_parse(names[i], &draft) != ENGINE_OK || !add_method(b, names[i], draft))
      return false;
  for (int s = 0; !b->o->quick && s < ENGINE_SOURCES; s++) { /* draft is "all" now */
    engine_draft less = draft;
    char name[32];
    if (!(draft.sources >> s & 1)) continue;
    less.sources &= ~(1u << s);
    snprintf(name, sizeof name, "all but %s", engine_source_name((engine_source)s));
    if (!add_method(b, name, less)) return false;
  }
  return true;
}

/* ---- files and lines ------------------------------------------------------------------- */

static uint32_t line_hash(const char *s, size_t len) {
  uint32_t h = 2166136261u;
  for (size_t i = 0; i < len; i++) h = (h ^ (unsigned char)s[i]) * 16777619u;
  return (h ^ h >> 13) >> (32 - LINE_BITS);
}

static void trim(const char **s, size_t *len) {
  while (*len > 0 && (**s == ' ' || **s == '\t')) (*s)++, (*len)--;
  while (*len > 0 && strchr(" \t\r", (*s)[*len - 1])) (*len)--;
}

static void count_lines(bench *b, const char *text, size_t len) {
  for (size_t at = 0; at < len;) {
    const char *end = memchr(text + at, '\n', len - at), *line = text + at;
    size_t n = end ? (size_t)(end - line) : len - at;
    at += n + 1;
    trim(&line, &n);
    if (n >= COPY_MIN) b->lines[line_hash(line, n)]++;
  }
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

static bool find_files(bench *b) {
  int n = 0;
  if (completion_workspace_each(b->c, keep_file, b) != 0) return false;
  for (int i = 0; i < b->n_files; i++) {
    size_t len;
    char *text = cli_read_file(b->files[i], &len);
    if (text != NULL) count_lines(b, text, len);
    free(text);
    if (text != NULL && len >= FILE_MIN)
      b->files[n++] = b->files[i];
    else
      free(b->files[i]);
  }
  b->n_files = n;
  if (n > 0) qsort(b->files, (size_t)n, sizeof *b->files, by_name);
  return true;
}

/* ---- holes ----------------------------------------------------------------------------- */

typedef struct hole {
  const char *path;
  char *text; /* owned: the file */
  size_t len, from, to;
  bool copied; /* its line stands elsewhere in the workspace, too */
} hole;

static size_t end_of_line(const char *text, size_t len, size_t at) {
  const char *end = memchr(text + at, '\n', len - at);
  return end != NULL ? (size_t)(end - text) : len;
}

/* From a place in a line to its end, or from a line's first letter over two to six lines. */
static bool cut_hole(bench *b, int kind, hole *h) {
  size_t at = pick(b, h->len), end;
  while (at > 0 && h->text[at - 1] != '\n') at--;
  end = end_of_line(h->text, h->len, at);
  const char *line = h->text + at;
  size_t n = end - at;
  trim(&line, &n);
  size_t first = (size_t)(line - h->text);
  if (n < 6) return false;
  h->copied = n >= COPY_MIN && b->lines[line_hash(line, n)] >= 2;
  h->from = kind == SINGLE ? first + pick(b, n * 2 / 3) : first;
  if (((unsigned char)h->text[h->from] & 0xc0) == 0x80) return false;
  uint32_t more = kind == SINGLE ? 0 : 1 + pick(b, 5);
  for (; more > 0 && end + 1 < h->len; more--) end = end_of_line(h->text, h->len, end + 1);
  h->to = end;
  return true;
}

static int open_hole(bench *b, const hole *h, char *uri, size_t size, engine_tokens *prompt) {
  char *without = malloc(h->len + 1);
  if (without == NULL) return COMPLETION_ENOMEM;
  memcpy(without, h->text, h->from);
  memcpy(without + h->from, h->text + h->to, h->len - h->to);
  snprintf(uri, size, "file://%s", h->path);
  completion_document d = {.uri = uri, .text = without, .len = h->len - (h->to - h->from)};
  int rc = completion_document_set(b->c, &d);
  free(without);
  return rc == COMPLETION_OK ? completion_prompt(b->c, uri, h->from, prompt) : rc;
}

static int collect(void *user, const engine_step *step) {
  return engine_tokens_append(user, step->ids, step->n) != ENGINE_OK;
}

static void add_up(sums *to, const engine_generate_result *r, double plain_ms) {
  to->holes++;
  to->tokens += r->tokens;
  to->steps += r->steps;
  to->drafted += r->drafted;
  to->ms += r->total_ms;
  to->plain_ms += plain_ms;
  to->host_ms += r->host_ms;
}

/* All methods on one hole. */
static int run_methods(bench *b, int kind, const hole *h, const engine_tokens *prompt,
                       const engine_tokens *text) {
  engine_tokens plain = {0};
  double plain_ms = 0;
  int rc = ENGINE_OK;
  for (int i = 0; rc == ENGINE_OK && i < b->n_methods; i++) {
    method *m = &b->methods[i];
    engine_tokens out = {0};
    engine_generate_result r;
    engine_generate_params p = {.max_tokens = b->o->own ? OWN_TOKENS : text->n,
                                .ignore_stop = !b->o->own,
                                .draft = m->draft,
                                .pool = completion_pool(b->c),
                                .drafter = m->drafter,
                                .replay = b->o->own ? NULL : text->ids,
                                .n_replay = b->o->own ? 0 : text->n};
    rc = engine_session_sync(b->s, prompt->ids, prompt->n, NULL, NULL);
    if (rc == ENGINE_OK) rc = engine_session_generate(b->s, &p, NULL, collect, &out, &r);
    if (rc == ENGINE_OK && r.tokens > 0) {
      if (i == 0) plain_ms = r.total_ms;
      add_up(&m->sums[kind], &r, plain_ms);
      if (h->copied && kind == SINGLE) add_up(&m->copied, &r, plain_ms);
      m->host_us[m->host_n++] = r.host_ms * 1e3 / r.steps;
      bool same = i == 0 || (out.n == plain.n &&
                             memcmp(out.ids, plain.ids, (size_t)out.n * sizeof *out.ids) == 0);
      m->differ += !same;
      if (i == 0) rc = engine_tokens_append(&plain, out.ids, out.n);
    }
    engine_tokens_free(&out);
  }
  engine_tokens_free(&plain);
  return rc;
}

/* 1: done; 0: no hole there; or a negative status. */
static int try_hole(bench *b, int kind) {
  hole h = {.path = b->files[pick(b, (size_t)b->n_files)]};
  engine_tokens prompt = {0}, text = {0};
  char uri[4200];
  h.text = cli_read_file(h.path, &h.len);
  if (h.text == NULL) return -1;
  int rc = cut_hole(b, kind, &h) ? 1 : 0;
  if (rc == 1 && engine_tokenize(b->e, h.text + h.from, h.to - h.from, false, &text)) rc = -1;
  if (rc == 1 && (text.n < HOLE_MIN || text.n > HOLE_MAX)) rc = 0;
  if (rc == 1) {
    int status = open_hole(b, &h, uri, sizeof uri, &prompt);
    if (status == COMPLETION_OK) status = run_methods(b, kind, &h, &prompt, &text);
    if (status != 0) rc = -1;
    completion_document_remove(b->c, uri);
    completion_workspace_wait(b->c);
  }
  free(h.text);
  engine_tokens_free(&prompt);
  engine_tokens_free(&text);
  return rc;
}

static bool measure(bench *b) {
  for (int kind = 0; kind < KINDS; kind++) {
    int done = 0;
    for (int tries = 0; done < b->o->holes && tries < b->o->holes * TRIES; tries++) {
      int rc = try_hole(b, kind);
      if (rc < 0) return false;
      done += rc;
    }
    if (done < b->o->holes)
      fprintf(stderr, "fimd: only %d %s holes found\n", done, kind_names[kind]);
  }
  return true;
}

/* ---- figures --------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median_host(method *m) {
  if (m->host_n == 0) return 0;
  qsort(m->host_us, (size_t)m->host_n, sizeof *m->host_us, by_size);
  return m->host_us[m->host_n / 2];
}

static double ratio(double a, double b) { return b > 0 ? a / b : 0; }

static sums both(const method *m) {
  sums s = m->sums[SINGLE];
  const sums *t = &m->sums[MULTI];
  s.holes += t->holes;
  s.tokens += t->tokens;
  s.steps += t->steps;
  s.drafted += t->drafted;
  s.ms += t->ms;
  s.plain_ms += t->plain_ms;
  s.host_ms += t->host_ms;
  return s;
}

static void print_table(bench *b) {
  completion_workspace_info w = completion_workspace_get_info(b->c);
  engine_pool_info p = engine_pool_get_info(completion_pool(b->c));
  const engine_info *i = engine_get_info(b->e);
  printf("%s: %d files, %.2f MB, %zu tokens, in the pool in %.0f ms, %.1f MB\n", b->o->workspace,
         w.files, (double)w.bytes / 1e6, p.tokens, w.ms, (double)p.bytes / 1e6);
  printf("%s on %s; %s text; %ld single-line and %ld multi-line holes, %ld of them copied lines\n\n",
         i->model, i->backend, b->o->own ? "the model's own" : "replayed",
         b->methods[0].sums[SINGLE].holes, b->methods[0].sums[MULTI].holes,
         b->methods[0].copied.holes);
  printf("                        tokens a step           speed-up over plain          guesses  "
         "ms a  host us\n");
  printf("method                single multi  both   single multi  both copied   a step   step  "
         "(median)%s\n", b->o->own ? "  differ" : "");
  for (int n = 0; n < b->n_methods; n++) {
    method *m = &b->methods[n];
    sums s = both(m);
    const sums *a = &m->sums[SINGLE], *c = &m->sums[MULTI];
    printf("%-22s %5.2f %5.2f %5.2f    %5.2f %5.2f %5.2f  %5.2f    %5.1f %7.3f  %7.1f", m->name,
           ratio((double)a->tokens, (double)a->steps), ratio((double)c->tokens, (double)c->steps),
           ratio((double)s.tokens, (double)s.steps), ratio(a->plain_ms, a->ms),
           ratio(c->plain_ms, c->ms), ratio(s.plain_ms, s.ms),
           ratio(m->copied.plain_ms, m->copied.ms), ratio((double)s.drafted, (double)s.steps),
           ratio(s.ms, (double)s.steps), median_host(m));
    if (b->o->own) printf("  %6ld", m->differ);
    putchar('\n');
  }
}

static void add_sums(cJSON *to, const char *name, const sums *s) {
  cJSON *j = cJSON_AddObjectToObject(to, name);
  cJSON_AddNumberToObject(j, "holes", (double)s->holes);
  cJSON_AddNumberToObject(j, "tokens", (double)s->tokens);
  cJSON_AddNumberToObject(j, "steps", (double)s->steps);
  cJSON_AddNumberToObject(j, "drafted", (double)s->drafted);
  cJSON_AddNumberToObject(j, "ms", s->ms);
  cJSON_AddNumberToObject(j, "plainMs", s->plain_ms);
  cJSON_AddNumberToObject(j, "hostMs", s->host_ms);
}

static int print_json(bench *b) {
  completion_workspace_info w = completion_workspace_get_info(b->c);
  engine_pool_info p = engine_pool_get_info(completion_pool(b->c));
  cJSON *j = cJSON_CreateObject();
  cJSON_AddStringToObject(j, "workspace", b->o->workspace);
  cJSON_AddStringToObject(j, "model", engine_get_info(b->e)->model);
  cJSON_AddStringToObject(j, "backend", engine_get_info(b->e)->backend);
  cJSON_AddStringToObject(j, "text", b->o->own ? "own" : "replayed");
  cJSON_AddNumberToObject(j, "files", w.files);
  cJSON_AddNumberToObject(j, "bytes", (double)w.bytes);
  cJSON_AddNumberToObject(j, "poolTokens", (double)p.tokens);
  cJSON_AddNumberToObject(j, "poolBytes", (double)p.bytes);
  cJSON_AddNumberToObject(j, "indexMs", w.ms);
  cJSON *methods = cJSON_AddArrayToObject(j, "methods");
  for (int n = 0; n < b->n_methods; n++) {
    method *m = &b->methods[n];
    cJSON *one = cJSON_CreateObject();
    cJSON_AddStringToObject(one, "name", m->name);
    add_sums(one, "singleLine", &m->sums[SINGLE]);
    add_sums(one, "multiLine", &m->sums[MULTI]);
    add_sums(one, "copied", &m->copied);
    cJSON_AddNumberToObject(one, "differ", (double)m->differ);
    cJSON_AddNumberToObject(one, "hostUsMedian", median_host(m));
    cJSON_AddItemToArray(methods, one);
  }
  return cli_print_json(j);
}

/* ---- the command ----------------------------------------------------------------------- */

static bool prepare(bench *b) {
  completion_options options = b->o->completion;
  options.no_draft = false;
  options.draft = (engine_draft){0};
  b->lines = calloc((size_t)1 << LINE_BITS, sizeof *b->lines);
  if (b->lines == NULL || completion_new(&b->c, b->e, &options) != COMPLETION_OK ||
      completion_root_add(b->c, b->o->workspace) != COMPLETION_OK ||
      engine_session_new(b->e, &b->s) != ENGINE_OK || !add_methods(b)) {
    fprintf(stderr, "fimd: cannot begin: out of memory, or a model without FIM tokens\n");
    return false;
  }
  completion_workspace_wait(b->c);
  completion_workspace_info w = completion_workspace_get_info(b->c);
  if (w.status != COMPLETION_OK || !find_files(b)) {
    fprintf(stderr, "fimd: %s: %s\n", b->o->workspace, w.status == COMPLETION_EINVAL
            ? "not a folder that can be read" : completion_strstatus(w.status));
    return false;
  }
  if (b->n_files == 0) fprintf(stderr, "fimd: %s: no code in it\n", b->o->workspace);
  return b->n_files > 0;
}

/* One folder's figures. */
static int bench_folder(const cli_options *o, engine *e, const char *folder) {
  cli_options with = *o;
  char *root = realpath(folder, NULL);
  with.workspace = root != NULL ? root : folder;
  if (with.holes == 0) with.holes = HOLES;
  bench b = {.o = &with, .e = e, .seed = o->completion.seed + 1};
  int rc = 1;
  if (prepare(&b)) {
    if (!measure(&b)) {
      fprintf(stderr, "fimd: a request failed\n");
    } else {
      rc = o->json ? print_json(&b) : (print_table(&b), 0);
      for (int i = 0; i < b.n_methods; i++)
        if (b.methods[i].differ > 0) rc = 1;
    }
  }
  for (int i = 0; i < b.n_methods; i++) {
    engine_drafter_delete(b.methods[i].drafter);
    free(b.methods[i].host_us);
  }
  for (int i = 0; i < b.n_files; i++) free(b.files[i]);
  free(b.files);
  free(b.lines);
  free(root);
  engine_session_delete(b.s);
  completion_delete(b.c);
  return rc;
}

int cli_bench_lookahead(const cli_options *o) {
  if (o->n_args < 1 || (o->workspace == NULL && o->n_args < 2)) {
    fprintf(stderr, "fimd: usage: fimd bench lookahead --workspace DIR [DIR...] [--holes N] [--own]\n");
    return 2;
  }
  engine *e = cli_engine_open(o);
  int rc = e == NULL;
  if (e != NULL && o->workspace != NULL) rc = bench_folder(o, e, o->workspace);
  for (int i = 1; e != NULL && i < o->n_args; i++) {
    if (!o->json && (i > 1 || o->workspace != NULL)) putchar('\n');
    if (bench_folder(o, e, o->args[i]) != 0) rc = 1;
    fflush(stdout);
  }
  engine_close(e);
  return rc;
}
