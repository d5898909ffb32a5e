/* cli_bench.c - `fimd bench`: what the tokenizer, prefill and decode cost on this machine.
 *
 * Every figure is the best of several runs, as a measure of the code and not of what else the
 * machine does. Text and prompts are the model's own source of numbers, not files. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lsp/cli.h"

#define PREFILL 512
#define DECODE 128
#define ROUNDS 5

typedef struct figures {
  double prefill_ms; /* PREFILL tokens into an empty cache */
  double decode_ms;  /* one token, with PREFILL to PREFILL + DECODE in the cache */
  double tokenizer_mbps;
  int prefill, decode;
} figures;

/* Token ids without meaning, the same on each run. */
static void fill_ids(int32_t *ids, int n, int vocab, uint32_t seed) {
  for (int i = 0; i < n; i++) {
    seed = seed * 1664525u + 1013904223u;
    ids[i] = (int32_t)((seed >> 8) % (uint32_t)(vocab < 16000 ? vocab : 16000));
  }
}

static int measure_model(engine *e, figures *f) {
  engine_session *s;
  int32_t ids[PREFILL];
  int vocab = engine_get_info(e)->vocab, context = engine_get_info(e)->context;
  f->prefill = context - DECODE < PREFILL ? context - DECODE : PREFILL;
  f->decode = DECODE;
  if (f->prefill < 1) return ENGINE_ETOOLONG;
  int rc = engine_session_new(e, &s);
  for (int round = 0; rc == ENGINE_OK && round < ROUNDS; round++) {
    fill_ids(ids, f->prefill, vocab, (uint32_t)round + 1);
    double start = cli_now_ms();
    rc = engine_session_sync(s, ids, f->prefill, NULL, NULL);
    engine_generate_params p = {.max_tokens = 1, .ignore_stop = true};
    if (rc == ENGINE_OK) rc = engine_session_generate(s, &p, NULL, NULL, NULL, NULL);
    double ms = cli_now_ms() - start;
    if (round == 0 || ms < f->prefill_ms) f->prefill_ms = ms;
    p.max_tokens = DECODE;
    engine_generate_result r;
    if (rc == ENGINE_OK) rc = engine_session_generate(s, &p, NULL, NULL, NULL, &r);
    if (rc == ENGINE_OK && (round == 0 || r.total_ms / r.tokens < f->decode_ms))
      f->decode_ms = r.total_ms / r.tokens;
  }
  if (rc == ENGINE_OK || s != NULL) engine_session_delete(s);
  return rc;
}

/* Source-like text: identifiers, numbers, punctuation, indentation, different on every line. */
static char *make_text(size_t len) {
  char *text = malloc(len + 128);
  size_t n = 0;
  for (unsigned i = 0; text != NULL && n < len; i++)
    n += (size_t)snprintf(text + n, 128,
                          "%*sfor (int item_%u = %u; item_%u < count; ++i) { total += values[%u]; }\n",
                          (int)(i % 5) * 2, "", i % 977, i, i % 977, i * 7919u % 100003u);
  return text;
}

static int measure_tokenizer(engine *e, figures *f) {
  const size_t len = (size_t)2 << 20;
  char *text = make_text(len);
  int rc = text == NULL ? ENGINE_ENOMEM : ENGINE_OK;
  for (int round = 0; rc == ENGINE_OK && round < 3; round++) {
    engine_tokens t = {0};
    double start = cli_now_ms();
    rc = engine_tokenize(e, text, len, false, &t);
    double mbps = (double)len / 1e3 / (cli_now_ms() - start);
    if (mbps > f->tokenizer_mbps) f->tokenizer_mbps = mbps;
    engine_tokens_free(&t);
  }
  free(text);
  return rc == ENGINE_EINVAL ? ENGINE_OK : rc; /* a model without a tokenizer has no figure */
}

static int print_figures(const cli_options *o, const engine *e, const figures *f) {
  const engine_info *i = engine_get_info(e);
  if (o->json) {
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "model", i->model);
    cJSON_AddStringToObject(j, "backend", i->backend);
    cJSON_AddNumberToObject(j, "prefillTokens", f->prefill);
    cJSON_AddNumberToObject(j, "prefillMs", f->prefill_ms);
    cJSON_AddNumberToObject(j, "decodeMsPerToken", f->decode_ms);
    cJSON_AddNumberToObject(j, "tokenizerMBps", f->tokenizer_mbps);
    return cli_print_json(j);
  }
  printf("%s on %s\n", i->model, i->backend);
  printf("  load            %9.1f ms   %.1f MB of %s\n", i->load_ms, (double)i->weight_bytes / 1e6,
         i->types);
  printf("  prefill %-5d   %9.2f ms   %.0f tokens/s\n", f->prefill, f->prefill_ms,
         f->prefill / f->prefill_ms * 1e3);
  printf("  decode at %-5d %9.3f ms   %.0f tokens/s, weights read at %.1f GB/s\n", f->prefill,
         f->decode_ms, 1e3 / f->decode_ms, (double)i->weight_bytes / f->decode_ms / 1e6);
  if (f->tokenizer_mbps > 0) printf("  tokenizer       %9.1f MB/s on one thread\n", f->tokenizer_mbps);
  return 0;
}

int cli_bench(const cli_options *o) {
  if (o->n_args > 0 && strcmp(o->args[0], "engine") == 0) return cli_bench_engine(o);
  if (o->n_args > 0 && strcmp(o->args[0], "lookahead") == 0) return cli_bench_lookahead(o);
  if (o->n_args > 0 && strcmp(o->args[0], "keys") == 0) return cli_bench_keys(o);
  if (o->n_args != 0) {
    fprintf(stderr, "fimd: bench takes no '%s'; see fimd help\n", o->args[0]);
    return 2;
  }
  engine *e = cli_engine_open(o);
  if (e == NULL) return 1;
  figures f = {0};
  int rc = measure_model(e, &f);
  if (rc == ENGINE_OK) rc = measure_tokenizer(e, &f);
  if (rc == ENGINE_OK)
    rc = print_figures(o, e, &f);
  else
    fprintf(stderr, "fimd: %s\n", engine_strstatus(rc));
  engine_close(e);
  return rc == 0 ? 0 : 1;
}
