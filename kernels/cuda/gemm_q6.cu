/* gemm_q6.cu - the products of gemm.cuh for Q6_K weights: a file a kind, to compile apart. */
#include "kernels/cuda/gemm.cuh"

extern "C" cudaError_t cuda__gemm_q6(const cuda_device *d, const cuda_gemm *g) {
  return gemm__launch<CUDA_Q6>(d, g);
}
