/* loader.h - the model, loaded on a thread of its own while the loop goes on. */
#ifndef FIMD_LSP_LOADER_H
#define FIMD_LSP_LOADER_H

#include <uv.h>

#include "engine/engine.h"

typedef enum lsp__model_state {
  LSP__MODEL_LOADING = 0,
  LSP__MODEL_READY,
  LSP__MODEL_FAILED,
} lsp__model_state;

typedef struct lsp__loader lsp__loader;

/* Starts at once. wake is sent when there is news, until lsp__loader_release. The options are
 * copied. Returns 0 or a negative libuv error; *out is released by lsp__loader_release. */
int lsp__loader_start(lsp__loader **out, const engine_options *options, uv_async_t *wake);
/* What there is: progress in 0..1; the engine (once ready) and the message (once failed) are
 * borrowed until release. */
lsp__model_state lsp__loader_state(lsp__loader *l, double *progress, engine **e,
                                   const char **message);
/* The next thing that the engine's device met with, oldest first; words are copied. False: there
 * is none. What is not fetched in time is lost, the oldest first. */
bool lsp__loader_event(lsp__loader *l, engine_event *event, char *words, size_t size);
/* Closes the engine. A model that still loads cannot be interrupted: its thread is left to end
 * by itself and cleans up behind it, so that leaving never waits for a load. NULL is a no-op. */
void lsp__loader_release(lsp__loader *l);

#endif
