/* forward.c - the Qwen2 forward pass, written once over the op list of kernels.h.
 *
 * Per layer: norm + q/k/v + rotary into the cache, attention, output projection onto the
 * residual, norm + gate/up + SiLU, down projection onto the residual. Then the head, for the
 * rows that are asked for. Everything that makes it fast is inside the ops. */
#include "engine/forward.h"

#include <stdio.h>
#include <stdlib.h>

/* kernels_batch.plan: the two sequences of ops that there are. */
enum { PLAN_WITH_HEAD = 1, PLAN_WITHOUT_HEAD = 2 };

typedef struct forward_layer {
  kernels_buffer *attn_norm, *qkv_bias, *mlp_norm;
  kernels_weight *qkv, *o, *gate_up, *down;
} forward_layer;

struct forward {
  kernels *k;
  int n_layers;
  bool tied;
  forward_layer *layers; /* [n_layers] owned */
  kernels_weight *embedding, *head;
  kernels_buffer *final_norm;
  kernels_buffer *x, *q, *a, *h; /* activations of the largest batch */
};

int forward_status(int status) {
  switch (status) {
  case KERNELS_OK: return ENGINE_OK;
  case KERNELS_ENOMEM: return ENGINE_ENOMEM;
  case KERNELS_EINVAL: return ENGINE_EINVAL;
  default: return ENGINE_EDEVICE;
  }
}

/* ---- loading --------------------------------------------------------------------------- */

/* Progress counts the bytes of the matrices as they are in the file: an embedding table is as
 * much work as many layers. */
typedef struct loader {
  kernels *k;
  const model *m;
  void (*progress)(void *user, double done);
  void *user;
  double done, all;
} loader;

static double parts_bytes(const kernels_matrix *parts, int n) {
  double bytes = 0;
  for (int i = 0; i < n; i++) bytes += (double)kernels_matrix_bytes(&parts[i]);
  return bytes;
}

static int load_weight(loader *l, kernels_role role, const kernels_matrix *parts, int n,
                       kernels_weight **out) {
  int rc = kernels_weight_load(l->k, role, parts, n, out);
  l->done += parts_bytes(parts, n);
  if (rc == KERNELS_OK && l->progress != NULL) l->progress(l->user, l->done / l->all);
  return rc;
}

static size_t qkv_rows(const kernels_shape *s) {
  return (size_t)(s->heads + 2 * s->kv_heads) * (size_t)s->head_dim;
}

static int load_layer(loader *l, const model_layer *from, forward_layer *to) {
  const kernels_shape *s = &l->m->shape;
  const kernels_matrix qkv[3] = {from->q, from->k, from->v};
  const kernels_matrix gate_up[2] = {from->gate, from->up};
  int rc;
  if ((rc = kernels_buffer_new(l->k, from->attn_norm, (size_t)s->hidden, &to->attn_norm)) ||
      (rc = kernels_buffer_new(l->k, from->qkv_bias, qkv_rows(s), &to->qkv_bias)) ||
      (rc = kernels_buffer_new(l->k, from->mlp_norm, (size_t)s->hidden, &to->mlp_norm)) ||
      (rc = load_weight(l, KERNELS_QKV, qkv, 3, &to->qkv)) ||
      (rc = load_weight(l, KERNELS_PROJECT, &from->o, 1, &to->o)) ||
      (rc = load_weight(l, KERNELS_GATE_UP, gate_up, 2, &to->gate_up)) ||
      (rc = load_weight(l, KERNELS_PROJECT, &from->down, 1, &to->down)))
    return rc;
  return KERNELS_OK;
}

static int load_activations(forward *f, const kernels_shape *s) {
  size_t n = (size_t)kernels_max_batch(f->k);
  size_t attn = (size_t)s->heads * (size_t)s->head_dim;
  int rc;
  if ((rc = kernels_buffer_new(f->k, NULL, n * (size_t)s->hidden, &f->x)) ||
      (rc = kernels_buffer_new(f->k, NULL, n * attn, &f->q)) ||
      (rc = kernels_buffer_new(f->k, NULL, n * attn, &f->a)) ||
      (rc = kernels_buffer_new(f->k, NULL, n * (size_t)s->intermediate, &f->h)))
    return rc;
  return KERNELS_OK;
}

/* The bytes of one layer of matrices, as in the file. */
static double layer_bytes(const model_layer *l) {
  const kernels_matrix all[] = {l->q, l->k, l->v, l->o, l->gate, l->up, l->down};
  return parts_bytes(all, (int)(sizeof all / sizeof *all));
}

static int load_all(forward *f, loader *l) {
  const model *m = l->m;
  l->all = parts_bytes(&m->embedding, 1) + (m->tied ? 0 : parts_bytes(&m->head, 1));
  for (int i = 0; i < f->n_layers; i++) l->all += layer_bytes(&m->layers[i]);
  int rc = load_activations(f, &m->shape);
  if (rc == KERNELS_OK) rc = load_weight(l, KERNELS_TABLE, &m->embedding, 1, &f->embedding);
  if (rc == KERNELS_OK && !m->tied) rc = load_weight(l, KERNELS_TABLE, &m->head, 1, &f->head);
  if (rc == KERNELS_OK)
    rc = kernels_buffer_new(l->k, m->final_norm, (size_t)m->shape.hidden, &f->final_norm);
  for (int i = 0; rc == KERNELS_OK && i < f->n_layers; i++)
    rc = load_layer(l, &m->layers[i], &f->layers[i]);
  return rc;
}

int forward_new(forward **out, const model *m, kernels *k,
                void (*progress)(void *user, double done), void *user, char *err, size_t errlen) {
  *out = NULL;
  forward *f = calloc(1, sizeof *f);
  if (f == NULL) {
    snprintf(err, errlen, "out of memory");
    return ENGINE_ENOMEM;
  }
  f->k = k;
  f->n_layers = m->shape.layers;
  f->tied = m->tied;
  f->layers = calloc((size_t)f->n_layers, sizeof *f->layers);
  loader l = {.k = k, .m = m, .progress = progress, .user = user};
  int rc = f->layers == NULL ? KERNELS_ENOMEM : load_all(f, &l);
  if (rc != KERNELS_OK) {
    snprintf(err, errlen, "cannot put the model's weights (%.1f GB) on %s: %s",
             (double)m->weight_bytes / 1e9, kernels_description(k), kernels_strstatus(rc));
    forward_delete(f);
    return forward_status(rc);
  }
  *out = f;
  return ENGINE_OK;
}

/* ---- sizes ----------------------------------------------------------------------------- */

/* What the matrices of a layer take on the backend, or -1. */
static int64_t layer_weight_bytes(kernels *k, const model_layer *l) {
  const kernels_matrix qkv[3] = {l->q, l->k, l->v}, gate_up[2] = {l->gate, l->up};
  const int64_t parts[] = {kernels_weight_bytes(k, KERNELS_QKV, qkv, 3),
                           kernels_weight_bytes(k, KERNELS_PROJECT, &l->o, 1),
                           kernels_weight_bytes(k, KERNELS_GATE_UP, gate_up, 2),
                           kernels_weight_bytes(k, KERNELS_PROJECT, &l->down, 1)};
  int64_t bytes = 0;
  for (int i = 0; i < 4; i++) {
    if (parts[i] < 0) return -1;
    bytes += parts[i];
  }
  return bytes;
}

int forward_bytes(const model *m, kernels *k, forward_size *out) {
  *out = (forward_size){.table = kernels_weight_bytes(k, KERNELS_TABLE, &m->embedding, 1)};
  out->head = m->tied ? out->table : kernels_weight_bytes(k, KERNELS_TABLE, &m->head, 1);
  if (out->table < 0 || out->head < 0) return ENGINE_EINVAL;
  const kernels_shape *s = &m->shape;
  int64_t vectors = (int64_t)sizeof(float) * (2 * s->hidden + (int64_t)qkv_rows(s));
  for (int i = 0; i < s->layers; i++) {
    int64_t bytes = layer_weight_bytes(k, &m->layers[i]);
    if (bytes < 0) return ENGINE_EINVAL;
    out->layers += bytes + vectors;
  }
  out->all = out->table + (m->tied ? 0 : out->head) + out->layers +
             (int64_t)sizeof(float) * s->hidden;
  return ENGINE_OK;
}

void forward_delete(forward *f) {
  if (f == NULL) return;
  kernels *k = f->k;
  for (int i = 0; f->layers != NULL && i < f->n_layers; i++) {
    forward_layer *l = &f->layers[i];
    kernels_buffer_free(k, l->attn_norm);
    kernels_buffer_free(k, l->qkv_bias);
    kernels_buffer_free(k, l->mlp_norm);
    kernels_weight_free(k, l->qkv);
    kernels_weight_free(k, l->o);
    kernels_weight_free(k, l->gate_up);
    kernels_weight_free(k, l->down);
  }
  free(f->layers);
  kernels_weight_free(k, f->embedding);
  kernels_weight_free(k, f->head);
  kernels_buffer_free(k, f->final_norm);
  kernels_buffer_free(k, f->x);
  kernels_buffer_free(k, f->q);
  kernels_buffer_free(k, f->a);
  kernels_buffer_free(k, f->h);
  free(f);
}

/* ---- a step ---------------------------------------------------------------------------- */

static int issue_ops(forward *f, bool with_head) {
  kernels *k = f->k;
  int rc = kernels_embed(k, f->embedding, f->x, f->layers[0].attn_norm);
  for (int i = 0; rc == KERNELS_OK && i < f->n_layers; i++) {
    const forward_layer *l = &f->layers[i];
    const kernels_buffer *after = i + 1 < f->n_layers ? l[1].attn_norm : f->final_norm;
    if ((rc = kernels_qkv(k, i, f->x, l->attn_norm, l->qkv, l->qkv_bias, f->q)) ||
        (rc = kernels_attend(k, i, f->q, f->a)) ||
        (rc = kernels_project(k, f->a, l->o, f->x, l->mlp_norm)) ||
        (rc = kernels_gate_up(k, f->x, l->mlp_norm, l->gate_up, f->h)) ||
        (rc = kernels_project(k, f->h, l->down, f->x, after)))
      break;
  }
  if (rc == KERNELS_OK && with_head)
    rc = kernels_head(k, f->x, f->final_norm, f->tied ? f->embedding : f->head);
  return rc;
}

int forward_step(forward *f, kernels_cache *cache, const kernels_batch *batch,
                 const forward_errand *errand, kernels_result *result) {
  kernels_batch planned = *batch;
  planned.plan = batch->n_out > 0 ? PLAN_WITH_HEAD : PLAN_WITHOUT_HEAD;
  int rc = kernels_begin(f->k, cache, &planned), ops = KERNELS_OK;
  if (rc == KERNELS_OK) ops = issue_ops(f, batch->n_out > 0);
  if (errand != NULL && errand->run != NULL) errand->run(errand->user);
  if (rc < 0) return forward_status(rc);
  rc = kernels_end(f->k, result); /* also after a failed op: the step must be closed */
  return forward_status(ops != KERNELS_OK ? ops : rc);
}
