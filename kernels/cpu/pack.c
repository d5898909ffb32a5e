/* pack.c - from a file's weight format to the panels of fast.h.
 *
 * Every quantized format becomes unsigned quants with a zero point and float or half scales; no
 * step of this rounds, so a packed weight means exactly what kernels_dequantize_row says (up to
 * the rounding of the products there). */
#include "kernels/cpu/fast.h"

#include <stdlib.h>
#include <string.h>

static cpu_kind kind_of(kernels_type type) {
  switch (type) {
  case KERNELS_Q8_0: return CPU_Q8;
  case KERNELS_Q4_0: return CPU_Q4;
  case KERNELS_Q4_K: return CPU_Q4M;
  case KERNELS_Q6_K: return CPU_Q8H;
  case KERNELS_F16: return CPU_HALF;
  case KERNELS_BF16: return CPU_BF16;
  case KERNELS_F32: break;
  }
  return CPU_F32;
}

/* Bytes of a panel for BLOCK columns (quantized) or one column. */
static size_t unit_bytes(cpu_kind kind) {
  switch (kind) {
  case CPU_Q8: return PANEL * (BLOCK + 2);
  case CPU_Q4: return PANEL * (BLOCK / 2 + 2);
  case CPU_Q4M: return PANEL * (BLOCK / 2 + 8);
  case CPU_Q8H: return PANEL * (BLOCK + 8);
  case CPU_HALF:
  case CPU_BF16: return PANEL * 2;
  case CPU_F32: break;
  }
  return PANEL * 4;
}

cpu_weight *cpu__weight_new(const kernels_matrix *parts, int n_parts) {
  cpu_weight *w = calloc(1, sizeof *w + (size_t)n_parts * sizeof *w->segments);
  if (!w) return NULL;
  w->n_segments = n_parts;
  int64_t row = 0;
  for (int i = 0; i < n_parts; i++) {
    cpu_segment *s = &w->segments[i];
    s->kind = kind_of(parts[i].type);
    s->source = parts[i];
    s->row0 = row;
    s->panels = (parts[i].rows + PANEL - 1) / PANEL;
    size_t units = (size_t)parts[i].cols / (cpu_kind_is_quantized(s->kind) ? BLOCK : 1);
    s->panel_bytes = host__mul(units, unit_bytes(s->kind));
    s->bytes = host__mul(s->panel_bytes, (size_t)s->panels);
    if (cpu_kind_is_quantized(s->kind)) w->quantized = true;
    else w->floats = true;
    row += parts[i].rows;
  }
  return w;
}

void cpu__weight_free(cpu_weight *w) {
  if (!w) return;
  for (int i = 0; i < w->n_segments; i++) host__free(w->segments[i].data, w->segments[i].bytes);
  free(w);
}

/* ---- quantized panels ------------------------------------------------------------------ */

/* One row's share of a block: quants with the zero point added, scales, and minimum. */
typedef struct row_block {
  uint8_t q[BLOCK];
  uint8_t half_scale[2];
  float scale[2], minimum;
} row_block;

static void read_q8_0(const uint8_t *p, row_block *out) {
  memcpy(out->half_scale, p, 2);
  for (int i = 0; i < BLOCK; i++) out->q[i] = p[2 + i] ^ 0x80;
}

static void read_q4_0(const uint8_t *p, row_block *out) {
  memcpy(out->half_scale, p, 2);
  for (int i = 0; i < BLOCK; i++) out->q[i] = (p[2 + i % 16] >> (i / 16 * 4)) & 15;
}

static float read_half(const uint8_t *p) {
  return kernels__half_to_float((uint16_t)(p[0] | p[1] << 8));
}

/* Sub-block j (0..7) of a Q4_K super-block: see types.c. */
static void read_q4_k(const uint8_t *p, int j, row_block *out) {
  int scale, minimum;
  kernels__q4_k_scale(p + 4, j, &scale, &minimum);
  out->scale[0] = read_half(p) * (float)scale;
  out->minimum = read_half(p + 2) * (float)minimum;
  for (int i = 0; i < BLOCK; i++) out->q[i] = (p[16 + 32 * (j / 2) + i] >> (j % 2 * 4)) & 15;
}

/* Run j (0..7) of 32 of a Q6_K super-block: see types.c. */
static void read_q6_k(const uint8_t *p, int j, row_block *out) {
  int half = j / 4, r = j % 4;
  const uint8_t *low = p + 64 * half + 32 * (r % 2), *high = p + 128 + 32 * half;
  for (int i = 0; i < BLOCK; i++)
    out->q[i] = (uint8_t)(((low[i] >> (r / 2 * 4)) & 15) | ((high[i] >> (2 * r)) & 3) << 4);
  for (int i = 0; i < 2; i++)
    out->scale[i] = read_half(p + 208) * (float)(int8_t)p[192 + 2 * j + i];
}

static void read_block(kernels_type type, const uint8_t *row, int b, row_block *out) {
  switch (type) {
  case KERNELS_Q8_0: read_q8_0(row + b * 34, out); break;
  case KERNELS_Q4_0: read_q4_0(row + b * 18, out); break;
  case KERNELS_Q4_K: read_q4_k(row + b / 8 * 144, b % 8, out); break;
  default: read_q6_k(row + b / 8 * 210, b % 8, out); break;
  }
}

/* Writes row r's share of a block into its panel's unit. */
static void write_block(cpu_kind kind, int k_step, int r, const row_block *in, uint8_t *unit) {
  bool nibbles = kind == CPU_Q4 || kind == CPU_Q4M;
  int step_bytes = PANEL * k_step;
  for (int i = 0; i < BLOCK; i++) {
    int step = i / k_step, at = r * k_step + i % k_step;
    if (nibbles) unit[step / 2 * step_bytes + at] |= (uint8_t)(in->q[i] << (step % 2 * 4));
    else unit[step * step_bytes + at] = in->q[i];
  }
  uint8_t *scales = unit + PANEL * BLOCK / (nibbles ? 2 : 1);
  if (kind == CPU_Q8 || kind == CPU_Q4) {
    memcpy(scales + 2 * r, in->half_scale, 2);
  } else {
    float second = kind == CPU_Q4M ? in->minimum : in->scale[1];
    memcpy(scales + 4 * r, &in->scale[0], 4);
    memcpy(scales + 4 * (PANEL + r), &second, 4);
  }
}

static void pack_quantized(const cpu_segment *s, int64_t panel, int k_step) {
  size_t row_bytes = host__row_bytes(&s->source), unit = unit_bytes(s->kind);
  int blocks = (int)(s->source.cols / BLOCK);
  uint8_t *out = s->data + (size_t)panel * s->panel_bytes;
  for (int r = 0; r < PANEL; r++) {
    int64_t row = panel * PANEL + r;
    if (row >= s->source.rows) break; /* padding stays zero: its scales are */
    const uint8_t *in = (const uint8_t *)s->source.data + (size_t)row * row_bytes;
    for (int b = 0; b < blocks; b++) {
      row_block block = {.scale = {0, 0}};
      read_block(s->source.type, in, b, &block);
      write_block(s->kind, k_step, r, &block, out + (size_t)b * unit);
    }
  }
}

/* ---- float panels ---------------------------------------------------------------------- */

static void pack_floats(const cpu_segment *s, int64_t panel) {
  size_t width = s->kind == CPU_F32 ? 4 : 2, cols = (size_t)s->source.cols;
  uint8_t *out = s->data + (size_t)panel * s->panel_bytes;
  for (size_t r = 0; r < PANEL; r++) {
    int64_t row = panel * PANEL + (int64_t)r;
    if (row >= s->source.rows) break;
    const uint8_t *in = (const uint8_t *)s->source.data + (size_t)row * cols * width;
    for (size_t k = 0; k < cols; k++) memcpy(out + (k * PANEL + r) * width, in + k * width, width);
  }
}

/* ---- all panels ------------------------------------------------------------------------ */

typedef struct pack_job {
  const cpu_segment *segment;
  int k_step;
} pack_job;

static void pack_panel(void *arg, int item, int thread) {
  const pack_job *job = arg;
  (void)thread;
  if (cpu_kind_is_quantized(job->segment->kind)) pack_quantized(job->segment, item, job->k_step);
  else pack_floats(job->segment, item);
}

int cpu__weight_pack(cpu_weight *w, int k_step, pool *p) {
  for (int i = 0; i < w->n_segments; i++) {
    cpu_segment *s = &w->segments[i];
    if (s->data) continue;
    s->data = host__alloc(s->bytes);
    if (!s->data) return KERNELS_ENOMEM;
    host__want_huge_pages(s->data, s->bytes);
    pack_job job = {.segment = s, .k_step = k_step};
    pool__run(p, (int)s->panels, pack_panel, &job);
  }
  return KERNELS_OK;
}
