/* device.cuh - the instructions and layouts that the kernels share. */
#ifndef FIMD_KERNELS_DEVICE_CUH
#define FIMD_KERNELS_DEVICE_CUH

#include <cuda_fp16.h>
#include <stdint.h>

#include "kernels/cuda/cuda.h"

/* ---- programmatic dependent launch (sm_90): nothing on older cards ------------------------
 *
 * Every kernel of a step calls device__wait() before it touches anything that an earlier kernel
 * of the step wrote, and device__trigger() after it. So when a kernel begins, before its wait,
 * all kernels but the one just before it have completed: it may read there what was written two or
 * more launches back: the cache's committed slots, and the step's numbers and angles, since the
 * launch after the one that writes those is never an early one (step.c). */

__device__ __forceinline__ void device__wait() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

__device__ __forceinline__ void device__trigger() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
#endif
}

/* ---- loads ------------------------------------------------------------------------------ */

/* As instructions on shared memory take it. */
__device__ __forceinline__ uint32_t device__shared_address(const void *shared) {
  return (uint32_t)__cvta_generic_to_shared(shared);
}

/* Weights: read once, past the first cache. */
__device__ __forceinline__ uint4 device__stream16(const void *p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0,%1,%2,%3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(p));
  return v;
}
__device__ __forceinline__ uint2 device__stream8(const void *p) {
  uint2 v;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0,%1}, [%2];"
               : "=r"(v.x), "=r"(v.y) : "l"(p));
  return v;
}

__device__ __forceinline__ void device__copy16(void *shared, const void *global) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(device__shared_address(shared)),
               "l"(global) : "memory");
}
__device__ __forceinline__ void device__copy_commit() {
  asm volatile("cp.async.commit_group;" ::: "memory");
}
template <int N> __device__ __forceinline__ void device__copy_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/* ---- named barriers ----------------------------------------------------------------------- */

/* Of `threads` threads, some of which only arrive; whole warps. What they wrote before is seen by
 * those that sync. */
__device__ __forceinline__ void device__barrier_sync(int id, int threads) {
  asm volatile("bar.sync %0, %1;" ::"r"(id), "r"(threads) : "memory");
}
__device__ __forceinline__ void device__barrier_arrive(int id, int threads) {
  asm volatile("bar.arrive %0, %1;" ::"r"(id), "r"(threads) : "memory");
}

/* ---- tensor cores ------------------------------------------------------------------------ */

/* c[16, 8] += a[16, 16] b[16, 8]; f16 in, f32 sums. */
__device__ __forceinline__ void device__mma(float c[4], uint32_t a0, uint32_t a1, uint32_t a2,
                                            uint32_t a3, uint32_t b0, uint32_t b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, "
               "{%8,%9}, {%0,%1,%2,%3};"
               : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

/* ---- packed activations ------------------------------------------------------------------ */

/* Held to what f16 has; a NaN becomes a number too (its row's sum of squares stays NaN). */
__device__ __forceinline__ __half device__half(float v) {
  return __float2half_rn(fminf(fmaxf(v, -65504.f), 65504.f));
}

/* Byte of column k of token t. */
__device__ __forceinline__ size_t device__packed_at(int t, int k, int groups, int layout) {
  int n = t & 7, c = (k >> 3) & 3, q = (k >> 1) & 3;
  size_t block = (size_t)(k >> 5) * groups + (t >> 3);
  int inside = layout == LAYOUT_MMA ? 16 * c + 4 * q : 16 * (q ^ (n >> 1)) + 4 * c;
  return block * 512 + 64 * n + inside + 2 * (k & 1);
}

__device__ __forceinline__ void device__packed_store(void *packed, int t, int k, int groups,
                                                     int layout, float v) {
  *(__half *)((char *)packed + device__packed_at(t, k, groups, layout)) = device__half(v);
}

#endif
