/* gemm_q8.cu - the products of gemm.cuh for Q8_0 weights: a file a kind, to compile apart. */
#include "kernels/cuda/gemm.cuh"

extern "C" cudaError_t cuda__gemm_q8(const cuda_device *d, const cuda_gemm *g) {
  return gemm__launch<CUDA_Q8>(d, g);
}
