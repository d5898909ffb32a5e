/* gguf.h - reads GGUF files, private to engine/. */
#ifndef FIMD_ENGINE_GGUF_H
#define FIMD_ENGINE_GGUF_H

#include "engine/model_source.h"

/* Reads a GGUF file of version 2 or 3 that holds a Qwen2 model into src, its tokenizer too.
 * data[size] is borrowed as long as the tensors are used. ENGINE_EFORMAT: err names the field
 * and the byte. On failure src still needs model__source_clear. */
int gguf_read(model_source *src, const void *data, size_t size, const char *file, char *err,
              size_t errlen);

#endif
