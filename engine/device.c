/* device.c - the weights on their device: how they get there, and what is done when they are gone.
 *
 * Three things take them away: an idle time (the memory is given back), a failure (the device's
 * whole state is suspect, so everything on it is dropped), and the end. In all cases only the
 * device's side goes: the model's files stay mapped and sessions stay, empty. Whoever uses a
 * session next finds out in engine__session_ready and waits for the load, so that nobody above
 * needs to know, and an engine that is never used again never loads again.
 *
 * The file, too, can go: cut short or overwritten while it is mapped. Where the device reads it, in
 * a load, or always on the CPU, everything on the device is dropped and the file opened again.
 *
 * A failure ends the job that met it. The device is then started again, once: if that fails, or
 * if it fails again before it did PROBATION steps, the CPU takes over for good. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/internal.h"
#include "engine/memory.h"

#define PROBATION 4096 /* forward passes: some hundred completions */
#define FALL_BACK "cpu"
#define CPU_BATCH 128
#define GPU_BATCH 2048

static void tell(engine *e, engine_event event, const char *words) {
  if (e->options.on_event != NULL) e->options.on_event(e->options.user, event, words);
}

static bool set_backend(engine *e, const char *name) {
  char *copy = strdup(name);
  if (copy == NULL) return false;
  free(e->backend);
  e->backend = copy;
  return true;
}

/* Notes that the device failed; what is done about it is for the next use of it. */
static int fail(engine *e, int status, const char *why) {
  char words[1400];
  e->failed = status;
  atomic_fetch_add(&e->failures, 1);
  snprintf(words, sizeof words, "%s failed: %s", atomic_load(&e->info_now)->backend, why);
  tell(e, ENGINE_EVENT_FAILED, words);
  return status;
}

/* ---- the file -------------------------------------------------------------------------- */

/* Says, once, that the model's file cannot be used as it is; and once more when it was read again
 * and it is known why. */
static int file_fail(engine *e, const char *why) {
  char words[1800];
  int told = *why ? 2 : 1;
  if (e->file_told >= told) return ENGINE_EFILE;
  e->file_told = told;
  snprintf(words, sizeof words, "%s was cut short or overwritten while in use; put the whole file "
           "back, the next request reads it again%s%s%s", e->model->path, *why ? " (" : "", why,
           *why ? ")" : "");
  tell(e, ENGINE_EVENT_FILE, words);
  return ENGINE_EFILE;
}

/* Before the file is read: in a load, and by each step on a device without memory of its own. */
static int ready_file(engine *e) {
  bool reads = e->forward == NULL || atomic_load(&e->info_now)->device_total == 0;
  if (!reads || !model_is_changed(e->model)) return ENGINE_OK;
  char err[1024] = "";
  engine__device_close(e);
  int rc = model_reopen(e->model, err, sizeof err);
  if (rc == ENGINE_ENOMEM) return rc;
  if (rc != ENGINE_OK) return file_fail(e, err);
  e->file_told = 0;
  return ENGINE_OK;
}

/* ---- to the device --------------------------------------------------------------------- */

static int open_kernels(engine *e, const char *name, char *err, size_t errlen) {
  const engine_options *o = &e->options;
  int max_batch = o->max_batch;
  if (max_batch == 0) max_batch = strncmp(name, "cuda", 4) == 0 ? GPU_BATCH : CPU_BATCH;
  kernels_options ko = {
      .threads = o->threads,
      .max_batch = max_batch,
      .max_out = o->max_out < max_batch ? o->max_out : max_batch,
      .memory_limit = o->gpu_memory,
  };
  if (e->inject.opens > 0 && e->fall_note == NULL) {
    e->inject.opens--;
    snprintf(err, errlen, "a test lets it fail");
    return ENGINE_EDEVICE;
  }
  int rc = kernels_open(&e->kernels, name, &e->model->shape, &ko, err, errlen);
  if (rc == KERNELS_ENOMEM && strncmp(name, "cuda", 4) == 0) {
    size_t n = strnlen(err, errlen); /* as memory.c ends */
    if (n < errlen) snprintf(err + n, errlen - n, "; --backend cpu takes it to the CPU");
  }
  return rc == KERNELS_EUNSUPPORTED ? ENGINE_EINVAL : forward_status(rc);
}

static int check_memory(engine *e, char *err, size_t errlen) {
  size_t available, total;
  const kernels_shape *s = &e->model->shape;
  kernels_memory(e->kernels, &available, &total);
  if (total == 0) return ENGINE_OK; /* the host's: its pages come as they are touched */
  int64_t one = (int64_t)2 * s->layers * s->kv_heads * s->head_dim;
  memory_question q = {
      .model = e->model->name,
      .shape = *s,
      .weights = e->size.all,
      .context = e->info[0].context,
      .element_bytes = (int)(kernels_cache_bytes(e->kernels, 1) / one),
      .max_batch = kernels_max_batch(e->kernels),
      .max_out = e->options.max_out,
      .available = available,
      .total = total,
      .limit = e->options.gpu_memory,
  };
  return memory_check(&q, err, errlen);
}

/* Random weights are made when it is known whether they are copied to a device. */
static int make_random(engine *e, char *err, size_t errlen) {
  size_t available, total;
  if (!e->model->random || e->model->embedding.data != NULL) return ENGINE_OK;
  kernels_memory(e->kernels, &available, &total);
  return model_random_fill(e->model, total > 0, err, errlen);
}

static int load_weights(engine *e, char *err, size_t errlen) {
  int rc = forward_bytes(e->model, e->kernels, &e->size);
  if (rc != ENGINE_OK)
    snprintf(err, errlen, "%s does not take this model's weights", kernels_description(e->kernels));
  if (rc == ENGINE_OK) rc = check_memory(e, err, errlen);
  if (rc == ENGINE_OK)
    rc = forward_new(&e->forward, e->model, e->kernels, e->options.on_progress, e->options.user,
                     err, errlen);
  if (rc == ENGINE_EDEVICE || rc == ENGINE_OK) {
    if (!model_is_damaged(e->model)) return rc;
    snprintf(err, errlen, "%s: the file was cut short while it was read", e->model->path);
    return ENGINE_EFILE;
  }
  return rc;
}

/* Opens and loads; *opened (may be NULL): whether the backend is there. On failure nothing is left
 * behind. */
static int load(engine *e, const char *name, bool *opened, char *err, size_t errlen) {
  double start = engine__now_ms();
  int rc = open_kernels(e, name, err, errlen);
  double making = engine__now_ms();
  if (opened != NULL) *opened = rc == ENGINE_OK;
  if (rc == ENGINE_OK) rc = make_random(e, err, errlen);
  start += engine__now_ms() - making; /* which is no part of a load */
  if (rc == ENGINE_OK) rc = load_weights(e, err, errlen);
  if (rc != ENGINE_OK) {
    engine__device_close(e);
    return rc;
  }
  e->failed = 0;
  atomic_store(&e->load_ms, engine__now_ms() - start);
  atomic_fetch_add(&e->loads, 1);
  atomic_store(&e->loaded, true);
  return ENGINE_OK;
}

/* Makes info[i], and shows it to all threads. */
static int publish(engine *e, int i, const char *note) {
  engine_info *info = &e->info[i];
  if (i > 0) *info = e->info[0];
  free(e->notes[i]); /* of an attempt for which there was no memory */
  free(e->descriptions[i]);
  e->notes[i] = strdup(note);
  e->descriptions[i] = strdup(kernels_description(e->kernels));
  if (e->notes[i] == NULL || e->descriptions[i] == NULL) return ENGINE_ENOMEM;
  info->backend = e->descriptions[i];
  info->backend_note = e->notes[i];
  kernels_memory(e->kernels, &info->device_free, &info->device_total);
  atomic_store(&e->info_now, info);
  return ENGINE_OK;
}

/* "auto": the GPU if there is one that works. A model that does not fit it is an error, not a
 * reason to be slow without a word. */
static int open_auto(engine *e, char *note, size_t notelen, char *err, size_t errlen) {
  bool opened;
  int rc = load(e, e->backend, &opened, err, errlen);
  if (rc == ENGINE_OK || (opened && rc != ENGINE_EDEVICE)) return rc;
  snprintf(note, notelen, "%s", err);
  if (errlen > 0) err[0] = '\0';
  return set_backend(e, FALL_BACK) ? load(e, e->backend, NULL, err, errlen) : ENGINE_ENOMEM;
}

int engine__device_open(engine *e, const char *backend, char *err, size_t errlen) {
  char note[512] = "";
  bool automatic = backend == NULL || strcmp(backend, "auto") == 0;
  if (!set_backend(e, automatic ? "cuda" : backend)) return ENGINE_ENOMEM;
  int rc = automatic ? open_auto(e, note, sizeof note, err, errlen)
                     : load(e, e->backend, NULL, err, errlen);
  if (rc == ENGINE_OK) rc = publish(e, 0, note);
  if (rc == ENGINE_OK) e->max_rows = kernels_max_batch(e->kernels);
  e->options.on_progress = NULL; /* of this load only */
  return rc;
}

void engine__device_close(engine *e) {
  for (engine_session *s = e->sessions; s != NULL; s = s->next) {
    kernels_cache_free(e->kernels, s->cache);
    s->cache = NULL;
    s->n_cached = 0;
  }
  forward_delete(e->forward);
  kernels_close(e->kernels);
  e->forward = NULL;
  e->kernels = NULL;
  atomic_store(&e->loaded, false);
}

void engine_unload(engine *e) {
  if (e->forward == NULL) return;
  engine__device_close(e);
  atomic_fetch_add(&e->unloads, 1);
  tell(e, ENGINE_EVENT_UNLOADED, "idle: the model's memory was given back until it is needed");
}

/* ---- back again ------------------------------------------------------------------------ */

/* The weights are there again, after an unload or a failure. */
static void came_back(engine *e, bool failed) {
  char words[1600];
  const char *backend = kernels_description(e->kernels);
  double ms = atomic_load(&e->load_ms);
  if (e->fall_note != NULL && !atomic_load(&e->fell_back)) {
    if (publish(e, 1, e->fall_note) != ENGINE_OK) return; /* the next load says it */
    atomic_store(&e->fell_back, true);
    snprintf(words, sizeof words, "%s; completions run on the CPU until fimd is restarted",
             e->fall_note);
    tell(e, ENGINE_EVENT_FELL_BACK, words);
  } else if (failed) {
    e->restarted = true;
    e->steps_since = 0;
    snprintf(words, sizeof words, "%s failed and was restarted, in %.0f ms", backend, ms);
    tell(e, ENGINE_EVENT_RESTARTED, words);
  } else {
    snprintf(words, sizeof words, "the model is on %s again, in %.0f ms", backend, ms);
    tell(e, ENGINE_EVENT_LOADED, words);
  }
}

/* From now on by the CPU. how: what the device did. */
static int fall_back(engine *e, const char *how) {
  char err[1024] = "", note[1400];
  snprintf(note, sizeof note, "%s %s", e->info[0].backend, how);
  e->fall_note = strdup(note);
  if (e->fall_note == NULL || !set_backend(e, FALL_BACK)) {
    free(e->fall_note);
    e->fall_note = NULL;
    return ENGINE_ENOMEM;
  }
  int rc = load(e, e->backend, NULL, err, sizeof err);
  if (rc == ENGINE_OK) came_back(e, true);
  return rc;
}

int engine__device_ready(engine *e) {
  int ready = ready_file(e);
  if (ready != ENGINE_OK || (e->forward != NULL && e->failed == 0)) return ready;
  char err[1024] = "", how[1200];
  int failed = e->failed;
  bool last = strcmp(e->backend, FALL_BACK) == 0; /* there is nothing behind it */
  engine__device_close(e);
  if (failed != 0 && e->restarted && e->steps_since < PROBATION && !last) {
    snprintf(how, sizeof how, "failed again soon after it was restarted (%s)",
             engine_strstatus(failed));
    return fall_back(e, how);
  }
  int rc = load(e, e->backend, NULL, err, sizeof err);
  if (rc == ENGINE_OK) {
    came_back(e, failed != 0);
    return ENGINE_OK;
  }
  if (rc == ENGINE_EFILE) return file_fail(e, "");
  if (rc == ENGINE_EINVAL) rc = ENGINE_EDEVICE; /* it was supported before */
  if (failed == 0) return fail(e, rc, err); /* what was given back is gone; tried again */
  if (last) return rc;
  snprintf(how, sizeof how, "failed (%s) and could not be restarted (%s)", engine_strstatus(failed),
           err);
  return fall_back(e, how);
}

/* ---- a step ---------------------------------------------------------------------------- */

int engine__device_cache(engine *e, int tokens, kernels_cache **out) {
  int rc = forward_status(kernels_cache_new(e->kernels, tokens, out));
  /* No memory for one more session is not the device's failure. */
  return rc == ENGINE_EDEVICE ? fail(e, rc, engine_strstatus(rc)) : rc;
}

int engine__device_step(engine *e, kernels_cache *cache, const kernels_batch *batch,
                        const forward_errand *errand, kernels_result *result) {
  int rc = ENGINE_OK;
  if (e->inject.step_status != 0 && e->inject.step_after-- == 0) {
    rc = e->inject.step_status;
    e->inject.step_status = 0;
  }
  if (rc == ENGINE_OK)
    rc = forward_step(e->forward, cache, batch, errand, result);
  else if (errand != NULL && errand->run != NULL)
    errand->run(errand->user);
  if (model_is_damaged(e->model) && atomic_load(&e->info_now)->device_total == 0)
    return file_fail(e, "");
  if (rc == ENGINE_OK && e->steps_since < PROBATION) e->steps_since++;
  /* Memory that runs out in a step is a device's own trouble: the host's would have failed when
   * the buffers were made. */
  bool device = rc == ENGINE_EDEVICE || (rc == ENGINE_ENOMEM && e->info[0].device_total > 0);
  return device ? fail(e, rc, engine_strstatus(rc)) : rc;
}

void engine__fail_step(engine *e, int status, int after) {
  e->inject.step_status = status;
  e->inject.step_after = after;
}

void engine__fail_open(engine *e, int count) { e->inject.opens = count; }
