/* weights.c - weights from the file's mapped pages to the device, in the layout of cuda.h.
 *
 * Rows travel through a ring of pinned buffers, so that a copy over the bus runs while the next
 * pages are read from the file; on the device they lie in a raw buffer until a kernel has packed
 * them. Everything is in one stream, so a raw buffer is reused without waiting. */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/state.h"

enum { RAW_BYTES = 96 << 20 }; /* raw rows at a time, unless a weight needs more at once */

static int ceil_div(int64_t a, int64_t b) { return (int)((a + b - 1) / b); }

/* ---- layout -------------------------------------------------------------------------------- */

static cuda_rows rows_of(kernels_role role) {
  return role == KERNELS_QKV       ? CUDA_ROWS_TURNED
         : role == KERNELS_GATE_UP ? CUDA_ROWS_PAIRED
                                   : CUDA_ROWS_PLAIN;
}

/* Segments (without memory), tiles and bytes of a weight. */
static void lay_out(const kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts,
                    cuda_weight *w) {
  *w = (cuda_weight){.units = ceil_div(parts[0].cols, CUDA_UNIT)};
  cuda_segment *s = w->segment;
  if (role == KERNELS_QKV) {
    int tile = 0;
    for (int i = 0; i < n_parts; i++) {
      int tiles = (int)(parts[i].rows / CUDA_TILE);
      if (i > 0 && parts[i].type == parts[i - 1].type)
        s[w->n_segments - 1].tiles += tiles;
      else
        s[w->n_segments++] = (cuda_segment){cuda__kind_of(parts[i].type), tile, tiles, NULL, NULL};
      tile += tiles;
    }
    w->tiles = tile;
  } else {
    bool paired = role == KERNELS_GATE_UP;
    w->tiles = ceil_div(parts[0].rows, paired ? CUDA_TILE / 2 : CUDA_TILE);
    cuda_kind kind = cuda__kind_of(parts[0].type);
    if (paired && parts[1].type != parts[0].type) kind = CUDA_F16; /* they share tiles */
    s[w->n_segments++] = (cuda_segment){kind, 0, w->tiles, NULL, NULL};
  }
  (void)k;
  for (int i = 0; i < w->n_segments; i++) {
    w->bytes += (size_t)s[i].tiles * (size_t)w->units * (size_t)cuda__unit_bytes(s[i].kind);
    if (s[i].kind == CUDA_F16) w->bytes += (size_t)s[i].tiles * sizeof(float);
  }
}

int64_t cuda__weight_bytes(kernels *k, kernels_role role, const kernels_matrix *parts,
                           int n_parts) {
  cuda_weight w;
  lay_out(k, role, parts, n_parts, &w);
  return (int64_t)w.bytes;
}

/* ---- moving -------------------------------------------------------------------------------- */

static int staging_new(cuda_backend *c) {
  for (int i = 0; i < STAGING; i++) {
    if (c->staging[i]) continue;
    int rc = cuda__check(c, cudaMallocHost(&c->staging[i], STAGING_BYTES));
    if (!rc) rc = cuda__check(c, cudaEventCreateWithFlags(&c->staged[i], cudaEventDisableTiming));
    if (rc) return rc;
  }
  return KERNELS_OK;
}

void cuda__staging_free(cuda_backend *c) {
  cudaStreamSynchronize(c->d.stream);
  for (int i = 0; i < STAGING; i++) {
    if (c->staged[i]) cudaEventDestroy(c->staged[i]);
    if (c->staging[i]) cudaFreeHost(c->staging[i]);
    c->staged[i] = NULL;
    c->staging[i] = NULL;
  }
  cuda__give(c, c->raw, c->raw_bytes);
  c->raw = NULL;
  c->raw_bytes = 0;
}

/* bytes from host memory to the device, behind what the stream does. */
static int send(cuda_backend *c, void *to, const void *from, size_t bytes) {
  for (size_t at = 0; at < bytes;) {
    size_t n = bytes - at < STAGING_BYTES ? bytes - at : STAGING_BYTES;
    int i = c->next_staging;
    c->next_staging = (i + 1) % STAGING;
    cudaError_t e = cudaEventSynchronize(c->staged[i]);
    if (e == cudaSuccess) {
      memcpy(c->staging[i], (const char *)from + at, n);
      e = cudaMemcpyAsync((char *)to + at, c->staging[i], n, cudaMemcpyHostToDevice, c->d.stream);
    }
    if (e == cudaSuccess) e = cudaEventRecord(c->staged[i], c->d.stream);
    if (e != cudaSuccess) return cuda__check(c, e);
    at += n;
  }
  return KERNELS_OK;
}

static int raw_room(cuda_backend *c, size_t bytes) {
  if (bytes <= c->raw_bytes) return KERNELS_OK;
  int rc = cuda__check(c, cudaStreamSynchronize(c->d.stream));
  if (rc) return rc;
  cuda__give(c, c->raw, c->raw_bytes);
  c->raw = NULL;
  c->raw_bytes = 0;
  rc = cuda__take(c, bytes, false, &c->raw);
  if (!rc) c->raw_bytes = bytes;
  return rc;
}

/* Tiles tile0 .. tile0 + tiles - 1 of a segment: sends the raw rows they are made of, packs. */
static int send_tiles(cuda_backend *c, kernels_role role, const kernels_matrix *parts, int n_parts,
                      const cuda_segment *s, int units, int tile0, int tiles) {
  const kernels_shape *shape = &c->head.shape;
  int per_tile = role == KERNELS_GATE_UP ? CUDA_TILE / 2 : CUDA_TILE;
  kernels_matrix one = {.type = parts[0].type, .rows = 1, .cols = parts[0].cols};
  cuda_packing p = {.cols = one.cols, .kind = s->kind, .rows = rows_of(role),
                    .head_dim = shape->head_dim, .heads = shape->heads,
                    .kv_heads = shape->kv_heads, .tile0 = tile0, .tiles = tiles};
  size_t offset[3] = {0}, bytes[3] = {0}, total = 0;
  int first_tile = 0;
  for (int i = 0; i < n_parts; i++) {
    int64_t rows = parts[i].rows, first = 0, count = rows;
    if (role == KERNELS_QKV) { /* whole parts that the segment has */
      bool inside = first_tile >= tile0 && first_tile < tile0 + tiles;
      first_tile += (int)(rows / CUDA_TILE);
      if (!inside) continue;
    } else {
      first = (int64_t)per_tile * tile0;
      if (count > first + (int64_t)per_tile * tiles) count = first + (int64_t)per_tile * tiles;
      count = count > first ? count - first : 0;
    }
    one.type = p.type = parts[i].type;
    p.row_bytes = (size_t)kernels_matrix_bytes(&one);
    p.part[i] = (cuda_raw){NULL, (int)first, (int)rows};
    offset[i] = total;
    bytes[i] = (size_t)count * p.row_bytes;
    total += (bytes[i] + 255) / 256 * 256;
  }
  int rc = raw_room(c, total > RAW_BYTES ? total : RAW_BYTES);
  for (int i = 0; i < n_parts && !rc; i++) {
    if (!bytes[i]) continue;
    one.type = parts[i].type;
    const char *from = parts[i].data;
    from += (size_t)p.part[i].first * (size_t)kernels_matrix_bytes(&one);
    rc = send(c, (char *)c->raw + offset[i], from, bytes[i]);
    p.part[i].data = (char *)c->raw + offset[i];
  }
  if (rc) return rc;
  size_t tile_bytes = (size_t)units * (size_t)cuda__unit_bytes(s->kind);
  p.w = (char *)s->w + (size_t)(tile0 - s->tile0) * tile_bytes;
  p.scale = s->scale ? s->scale + (tile0 - s->tile0) : NULL;
  return cuda__check(c, cuda__pack(&c->d, &p));
}

static int load_segment(cuda_backend *c, kernels_role role, const kernels_matrix *parts,
                        int n_parts, cuda_segment *s, int units) {
  size_t bytes = (size_t)s->tiles * (size_t)units * (size_t)cuda__unit_bytes(s->kind);
  int rc = cuda__take(c, bytes, false, &s->w);
  if (!rc && s->kind == CUDA_F16)
    rc = cuda__take(c, (size_t)s->tiles * sizeof(float), false, (void **)&s->scale);
  if (rc) return rc;
  int step = s->tiles;
  if (role != KERNELS_QKV) {
    kernels_matrix one = {.type = parts[0].type, .rows = CUDA_TILE, .cols = parts[0].cols};
    step = (int)(RAW_BYTES / 2 / kernels_matrix_bytes(&one));
    if (step < 1) step = 1;
  }
  for (int at = 0; at < s->tiles && !rc; at += step) {
    int n = s->tiles - at < step ? s->tiles - at : step;
    rc = send_tiles(c, role, parts, n_parts, s, units, s->tile0 + at, n);
  }
  return rc;
}

/* gate and up of different types share tiles, and a packing reads one type: both become rows of
 * f32 on the host first. Rare, so slow is good enough. */
static int as_floats(const kernels_matrix *from, kernels_matrix *to) {
  kernels_matrix one = {.type = from->type, .rows = 1, .cols = from->cols};
  int64_t row = kernels_matrix_bytes(&one);
  float *data = malloc((size_t)from->rows * (size_t)from->cols * sizeof *data);
  if (!data) return KERNELS_ENOMEM;
  for (int64_t r = 0; r < from->rows; r++)
    kernels_dequantize_row(from->type, (const char *)from->data + r * row, from->cols,
                           data + r * from->cols);
  *to = (kernels_matrix){KERNELS_F32, from->rows, from->cols, data};
  return KERNELS_OK;
}

int cuda__weight_load(kernels *k, kernels_role role, const kernels_matrix *parts, int n_parts,
                      int64_t rows, kernels_weight **out) {
  (void)rows;
  cuda_backend *c = cuda__of(k);
  cuda_weight *w = malloc(sizeof *w);
  if (!w) return KERNELS_ENOMEM;
  lay_out(k, role, parts, n_parts, w);
  kernels_matrix floats[2] = {{0}};
  int rc = staging_new(c);
  if (!rc && role == KERNELS_GATE_UP && parts[0].type != parts[1].type) {
    rc = as_floats(&parts[0], &floats[0]);
    if (!rc) rc = as_floats(&parts[1], &floats[1]);
    parts = floats;
  }
  for (int i = 0; i < w->n_segments && !rc; i++)
    rc = load_segment(c, role, parts, n_parts, &w->segment[i], w->units);
  free((void *)(uintptr_t)floats[0].data);
  free((void *)(uintptr_t)floats[1].data);
  if (rc) {
    cuda__weight_free(k, &w->head);
    return rc;
  }
  *out = &w->head;
  return KERNELS_OK;
}

void cuda__weight_free(kernels *k, kernels_weight *weight) {
  cuda_backend *c = cuda__of(k);
  cuda_weight *w = (cuda_weight *)weight;
  for (int i = 0; i < w->n_segments; i++) {
    cuda_segment *s = &w->segment[i];
    cuda__give(c, s->w, (size_t)s->tiles * (size_t)w->units * (size_t)cuda__unit_bytes(s->kind));
    cuda__give(c, s->scale, (size_t)s->tiles * sizeof(float));
  }
  cuda__graphs_drop(c, 0);
  free(w);
}
