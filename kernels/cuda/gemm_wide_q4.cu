/* gemm_wide_q4.cu - the products of gemm_wide.cuh for CUDA_Q4 weights: a file a kind, to compile
 * side by side. */
#include "kernels/cuda/gemm_wide.cuh"

template cudaError_t gemm__launch_wide<CUDA_Q4>(const cuda_device *d, const cuda_gemm *g);
