/* launch.cuh - how every kernel of a step is launched: in the backend's stream, and where the
 * device can, early (programmatic dependent launch, see device.cuh) and in clusters. */
#ifndef FIMD_KERNELS_LAUNCH_CUH
#define FIMD_KERNELS_LAUNCH_CUH

#include "kernels/cuda/cuda.h"

/* On the stack of the launching function: config points into it. */
struct launch_config {
  cudaLaunchConfig_t config;
  cudaLaunchAttribute attributes[2];
  launch_config(const cuda_device *d, dim3 grid, int threads, int shared = 0, int cluster = 1) {
    config = {};
    config.gridDim = grid;
    config.blockDim = dim3(threads);
    config.dynamicSmemBytes = shared;
    config.stream = d->stream;
    config.attrs = attributes;
    if (!d->hopper) return;
    cudaLaunchAttribute *next = attributes;
    if (d->early) {
      next->id = cudaLaunchAttributeProgrammaticStreamSerialization;
      next++->val.programmaticStreamSerializationAllowed = 1;
    }
    if (cluster > 1) {
      next->id = cudaLaunchAttributeClusterDimension;
      next->val.clusterDim.x = cluster;
      next->val.clusterDim.y = next->val.clusterDim.z = 1;
      next++;
    }
    config.numAttrs = (unsigned)(next - attributes);
  }
  launch_config(const launch_config &) = delete;

  template <typename... Parameters, typename... Arguments>
  cudaError_t launch(void (*kernel)(Parameters...), Arguments &&...arguments) {
    cudaError_t rc = cudaSuccess;
    if (config.dynamicSmemBytes > 48 * 1024)
      rc = cudaFuncSetAttribute((const void *)kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                (int)config.dynamicSmemBytes);
    return rc == cudaSuccess ? cudaLaunchKernelEx(&config, kernel, arguments...) : rc;
  }
};

#endif
