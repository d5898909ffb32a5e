/* prefill.cu - products of many tokens: which kernel takes them. prefill.cuh says how. */
#include "kernels/cuda/prefill_wgmma.cuh"

extern "C" int cuda__prefill_layout(const cuda_device *d) {
  return d->hopper ? LAYOUT_WGMMA : LAYOUT_MMA;
}

extern "C" size_t cuda__prefill_scratch(const cuda_device *d) {
  if (!d->hopper || d->sms > PREFILL_RANKS) return 0;
  return PREFILL_GIVEN_BYTES + (size_t)d->sms * 2 * PREFILL_SUMS_BYTES;
}

extern "C" cudaError_t cuda__gemm_prefill(const cuda_device *d, const cuda_gemm *g) {
  if (g->layout != cuda__prefill_layout(d) || g->groups % (CUDA_PAD / 8) != 0)
    return cudaErrorInvalidValue;
  /* A warpgroup's four tiles fill whole column blocks of what it packs. */
  if (g->layout == LAYOUT_WGMMA && g->op != CUDA_OP_QKV && g->tile0 % 4 != 0)
    return cudaErrorInvalidValue;
  if (g->groups == 0 || g->tiles == 0) return cudaSuccess;
  /* Few rows by few tokens leave most multiprocessors without a block of 128 by 256: the smaller
   * blocks of cuda__gemm, which can share out the columns too, are faster then, unless there are
   * columns enough for blocks to be shared. */
  if (d->hopper && 2 * prefill__blocks(g) < d->sms && !prefill__shares(d, g))
    return cuda__gemm(d, g);
  switch (g->kind) {
  case CUDA_F16: return prefill__f16(d, g);
  case CUDA_Q8: return prefill__q8(d, g);
  case CUDA_Q4: return prefill__q4(d, g);
  case CUDA_Q4M: return prefill__q4m(d, g);
  case CUDA_Q6: return prefill__q6(d, g);
  default: return cudaErrorInvalidValue;
  }
}
