/* malformed.h - what the tables of malformed models share: a model in each format that is small and
 * good, and the count of those that are refused once one place of them is broken. */
#ifndef FIMD_TESTS_MALFORMED_H
#define FIMD_TESTS_MALFORMED_H

#include "tests/engine/model_files.h"

#include "engine/engine.h"
#include "kernels/kernels.h"

/* ---- counting -------------------------------------------------------------------------- */

#define MALFORMED_MOST 128

/* All that is tried, by format and class. */
typedef struct malformed {
  char *folder;  /* owned: where the files are written */
  char *backend; /* owned */
  struct {
    const char *format, *kind;
    int tried, refused;
  } counts[MALFORMED_MOST];
  int n;
} malformed;

/* One broken model: err must have words, and "(at byte AT)"; at -1: no byte. */
typedef struct refusal {
  const char *format, *kind; /* "gguf", "counts" */
  const char *what;          /* for a test's failure: the place and what was put there */
  const char *words;
  int64_t at;
} refusal;

UNUSED_OK static void malformed_count(malformed *m, const refusal *r, bool refused) {
  int i = 0;
  while (i < m->n && (strcmp(m->counts[i].format, r->format) || strcmp(m->counts[i].kind, r->kind)))
    i++;
  assert_true(i < MALFORMED_MOST);
  if (i == m->n) {
    m->counts[m->n].format = r->format;
    m->counts[m->n++].kind = r->kind;
  }
  m->counts[i].tried++;
  m->counts[i].refused += refused;
}

UNUSED_OK static int malformed_open(const malformed *m, const char *path, engine **e, char *err,
                                    size_t errlen) {
  engine_options o = {.model = path, .backend = m->backend, .threads = 1, .context = 128};
  return engine_open(e, &o, err, errlen);
}

/* Opens the model at a path, which must be refused so. */
UNUSED_OK static void malformed_refuse(malformed *m, const char *path, const refusal *r) {
  char err[1024] = "", byte[48] = "";
  engine *e = NULL;
  int status = malformed_open(m, path, &e, err, sizeof err);
  if (r->at >= 0) snprintf(byte, sizeof byte, " (at byte %lld)", (long long)r->at);
  bool good = status == ENGINE_EFORMAT && !e && strstr(err, r->words) && strstr(err, byte);
  malformed_count(m, r, good);
  if (!good)
    print_error("%s, %s, %s: status %d, \"%s\" should say \"%s\"%s\n", r->format, r->kind, r->what,
                status, err, r->words, byte);
  engine_close(e);
}

/* ---- a small Hugging Face folder -------------------------------------------------------- */

static const char malformed_config[] =
    "{\"architectures\":[\"Qwen2ForCausalLM\"],\"hidden_act\":\"silu\",\"hidden_size\":64,"
    "\"intermediate_size\":96,\"max_position_embeddings\":512,\"model_type\":\"qwen2\","
    "\"num_attention_heads\":1,\"num_hidden_layers\":2,\"num_key_value_heads\":1,"
    "\"rms_norm_eps\":1e-06,\"rope_theta\":10000.0,\"tie_word_embeddings\":true,"
    "\"vocab_size\":264}";

/* The vocabulary of small_gguf. */
UNUSED_OK static char *malformed_tokenizer(void) {
  image m = {0};
  image_text(&m,
             "{\"version\":\"1.0\",\"added_tokens\":["
             "{\"id\":258,\"content\":\"<|endoftext|>\",\"single_word\":false,\"lstrip\":false,"
             "\"rstrip\":false,\"normalized\":false,\"special\":true},"
             "{\"id\":259,\"content\":\"<|fim_prefix|>\",\"special\":true},"
             "{\"id\":260,\"content\":\"<|fim_suffix|>\",\"special\":true},"
             "{\"id\":261,\"content\":\"<|fim_middle|>\",\"special\":true}],"
             "\"normalizer\":{\"type\":\"NFC\"},"
             "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
             "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
             "[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|\\\\p{N}|"
             " ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|"
             "\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\","
             "\"invert\":false},"
             "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},"
             "\"model\":{\"type\":\"BPE\",\"dropout\":null,\"unk_token\":null,"
             "\"continuing_subword_prefix\":\"\",\"end_of_word_suffix\":\"\","
             "\"byte_fallback\":false,\"vocab\":{");
  for (int i = 0; i < 256; i++) {
    char piece[4], entry[32];
    byte_piece(i, piece);
    bool escape = *piece == '"' || *piece == '\\';
    snprintf(entry, sizeof entry, "\"%s%s\":%d,", escape ? "\\" : "", piece, i);
    image_text(&m, entry);
  }
  image_text(&m, "\"in\":256,\"int\":257},\"merges\":[\"i n\",[\"in\",\"t\"]]}}");
  image_put(&m, "", 1);
  free(m.marks);
  return (char *)m.data;
}

/* What safetensors call a tensor of small_tensors. */
UNUSED_OK static const char *malformed_name(const small_tensor *t, char *out, size_t size) {
  static const char *const names[][2] = {
      {"attn_norm.weight", "input_layernorm.weight"},
      {"attn_q.weight", "self_attn.q_proj.weight"},
      {"attn_q.bias", "self_attn.q_proj.bias"},
      {"attn_k.weight", "self_attn.k_proj.weight"},
      {"attn_k.bias", "self_attn.k_proj.bias"},
      {"attn_v.weight", "self_attn.v_proj.weight"},
      {"attn_v.bias", "self_attn.v_proj.bias"},
      {"attn_output.weight", "self_attn.o_proj.weight"},
      {"ffn_norm.weight", "post_attention_layernorm.weight"},
      {"ffn_gate.weight", "mlp.gate_proj.weight"},
      {"ffn_up.weight", "mlp.up_proj.weight"},
      {"ffn_down.weight", "mlp.down_proj.weight"},
  };
  if (strcmp(t->name, "token_embd.weight") == 0) return "model.embed_tokens.weight";
  for (size_t i = 0; i < sizeof names / sizeof *names && t->name[0] == 'b'; i++)
    if (strcmp(t->name + strlen("blk.0."), names[i][0]) == 0) {
      snprintf(out, size, "model.layers.%c.%s", t->name[4], names[i][1]);
      return out;
    }
  return "model.norm.weight";
}

/* Header and data of all tensors in one type of 2 or 4 bytes; "NAME data" is marked in the data.
 * map (may be NULL) gets a weight_map for "part.safetensors". */
UNUSED_OK static void malformed_weights(kernels_type type, char **header, image *data, image *map) {
  small_tensor tensors[64];
  int n = small_tensors(tensors), width = type == KERNELS_F32 ? 4 : 2;
  image text = {0};
  char name[96], entry[256];
  for (int i = 0; i < n; i++) {
    const small_tensor *t = &tensors[i];
    int64_t rows = t->rows ? t->rows : 1;
    size_t start = data->size, size = (size_t)(rows * t->cols * width);
    char shape[48];
    snprintf(shape, sizeof shape, t->rows ? "%lld,%lld" : "%.0lld%lld", (long long)t->rows,
             (long long)t->cols);
    snprintf(entry, sizeof entry,
             "%s\"%s\":{\"dtype\":\"%s\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
             i ? "," : "{", malformed_name(t, name, sizeof name), kernels_type_name(type), shape,
             start, start + size);
    image_text(&text, entry);
    image_mark(data, "%s data", malformed_name(t, name, sizeof name));
    for (size_t at = 0; at < size; at += (size_t)width) /* 0.5, more or less */
      image_put(data, type == KERNELS_F16 ? "\x00\x38" : type == KERNELS_BF16 ? "\x00\x3f"
                                                                              : "\x00\x00\x00\x3f",
                (size_t)width);
    snprintf(entry, sizeof entry, "%s\"%s\":\"part.safetensors\"", i ? "," : "{\"weight_map\":{",
             malformed_name(t, name, sizeof name));
    if (map) image_text(map, entry);
  }
  image_put(&text, "}", 2);
  if (map) image_put(map, "}}", 3);
  *header = (char *)text.data;
  free(text.marks);
}

UNUSED_OK static void malformed_put(const malformed *m, const char *name, const void *data,
                                    size_t size) {
  char *path = text_of("%s/%s", m->folder, name);
  write_file(path, data, size);
  free(path);
}

UNUSED_OK static void malformed_put_text(const malformed *m, const char *name, const char *text) {
  malformed_put(m, name, text, strlen(text));
}

/* As a file: the header's length, the header, the data. */
UNUSED_OK static void malformed_put_weights(const malformed *m, const char *name,
                                            const char *header, const void *data, size_t size) {
  image file = safetensors_image(header, data, size);
  malformed_put(m, name, file.data, file.size);
  image_free(&file);
}

/* Writes the whole good folder. */
UNUSED_OK static void malformed_put_folder(const malformed *m, kernels_type type) {
  char *header, *tokenizer = malformed_tokenizer();
  image data = {0};
  malformed_weights(type, &header, &data, NULL);
  malformed_put_text(m, "config.json", malformed_config);
  malformed_put_text(m, "tokenizer.json", tokenizer);
  malformed_put_weights(m, "model.safetensors", header, data.data, data.size);
  free(header);
  free(tokenizer);
  image_free(&data);
}

/* text with the first `from` replaced, owned by the caller. */
UNUSED_OK static char *malformed_replaced(const char *text, const char *from, const char *to) {
  const char *at = strstr(text, from);
  if (!at) fail_msg("no %s to break", from);
  return text_of("%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

/* Where the first of these words stands, and so many bytes on; "" is the text's end, NULL none. */
UNUSED_OK static int64_t malformed_place(const char *text, const char *words, int skip) {
  if (!words) return -1;
  const char *at = *words ? strstr(text, words) : text + strlen(text);
  if (!at) fail_msg("no %s in the broken file", words);
  return at - text + skip;
}

#endif
