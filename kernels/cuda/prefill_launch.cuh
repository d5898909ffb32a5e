/* prefill_launch.cuh - the products of prefill.cuh for one kind of weights: what prefill_*.cu
 * instantiate. */
#ifndef FIMD_KERNELS_PREFILL_LAUNCH_CUH
#define FIMD_KERNELS_PREFILL_LAUNCH_CUH

#include "kernels/cuda/prefill_mma.cuh"
#include "kernels/cuda/prefill_wgmma.cuh"

template <int KIND, int OP>
static cudaError_t prefill__launch_op(const cuda_device *d, const cuda_gemm *g) {
  if (g->layout == LAYOUT_WGMMA) return prefill__launch_wgmma<KIND, OP>(d, g);
  return prefill__launch_mma<KIND, OP>(d, g);
}

template <int KIND> static cudaError_t prefill__launch(const cuda_device *d, const cuda_gemm *g) {
  switch (g->op) {
  case CUDA_OP_QKV: return prefill__launch_op<KIND, CUDA_OP_QKV>(d, g);
  case CUDA_OP_PROJECT: return prefill__launch_op<KIND, CUDA_OP_PROJECT>(d, g);
  case CUDA_OP_GATE_UP: return prefill__launch_op<KIND, CUDA_OP_GATE_UP>(d, g);
  default: return cudaErrorInvalidValue;
  }
}

#endif
