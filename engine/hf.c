/* hf.c - reads a Hugging Face model folder: config.json, safetensors weights (one file, or
 * shards named by model.safetensors.index.json) and tokenizer.json. */
#include "engine/hf.h"

#include "engine/json.h"
#include "engine/mapping.h"
#include "engine/safetensors.h"
#include "engine/tokenizer_internal.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- limits (bytes, files) ------------------------------------------------------------- */

#define HF_MAX_CONFIG (1 << 20)
#define HF_MAX_INDEX (1 << 24)
#define HF_MAX_TOKENIZER (1 << 28)
#define HF_MAX_SHARDS 1024
#define HF_MAX_FILE_NAME 255

static const model_names hf_names = {
    .fields =
        {
            [MODEL_LAYERS] = "num_hidden_layers",
            [MODEL_HIDDEN] = "hidden_size",
            [MODEL_HEADS] = "num_attention_heads",
            [MODEL_KV_HEADS] = "num_key_value_heads",
            [MODEL_HEAD_DIM] = "head_dim",
            [MODEL_INTERMEDIATE] = "intermediate_size",
            [MODEL_VOCAB] = "vocab_size",
            [MODEL_CONTEXT] = "max_position_embeddings",
            [MODEL_ROPE_THETA] = "rope_theta",
            [MODEL_RMS_EPS] = "rms_norm_eps",
        },
    .embedding = "model.embed_tokens.weight",
    .final_norm = "model.norm.weight",
    .head = "lm_head.weight",
    .layer = "model.layers.",
    .tensors =
        {
            [MODEL_ATTN_NORM] = "input_layernorm.weight",
            [MODEL_Q] = "self_attn.q_proj.weight",
            [MODEL_K] = "self_attn.k_proj.weight",
            [MODEL_V] = "self_attn.v_proj.weight",
            [MODEL_Q_BIAS] = "self_attn.q_proj.bias",
            [MODEL_K_BIAS] = "self_attn.k_proj.bias",
            [MODEL_V_BIAS] = "self_attn.v_proj.bias",
            [MODEL_O] = "self_attn.o_proj.weight",
            [MODEL_MLP_NORM] = "post_attention_layernorm.weight",
            [MODEL_GATE] = "mlp.gate_proj.weight",
            [MODEL_UP] = "mlp.up_proj.weight",
            [MODEL_DOWN] = "mlp.down_proj.weight",
        },
};

typedef struct folder {
  model_source *src;
  model_storage *storage;
  const char *path;
  char *err;
  size_t errlen;
} folder;

static int out_of_memory(const folder *f) {
  if (f->errlen) snprintf(f->err, f->errlen, "out of memory");
  return ENGINE_ENOMEM;
}

/* "folder/name", kept by the storage: messages of tensors borrow it. */
static const char *file_path(const folder *f, const char *name) {
  size_t size = strlen(f->path) + strlen(name) + 2;
  char *path = model__storage_alloc(f->storage, size);
  if (path) snprintf(path, size, "%s/%s", f->path, name);
  return path;
}

static bool has_file(const char *folder_path, const char *name) {
  char path[PATH_MAX];
  int n = snprintf(path, sizeof path, "%s/%s", folder_path, name);
  return n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0;
}

bool hf_is_folder(const char *path) {
  return has_file(path, "config.json") && (has_file(path, "model.safetensors") ||
                                           has_file(path, "model.safetensors.index.json"));
}

/* Reads a JSON file and sets a cursor over it; *text is owned by the caller. */
static int open_json(const folder *f, const char *name, size_t max, bytes *b, uint8_t **text) {
  size_t size;
  const char *path = file_path(f, name);
  *text = NULL;
  if (!path) return out_of_memory(f);
  int status = mapping_read_file(path, max, text, &size, f->err, f->errlen);
  if (!status) bytes_init(b, *text, size, path, f->err, f->errlen);
  return status;
}

/* ---- config.json ----------------------------------------------------------------------- */

typedef struct config {
  bytes b;
  model_source *src;
  int64_t values[MODEL_N_FIELDS]; /* of the whole-number fields */
  unsigned seen;                  /* bit f: field f was there */
  bool is_qwen2;
} config;

static void require_word(bytes *b, const char *field, const char *wanted, uint64_t at) {
  char is[64], shown[64];
  size_t n = json_string(b, field, is, sizeof is);
  if (!b->failed && strcmp(is, wanted) != 0)
    bytes_fail(b, at, "%s is \"%s\"; only \"%s\" is supported", field,
               bytes_printable(shown, sizeof shown, is, n), wanted);
}

static void require_null(bytes *b, const char *field, uint64_t at, const char *what) {
  if (!json_null(b)) bytes_fail(b, at, "%s is set; %s not supported", field, what);
}

/* ["full_attention", ...], one for each layer, in newer files. */
static void read_layer_types(bytes *b) {
  json_enter(b, '[', "layer_types");
  for (bool first = true; json_next(b, &first, ']');)
    require_word(b, "layer_types", "full_attention", b->at);
}

static void read_architectures(config *c, uint64_t at) {
  bytes *b = &c->b;
  bool qwen2 = false;
  char name[128], shown[64] = "nothing";
  json_enter(b, '[', "architectures");
  for (bool first = true; json_next(b, &first, ']');) {
    size_t n = json_string(b, "architectures", name, sizeof name);
    bytes_printable(shown, sizeof shown, name, n);
    qwen2 |= strcmp(name, "Qwen2ForCausalLM") == 0;
  }
  if (!qwen2) bytes_fail(b, at, "architectures is %s; only Qwen2ForCausalLM is supported", shown);
}

/* Some files say it in two places. */
static void read_rope_theta(config *c, uint64_t at) {
  double number = json_number(&c->b, "rope_theta");
  float theta = number > 0 && number < 1e30 ? (float)number : 0;
  if (c->seen & 1u << MODEL_ROPE_THETA && theta != c->src->shape.rope_theta)
    bytes_fail(&c->b, at, "rope_theta is there twice, with another value");
  c->src->shape.rope_theta = theta;
  c->src->fields_at[MODEL_ROPE_THETA] = at;
  c->seen |= 1u << MODEL_ROPE_THETA;
}

/* {"rope_theta": ..., "rope_type": "default"}: where newer files keep rope_theta. */
static void read_rope_parameters(config *c) {
  bytes *b = &c->b;
  json_enter(b, '{', "rope_parameters");
  for (bool first = true; json_next(b, &first, '}');) {
    char key[64];
    json_peek(b);
    uint64_t at = b->at;
    json_key(b, key, sizeof key);
    if (strcmp(key, "rope_theta") == 0) read_rope_theta(c, at);
    else if (strcmp(key, "rope_type") == 0) require_word(b, "rope_type", "default", at);
    else bytes_fail(b, at, "rope_parameters: rope scaling is not supported");
  }
}

static void read_number_field(config *c, const char *key, uint64_t at) {
  bytes *b = &c->b;
  for (int f = 0; f < MODEL_N_FIELDS && !b->failed; f++) {
    if (strcmp(key, hf_names.fields[f]) != 0) continue;
    if (f == MODEL_HEAD_DIM && json_null(b)) return;
    if (f == MODEL_ROPE_THETA) {
      read_rope_theta(c, at);
      return;
    }
    if (c->seen & 1u << f) bytes_fail(b, at, "%s is there twice", key);
    c->seen |= 1u << f;
    c->src->fields_at[f] = at;
    if (f == MODEL_RMS_EPS) {
      double eps = json_number(b, key);
      c->src->shape.rms_eps = eps > 0 && eps < 1e30 ? (float)eps : 0;
    } else {
      c->values[f] = json_integer(b, key, 1, INT32_MAX);
    }
    return;
  }
  json_skip(b);
}

static void read_config_field(config *c, const char *key, uint64_t at) {
  bytes *b = &c->b;
  if (strcmp(key, "model_type") == 0) {
    require_word(b, key, "qwen2", at);
    c->is_qwen2 = true;
  } else if (strcmp(key, "architectures") == 0) {
    if (!json_null(b)) read_architectures(c, at);
  } else if (strcmp(key, "hidden_act") == 0) {
    require_word(b, key, "silu", at);
  } else if (strcmp(key, "tie_word_embeddings") == 0) {
    c->src->head = json_bool(b, key) ? MODEL_HEAD_TIED : MODEL_HEAD_OWN;
  } else if (strcmp(key, "use_sliding_window") == 0) {
    if (json_bool(b, key)) bytes_fail(b, at, "%s is true; sliding windows are not supported", key);
  } else if (strcmp(key, "layer_types") == 0) {
    if (!json_null(b)) read_layer_types(b);
  } else if (strcmp(key, "rope_scaling") == 0) {
    require_null(b, key, at, "rope scaling is");
  } else if (strcmp(key, "rope_parameters") == 0) {
    if (!json_null(b)) read_rope_parameters(c);
  } else if (strcmp(key, "quantization_config") == 0) {
    require_null(b, key, at, "quantized safetensors are (GGUF files are)");
  } else {
    read_number_field(c, key, at);
  }
}

static int check_config(config *c) {
  bytes *b = &c->b;
  if (!b->failed && !c->is_qwen2)
    return bytes_fail(b, b->size, "model_type is missing; only \"qwen2\" is supported");
  for (int f = 0; f < MODEL_N_FIELDS && !b->failed; f++)
    if (f != MODEL_HEAD_DIM && !(c->seen & 1u << f))
      return bytes_fail(b, b->size, "%s is missing", hf_names.fields[f]);
  return b->failed ? ENGINE_EFORMAT : 0;
}

static int read_fields(const folder *f, config *c) {
  bytes *b = &c->b;
  f->src->config_file = b->file;
  f->src->head = MODEL_HEAD_OWN; /* Qwen2's default */
  json_enter(b, '{', "the config");
  for (bool first = true; json_next(b, &first, '}');) {
    char key[256];
    json_peek(b);
    uint64_t at = b->at;
    json_key(b, key, sizeof key);
    if (!b->failed) read_config_field(c, key, at);
  }
  json_end(b);
  return check_config(c);
}

static int read_config(const folder *f) {
  config c = {.src = f->src};
  uint8_t *text;
  int status = open_json(f, "config.json", HF_MAX_CONFIG, &c.b, &text);
  if (!status) status = read_fields(f, &c);
  free(text);
  if (status) return status;
  kernels_shape *s = &f->src->shape;
  s->layers = (int)c.values[MODEL_LAYERS];
  s->hidden = (int)c.values[MODEL_HIDDEN];
  s->heads = (int)c.values[MODEL_HEADS];
  s->kv_heads = (int)c.values[MODEL_KV_HEADS];
  s->head_dim = (int)c.values[MODEL_HEAD_DIM];
  s->intermediate = (int)c.values[MODEL_INTERMEDIATE];
  s->vocab = (int)c.values[MODEL_VOCAB];
  f->src->trained_context = (int)c.values[MODEL_CONTEXT];
  return model__source_check(f->src, f->err, f->errlen);
}

/* ---- weights --------------------------------------------------------------------------- */

static int read_weights(const folder *f, const char *name) {
  const void *data;
  size_t size;
  const char *path = file_path(f, name);
  if (!path) return out_of_memory(f);
  int status = model__storage_map(f->storage, path, &data, &size, f->err, f->errlen);
  if (status) return status;
  return safetensors_read(&f->src->tensors, f->storage, data, size, path, f->err, f->errlen);
}

/* A shard must lie in the folder itself: a name from a stranger does not choose other files. */
static bool is_plain_name(const char *name) {
  return *name && *name != '.' && !strchr(name, '/') && !strchr(name, '\\');
}

typedef struct shards {
  char (*names)[HF_MAX_FILE_NAME + 1]; /* [n] owned */
  int n;
} shards;

static int add_shard(shards *s, bytes *b, const char *name, uint64_t at) {
  if (!is_plain_name(name)) {
    char shown[64];
    return bytes_fail(b, at, "weight_map: \"%s\" is not the name of a file in the folder",
                      bytes_printable(shown, sizeof shown, name, strlen(name)));
  }
  /* Tensors of one shard mostly follow each other. */
  for (int i = s->n - 1; i >= 0; i--)
    if (strcmp(s->names[i], name) == 0) return 0;
  if (s->n == HF_MAX_SHARDS)
    return bytes_fail(b, at, "weight_map: there are more than %d files", HF_MAX_SHARDS);
  snprintf(s->names[s->n++], sizeof *s->names, "%s", name);
  return 0;
}

/* A tensor must be in the shard that the index says. */
static void check_place(const folder *f, bytes *b, const char *tensor, const char *file,
                        uint64_t at) {
  const model_tensor *t = model__tensors_find(&f->src->tensors, tensor);
  size_t folder_len = strlen(f->path) + 1;
  if (t && strcmp(t->file + folder_len, file) == 0) return;
  char shown[64];
  bytes_about(b, "tensor", tensor, strlen(tensor));
  bytes_fail(b, at, "weight_map: it is not in %s",
             bytes_printable(shown, sizeof shown, file, strlen(file)));
}

/* Walks the weight_map: with s, collects its files; without, checks where tensors are. */
static int walk_index(const folder *f, const bytes *text, shards *s) {
  bytes cursor = *text, *b = &cursor;
  bool found = false;
  json_enter(b, '{', "the index");
  for (bool first = true; json_next(b, &first, '}');) {
    char key[256], file[HF_MAX_FILE_NAME + 1];
    json_key(b, key, sizeof key);
    if (strcmp(key, "weight_map") != 0 || found) {
      if (found && strcmp(key, "weight_map") == 0)
        bytes_fail(b, b->at, "weight_map is there twice");
      json_skip(b);
      continue;
    }
    found = true;
    json_enter(b, '{', "weight_map");
    for (bool more = true; json_next(b, &more, '}');) {
      json_peek(b);
      uint64_t at = b->at;
      json_key(b, key, sizeof key);
      json_string(b, "weight_map", file, sizeof file);
      if (b->failed) break;
      if (s) add_shard(s, b, file, at);
      else check_place(f, b, key, file, at);
    }
  }
  json_end(b);
  if (!found) bytes_fail(b, b->size, "weight_map is missing");
  return b->failed ? ENGINE_EFORMAT : 0;
}

static int read_sharded(const folder *f) {
  bytes text;
  uint8_t *data;
  shards s = {0};
  int status = open_json(f, "model.safetensors.index.json", HF_MAX_INDEX, &text, &data);
  if (status) return status;
  s.names = calloc(HF_MAX_SHARDS, sizeof *s.names);
  status = s.names ? walk_index(f, &text, &s) : out_of_memory(f);
  for (int i = 0; i < s.n && !status; i++) status = read_weights(f, s.names[i]);
  if (!status) status = model__tensors_sort(&f->src->tensors, f->err, f->errlen);
  if (!status) status = walk_index(f, &text, NULL);
  free(data);
  free(s.names);
  return status;
}

/* Old files carry the rotary tables, which are computed from rope_theta instead. */
static void ignore_tables(model_tensors *tensors) {
  static const char suffix[] = ".rotary_emb.inv_freq";
  const size_t len = sizeof suffix - 1;
  for (int i = 0; i < tensors->n; i++) {
    tokenizer_string name = tensors->list[i].name;
    if (name.len > len && memcmp(name.data + name.len - len, suffix, len) == 0)
      tensors->list[i].used = true;
  }
}

/* ---- tokenizer.json -------------------------------------------------------------------- */

static int read_tokenizer(const folder *f) {
  if (!has_file(f->path, "tokenizer.json")) return 0;
  bytes text;
  uint8_t *data;
  int status = open_json(f, "tokenizer.json", HF_MAX_TOKENIZER, &text, &data);
  if (status) return status;
  status = tokenizer__read_json(&f->src->tokenizer, &text, f->src->shape.vocab);
  free(data);
  return status;
}

int hf_read(model_source *src, model_storage *storage, const char *path, char *err,
            size_t errlen) {
  folder f = {.src = src, .storage = storage, .path = path, .err = err, .errlen = errlen};
  src->names = &hf_names;
  int status = read_config(&f);
  if (status) return status;
  status = has_file(path, "model.safetensors") ? read_weights(&f, "model.safetensors")
                                               : read_sharded(&f);
  if (!status) status = model__tensors_sort(&src->tensors, err, errlen);
  if (status) return status;
  ignore_tables(&src->tensors);
  return read_tokenizer(&f);
}

int hf_read_tokenizer(tokenizer **out, model_storage *storage, const char *path, int n_vocab,
                      char *err, size_t errlen) {
  model_source src = {.shape.vocab = n_vocab};
  folder f = {.src = &src, .storage = storage, .path = path, .err = err, .errlen = errlen};
  int status = read_tokenizer(&f);
  *out = src.tokenizer;
  if (status || src.tokenizer) return status;
  snprintf(err, errlen, "%s: no tokenizer.json in it", path);
  return ENGINE_ENOTFOUND;
}
