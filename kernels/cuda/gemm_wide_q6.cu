/* gemm_wide_q6.cu - the products of gemm_wide.cuh for CUDA_Q6 weights: a file a kind, to compile
 * side by side. */
#include "kernels/cuda/gemm_wide.cuh"

template cudaError_t gemm__launch_wide<CUDA_Q6>(const cuda_device *d, const cuda_gemm *g);
