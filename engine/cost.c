/* cost.c - timing steps. */
#include "engine/cost.h"

#include "engine/internal.h"
#include "engine/recycle.h"

#define GPU_BUDGET_MS 150.0 /* the first steps of a size are recorded there, */
#define GPU_BUDGET_STEPS 30 /* and large models take longer, but also to load */
#define CPU_BUDGET_MS 60.0
#define RUNS 3
#define FIRST_PATIENCE 256
#define LAST_PATIENCE (1 << 20)
#define BLEND 0.1f /* of a new measurement */
#define SLOPE 0.15f /* of a step's time for each further row, where nothing larger was measured */

static const int sizes[] = {1, 4, 8, 16, 32, 48, 64, 96, 128};
enum { N_SIZES = sizeof sizes / sizeof *sizes };

/* As a step with guesses is: what a backend records of it serves the first request, too. */
static int time_step(engine_session *s, int rows, double *ms) {
  int32_t ids[COST_ROWS_MAX], out[COST_ROWS_MAX];
  for (int i = 0; i < rows; i++) {
    ids[i] = (i * 61 + 7) % s->engine->info[0].vocab;
    s->pos[i] = s->n_cached + i;
    out[i] = i;
  }
  kernels_batch batch = {.n = rows, .ids = ids, .pos = s->pos, .kv_len = s->n_cached,
                         .n_out = rows, .out = out, .top_k = RECYCLE_WIDTH};
  double start = engine__now_ms();
  int rc = engine__device_step(s->engine, s->cache, &batch, NULL, NULL);
  *ms = engine__now_ms() - start;
  if (rc != ENGINE_OK) s->n = s->n_cached = 0;
  return rc;
}

/* Between the sizes that were measured: as the next larger one where a backend makes steps to whole
 * groups of rows, else a line. Beyond them a guess. */
static void fill(cost_curve *c, const kernels *k, const double *measured, int n) {
  for (int i = 0; i + 1 < n; i++)
    for (int rows = sizes[i]; rows <= sizes[i + 1]; rows++) {
      double part = (double)(rows - sizes[i]) / (sizes[i + 1] - sizes[i]);
      if (rows > sizes[i] && kernels_padded_rows(k, rows) > rows) part = 1;
      c->ms[rows] = (float)(measured[i] + part * (measured[i + 1] - measured[i]));
    }
  int last = sizes[n - 1];
  double slope = n == 1 ? SLOPE * measured[0]
                        : (measured[n - 1] - measured[n - 2]) / (last - sizes[n - 2]);
  if (slope < 0) slope = 0;
  for (int rows = last; rows <= COST_ROWS_MAX; rows++)
    c->ms[rows] = (float)(measured[n - 1] + slope * (rows - last));
  for (int rows = 2; rows <= COST_ROWS_MAX; rows++) /* noise aside, more rows take no less */
    if (c->ms[rows] < c->ms[rows - 1]) c->ms[rows] = c->ms[rows - 1];
}

int cost_measure(engine_session *s) {
  engine *e = s->engine;
  cost_curve *c = &e->cost;
  if (c->load == atomic_load(&e->loads)) return ENGINE_OK;
  double measured[N_SIZES], start = engine__now_ms();
  bool gpu = e->info[0].device_total > 0;
  double budget = gpu ? GPU_BUDGET_MS : CPU_BUDGET_MS;
  int most = kernels_exact_rows(e->kernels), n = 0;
  if (most > e->options.max_out) most = e->options.max_out;
  if (most > s->context - s->n_cached) most = s->context - s->n_cached;
  for (; n < N_SIZES && sizes[n] <= most && sizes[n] <= COST_ROWS_MAX; n++) {
    double spent = engine__now_ms() - start;
    if (n > 0 && spent + measured[n - 1] * 2 > budget) break;
    if (n == 1 && gpu && budget < GPU_BUDGET_STEPS * measured[0])
      budget = GPU_BUDGET_STEPS * measured[0];
    measured[n] = 0;
    for (int run = 0; run < RUNS; run++) {
      double ms;
      int rc = time_step(s, sizes[n], &ms);
      if (rc != ENGINE_OK) return rc;
      if (gpu && run == 0) continue; /* it was recorded */
      if (measured[n] == 0 || ms < measured[n]) measured[n] = ms;
      if (engine__now_ms() - start > budget) break;
    }
  }
  if (n == 0) return ENGINE_OK; /* the cache is full: another time */
  fill(c, e->kernels, measured, n);
  c->load = atomic_load(&e->loads);
  return ENGINE_OK;
}

void cost_paid(cost_curve *c, bool paid) {
  if (paid || c->patience == 0) c->patience = FIRST_PATIENCE;
  if (paid) c->idle = 0;
  else if (++c->idle >= c->patience) {
    c->load = 0;
    c->idle = 0;
    c->patience = c->patience < LAST_PATIENCE ? c->patience * 2 : LAST_PATIENCE;
  }
}

void cost_seen(cost_curve *c, int rows, double ms) {
  if (c->load == 0 || rows < 1 || rows > COST_ROWS_MAX) return;
  float ratio = (float)ms / c->ms[rows];
  if (ratio > 4) ratio = 4; /* the machine had something else to do */
  float change = c->ms[rows] * (ratio - 1) * BLEND;
  /* Its neighbours are corrected with it, the less the further off. */
  for (int i = 1; i <= COST_ROWS_MAX; i++) {
    int far = i > rows ? i - rows : rows - i;
    int reach = 1 + rows / 4;
    if (far < reach) c->ms[i] += change * (float)(reach - far) / (float)reach;
  }
}
