/* gguf_model.c - a Qwen2 model in a GGUF file: its config, its names and its vocabulary. */
#include "engine/gguf.h"

#include "engine/gguf_file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- limits ---------------------------------------------------------------------------- */

#define GGUF_MIN_ALIGNMENT 8
#define GGUF_MAX_ALIGNMENT 65536
#define GGUF_MAX_MERGES (1 << 23)

/* ---- names ----------------------------------------------------------------------------- */

static const model_names gguf_names = {
    .fields =
        {
            [MODEL_LAYERS] = "qwen2.block_count",
            [MODEL_HIDDEN] = "qwen2.embedding_length",
            [MODEL_HEADS] = "qwen2.attention.head_count",
            [MODEL_KV_HEADS] = "qwen2.attention.head_count_kv",
            [MODEL_HEAD_DIM] = "qwen2.attention.key_length",
            [MODEL_INTERMEDIATE] = "qwen2.feed_forward_length",
            [MODEL_VOCAB] = "qwen2.vocab_size",
            [MODEL_CONTEXT] = "qwen2.context_length",
            [MODEL_ROPE_THETA] = "qwen2.rope.freq_base",
            [MODEL_RMS_EPS] = "qwen2.attention.layer_norm_rms_epsilon",
        },
    .embedding = "token_embd.weight",
    .final_norm = "output_norm.weight",
    .head = "output.weight",
    .layer = "blk.",
    .tensors =
        {
            [MODEL_ATTN_NORM] = "attn_norm.weight",
            [MODEL_Q] = "attn_q.weight",
            [MODEL_K] = "attn_k.weight",
            [MODEL_V] = "attn_v.weight",
            [MODEL_Q_BIAS] = "attn_q.bias",
            [MODEL_K_BIAS] = "attn_k.bias",
            [MODEL_V_BIAS] = "attn_v.bias",
            [MODEL_O] = "attn_output.weight",
            [MODEL_MLP_NORM] = "ffn_norm.weight",
            [MODEL_GATE] = "ffn_gate.weight",
            [MODEL_UP] = "ffn_up.weight",
            [MODEL_DOWN] = "ffn_down.weight",
        },
};

/* ---- the config ------------------------------------------------------------------------ */

static bool equals(tokenizer_string s, const char *text) {
  return s.data && s.len == strlen(text) && memcmp(s.data, text, s.len) == 0;
}

static int unsupported(gguf *g, const char *key, tokenizer_string is, const char *wanted) {
  char shown[64];
  return gguf__refuse(g, key, "is \"%s\"; %s",
                      bytes_printable(shown, sizeof shown, is.data, is.len), wanted);
}

/* What would change the arithmetic and is not implemented is refused, not ignored. */
static int check_unsupported(gguf *g, const model_source *src) {
  uint64_t at;
  int64_t split = 0, window = 0, rotary = src->shape.head_dim, value = src->shape.head_dim;
  tokenizer_string scaling;
  int status = gguf__get_string(g, "qwen2.rope.scaling.type", false, &scaling);
  if (status) return status;
  if (scaling.data && !equals(scaling, "none"))
    return unsupported(g, "qwen2.rope.scaling.type", scaling,
                       "rope scaling is not supported, use a file without it");
  status = gguf__get_integer(g, "qwen2.attention.sliding_window", false, 0, INT64_MAX, &window,
                             &at);
  if (status) return status;
  if (window && window < src->trained_context)
    return gguf__refuse(g, "qwen2.attention.sliding_window",
                        "is %lld; sliding windows are not supported", (long long)window);
  status = gguf__get_integer(g, "qwen2.rope.dimension_count", false, rotary, rotary, &rotary, &at);
  if (!status)
    status = gguf__get_integer(g, "qwen2.attention.value_length", false, value, value, &value, &at);
  if (!status) status = gguf__get_integer(g, "split.count", false, 0, 65535, &split, &at);
  if (status) return status;
  if (split > 1)
    return gguf__refuse(g, "split.count",
                        "this is one part of a file split into %lld; join them first with "
                        "`llama-gguf-split --merge FIRST-PART OUTPUT`",
                        (long long)split);
  return 0;
}

static int read_architecture(gguf *g) {
  tokenizer_string architecture;
  int status = gguf__get_string(g, "general.architecture", true, &architecture);
  if (status) return status;
  if (!equals(architecture, "qwen2"))
    return unsupported(g, "general.architecture", architecture, "only qwen2 is supported");
  return 0;
}

static int read_config(gguf *g, model_source *src) {
  static const struct {
    model_field field;
    bool required;
  } fields[] = {
      {MODEL_LAYERS, true},   {MODEL_HIDDEN, true},        {MODEL_HEADS, true},
      {MODEL_KV_HEADS, true}, {MODEL_HEAD_DIM, false},     {MODEL_INTERMEDIATE, true},
      {MODEL_VOCAB, false},   {MODEL_CONTEXT, true},
  };
  kernels_shape *s = &src->shape;
  const char *const *names = gguf_names.fields;
  int64_t v[MODEL_N_FIELDS] = {0};
  int status = 0;
  for (size_t i = 0; i < sizeof fields / sizeof *fields && !status; i++) {
    model_field f = fields[i].field;
    status = gguf__get_integer(g, names[f], fields[i].required, 1, INT32_MAX, &v[f],
                               &src->fields_at[f]);
  }
  if (!status)
    status = gguf__get_float(g, names[MODEL_ROPE_THETA], &s->rope_theta,
                             &src->fields_at[MODEL_ROPE_THETA]);
  if (!status)
    status = gguf__get_float(g, names[MODEL_RMS_EPS], &s->rms_eps, &src->fields_at[MODEL_RMS_EPS]);
  if (status) return status;
  s->layers = (int)v[MODEL_LAYERS];
  s->hidden = (int)v[MODEL_HIDDEN];
  s->heads = (int)v[MODEL_HEADS];
  s->kv_heads = (int)v[MODEL_KV_HEADS];
  s->head_dim = (int)v[MODEL_HEAD_DIM];
  s->intermediate = (int)v[MODEL_INTERMEDIATE];
  s->vocab = (int)v[MODEL_VOCAB];
  src->trained_context = (int)v[MODEL_CONTEXT];
  return 0;
}

static int read_alignment(gguf *g, uint64_t *out) {
  uint64_t at;
  int64_t alignment = 32;
  int status = gguf__get_integer(g, "general.alignment", false, GGUF_MIN_ALIGNMENT,
                                 GGUF_MAX_ALIGNMENT, &alignment, &at);
  if (!status && (alignment & (alignment - 1)))
    status = gguf__refuse(g, "general.alignment", "is %lld; it must be a power of two",
                          (long long)alignment);
  *out = (uint64_t)alignment;
  return status;
}

/* The embedding's rows are the vocabulary's size; the metadata may say so too. */
static int read_vocab_size(gguf *g, model_source *src) {
  const model_tensor *t = model__tensors_find(&src->tensors, gguf_names.embedding);
  if (!t || t->n_dims != 2 || t->dims[0] > MODEL_MAX_VOCAB) {
    bytes_about(&g->b, "tensor", gguf_names.embedding, strlen(gguf_names.embedding));
    return t ? bytes_fail(&g->b, t->at, "its shape is not [vocabulary, width]")
             : bytes_fail(&g->b, g->metadata_end, "is missing");
  }
  if (src->shape.vocab == 0) {
    src->shape.vocab = (int)t->dims[0];
    src->fields_at[MODEL_VOCAB] = t->at;
  }
  return 0;
}

/* ---- the vocabulary -------------------------------------------------------------------- */

static int read_kinds(gguf *g, uint64_t n_tokens, uint8_t *kinds) {
  static const uint8_t map[] = {
      [1] = TOKENIZER_NORMAL, [2] = TOKENIZER_SPECIAL /* the unknown token */,
      [3] = TOKENIZER_SPECIAL, [4] = TOKENIZER_ADDED, [5] = TOKENIZER_UNUSED};
  const gguf_value *v;
  int status = gguf__get_array(g, "tokenizer.ggml.token_type", GGUF_I32, &v);
  if (status) return status;
  if (v->count != n_tokens)
    return gguf__refuse(g, "tokenizer.ggml.token_type", "has %llu entries for %llu tokens",
                        (unsigned long long)v->count, (unsigned long long)n_tokens);
  bytes_about(&g->b, "metadata", v->key.data, v->key.len);
  for (uint64_t i = 0; i < n_tokens; i++) {
    int32_t kind;
    memcpy(&kind, gguf__raw(g, v, i), sizeof kind);
    if (kind < 1 || kind >= (int32_t)sizeof map)
      return bytes_fail(&g->b, v->at + 4 * i, "token %llu has type %d, which a byte-level BPE "
                        "vocabulary does not have", (unsigned long long)i, kind);
    kinds[i] = map[kind];
  }
  return 0;
}

/* "left right" pairs; a piece has no space in it, so there is exactly one. */
static int read_merges(gguf *g, const gguf_value *v, tokenizer_string (*merges)[2]) {
  uint64_t at = v->at;
  bytes_about(&g->b, "metadata", v->key.data, v->key.len);
  for (uint64_t i = 0; i < v->count; i++) {
    tokenizer_string s = gguf__string_at(g, at);
    const char *space = memchr(s.data, ' ', s.len);
    size_t left = space ? (size_t)(space - s.data) : 0, right = space ? s.len - left - 1 : 0;
    if (left == 0 || right == 0 || memchr(space + 1, ' ', right))
      return bytes_fail(&g->b, at, "merge %llu is not two pieces with a space between",
                        (unsigned long long)i);
    merges[i][0] = (tokenizer_string){s.data, left};
    merges[i][1] = (tokenizer_string){space + 1, right};
    at += 8 + s.len;
  }
  return 0;
}

/* With the byte of the token or merge that it is about: where the string's length stands. */
static void refuse_vocabulary(gguf *g, const tokenizer_vocab *v, const char *words) {
  const char *key = v->blame->merge >= 0 ? "tokenizer.ggml.merges" : "tokenizer.ggml.tokens";
  const char *text = v->blame->merge >= 0   ? v->merges[v->blame->merge][0].data
                     : v->blame->token >= 0 ? v->tokens[v->blame->token].data : NULL;
  uint64_t at = (uint64_t)((uintptr_t)text - (uintptr_t)g->b.data) - 8;
  if (at >= g->b.size) at = gguf__find(g, key)->key_at; /* about no entry */
  bytes_about(&g->b, "metadata", key, strlen(key));
  bytes_fail(&g->b, at, "%s", words);
}

static int build_tokenizer(gguf *g, model_source *src, const gguf_value *tokens,
                           const gguf_value *merges) {
  size_t vocab = (size_t)src->shape.vocab;
  tokenizer_string *texts = calloc(vocab, sizeof *texts);
  uint8_t *kinds = calloc(vocab, 1); /* TOKENIZER_UNUSED where the list is shorter */
  tokenizer_string(*pairs)[2] = calloc(merges->count ? (size_t)merges->count : 1, sizeof *pairs);
  int status = texts && kinds && pairs ? 0 : ENGINE_ENOMEM;
  if (!status) {
    uint64_t at = tokens->at;
    for (uint64_t i = 0; i < tokens->count; i++) {
      texts[i] = gguf__string_at(g, at);
      at += 8 + texts[i].len;
    }
    for (size_t i = (size_t)tokens->count; i < vocab; i++) texts[i].data = "";
    status = read_kinds(g, tokens->count, kinds);
  }
  if (!status) status = read_merges(g, merges, pairs);
  if (!status) {
    tokenizer_vocab v = {.n_tokens = (int)vocab, .tokens = texts, .kinds = kinds,
                         .n_merges = (int)merges->count,
                         .merges = (const tokenizer_string(*)[2])pairs};
    char words[256] = "";
    tokenizer_blame blame;
    v.blame = &blame;
    status = tokenizer_new(&src->tokenizer, &v, words, sizeof words);
    if (status == ENGINE_EFORMAT) refuse_vocabulary(g, &v, words);
  }
  free(texts);
  free(kinds);
  free(pairs);
  return status;
}

static int read_tokenizer(gguf *g, model_source *src) {
  tokenizer_string kind, pre;
  int status = gguf__get_string(g, "tokenizer.ggml.model", true, &kind);
  if (status) return status;
  if (equals(kind, "no_vocab") || equals(kind, "none")) return 0;
  if (!equals(kind, "gpt2"))
    return unsupported(g, "tokenizer.ggml.model", kind, "only gpt2 (byte-level BPE) is supported");
  /* Files from before the key existed lack it; "qwen2" is the only one since. */
  status = gguf__get_string(g, "tokenizer.ggml.pre", false, &pre);
  if (status) return status;
  if (pre.data && !equals(pre, "qwen2"))
    return unsupported(g, "tokenizer.ggml.pre", pre, "only qwen2 is supported");
  const gguf_value *tokens, *merges;
  status = gguf__get_array(g, "tokenizer.ggml.tokens", GGUF_STRING, &tokens);
  if (!status) status = gguf__get_array(g, "tokenizer.ggml.merges", GGUF_STRING, &merges);
  if (status) return status;
  if (tokens->count < 1 || tokens->count > (uint64_t)src->shape.vocab)
    return gguf__refuse(g, "tokenizer.ggml.tokens", "has %llu tokens for an embedding of %d rows",
                        (unsigned long long)tokens->count, src->shape.vocab);
  if (merges->count > GGUF_MAX_MERGES)
    return gguf__refuse(g, "tokenizer.ggml.merges", "has %llu merges; at most %d are allowed",
                        (unsigned long long)merges->count, GGUF_MAX_MERGES);
  return build_tokenizer(g, src, tokens, merges);
}

/* ---- the whole ------------------------------------------------------------------------- */

static int read_all(gguf *g, model_source *src) {
  tokenizer_string name;
  uint64_t alignment;
  int status = read_architecture(g);
  if (!status) status = read_config(g, src);
  if (!status) status = read_alignment(g, &alignment);
  if (!status) status = gguf__read_tensors(g, alignment, &src->tensors);
  if (!status) status = read_vocab_size(g, src);
  if (!status) status = model__source_check(src, g->b.err, g->b.errlen);
  if (!status) status = check_unsupported(g, src);
  if (!status) status = gguf__get_string(g, "general.name", false, &name);
  if (!status && name.data) bytes_printable(src->name, sizeof src->name, name.data, name.len);
  if (!status) status = read_tokenizer(g, src);
  return status;
}

int gguf_read(model_source *src, const void *data, size_t size, const char *file, char *err,
              size_t errlen) {
  gguf g;
  src->names = &gguf_names;
  src->config_file = file;
  src->head = MODEL_HEAD_IF_PRESENT;
  int status = gguf__open(&g, data, size, file, err, errlen);
  if (!status) status = read_all(&g, src);
  if (status == ENGINE_ENOMEM && errlen) snprintf(err, errlen, "out of memory");
  free(g.values);
  return status;
}
