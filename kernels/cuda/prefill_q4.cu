/* prefill_q4.cu - the products of prefill.cuh for CUDA_Q4 weights: a file a kind, to compile
 * side by side. */
#include "kernels/cuda/prefill_launch.cuh"

cudaError_t prefill__q4(const cuda_device *d, const cuda_gemm *g) {
  return prefill__launch<CUDA_Q4>(d, g);
}
