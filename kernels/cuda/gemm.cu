/* gemm.cu - which file has the product for a kind of weights. */
#include "kernels/cuda/gemm.cuh"

extern "C" {
cudaError_t cuda__gemm_f16(const cuda_device *d, const cuda_gemm *g);
cudaError_t cuda__gemm_q8(const cuda_device *d, const cuda_gemm *g);
cudaError_t cuda__gemm_q4(const cuda_device *d, const cuda_gemm *g);
cudaError_t cuda__gemm_q4m(const cuda_device *d, const cuda_gemm *g);
cudaError_t cuda__gemm_q6(const cuda_device *d, const cuda_gemm *g);

int cuda__gemm_layout(const cuda_device *d, int groups, int cols) {
  int units = (cols + CUDA_UNIT - 1) / CUDA_UNIT;
  bool narrow = !d->hopper || groups <= 2 || (groups == 4 && gemm__holds<4>(d, units)) ||
                (groups == 8 && gemm__holds<8>(d, units));
  return narrow ? LAYOUT_MMA : LAYOUT_WGMMA;
}

cudaError_t cuda__gemm(const cuda_device *d, const cuda_gemm *g) {
  switch (g->kind) {
  case CUDA_F16: return cuda__gemm_f16(d, g);
  case CUDA_Q8: return cuda__gemm_q8(d, g);
  case CUDA_Q4: return cuda__gemm_q4(d, g);
  case CUDA_Q4M: return cuda__gemm_q4m(d, g);
  case CUDA_Q6: return cuda__gemm_q6(d, g);
  default: return cudaErrorInvalidValue;
  }
}
}
