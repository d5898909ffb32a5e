/* prefill_q8.cu - the products of prefill.cuh for CUDA_Q8 weights: a file a kind, to compile
 * side by side. */
#include "kernels/cuda/prefill_launch.cuh"

cudaError_t prefill__q8(const cuda_device *d, const cuda_gemm *g) {
  return prefill__launch<CUDA_Q8>(d, g);
}
