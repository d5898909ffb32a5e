/* hf.h - reads Hugging Face model folders, private to engine/. */
#ifndef FIMD_ENGINE_HF_H
#define FIMD_ENGINE_HF_H

#include "engine/model_source.h"

/* Whether a folder holds a config.json and safetensors weights, or an index of them. */
bool hf_is_folder(const char *path);

/* Reads config.json, the safetensors files and, where there is one, tokenizer.json into src.
 * The weights stay mapped in the storage. ENGINE_EFORMAT: err names the file, the field and the
 * byte. ENGINE_ENOTFOUND: a file that must be there is not. On failure src still needs
 * model__source_clear. */
int hf_read(model_source *src, model_storage *storage, const char *folder, char *err,
            size_t errlen);

/* Only the folder's tokenizer.json, for a vocabulary of n_vocab. *out is owned by the caller. ENGINE_ENOTFOUND: there is none. */
int hf_read_tokenizer(tokenizer **out, model_storage *storage, const char *folder, int n_vocab,
                      char *err, size_t errlen);

#endif
