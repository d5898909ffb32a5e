/* safetensors.h - reads safetensors files, private to engine/. */
#ifndef FIMD_ENGINE_SAFETENSORS_H
#define FIMD_ENGINE_SAFETENSORS_H

#include "engine/model_source.h"

/* Adds the tensors of one file to `tensors` (unsorted). data[size] and file are borrowed as long
 * as the tensors are used; names are copied to the storage. ENGINE_EFORMAT: err names the
 * tensor, its field and the byte. */
int safetensors_read(model_tensors *tensors, model_storage *storage, const void *data,
                     size_t size, const char *file, char *err, size_t errlen);

#endif
