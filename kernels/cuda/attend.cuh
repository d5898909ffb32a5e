/* attend.cuh - what the attention kernels share: tiles of keys and values in shared memory,
 * fragments of queries, the launch.
 *
 * A tile is 64 rows (keys) of head_dim halves. The 16-byte chunk c of row r lies at chunk
 * c ^ (r % 8) of its row, so that the 8 rows that one phase of ldmatrix reads at one c are in 8
 * different groups of banks. */
#ifndef FIMD_KERNELS_ATTEND_CUH
#define FIMD_KERNELS_ATTEND_CUH

#include <cuda_runtime.h>

#include "kernels/cuda/device.cuh"
#include "kernels/cuda/launch.cuh"

enum { ATTEND_KEYS = 64, ATTEND_SLOTS = 8 /* heads of one kv head in a block of rows */ };

template <int D> __device__ __forceinline__ uint32_t attend__at(int row, int chunk) {
  return (uint32_t)(row * (2 * D) + (chunk >> 3 << 7) + (((chunk ^ row) & 7) << 4));
}

/* Four 8 x 8 matrices of halves; lane l names row l % 8 of matrix l / 8. */
__device__ __forceinline__ void attend__load(uint32_t r[4], uint32_t at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}
__device__ __forceinline__ void attend__load_turned(uint32_t r[4], uint32_t at) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3]) : "r"(at) : "memory");
}

/* Keys 8 nt .. + 7, dims 32 kb .. + 31: the B operands of k-steps 2 kb (r[0], r[1]) and
 * 2 kb + 1 (r[2], r[3]) of q k^T. */
template <int D>
__device__ __forceinline__ void attend__keys(uint32_t r[4], uint32_t tile, int nt, int kb,
                                             int lane) {
  attend__load(r, tile + attend__at<D>(8 * nt + (lane & 7), 4 * kb + (lane >> 3)));
}

/* Keys 32 k2 .. + 31, dims 8 d .. + 7: the B operands of k-steps 2 k2 and 2 k2 + 1 of P v. */
template <int D>
__device__ __forceinline__ void attend__values(uint32_t r[4], uint32_t tile, int d, int k2,
                                               int lane) {
  attend__load_turned(r, tile + attend__at<D>(32 * k2 + lane, d));
}

/* S = q k^T of a warp's 16 rows and a tile. AT(row, chunk): where 16 bytes of the tile lie. */
template <int D, uint32_t (*AT)(int row, int chunk)>
__device__ __forceinline__ void attend__scores(float s[8][4], const uint32_t q[D / 16][4],
                                               uint32_t keys, int lane) {
#pragma unroll
  for (int i = 0; i < 32; i++) s[i / 4][i % 4] = 0.f;
#pragma unroll
  for (int kb = 0; kb < D / 32; kb++) {
#pragma unroll
    for (int half = 0; half < 8; half += 4) {
      uint32_t r[4][4];
#pragma unroll
      for (int i = 0; i < 4; i++)
        attend__load(r[i], keys + AT(8 * (half + i) + (lane & 7), 4 * kb + (lane >> 3)));
#pragma unroll
      for (int i = 0; i < 8; i++) {
        const uint32_t *x = q[2 * kb + i / 4], *k = r[i % 4] + i / 4 * 2;
        device__mma(s[half + i % 4], x[0], x[1], x[2], x[3], k[0], k[1]);
      }
    }
  }
}

__device__ __forceinline__ uint32_t attend__pair(float low, float high) {
  __half2 h = __floats2half2_rn(low, high);
  return *(uint32_t *)&h;
}

/* 2^x within 2 units in the last place; what is below 2^-126 is 0, of -inf too. */
__device__ __forceinline__ float attend__exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}

/* The A operands of one row half (h = 0: rows 0 .. 7 of 16, h = 1: the others) from a row of
 * queries, zeros unless `real` (but row is read: all loads are issued at once, without a branch);
 * c = lane % 4. Held to the range of f16. */
template <int D>
__device__ __forceinline__ void attend__query(uint32_t a[D / 16][4], int h, const float *row,
                                              bool real, int c) {
#pragma unroll
  for (int i = 0; i < D / 16; i++) {
#pragma unroll
    for (int j = 0; j < 2; j++) {
      float2 v = *(const float2 *)(row + 16 * i + 8 * j + 2 * c);
      __half2 x = __halves2half2(device__half(v.x), device__half(v.y));
      a[i][h + 2 * j] = real ? *(uint32_t *)&x : 0u;
    }
  }
}

template <typename... Parameters, typename... Arguments>
static cudaError_t attend__launch(const cuda_device *d, void (*kernel)(Parameters...), dim3 grid,
                                  int threads, size_t shared, Arguments... arguments) {
  launch_config c(d, grid, threads, (int)shared);
  return c.launch(kernel, arguments...);
}

#endif
