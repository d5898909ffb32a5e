/* decode.c - the decode loop: guess, verify in one step, accept, until something says stop.
 *
 * A step computes the current token (committed, not yet in the cache), the nodes of a draft tree
 * behind it, and, where the classical scheme is asked for, its window. Each row sees the cache, the
 * current token and its own ancestors, so its logits are those that plain decoding would compute,
 * bit by bit (kernels_exact_rows). The model's own choice after the current token decides which
 * node is right, its choice after that one which comes next, and so on; where no node agrees the
 * choice itself is the last token of the step. With a temperature the choice is a draw: a node is
 * accepted with the probability that the model gives it, and a draw that no node agrees with is one
 * from the rest, so the distribution is the model's own, and a seed gives the same tokens with and
 * without guesses.
 *
 * The cancel flag is read before every step, so a cancelled request costs at most the step that
 * is under way. */
#include <stdlib.h>
#include <string.h>

#include "engine/draft.h"
#include "engine/internal.h"
#include "engine/sampler.h"
#include "engine/score.h"

#define MOST 64           /* guesses of a step, unless the caller says */
#define FLOOR 0.001f      /* least chance of a guess */
#define REST_MOST 8       /* steps without looking for guesses, after looking in vain */
#define NODE_MS 1.5e-3    /* of the host for a guess, until it is known: as of so many guesses */
#define NODES 16
#define BLEND 0.05        /* of a new measurement */
#define ROWS COST_ROWS_MAX
#define WORDS (ROWS / 64)

/* What a step has taught, until there is time for it. */
typedef struct lessons {
  bool waiting;
  int32_t before, first; /* the current token of the step, and the one before it */
  draft_tree tree;
  int top_k;
  int32_t top_ids[ROWS * RECYCLE_WIDTH];
  float top_logits[ROWS * RECYCLE_WIDTH];
} lessons;

struct engine_drafter {
  drafter *drafter;
  lookahead *window; /* of the shape below, or NULL */
  int w, n, g;
  int rest, resting; /* steps to go without guesses; how long the last rest was */
  bool looked;       /* for guesses, in this step */
  bool rehearses;    /* the host is idle while a step runs, so it may */
  draft_tree tree;
  double nodes, nodes_ms; /* a step's, and what the host took for them: running means */
  float cost[1 + DRAFT_NODES_MAX];
  lessons lessons;
  int32_t ids[ROWS], pos[ROWS], out[ROWS];
  uint64_t mask[ROWS * WORDS];
};

/* One call of generate. */
typedef struct run {
  engine_session *s;
  const engine_generate_params *p;
  engine_drafter *d; /* NULL: no guesses at all */
  sampler draw;
  bool sample;
  bool choosing; /* the caller does, still */
  int replayed;
  bool has_window; /* in this step, with so many rows: */
  int window_rows;
  int32_t came[ROWS + 1]; /* [n] the tokens of this step */
  int path[ROWS];         /* [n - 1] their nodes, but for the last */
  bool given[ROWS + 1];   /* [n] the caller chose it */
  int n;
  engine_generate_result r;
} run;

int engine_drafter_new(engine_drafter **out, const engine *e) {
  *out = calloc(1, sizeof **out);
  if (*out == NULL) return ENGINE_ENOMEM;
  (*out)->nodes = NODES;
  (*out)->nodes_ms = NODES * NODE_MS;
  int rc = drafter_new(&(*out)->drafter, e);
  if (rc != ENGINE_OK) {
    free(*out);
    *out = NULL;
  }
  return rc;
}

void engine_drafter_delete(engine_drafter *d) {
  if (d == NULL) return;
  drafter_delete(d->drafter);
  lookahead_delete(d->window);
  free(d);
}

const drafter *engine__drafter_of(const engine_drafter *d) { return d->drafter; }

/* ---- beginning ------------------------------------------------------------------------- */

static int check_params(const engine_session *s, const engine_generate_params *p) {
  bool bad = s->n < 1 || p->max_tokens < 0 || !(p->temperature >= 0 && p->temperature <= 100) ||
             !(p->top_p >= 0 && p->top_p <= 1) || p->draft.most < 0 ||
             p->draft.most > DRAFT_NODES_MAX || p->draft.sources >> ENGINE_SOURCES != 0 ||
             p->n_replay < 0;
  for (int i = 0; !bad && i < p->n_replay; i++)
    bad = p->replay[i] < 0 || p->replay[i] >= s->engine->info[0].vocab;
  return bad ? ENGINE_EINVAL : ENGINE_OK;
}

static int begin_window(engine_drafter *d, const engine_session *s, const engine_draft *draft) {
  engine_draft shape = *draft;
  if (shape.w == 0 && shape.n == 0 && shape.g == 0) {
    shape.w = shape.g = 8;
    shape.n = 4;
  }
  if (d->window == NULL || d->w != shape.w || d->n != shape.n || d->g != shape.g) {
    lookahead_delete(d->window);
    int rc = lookahead_new(&d->window, shape.w, shape.n, shape.g);
    if (rc != ENGINE_OK) return rc;
    d->w = shape.w;
    d->n = shape.n;
    d->g = shape.g;
  }
  lookahead_begin(d->window, s->tokens, s->n);
  return ENGINE_OK;
}

static bool uses_window(const run *r) {
  return (r->p->draft.sources & DRAFT_BIT(ENGINE_SOURCE_WINDOW)) != 0;
}

/* Not on a backend that is exact for single rows only. */
static bool can_draft(const engine *e) {
  return kernels_exact_rows(e->kernels) >= 2 && e->info[0].vocab >= RECYCLE_WIDTH;
}

void engine__tell_drafter(void *user) {
  const engine_session *s = user;
  if (s->drafter != NULL) drafter_begin(s->drafter->drafter, s->tokens, s->n);
}

/* The drafter hears of the text, if it has not yet. */
static int begin_draft(run *r) {
  engine_session *s = r->s;
  if (r->p->draft.sources == 0 || !can_draft(s->engine)) return ENGINE_OK;
  int rc = cost_measure(s);
  if (rc == ENGINE_OK && r->p->drafter == NULL && s->drafter == NULL)
    rc = engine_drafter_new(&s->drafter, s->engine);
  engine_drafter *d = r->p->drafter != NULL ? r->p->drafter : s->drafter;
  if (rc == ENGINE_OK) rc = drafter_begin(d->drafter, s->tokens, s->n);
  if (rc == ENGINE_OK && uses_window(r)) rc = begin_window(d, s, &r->p->draft);
  if (rc != ENGINE_OK) return rc;
  r->d = d;
  d->rest = 0;
  d->looked = false;
  d->rehearses = s->engine->info[0].device_total > 0 && !atomic_load(&s->engine->fell_back);
  return ENGINE_OK;
}

int engine_session_prepare(engine_session *s) {
  int rc = engine__session_ready(s);
  return rc == ENGINE_OK && can_draft(s->engine) ? cost_measure(s) : rc;
}

/* The stop reason that already holds before the next step, or ENGINE_STOP_NONE. */
static engine_stop_reason before_step(const run *r, const atomic_bool *cancel) {
  if (cancel != NULL && atomic_load_explicit(cancel, memory_order_relaxed))
    return ENGINE_STOP_CANCELLED;
  return r->r.tokens >= r->p->max_tokens ? ENGINE_STOP_MAX : ENGINE_STOP_NONE;
}

/* ---- a step ---------------------------------------------------------------------------- */

static int least(int a, int b) { return a < b ? a : b; }

/* Rows that a step may have beside the current token's. */
static int room(const run *r) {
  const engine *e = r->s->engine;
  int most = least(kernels_exact_rows(e->kernels), kernels_max_batch(e->kernels));
  most = least(least(most, e->options.max_out), ROWS);
  return least(most, r->s->context - r->s->n_cached) - 1;
}

/* A step's cost by its guesses: the device's, for the rows besides those of the window, and the
 * host's. */
static const float *price(engine_drafter *d, const float *ms, int most) {
  float each = (float)(d->nodes_ms / d->nodes);
  for (int n = 0; n <= most; n++) d->cost[n] = ms[n] + each * (float)n;
  return d->cost;
}

/* What the host took for the last tree's guesses. */
static void learn_price(engine_drafter *d) {
  draft_counts c = drafter_get_counts(d->drafter);
  double most = 4 * c.nodes * d->nodes_ms / d->nodes; /* or it had something else to do */
  if (c.nodes == 0) return;
  d->nodes_ms += BLEND * ((c.ms < most ? c.ms : most) - d->nodes_ms);
  d->nodes += BLEND * (c.nodes - d->nodes);
}

static void draft(run *r) {
  engine_drafter *d = r->d;
  const engine_draft *o = &r->p->draft;
  const cost_curve *c = &r->s->engine->cost;
  int most = least(o->most > 0 ? o->most : MOST, room(r) - r->window_rows);
  most = least(most, DRAFT_NODES_MAX);
  d->tree.n = 0;
  d->looked = false;
  bool priced = !o->all_of_them;
  if (most < 1 || d->rest-- > 0 || (priced && c->load == 0)) return;
  draft_terms terms = {.sources = o->sources,
                       .pool = r->p->pool,
                       .window = uses_window(r) ? d->window : NULL,
                       .guess_length = d->n - 1,
                       .most = most,
                       .depth = r->p->max_tokens - r->r.tokens - 1,
                       .cost = priced ? price(d, c->ms + 1 + r->window_rows, most) : NULL,
                       .allow = r->choosing ? r->p->allow : NULL,
                       .allow_user = r->p->choose_user,
                       .floor = FLOOR};
  drafter_build(d->drafter, &terms, &d->tree);
  learn_price(d);
  d->looked = true;
  /* Where guesses do not pay, looking for them is not free either. */
  d->resting = d->tree.n > 0 ? 0 : least(2 * d->resting + 1, REST_MOST);
  d->rest = d->resting;
}

static void see(uint64_t *row, int j) { row[j / 64] |= UINT64_C(1) << (j % 64); }

/* The window's rows, behind the tree's. */
static void lay_window(run *r, const lookahead_rows *w, int words) {
  engine_drafter *d = r->d;
  int from = 1 + d->tree.n;
  for (int i = 0; i < w->n; i++) {
    uint64_t *row = d->mask + (from + i) * words;
    d->ids[from + i] = w->ids[i];
    d->pos[from + i] = r->s->n_cached + w->depth[i];
    see(row, 0);
    for (int j = 0; j < i; j++)
      if (w->mask[i * LOOKAHEAD_MASK_WORDS + j / 64] >> (j % 64) & 1) see(row, from + j);
  }
}

/* The batch of the current token, the tree and the window. */
static kernels_batch lay_rows(run *r, const lookahead_rows *window) {
  engine_session *s = r->s;
  engine_drafter *d = r->d;
  const draft_tree *t = &d->tree;
  int n = 1 + t->n + window->n, words = (n + 63) / 64;
  memset(d->mask, 0, (size_t)(n * words) * sizeof *d->mask);
  d->ids[0] = s->tokens[s->n_cached];
  d->pos[0] = s->n_cached;
  for (int i = 0; i < t->n; i++) {
    uint64_t *row = d->mask + (1 + i) * words;
    d->ids[1 + i] = t->ids[i];
    d->pos[1 + i] = s->n_cached + t->depth[i];
    if (t->parent[i] != DRAFT_ROOT) {
      memcpy(row, d->mask + (1 + t->parent[i]) * words, (size_t)words * sizeof *row);
      see(row, 1 + t->parent[i]);
    } else {
      see(row, 0);
    }
  }
  lay_window(r, window, words);
  for (int i = 0; i < n; i++) d->out[i] = i;
  return (kernels_batch){.n = n, .ids = d->ids, .pos = d->pos, .kv_len = s->n_cached,
                         .mask = n > 1 ? d->mask : NULL, .n_out = n, .out = d->out};
}

/* Takes in what was kept: the model's predictions after every row of the tree. */
static void learn(void *user) {
  engine_drafter *d = user;
  lessons *l = &d->lessons;
  drafter_settle(d->drafter); /* before the predictions, of which the guesses did not know */
  if (d->looked && d->rehearses) drafter_rehearse(d->drafter);
  if (!l->waiting) return;
  l->waiting = false;
  if (l->top_k < RECYCLE_WIDTH) return;
  const draft_tree *t = &l->tree;
  for (int row = 0; row <= t->n; row++) {
    int parent = row == 0 ? DRAFT_ROOT : t->parent[row - 1];
    int32_t before = row == 0 ? l->before : parent == DRAFT_ROOT ? l->first : t->ids[parent];
    drafter_saw(d->drafter, before, row == 0 ? l->first : t->ids[row - 1],
                l->top_ids + row * l->top_k, l->top_logits + row * l->top_k, l->top_k);
  }
}

/* What the cache holds is not known any more. */
static int lose_cache(run *r, int rc) {
  r->s->n = r->s->n_cached = 0;
  return rc;
}

static void in_step(void *user) {
  run *r = user;
  if (r->d != NULL) learn(r->d);
  engine__session_meanwhile(r->s);
}

/* One forward pass over the current token and all guesses. */
static int compute(run *r, kernels_result *result) {
  engine_session *s = r->s;
  int32_t first = 0, pos = s->n_cached;
  lookahead_rows window = {0};
  kernels_batch batch = {.n = 1, .ids = s->tokens + s->n_cached, .pos = &pos,
                         .kv_len = s->n_cached, .n_out = 1, .out = &first};
  r->window_rows = 0;
  if (r->d != NULL) {
    if (uses_window(r)) lookahead_get_rows(r->d->window, &window);
    r->has_window = uses_window(r) && window.n <= room(r); /* not at the end of the context */
    if (!r->has_window) window.n = 0;
    r->window_rows = window.n;
    draft(r);
    batch = lay_rows(r, &window);
  }
  bool recycles = r->d != NULL && (r->p->draft.sources & DRAFT_BIT(ENGINE_SOURCE_RECYCLED));
  batch.top_k = recycles ? RECYCLE_WIDTH : 1;
  batch.want_logsumexp = r->p->score;
  if (r->p->score && batch.top_k < SCORE_TOP_K)
    batch.top_k = least(SCORE_TOP_K, s->engine->info[0].vocab);
  double start = engine__now_ms();
  forward_errand errand = {.run = in_step, .user = r};
  int rc = engine__device_step(s->engine, s->cache, &batch, &errand, result);
  double ms = engine__now_ms() - start;
  r->r.host_ms -= ms;
  r->r.steps++;
  if (rc != ENGINE_OK) return lose_cache(r, rc);
  if (r->d != NULL) {
    cost_seen(&s->engine->cost, batch.n, ms);
    if (!r->p->draft.all_of_them) cost_paid(&s->engine->cost, r->d->tree.n > 0);
    r->r.drafted += r->d->tree.n;
  }
  return ENGINE_OK;
}

/* The token after a row's: the caller's choice, a draw or the likeliest. 0 or an engine_status. */
static int choose(run *r, const kernels_result *result, int row, int32_t *id) {
  bool replays = !r->choosing && r->replayed < r->p->n_replay;
  const float *logits = NULL; /* of few rows, as most are not on the path */
  *id = result->top_ids[row * result->top_k];
  int rc = ENGINE_OK;
  if (r->choosing || (r->sample && !replays))
    rc = forward_status(kernels_logits(r->s->engine->kernels, row, &logits));
  if (rc != ENGINE_OK) return rc;
  if (r->choosing)
    r->choosing = r->p->choose(r->p->choose_user, logits, id);
  else if (replays)
    *id = r->p->replay[r->replayed++];
  else if (r->sample)
    *id = sampler_draw(&r->draw, logits, NULL);
  return ENGINE_OK;
}

static int find_child(const draft_tree *t, int parent, int32_t id) {
  for (int i = parent + 1; i < t->n; i++)
    if (t->parent[i] == parent && t->ids[i] == id) return i;
  return DRAFT_ROOT;
}

/* Follows the model's choices through the tree: came[n], of which the first n - 1 are nodes.
 * *stopped: the last one is a stop token. 0 or an engine_status. */
static int accept(run *r, const kernels_result *result, bool *stopped) {
  int most = r->p->max_tokens - r->r.tokens, node = DRAFT_ROOT;
  r->n = 0;
  for (;;) {
    int32_t id;
    r->given[r->n] = r->choosing;
    int rc = choose(r, result, 1 + node, &id);
    if (rc != ENGINE_OK) return rc;
    r->came[r->n++] = id;
    *stopped = !r->p->ignore_stop && engine_token_is_stop(r->s->engine, id);
    if (*stopped || r->n == most || r->d == NULL) return ENGINE_OK;
    node = find_child(&r->d->tree, node, id);
    if (node == DRAFT_ROOT) return ENGINE_OK;
    r->path[r->n - 1] = node;
  }
}

/* Moves the accepted nodes' keys and values behind the current token's. */
static int compact(run *r) {
  engine_session *s = r->s;
  int32_t from[ROWS];
  int n = r->n - 1, to = s->n_cached + 1;
  bool moved = false;
  for (int i = 0; i < n; i++) {
    from[i] = s->n_cached + 1 + r->path[i];
    moved = moved || from[i] != to + i;
  }
  if (!moved) return ENGINE_OK;
  int rc = forward_status(kernels_cache_move(s->engine->kernels, s->cache, from, n, to));
  return rc == ENGINE_OK ? rc : lose_cache(r, rc);
}

/* Keeps what the step has taught, for the time when the next one is under way; the text is told at
 * once, as the next guesses begin where it ends. */
static int keep_lessons(run *r, const kernels_result *result, bool stopped) {
  engine_drafter *d = r->d;
  if (d == NULL) return ENGINE_OK;
  lessons *l = &d->lessons;
  int n = stopped ? r->n - 1 : r->n;
  l->before = drafter_before(d->drafter);
  l->first = d->ids[0];
  draft_copy(&l->tree, &d->tree);
  l->top_k = result->top_k;
  size_t rows = (size_t)((1 + d->tree.n) * result->top_k);
  memcpy(l->top_ids, result->top_ids, rows * sizeof *l->top_ids);
  memcpy(l->top_logits, result->top_logits, rows * sizeof *l->top_logits);
  /* The window's next rows follow from these: they cannot wait. */
  if (r->has_window && n > 0) {
    int32_t best[ROWS];
    for (int i = 0; i < r->window_rows; i++)
      best[i] = result->top_ids[(1 + d->tree.n + i) * result->top_k];
    lookahead_update(d->window, best, result->top_ids[0], r->came, n);
  }
  /* Also from what was not tried. */
  if (d->looked) drafter_learn(d->drafter, r->came, r->path, r->n);
  l->waiting = true;
  return n > 0 ? drafter_push(d->drafter, r->came, n) : ENGINE_OK;
}

/* Takes over what came. True: there was no room for the last token. */
static bool take(run *r, int n) {
  engine_session *s = r->s;
  s->n_cached += r->n;
  for (int i = 0; i < n; i++)
    if (s->n < s->context) s->tokens[s->n++] = r->came[i];
  return s->n_cached == s->n;
}

/* How likely the told tokens were, if anyone asks. */
static int tell_score(run *r, const kernels_result *result, score *out, engine_step *told) {
  engine_session *s = r->s;
  if (!r->p->score) return ENGINE_OK;
  score_path path = {.nodes = r->path, .given = r->given, .vocab = s->engine->info[0].vocab};
  int rc = forward_status(score_step(out, s->engine->kernels, result, &path, told));
  return rc == ENGINE_OK ? rc : lose_cache(r, rc);
}

static int step(run *r, int (*on_step)(void *user, const engine_step *step), void *user,
                double start) {
  kernels_result result;
  score likely;
  int rc = compute(r, &result);
  if (rc != ENGINE_OK) return rc;
  bool stopped;
  rc = accept(r, &result, &stopped);
  if (rc != ENGINE_OK) return lose_cache(r, rc);
  int n = stopped ? r->n - 1 : r->n;
  engine_step told = {.ids = r->came, .n = n};
  rc = tell_score(r, &result, &likely, &told);
  if (rc == ENGINE_OK) rc = keep_lessons(r, &result, stopped);
  if (rc == ENGINE_OK) rc = compact(r);
  if (rc != ENGINE_OK) return rc;
  if (n > 0 && r->r.tokens == 0) r->r.first_ms = engine__now_ms() - start;
  r->r.tokens += n;
  r->r.accepted += r->n - 1;
  bool full = take(r, n) && !stopped;
  if (stopped) r->r.stop = ENGINE_STOP_TOKEN;
  if (n > 0 && on_step != NULL && on_step(user, &told) != 0)
    r->r.stop = ENGINE_STOP_CALLER;
  else if (full)
    r->r.stop = r->r.tokens >= r->p->max_tokens ? ENGINE_STOP_MAX : ENGINE_STOP_CONTEXT;
  return ENGINE_OK;
}

/* What the cache lacks before the last token; after a sync only what went with the device. */
static int compute_rest(run *r, const atomic_bool *cancel) {
  engine_session *s = r->s;
  engine_drafter *own = s->drafter;
  if (r->p->drafter != NULL) s->drafter = r->p->drafter; /* it is this one that is told */
  int rc = engine__session_compute(s, s->n - 1, cancel, false, NULL);
  s->drafter = own;
  return rc;
}

int engine_session_generate(engine_session *s, const engine_generate_params *params,
                            const atomic_bool *cancel,
                            int (*on_step)(void *user, const engine_step *step), void *user,
                            engine_generate_result *result) {
  run r = {.s = s, .p = params, .sample = params->temperature > 0,
           .choosing = params->choose != NULL};
  double start = engine__now_ms();
  int rc = check_params(s, params);
  if (rc == ENGINE_OK && r.sample)
    rc = sampler_init(&r.draw, s->engine->info[0].vocab, params->temperature, params->top_p,
                      params->seed);
  /* The last token gives the first logits. */
  if (rc == ENGINE_OK && s->n_cached == s->n) s->n_cached--;
  if (rc == ENGINE_OK) rc = compute_rest(&r, cancel);
  if (rc == ENGINE_ECANCELLED) {
    r.r.stop = ENGINE_STOP_CANCELLED;
    rc = ENGINE_OK;
  } else if (rc == ENGINE_OK) {
    rc = begin_draft(&r);
  }
  double begun = engine__now_ms();
  while (rc == ENGINE_OK && r.r.stop == ENGINE_STOP_NONE) {
    r.r.stop = before_step(&r, cancel);
    if (r.r.stop == ENGINE_STOP_NONE) rc = step(&r, on_step, user, start);
  }
  double ended = engine__now_ms();
  r.r.host_ms += ended - begun;
  r.r.total_ms = ended - start;
  if (r.d != NULL) {
    r.d->looked = false; /* no further step: nothing to rehearse */
    learn(r.d);          /* the tokens are out */
  }
  sampler_free(&r.draw);
  if (result != NULL) *result = r.r;
  return rc;
}
