/* prefill_f16.cu - the products of prefill.cuh for CUDA_F16 weights: a file a kind, to compile
 * side by side. */
#include "kernels/cuda/prefill_launch.cuh"

cudaError_t prefill__f16(const cuda_device *d, const cuda_gemm *g) {
  return prefill__launch<CUDA_F16>(d, g);
}
