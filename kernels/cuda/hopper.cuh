/* hopper.cuh - instructions that only sm_90 has, for the kernels that work with clusters, with
 * rings of shared memory and with wgmma. An mbarrier is PTX's kind that lies in shared memory; the
 * numbered barriers of a block are device.cuh's device__barrier_*.
 *
 * Who sees what:
 *   clusters     arriving releases and waiting acquires at the scope of the cluster: also what was
 *                written to another block's shared memory. Every thread of every block takes part
 *                (those that have exited are not waited for), and waits before it arrives again.
 *   mbarriers    are used within a block: arriving releases and waiting acquires at its scope. What
 *                bulk copies have written is seen too, for their bytes are part of the phase.
 *   fence_async  bulk copies and wgmma reach memory by another way (the async proxy) than loads and
 *                stores do. This goes between an ordinary store and their reading of it, in a
 *                thread that made the store or sees it already.
 *
 * What orders memory is volatile and clobbers memory, so that the compiler moves no access past
 * it. hopper__peer only makes an address: it is neither, and may be computed early or once. */
#ifndef FIMD_KERNELS_HOPPER_CUH
#define FIMD_KERNELS_HOPPER_CUH

#include "kernels/cuda/device.cuh"

/* A ring's next slot, and the parity of its use. To wait for a slot to be full: its parity; for it
 * to be empty: parity ^ 1, which a new mbarrier lets pass. */
struct hopper_slot {
  int at, parity;
};
template <int STAGES> __device__ __forceinline__ void hopper__advance(hopper_slot &slot) {
  if (++slot.at == STAGES) {
    slot.at = 0;
    slot.parity ^= 1;
  }
}

#if __CUDA_ARCH__ >= 900

/* ---- clusters ---------------------------------------------------------------------------- */

__device__ __forceinline__ void hopper__cluster_arrive() {
  asm volatile("barrier.cluster.arrive.release;" ::: "memory");
}
__device__ __forceinline__ void hopper__cluster_wait() {
  asm volatile("barrier.cluster.wait.acquire;" ::: "memory");
}
/* Where block `rank` of the cluster has what this block has at `shared`: for ld.shared::cluster
 * and st.shared::cluster. */
__device__ __forceinline__ uint32_t hopper__peer(const void *shared, int rank) {
  uint32_t at;
  asm("mapa.shared::cluster.u32 %0, %1, %2;"
      : "=r"(at) : "r"(device__shared_address(shared)), "r"(rank));
  return at;
}

/* ---- mbarriers and bulk copies ------------------------------------------------------------- */

/* By one thread; the others see it after __syncthreads(). */
__device__ __forceinline__ void hopper__mbarrier_init(uint64_t *barrier, int arrivals) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(device__shared_address(barrier)),
               "r"(arrivals) : "memory");
}
/* Bulk copies see the mbarriers that this thread has made. */
__device__ __forceinline__ void hopper__mbarriers_made() {
  asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
__device__ __forceinline__ void hopper__mbarrier_arrive(uint64_t *barrier) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(device__shared_address(barrier))
               : "memory");
}
/* Arrives, and the phase completes no sooner than `bytes` have been copied (hopper__copy). */
__device__ __forceinline__ void hopper__mbarrier_expect(uint64_t *barrier, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::
               "r"(device__shared_address(barrier)), "r"(bytes) : "memory");
}
/* Until the phase of that parity has completed. */
__device__ __forceinline__ void hopper__mbarrier_await(uint64_t *barrier, int parity) {
  uint32_t at = device__shared_address(barrier), done;
  do {
    asm volatile("{ .reg .pred p; mbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2; "
                 "selp.u32 %0, 1, 0, p; }" : "=r"(done) : "r"(at), "r"(parity) : "memory");
  } while (!done);
}
/* By one thread; `bytes` and both addresses are multiples of 16. */
__device__ __forceinline__ void hopper__copy(void *shared, const void *global, int bytes,
                                             uint64_t *barrier) {
  asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes "
               "[%0], [%1], %2, [%3];" ::"r"(device__shared_address(shared)), "l"(global),
               "r"(bytes), "r"(device__shared_address(barrier)) : "memory");
}
__device__ __forceinline__ void hopper__fence_async() {
  asm volatile("fence.proxy.async;" ::: "memory");
}

#endif /* sm_90 */

#ifdef __CUDA_ARCH_FEAT_SM90_ALL

/* ---- warpgroups -------------------------------------------------------------------------- */

/* How many registers a thread of this warp has from here on, by all four warps of a warpgroup:
 * more, when the block's others have given up enough; or fewer. */
template <int COUNT> __device__ __forceinline__ void hopper__more_registers() {
  asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(COUNT));
}
template <int COUNT> __device__ __forceinline__ void hopper__fewer_registers() {
  asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(COUNT));
}

/* Before a warpgroup's first wgmma, and before one whose registers it has written since. */
__device__ __forceinline__ void hopper__mma_fence() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}
/* What was issued since the last one is a group. */
__device__ __forceinline__ void hopper__mma_commit() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}
/* Until at most LEFT groups are under way. */
template <int LEFT> __device__ __forceinline__ void hopper__mma_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(LEFT) : "memory");
}
/* The sums d are the tensor cores' until here: no use of them moves above. */
template <int N> __device__ __forceinline__ void hopper__mma_finish(float (&d)[N]) {
#pragma unroll
  for (int i = 0; i < N; i++) asm volatile("" : "+f"(d[i])::"memory");
}

/* Descriptor of a matrix in shared memory: groups of 8 rows ROWS bytes apart, panels PANELS bytes
 * apart (where the instruction takes several). SWIZZLE: 1 of 128 bytes, 2 of 64. What is added to
 * it counts units of 16 bytes. */
template <int SWIZZLE, int ROWS, int PANELS>
__device__ __forceinline__ uint64_t hopper__matrix(uint32_t at) {
  return (uint64_t)((at & 0x3ffff) >> 4) | (uint64_t)(PANELS >> 4) << 16 |
         (uint64_t)(ROWS >> 4) << 32 | (uint64_t)SWIZZLE << 62;
}
/* Packed activations (LAYOUT_WGMMA) as B: 8 tokens by 32 columns, an atom of the swizzle, are 512
 * bytes. 32 columns are one panel: PANELS has no meaning. */
__device__ __forceinline__ uint64_t hopper__tokens(const void *shared) {
  return hopper__matrix<2, 512, 16>(device__shared_address(shared));
}

/* Sums, as operands of asm: 4 or 16 of d from number i on. */
#define HOPPER_D4(i) "+f"(d[i]), "+f"(d[(i) + 1]), "+f"(d[(i) + 2]), "+f"(d[(i) + 3])
#define HOPPER_D16(i) HOPPER_D4(i), HOPPER_D4((i) + 4), HOPPER_D4((i) + 8), HOPPER_D4((i) + 12)

#endif /* sm_90a */

#endif
