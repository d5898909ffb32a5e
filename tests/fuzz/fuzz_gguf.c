/* fuzz_gguf.c - a stranger's GGUF file: its structure, its metadata and vocabulary, and the
 * model that is bound from them. The first byte says how many 1,024 zeros follow the rest of the
 * input, so that a small input is a file with weights. */
#include "engine/model.h"
#include "fuzz.h"

FUZZ_RUNS(20000);

/* Every weight that is bound lies inside the file. */
static void check_matrix(const kernels_matrix *w, const char *data, size_t size) {
  const char *p = (const char *)w->data;
  FUZZ_ASSERT(w->rows > 0 && w->cols > 0);
  if (p < data || p >= data + size) return; /* of the storage */
  int64_t bytes = kernels_matrix_bytes(w);
  FUZZ_ASSERT(bytes > 0 && bytes <= data + size - p);
}

static void check(const model *m, const char *data, size_t size) {
  volatile float sum = 0;
  check_matrix(&m->embedding, data, size);
  check_matrix(&m->head, data, size);
  for (int l = 0; l < m->shape.layers; l++) {
    const model_layer *y = &m->layers[l];
    const kernels_matrix *all[] = {&y->q, &y->k, &y->v, &y->o, &y->gate, &y->up, &y->down};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) check_matrix(all[i], data, size);
    for (int i = 0; i < m->shape.hidden; i++) sum = sum + y->attn_norm[i] + y->mlp_norm[i];
    for (int i = 0; i < (m->shape.heads + 2 * m->shape.kv_heads) * m->shape.head_dim; i++)
      sum = sum + y->qkv_bias[i];
  }
  for (int i = 0; i < m->shape.hidden; i++) sum = sum + m->final_norm[i];
  if (!m->tokenizer) return;
  engine_tokens ids = {0};
  FUZZ_ASSERT(tokenizer_encode(m->tokenizer, "int x <|fim_prefix|>", 20, true, &ids) == 0);
  engine_tokens_free(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  fuzz_input in = {data, size};
  char err[512] = "";
  model *m = NULL;
  size_t zeros = fuzz_u8(&in) * 1024u, len = in.left + zeros;
  char *file = calloc(len ? len : 1, 1);
  FUZZ_ASSERT(file);
  if (in.left) memcpy(file, in.data, in.left);
  int status = model_open_gguf_memory(&m, file, len, "input", err, sizeof err);
  FUZZ_ASSERT((status == 0) == (m != NULL));
  FUZZ_CHECK(status == 0 || err[0] != '\0', "status %d has no words", status);
  if (m) check(m, file, len);
  model_close(m);
  free(file);
  return 0;
}
