/* pack.cu - weights from the file's rows to the layout of cuda.h. Runs once a load; the files'
 * formats are read number by number, since the bus is slower anyway. */
#include <math.h>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"

enum { PACK_THREADS = 256 };

/* ---- reading ----------------------------------------------------------------------------- */

/* Row r (0..15) of tile `tile` in its part, or NULL for padding. */
__device__ const uint8_t *pack__row(const cuda_packing &p, int tile, int r) {
  int part = 0, row = 16 * tile + r;
  if (p.rows == CUDA_ROWS_PAIRED) {
    part = r >> 3;
    row = 8 * tile + (r & 7);
  } else if (p.rows == CUDA_ROWS_TURNED) {
    int per_head = p.head_dim / 16, head = tile / per_head, i = tile % per_head;
    bool is_value = head >= p.heads + p.kv_heads;
    part = is_value ? 2 : head >= p.heads ? 1 : 0;
    if (part) head -= is_value ? p.heads + p.kv_heads : p.heads;
    row = head * p.head_dim;
    row += is_value ? 16 * i + r : 8 * i + (r & 7) + (r >> 3) * (p.head_dim / 2);
  }
  if (row >= p.part[part].rows) return NULL;
  return (const uint8_t *)p.part[part].data + (size_t)(row - p.part[part].first) * p.row_bytes;
}

__device__ __forceinline__ float pack__half(const uint8_t *p) {
  return __half2float(__ushort_as_half((unsigned short)(p[0] | p[1] << 8)));
}

/* Scale and minimum of sub-block j of a Q4_K block (6 bits each, in 12 bytes). */
__device__ void pack__q4_k_scale(const uint8_t *s, int j, int *scale, int *least) {
  if (j < 4) {
    *scale = s[j] & 63;
    *least = s[j + 4] & 63;
  } else {
    *scale = (s[j + 4] & 15) | (s[j - 4] >> 6) << 4;
    *least = (s[j + 4] >> 4) | (s[j] >> 6) << 4;
  }
}

/* The stored number of column k: what the kind's zero is taken from. */
__device__ int pack__number(int type, const uint8_t *row, int k) {
  switch (type) {
  case KERNELS_Q8_0: return (int8_t)row[k / 32 * 34 + 2 + k % 32] + 128;
  case KERNELS_Q4_0: {
    int j = k % 32;
    uint8_t byte = row[k / 32 * 18 + 2 + j % 16];
    return j < 16 ? byte & 15 : byte >> 4;
  }
  case KERNELS_Q4_K: {
    int j = k % 256;
    uint8_t byte = row[k / 256 * 144 + 16 + j / 64 * 32 + j % 32];
    return j % 64 < 32 ? byte & 15 : byte >> 4;
  }
  default: { /* Q6_K */
    const uint8_t *b = row + k / 256 * 210;
    int j = k % 256, half = j / 128, quarter = j % 128 / 32, l = j % 32;
    uint8_t low = b[64 * half + 32 * (quarter & 1) + l], high = b[128 + 32 * half + l];
    return (quarter < 2 ? low & 15 : low >> 4) | (high >> (2 * quarter) & 3) << 4;
  }
  }
}

/* Scale, and for Q4_K minimum, of column k. */
__device__ float pack__scale(int type, const uint8_t *row, int k, float *least) {
  *least = 0;
  switch (type) {
  case KERNELS_Q8_0: return pack__half(row + k / 32 * 34);
  case KERNELS_Q4_0: return pack__half(row + k / 32 * 18);
  case KERNELS_Q4_K: {
    const uint8_t *b = row + k / 256 * 144;
    int scale, minimum;
    pack__q4_k_scale(b + 4, k % 256 / 32, &scale, &minimum);
    *least = pack__half(b + 2) * (float)minimum;
    return pack__half(b) * (float)scale;
  }
  default: {
    const uint8_t *b = row + k / 256 * 210;
    return pack__half(b + 208) * (float)(int8_t)b[192 + k % 256 / 16];
  }
  }
}

__device__ float pack__value(int type, const uint8_t *row, int k) {
  uint32_t bits;
  float v, least;
  switch (type) {
  case KERNELS_F32: memcpy(&v, row + 4 * (size_t)k, 4); return v; /* rows are whole floats */
  case KERNELS_F16: return pack__half(row + 2 * (size_t)k);
  case KERNELS_BF16:
    bits = (uint32_t)row[2 * (size_t)k] << 16 | (uint32_t)row[2 * (size_t)k + 1] << 24;
    return __uint_as_float(bits);
  default: break;
  }
  int zero = type == KERNELS_Q8_0 ? 128 : type == KERNELS_Q4_0 ? 8 : type == KERNELS_Q6_K ? 32 : 0;
  float scale = pack__scale(type, row, k, &least);
  return scale * (float)(pack__number(type, row, k) - zero) - least;
}

/* ---- writing ----------------------------------------------------------------------------- */

/* A block a tile. Numbers of bf16 and f32 are brought into f16's range by a power of two of the
 * tile's own: exact for bf16 unless 2^32 times smaller than the tile's largest. */
__global__ void __launch_bounds__(PACK_THREADS)
    pack__f16_kernel(cuda_packing p, int units) {
  __shared__ float most[PACK_THREADS / 32];
  int tile = p.tile0 + blockIdx.x;
  float scale = 1;
  if (p.type != KERNELS_F16) {
    float m = 0;
    for (int r = 0; r < 16; r++) {
      const uint8_t *row = pack__row(p, tile, r);
      for (int k = threadIdx.x; row && k < p.cols; k += PACK_THREADS)
        m = fmaxf(m, fabsf(pack__value(p.type, row, k)));
    }
    for (int bit = 16; bit > 0; bit >>= 1) m = fmaxf(m, __shfl_xor_sync(0xffffffffu, m, bit));
    if ((threadIdx.x & 31) == 0) most[threadIdx.x >> 5] = m;
    __syncthreads();
    for (int i = 0; i < PACK_THREADS / 32; i++) m = fmaxf(m, most[i]);
    if (m > 0 && m <= 3.4e38f) {
      int e = 15 - (ilogbf(m) + 1);
      scale = ldexpf(1, e < -100 ? -100 : e > 100 ? 100 : e);
    }
  }
  if (threadIdx.x == 0) p.scale[blockIdx.x] = 1 / scale;
  char *to = (char *)p.w + (size_t)blockIdx.x * units * 2048;
  for (int i = threadIdx.x; i < units * 128; i += PACK_THREADS) {
    int unit = i / 128, block = i / 64 & 1, half = i / 32 & 1, lane = i & 31;
    const uint8_t *row = pack__row(p, tile, 8 * half + (lane >> 2));
    __align__(16) __half v[8];
    for (int j = 0; j < 8; j++) {
      int k = 64 * unit + 32 * block + 8 * (lane & 3) + j;
      v[j] = __float2half_rn(row && k < p.cols ? pack__value(p.type, row, k) * scale : 0.f);
    }
    *(uint4 *)(to + (size_t)i * 16) = *(uint4 *)v;
  }
}

/* The lane's words of nibbles, and for 6 bits of high bits, of one 32-column block. */
__device__ void pack__words(const cuda_packing &p, const uint8_t *row[2], int first,
                            uint32_t nibbles[2], uint32_t *high) {
  for (int half = 0; half < 2; half++) {
    nibbles[half] = 0;
    for (int j = 0; j < 8; j++) {
      int k = first + j, number = 0;
      if (row[half] && k < p.cols) number = pack__number(p.type, row[half], k);
      int pair = j >> 1, up = 16 * (j & 1);
      nibbles[half] |= (uint32_t)(number & 15) << (4 * pair + up);
      *high |= (uint32_t)(number >> 4) << (2 * (4 * half + pair) + up);
    }
  }
}

__device__ __forceinline__ void pack__put_half(char *to, float v) {
  *(__half *)to = __float2half_rn(v);
}

/* A thread a lane of a unit. What padding stores does not matter: its scale is 0. */
__global__ void __launch_bounds__(PACK_THREADS)
    pack__quants_kernel(cuda_packing p, int units) {
  int tile = p.tile0 + blockIdx.x, bytes = cuda__unit_bytes(p.kind);
  for (int i = threadIdx.x; i < units * 32; i += PACK_THREADS) {
    int unit = i / 32, lane = i & 31, r = lane >> 2, c = lane & 3;
    char *u = (char *)p.w + ((size_t)blockIdx.x * units + unit) * bytes;
    const uint8_t *row[2] = {pack__row(p, tile, r), pack__row(p, tile, r + 8)};
    for (int block = 0; block < 2; block++) {
      int first = 64 * unit + 32 * block + 8 * c;
      if (p.kind == CUDA_Q8) {
        for (int half = 0; half < 2; half++)
          for (int j = 0; j < 8; j++)
            u[block * 512 + lane * 16 + 8 * half + j] =
                (char)(row[half] && first + j < p.cols ? pack__number(p.type, row[half], first + j)
                                                       : 128);
      } else {
        uint32_t nibbles[2], high = 0;
        pack__words(p, row, first, nibbles, &high);
        for (int half = 0; half < 2; half++)
          *(uint32_t *)(u + lane * 16 + 8 * block + 4 * half) = nibbles[half];
        if (p.kind == CUDA_Q6) *(uint32_t *)(u + 512 + lane * 8 + 4 * block) = high;
      }
      if (c != 0) continue;
      for (int half = 0; half < 2; half++)
        for (int sixteen = 0; sixteen < 2; sixteen++) {
          int k = 64 * unit + 32 * block + 16 * sixteen;
          float least = 0, scale = 0;
          if (row[half] && k < p.cols) scale = pack__scale(p.type, row[half], k, &least);
          if (p.kind == CUDA_Q6)
            pack__put_half(u + 768 + r * 16 + half * 8 + (2 * block + sixteen) * 2, scale);
          else if (sixteen)
            continue;
          else if (p.kind == CUDA_Q8)
            pack__put_half(u + 1024 + r * 8 + half * 4 + block * 2, scale);
          else if (p.kind == CUDA_Q4)
            pack__put_half(u + 512 + r * 8 + half * 4 + block * 2, scale);
          else {
            pack__put_half(u + 512 + r * 16 + half * 8 + block * 2, scale);
            pack__put_half(u + 512 + r * 16 + half * 8 + 4 + block * 2, least);
          }
        }
    }
  }
}

cuda_kind cuda__kind_of(kernels_type type) {
  switch (type) {
  case KERNELS_Q8_0: return CUDA_Q8;
  case KERNELS_Q4_0: return CUDA_Q4;
  case KERNELS_Q4_K: return CUDA_Q4M;
  case KERNELS_Q6_K: return CUDA_Q6;
  default: return CUDA_F16;
  }
}

cudaError_t cuda__pack(const cuda_device *d, const cuda_packing *p) {
  int units = (int)((p->cols + CUDA_UNIT - 1) / CUDA_UNIT);
  if (p->kind == CUDA_F16)
    pack__f16_kernel<<<p->tiles, PACK_THREADS, 0, d->stream>>>(*p, units);
  else
    pack__quants_kernel<<<p->tiles, PACK_THREADS, 0, d->stream>>>(*p, units);
  return cudaGetLastError();
}
