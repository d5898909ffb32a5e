/* model.c - opens a model, whatever it is stored as.
 *
 * model_find.c says which file or folder is meant; gguf.c or hf.c reads it into a model_source;
 * model_bind.c makes a model of that. What the model borrows from lives in its model_storage. */
#include "engine/gguf.h"
#include "engine/hf.h"
#include "engine/model_source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

extern const unsigned char fimd__embedded_model[], fimd__embedded_model_end[];

static int out_of_memory(char *err, size_t errlen) {
  if (errlen) snprintf(err, errlen, "out of memory");
  return ENGINE_ENOMEM;
}

void model_close(model *m) {
  if (!m) return;
  tokenizer_delete(m->tokenizer);
  free(m->layers);
  model__storage_delete(m->storage);
  free(m->name);
  free(m->path);
  free(m);
}

static int model_new(model **out, const char *path, char *err, size_t errlen) {
  model *m = calloc(1, sizeof *m);
  if (m) {
    m->storage = model__storage_new();
    m->path = strdup(path);
  }
  if (!m || !m->storage || !m->path) {
    model_close(m);
    return out_of_memory(err, errlen);
  }
  *out = m;
  return 0;
}

/* The last part of a path, without ".gguf": a name for people where the file has none. */
static char *name_of_path(const char *path) {
  size_t len = strlen(path);
  while (len > 1 && path[len - 1] == '/') len--;
  size_t start = len;
  while (start > 0 && path[start - 1] != '/') start--;
  size_t n = len - start;
  if (n > 5 && strncmp(path + len - 5, ".gguf", 5) == 0) n -= 5;
  char *name = malloc(n + 1);
  return name ? bytes_printable(name, n + 1, path + start, n) : NULL;
}

/* Binds the source and names the model. */
static int finish(model *m, model_source *src, const char *name, char *err, size_t errlen) {
  int status = model__bind(m, src, err, errlen);
  if (status) return status;
  m->name = name ? strdup(name) : *src->name ? strdup(src->name) : name_of_path(m->path);
  return m->name ? 0 : out_of_memory(err, errlen);
}

static int open_gguf(model *m, const void *data, size_t size, const char *name, char *err,
                     size_t errlen) {
  model_source src;
  memset(&src, 0, sizeof src);
  int status = gguf_read(&src, data, size, m->path, err, errlen);
  if (!status) status = finish(m, &src, name, err, errlen);
  model__source_clear(&src);
  return status;
}

int model_open_gguf_memory(model **out, const void *data, size_t size, const char *name,
                           char *err, size_t errlen) {
  *out = NULL;
  model *m;
  int status = model_new(&m, name, err, errlen);
  if (status) return status;
  status = open_gguf(m, data, size, NULL, err, errlen);
  if (status) model_close(m);
  else *out = m;
  return status;
}

static int open_file(model *m, const char *path, const char *name, char *err, size_t errlen) {
  const void *data;
  size_t size, len = strlen(path);
  if (len > 12 && strcmp(path + len - 12, ".safetensors") == 0) {
    if (errlen)
      snprintf(err, errlen, "%s: is only the weights of a model; give the folder that it is in",
               path);
    return ENGINE_EFORMAT;
  }
  int status = model__storage_map(m->storage, path, &data, &size, err, errlen);
  return status ? status : open_gguf(m, data, size, name, err, errlen);
}

static int open_folder(model *m, const char *path, const char *name, char *err, size_t errlen) {
  if (!hf_is_folder(path)) {
    int count;
    char *file = model__find_gguf(path, &count);
    if (file) {
      free(m->path);
      m->path = file;
      return open_file(m, file, name, err, errlen);
    }
    if (count < 0) return out_of_memory(err, errlen);
    if (errlen && count)
      snprintf(err, errlen, "%s: holds %d .gguf files; name one of them", path, count);
    else if (errlen)
      snprintf(err, errlen,
               "%s: holds no model: neither config.json with model.safetensors nor a .gguf file",
               path);
    return ENGINE_ENOTFOUND;
  }
  model_source src;
  memset(&src, 0, sizeof src);
  int status = hf_read(&src, m->storage, path, err, errlen);
  if (!status) status = finish(m, &src, name, err, errlen);
  model__source_clear(&src);
  return status;
}

/* A looked-up model of which a file is missing: an interrupted download. */
static void advise_download(const char *name, char *err, size_t errlen) {
  char command[256];
  size_t n = strnlen(err, errlen);
  model__find_command(name, command, sizeof command);
  if (n < errlen) snprintf(err + n, errlen - n, "; complete it with: %s", command);
}

/* A file or a folder. Reads that met the end of a file that was cut meanwhile gave zeros, of which
 * anything may have been made. */
static int open_path(model *m, const char *path, const char *name, char *err, size_t errlen) {
  struct stat st;
  bool folder = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
  int status = (folder ? open_folder : open_file)(m, path, name, err, errlen);
  if ((status && status != ENGINE_EFORMAT) || !model__storage_is_damaged(m->storage))
    return status;
  if (errlen) snprintf(err, errlen, "%s: the file was cut short while it was read", m->path);
  return ENGINE_EFORMAT;
}

int model_open(model **out, const char *what, char *err, size_t errlen) {
  *out = NULL;
  if (!what)
    return model_open_gguf_memory(out, fimd__embedded_model,
                                  (size_t)(fimd__embedded_model_end - fimd__embedded_model),
                                  "embedded", err, errlen);
  char *path = NULL, *name = NULL;
  model *m = NULL;
  int status = model__find(what, &path, &name, err, errlen);
  if (!status) status = model_new(&m, path, err, errlen);
  if (!status) {
    status = open_path(m, path, name, err, errlen);
    if (status == ENGINE_ENOTFOUND && name && errlen) advise_download(name, err, errlen);
  }
  free(path);
  free(name);
  if (status) model_close(m);
  else *out = m;
  return status;
}

/* ---- files that change ----------------------------------------------------------------- */

bool model_is_damaged(const model *m) { return model__storage_is_damaged(m->storage); }

bool model_is_changed(const model *m) { return model__storage_is_changed(m->storage); }

static int check_same(const model *m, const model *fresh, char *err, size_t errlen) {
  const tokenizer *a = m->tokenizer, *b = fresh->tokenizer;
  bool same = memcmp(&m->shape, &fresh->shape, sizeof m->shape) == 0 &&
              strcmp(m->types, fresh->types) == 0 && (!a) == (!b) &&
              (!a || tokenizer_same(a, b));
  if (same) return 0;
  if (errlen)
    snprintf(err, errlen, "%s: is another model now than the one that was opened; restart fimd",
             m->path);
  return ENGINE_EFORMAT;
}

int model_reopen(model *m, char *err, size_t errlen) {
  model *fresh;
  int status = model_new(&fresh, m->path, err, errlen);
  if (status) return status;
  status = open_path(fresh, m->path, NULL, err, errlen);
  if (!status) status = check_same(m, fresh, err, errlen);
  if (!status) {
    model old = *m;
    m->embedding = fresh->embedding;
    m->head = fresh->head;
    m->tied = fresh->tied;
    m->final_norm = fresh->final_norm;
    m->layers = fresh->layers;
    m->storage = fresh->storage;
    fresh->layers = old.layers;
    fresh->storage = old.storage;
  }
  model_close(fresh);
  return status;
}
