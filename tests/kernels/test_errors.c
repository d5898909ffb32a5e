/* test_errors.c - what the door of kernels/ refuses, on every backend that this machine has. */
#include "tests/kernels/toy.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const kernels_shape good = {.layers = 2, .hidden = 64, .heads = 4, .kv_heads = 2,
                                   .head_dim = 64, .intermediate = 96, .vocab = 100,
                                   .rope_theta = 1e4f, .rms_eps = 1e-6f};
static const char *const backends[] = {"cpu-reference", "cpu", "cpu:portable"};
enum { BACKENDS = sizeof backends / sizeof *backends };

static void statuses(void **state) {
  (void)state;
  for (int i = -10; i <= 3; i++) assert_true(strlen(kernels_strstatus(i)) > 0);
  assert_string_not_equal(kernels_strstatus(KERNELS_ENOMEM), kernels_strstatus(KERNELS_EINVAL));
}

static void names(void **state) {
  (void)state;
  static const char *const unknown[] = {"",    "gpu",  "cpu:sse9", "cpu-reference:x",
                                        "CPU", "cpu ", "cpu:avx2:1", "cp"};
  for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
    kernels *k = (kernels *)&k;
    char err[200] = "";
    assert_int_equal(kernels_open(&k, unknown[i], &good, NULL, err, sizeof err),
                     KERNELS_EUNSUPPORTED);
    assert_null(k);
    assert_true(strlen(err) > 0);
    assert_int_equal(kernels_open(&k, unknown[i], &good, NULL, NULL, 0), KERNELS_EUNSUPPORTED);
  }
  kernels *k;
  assert_int_equal(kernels_open(&k, NULL, &good, NULL, NULL, 0), KERNELS_EINVAL);
  assert_int_equal(kernels_open(&k, "cpu", NULL, NULL, NULL, 0), KERNELS_EINVAL);
  assert_int_equal(kernels_open(NULL, "cpu", &good, NULL, NULL, 0), KERNELS_EINVAL);
  char one[1] = {'x'};
  assert_int_equal(kernels_open(&k, "gpu", &good, NULL, one, 1), KERNELS_EUNSUPPORTED);
  assert_int_equal(one[0], 0);
  kernels_close(NULL);
}

static void shapes(void **state) {
  (void)state;
  kernels_shape bad[32];
  int n = 0;
#define BAD(field, value) bad[n] = good, bad[n++].field = (value)
  BAD(layers, 0);
  BAD(layers, -1);
  BAD(layers, INT_MAX);
  BAD(hidden, 0);
  BAD(hidden, INT_MAX);
  BAD(heads, 0);
  BAD(heads, 3);
  BAD(heads, INT_MAX - 1);
  BAD(kv_heads, 0);
  BAD(kv_heads, 8);
  BAD(kv_heads, -2);
  BAD(head_dim, 0);
  BAD(head_dim, 32);
  BAD(head_dim, 256);
  BAD(intermediate, 0);
  BAD(intermediate, INT_MAX);
  BAD(vocab, 0);
  BAD(vocab, INT_MAX);
  BAD(rope_theta, 0);
  BAD(rope_theta, NAN);
  BAD(rope_theta, INFINITY);
  BAD(rms_eps, -1);
  BAD(rms_eps, NAN);
#undef BAD
  for (int b = 0; b < BACKENDS; b++) {
    for (int i = 0; i < n; i++) {
      kernels *k;
      char err[200];
      int rc = kernels_open(&k, backends[b], &bad[i], NULL, err, sizeof err);
      assert_int_equal(rc, KERNELS_EINVAL);
      assert_null(k);
      assert_true(strlen(err) > 0);
    }
    static const kernels_options options[] = {{.threads = -1}, {.threads = INT_MAX},
                                              {.max_batch = -1}, {.max_batch = INT_MAX},
                                              {.max_out = -1}, {.max_batch = 4, .max_out = 5}};
    for (size_t i = 0; i < sizeof options / sizeof *options; i++) {
      kernels *k;
      assert_int_equal(kernels_open(&k, backends[b], &good, &options[i], NULL, 0), KERNELS_EINVAL);
    }
  }
}

/* ---- a small open backend -------------------------------------------------------------- */

enum { BATCH = 8, TOKENS = 20 };

typedef struct fixture {
  toy_model model;
  toy_device d;
} fixture;

static void open_fixture(fixture *f, const char *backend) {
  toy_random r = {1};
  f->model = toy_model_new(&r, &good, KERNELS_Q8_0, KERNELS_F16);
  assert_true(toy_device_open(&f->d, &f->model, backend, 2, BATCH, TOKENS));
  assert_int_equal(kernels_max_batch(f->d.k), BATCH);
  assert_non_null(strstr(kernels_description(f->d.k), "cpu"));
}

static void close_fixture(fixture *f) {
  toy_device_close(&f->d);
  toy_model_free(&f->model);
}

static void objects(void **state) {
  (void)state;
  for (int b = 0; b < BACKENDS; b++) {
    fixture f;
    open_fixture(&f, backends[b]);
    kernels *k = f.d.k;
    kernels_weight *w;
    kernels_matrix m = f.model.layers[0].o, part[2] = {m, m};
    m.cols -= 1;
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, &m, 1, &w), KERNELS_EINVAL);
    assert_null(w);
    m = part[0], m.rows = 0;
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, &m, 1, &w), KERNELS_EINVAL);
    m = part[0], m.rows = INT64_MAX;
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, &m, 1, &w), KERNELS_EINVAL);
    m = part[0], m.data = NULL;
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, &m, 1, &w), KERNELS_EINVAL);
    m = part[0], m.type = (kernels_type)99;
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, &m, 1, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, part, 2, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(k, KERNELS_QKV, part, 2, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(k, KERNELS_TABLE, part, 1, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(k, (kernels_role)9, part, 1, &w), KERNELS_EINVAL);
    kernels_matrix pair[2] = {f.model.layers[0].gate_up[0], f.model.layers[0].gate_up[1]};
    assert_true(kernels_weight_bytes(k, KERNELS_GATE_UP, pair, 2) > 0);
    pair[1].cols = 32;
    assert_int_equal(kernels_weight_load(k, KERNELS_GATE_UP, pair, 2, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_bytes(k, KERNELS_GATE_UP, pair, 2), -1);
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, part, 0, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, part, 1 << 20, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(NULL, KERNELS_PROJECT, part, 1, &w), KERNELS_EINVAL);
    assert_int_equal(kernels_weight_load(k, KERNELS_PROJECT, part, 1, NULL), KERNELS_EINVAL);
    kernels_weight_free(k, NULL);

    kernels_buffer *buffer;
    float one[1] = {3}, two[2];
    assert_int_equal(kernels_buffer_new(k, NULL, 0, &buffer), KERNELS_EINVAL);
    assert_int_equal(kernels_buffer_new(k, NULL, SIZE_MAX, &buffer), KERNELS_EINVAL);
    assert_int_equal(kernels_buffer_new(k, NULL, PTRDIFF_MAX / 4, &buffer), KERNELS_ENOMEM);
    assert_null(buffer);
    assert_int_equal(kernels_buffer_new(k, one, 1, &buffer), 0);
    assert_int_equal(kernels_buffer_read(k, buffer, two, 2), KERNELS_EINVAL);
    assert_int_equal(kernels_buffer_read(k, buffer, NULL, 1), KERNELS_EINVAL);
    assert_int_equal(kernels_buffer_read(k, buffer, two, 1), 0);
    assert_true(two[0] == 3);
    kernels_buffer_free(k, buffer);
    kernels_buffer_free(k, NULL);

    kernels_cache *cache;
    assert_int_equal(kernels_cache_new(k, 0, &cache), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_new(k, -5, &cache), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_new(k, INT_MAX, &cache), KERNELS_EINVAL);
    assert_null(cache);
    kernels_cache_free(k, NULL);
    cache = f.d.cache;
    const int32_t fine[] = {3, 5, 19}, falling[] = {5, 5}, beyond[] = {20}, behind[] = {3, 4};
    assert_int_equal(kernels_cache_move(k, cache, fine, 3, 3), 0);
    assert_int_equal(kernels_cache_move(k, cache, fine, 0, 20), 0);
    assert_int_equal(kernels_cache_move(k, cache, falling, 2, 0), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, cache, beyond, 1, 0), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, cache, behind, 2, 4), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, cache, fine, 3, -1), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, cache, fine, -1, 0), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, cache, fine, 1, 20), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, cache, NULL, 1, 0), KERNELS_EINVAL);
    assert_int_equal(kernels_cache_move(k, NULL, fine, 1, 0), KERNELS_EINVAL);
    close_fixture(&f);
  }
}

static void batches(void **state) {
  (void)state;
  for (int b = 0; b < BACKENDS; b++) {
    fixture f;
    open_fixture(&f, backends[b]);
    int32_t ids[BATCH + 1] = {0}, pos[BATCH + 1] = {0}, out[] = {0, 3}, repeated[] = {2, 2};
    int32_t far[] = {0, 4}, low[] = {-1}, big_id[BATCH] = {0, 100}, small_id[BATCH] = {-1};
    int32_t small_pos[BATCH] = {0, 0, -1};
    const kernels_batch fine = {.n = 4, .ids = ids, .pos = pos, .kv_len = 2, .n_out = 2, .out = out,
                                .top_k = 3};
    kernels_batch bad[32];
    int n = 0;
#define BAD(field, value) bad[n] = fine, bad[n++].field = (value)
    BAD(n, 0);
    BAD(n, -1);
    BAD(n, BATCH + 1);
    BAD(n, INT_MAX);
    BAD(ids, NULL);
    BAD(ids, big_id);
    BAD(ids, small_id);
    BAD(pos, NULL);
    BAD(pos, small_pos);
    BAD(kv_len, -1);
    BAD(kv_len, TOKENS - 3);
    BAD(kv_len, INT_MAX);
    BAD(n_out, -1);
    BAD(n_out, 5);
    BAD(out, NULL);
    BAD(out, repeated);
    BAD(out, far);
    BAD(out, low);
    BAD(top_k, 0);
    BAD(top_k, KERNELS_TOP_K_MAX + 1);
#undef BAD
    for (int i = 0; i < n; i++)
      assert_int_equal(kernels_begin(f.d.k, f.d.cache, &bad[i]), KERNELS_EINVAL);
    assert_int_equal(kernels_begin(f.d.k, NULL, &fine), KERNELS_EINVAL);
    assert_int_equal(kernels_begin(f.d.k, f.d.cache, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_begin(NULL, f.d.cache, &fine), KERNELS_EINVAL);
    kernels_batch last = fine;
    last.kv_len = TOKENS - 4;
    kernels_result result;
    toy_step(&f.d, &last, &result); /* exactly fills the cache */
    assert_int_equal(result.n_out, 2);
    assert_int_equal(result.top_k, 3);
    assert_null(result.logits);
    last.n_out = 0;
    toy_step(&f.d, &last, &result);
    assert_int_equal(result.n_out, 0);
    assert_null(result.top_ids);
    close_fixture(&f);
  }
}

static void ops(void **state) {
  (void)state;
  for (int b = 0; b < BACKENDS; b++) {
    fixture f, other;
    open_fixture(&f, backends[b]);
    open_fixture(&other, backends[b]);
    kernels *k = f.d.k;
    toy_device *d = &f.d;
    struct toy_device_layer *l = &d->layers[0];
    int32_t ids[BATCH] = {0}, pos[BATCH] = {0}, out[] = {0};
    kernels_batch batch = {.n = BATCH, .ids = ids, .pos = pos, .n_out = 1, .out = out, .top_k = 1};
    kernels_buffer *small;
    TOY_MUST(kernels_buffer_new(k, NULL, 16, &small));

    /* outside of a step */
    assert_int_equal(kernels_embed(k, d->embedding, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_attend(k, 0, d->q, d->a), KERNELS_EINVAL);
    assert_int_equal(kernels_end(k, NULL), KERNELS_EINVAL);

    TOY_MUST(kernels_begin(k, d->cache, &batch));
    assert_int_equal(kernels_embed(k, l->o, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_embed(k, NULL, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_embed(k, d->embedding, small, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_embed(k, d->embedding, NULL, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_embed(k, other.d.embedding, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_embed(k, d->embedding, other.d.x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_embed(k, d->embedding, d->x, NULL), 0);
    assert_int_equal(kernels_qkv(k, -1, d->x, l->attn_norm, l->qkv, l->bias, d->q), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 2, d->x, l->attn_norm, l->qkv, l->bias, d->q), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 0, d->x, small, l->qkv, l->bias, d->q), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 0, d->x, l->attn_norm, l->o, l->bias, d->q), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 0, d->x, l->attn_norm, l->qkv, small, d->q), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 0, d->x, l->attn_norm, l->qkv, l->bias, small), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 0, d->x, l->attn_norm, l->qkv, l->bias, d->x), KERNELS_EINVAL);
    assert_int_equal(kernels_qkv(k, 0, d->x, l->attn_norm, l->qkv, NULL, d->q), 0);
    assert_int_equal(kernels_attend(k, 2, d->q, d->a), KERNELS_EINVAL);
    assert_int_equal(kernels_attend(k, 0, small, d->a), KERNELS_EINVAL);
    assert_int_equal(kernels_attend(k, 0, d->q, small), KERNELS_EINVAL);
    assert_int_equal(kernels_attend(k, 0, d->q, d->q), KERNELS_EINVAL);
    assert_int_equal(kernels_attend(k, 0, d->q, d->a), 0);
    assert_int_equal(kernels_project(k, d->a, d->embedding, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_project(k, small, l->o, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_project(k, d->a, l->o, small, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_project(k, d->a, NULL, d->x, NULL), KERNELS_EINVAL);
    assert_int_equal(kernels_gate_up(k, d->x, l->mlp_norm, l->down, d->h), KERNELS_EINVAL);
    assert_int_equal(kernels_gate_up(k, d->x, l->mlp_norm, l->gate_up, small), KERNELS_EINVAL);
    assert_int_equal(kernels_gate_up(k, small, l->mlp_norm, l->gate_up, d->h), KERNELS_EINVAL);
    assert_int_equal(kernels_head(k, d->x, d->final_norm, l->o), KERNELS_EINVAL);
    assert_int_equal(kernels_head(k, small, d->final_norm, d->embedding), KERNELS_EINVAL);
    assert_int_equal(kernels_head(k, d->x, small, d->embedding), KERNELS_EINVAL);
    kernels_result result;
    assert_int_equal(kernels_end(k, &result), KERNELS_EINVAL); /* no head, but rows wanted */
    assert_int_equal(kernels_end(k, &result), KERNELS_EINVAL); /* the step is over */

    /* all works again after that */
    toy_step(d, &batch, &result);
    assert_int_equal(result.n_out, 1);
    assert_in_range(result.top_ids[0], 0, good.vocab - 1);
    kernels_buffer_free(k, small);
    close_fixture(&f);
    close_fixture(&other);
  }
}

/* A planned step that is given up, at its end or by beginning another, leaves nothing behind: on a
 * GPU the second of its kind is being recorded at that moment. */
static void given_up(void **state) {
  (void)state;
  static const char *const all[] = {"cpu-reference", "cpu", "cuda", "cuda:plain"};
  for (size_t b = 0; b < sizeof all / sizeof *all; b++) {
    toy_random r = {1};
    toy_model m = toy_model_new(&r, &good, KERNELS_Q8_0, KERNELS_F16);
    toy_device d;
    if (!toy_device_open(&d, &m, all[b], 2, BATCH, TOKENS)) {
      toy_model_free(&m);
      continue;
    }
    int32_t ids[] = {3, 1, 4}, pos[] = {0, 1, 2}, out[] = {0, 1, 2};
    kernels_batch batch = {.n = 3, .ids = ids, .pos = pos, .n_out = 3, .out = out, .top_k = 1,
                           .want_logits = true, .plan = 1};
    kernels_result result;
    float want[3 * 100];
    assert_int_equal(good.vocab, 100);
    for (int round = 0; round < 6; round++) {
      for (int i = 0; i < 2 && round < 4; i++) { /* i: by another begin, by an end */
        int rc = kernels_begin(d.k, d.cache, &batch);
        TOY_MUST(rc);
        if (rc == 1) TOY_MUST(kernels_end(d.k, NULL));
        if (rc == 1) continue;
        TOY_MUST(kernels_embed(d.k, d.embedding, d.x, NULL));
        if (i == 1) assert_int_equal(kernels_end(d.k, &result), KERNELS_EINVAL);
        if (i == 1) assert_int_equal(result.n_out, 0);
      }
      toy_step(&d, &batch, &result);
      assert_int_equal(result.n_out, 3);
      if (round == 0) memcpy(want, result.logits, sizeof want);
      assert_memory_equal(want, result.logits, sizeof want);
    }
    toy_device_close(&d);
    toy_model_free(&m);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(statuses), cmocka_unit_test(names),   cmocka_unit_test(shapes),
      cmocka_unit_test(objects),  cmocka_unit_test(batches), cmocka_unit_test(ops),
      cmocka_unit_test(given_up),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
