/* prefill_q6.cu - the products of prefill.cuh for CUDA_Q6 weights: a file a kind, to compile
 * side by side. */
#include "kernels/cuda/prefill_launch.cuh"

cudaError_t prefill__q6(const cuda_device *d, const cuda_gemm *g) {
  return prefill__launch<CUDA_Q6>(d, g);
}
