/* cli_bench_engine.c - `fimd bench engine`: what the forward pass costs, step by step.
 *
 * Prefill is timed as it is done, in chunks; decode and the steps of T tokens (what a draft of
 * T - 1 tokens costs) on top of real tokens. Figures are medians. "must move" is what a step
 * cannot do without reading or writing, weights once and the cache once, so GB/s is the rate that
 * a perfect engine would need to be as fast, not a counter of traffic. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"

#define STEP_CONTEXT 512   /* tokens before a step of T */
#define ROOM 256           /* of the KV cache, beyond the longest prefill */
#define RUNS 30            /* of a decode or step; of a prefill PREFILL_RUNS */
#define PREFILL_RUNS 5
#define QUICK_RUNS 5
#define WARM_UP 3
#define RUNS_MOST 64

static const int lengths[] = {512, 2048, 8192};
static const int widths[] = {1, 2, 4, 8, 16, 32, 48, 64, 96, 128};

typedef struct row {
  const char *kind; /* "prefill", "decode", "step" */
  int tokens, context;
  double ms;
  engine_bench_cost cost;
} row;

typedef struct table {
  row rows[32];
  int n;
} table;

typedef struct bench {
  engine *e;
  engine_session *s;
  int max_batch, context;
  bool quick;
  double copy_gbps; /* 0: not known */
  table table;
} bench;

/* ---- measuring ------------------------------------------------------------------------- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *ms, int n) {
  qsort(ms, (size_t)n, sizeof *ms, compare);
  return n % 2 ? ms[n / 2] : (ms[n / 2 - 1] + ms[n / 2]) / 2;
}

static void add(bench *b, const char *kind, int tokens, int context, double ms,
                engine_bench_cost cost) {
  b->table.rows[b->table.n++] = (row){kind, tokens, context, ms, cost};
}

/* n tokens into an empty cache, the last one's best successor out. cost may be NULL. */
static int prefill_once(bench *b, int n, double *ms, engine_bench_cost *cost) {
  *ms = 0;
  for (int done = 0; done < n;) {
    double step;
    int chunk = n - done < b->max_batch ? n - done : b->max_batch, out = done + chunk == n;
    int rc = engine_bench_step(b->s, done, chunk, out, &step);
    if (rc != ENGINE_OK) return rc;
    *ms += step;
    if (cost != NULL) {
      engine_bench_cost c = engine_bench_step_cost(b->s, done, chunk, out);
      cost->bytes += c.bytes;
      cost->flops += c.flops;
    }
    done += chunk;
  }
  return ENGINE_OK;
}

static int prefill(bench *b, int n) {
  double ms[RUNS_MOST];
  engine_bench_cost cost = {0};
  int runs = b->quick ? 1 : PREFILL_RUNS;
  int rc = prefill_once(b, n, &ms[0], &cost); /* warms up */
  for (int i = 0; i < runs && rc == ENGINE_OK; i++) rc = prefill_once(b, n, &ms[i], NULL);
  if (rc == ENGINE_OK) add(b, "prefill", n, 0, median(ms, runs), cost);
  return rc;
}

/* The session holds at least `context` tokens. */
static int step(bench *b, const char *kind, int n, int context) {
  double ms[RUNS_MOST];
  int runs = b->quick ? QUICK_RUNS : RUNS, rc = ENGINE_OK;
  for (int i = 0; i < WARM_UP && rc == ENGINE_OK; i++)
    rc = engine_bench_step(b->s, context, n, n, &ms[0]);
  for (int i = 0; i < runs && rc == ENGINE_OK; i++)
    rc = engine_bench_step(b->s, context, n, n, &ms[i]);
  if (rc == ENGINE_OK)
    add(b, kind, n, context, median(ms, runs), engine_bench_step_cost(b->s, context, n, n));
  return rc;
}

static int measure(bench *b) {
  int rc = ENGINE_OK, before = 0;
  double unused;
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths && rc == ENGINE_OK; i++)
    if (lengths[i] < b->context) {
      rc = prefill(b, lengths[i]);
      if (rc == ENGINE_OK) rc = step(b, "decode", 1, lengths[i]);
    }
  before = STEP_CONTEXT < b->context - 128 ? STEP_CONTEXT : 0;
  if (rc == ENGINE_OK && before > 0) rc = prefill_once(b, before, &unused, NULL);
  for (size_t i = 0; i < sizeof widths / sizeof *widths && rc == ENGINE_OK; i++)
    if (widths[i] <= b->max_batch && before + widths[i] <= b->context)
      rc = step(b, "step", widths[i], before);
  return rc;
}

/* ---- the table ------------------------------------------------------------------------- */

static double gbps(const row *r) { return (double)r->cost.bytes / r->ms / 1e6; }
static double tflops(const row *r) { return r->cost.flops / r->ms / 1e9; }

static int print_json(const bench *b) {
  const engine_info *i = engine_get_info(b->e);
  cJSON *j = cJSON_CreateObject();
  cJSON_AddStringToObject(j, "model", i->model);
  cJSON_AddStringToObject(j, "types", i->types);
  cJSON_AddStringToObject(j, "backend", i->backend);
  cJSON_AddNumberToObject(j, "weightBytes", (double)i->weight_bytes);
  cJSON_AddNumberToObject(j, "loadMs", engine_get_state(b->e).load_ms);
  cJSON_AddNumberToObject(j, "exactRows", engine_bench_exact_rows(b->e));
  if (b->copy_gbps > 0) cJSON_AddNumberToObject(j, "copyGBPerSecond", b->copy_gbps);
  cJSON *rows = cJSON_AddArrayToObject(j, "rows");
  for (int n = 0; n < b->table.n; n++) {
    const row *r = &b->table.rows[n];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", r->kind);
    cJSON_AddNumberToObject(o, "tokens", r->tokens);
    cJSON_AddNumberToObject(o, "context", r->context);
    cJSON_AddNumberToObject(o, "ms", r->ms);
    cJSON_AddNumberToObject(o, "tokensPerSecond", r->tokens / r->ms * 1e3);
    cJSON_AddNumberToObject(o, "bytes", (double)r->cost.bytes);
    cJSON_AddNumberToObject(o, "gbPerSecond", gbps(r));
    cJSON_AddNumberToObject(o, "tflops", tflops(r));
    cJSON_AddItemToArray(rows, o);
  }
  return cli_print_json(j);
}

static int print_table(const bench *b) {
  const engine_info *i = engine_get_info(b->e);
  printf("%s, %s, %.2f GB on %s\n", i->model, i->types, (double)i->weight_bytes / 1e9, i->backend);
  printf("weights to the device in %.0f ms; medians of %d runs (prefill %d)\n\n",
         engine_get_state(b->e).load_ms, b->quick ? QUICK_RUNS : RUNS,
         b->quick ? 1 : PREFILL_RUNS);
  if (b->copy_gbps > 0)
    printf("a copy within the device's memory moves %.0f GB/s, reading and writing counted\n\n",
           b->copy_gbps);
  printf("            tokens  context         ms   tokens/s  must move GB     GB/s  of copy   "
         "TFLOP/s\n");
  const char *kind = "";
  for (int n = 0; n < b->table.n; n++) {
    const row *r = &b->table.rows[n];
    char share[16] = "-";
    if (b->copy_gbps > 0) snprintf(share, sizeof share, "%.0f %%", 100 * gbps(r) / b->copy_gbps);
    printf("  %-8s %7d  %7d  %9.3f  %9.0f  %12.3f  %7.1f  %7s  %8.2f\n",
           strcmp(kind, r->kind) != 0 ? r->kind : "", r->tokens, r->context, r->ms,
           r->tokens / r->ms * 1e3, (double)r->cost.bytes / 1e9, gbps(r), share, tflops(r));
    kind = r->kind;
  }
  return 0;
}

int cli_bench_engine(const cli_options *o) {
  if (o->n_args > 2 || (o->n_args == 2 && o->engine.model != NULL)) {
    fprintf(stderr, "fimd: usage: fimd bench engine [MODEL | --random-weights SIZE:TYPE]\n");
    return 2;
  }
  cli_options with = *o;
  int longest = lengths[sizeof lengths / sizeof *lengths - 1];
  if (o->n_args == 2) with.engine.model = o->args[1];
  if (with.engine.context == 0) with.engine.context = longest + ROOM;
  bench b = {.e = cli_engine_open(&with), .quick = o->quick};
  if (b.e == NULL) return 1;
  b.max_batch = engine_bench_max_batch(b.e);
  b.context = engine_get_info(b.e)->context;
  int rc = engine_session_new(b.e, &b.s);
  if (rc == ENGINE_OK) rc = measure(&b);
  if (rc != ENGINE_OK)
    fprintf(stderr, "fimd: %s\n", engine_strstatus(rc));
  else {
    b.copy_gbps = engine_bench_copy_bandwidth(b.e);
    rc = o->json ? print_json(&b) : print_table(&b);
  }
  engine_session_delete(b.s);
  engine_close(b.e);
  return rc == 0 ? 0 : 1;
}
