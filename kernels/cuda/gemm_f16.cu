/* gemm_f16.cu - the products of gemm.cuh for F16 weights: a file a kind, to compile apart. */
#include "kernels/cuda/gemm.cuh"

extern "C" cudaError_t cuda__gemm_f16(const cuda_device *d, const cuda_gemm *g) {
  return gemm__launch<CUDA_F16>(d, g);
}
