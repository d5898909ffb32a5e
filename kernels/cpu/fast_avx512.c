/* fast_avx512.c - the level "avx512": AVX-512 F, BW, VL, DQ and VNNI.
 *
 * Integer products: four 8-bit weights times four 8-bit activations at a time (vpdpbusd), once
 * with the high and once with the low bytes of the 16-bit activations. That is as many products
 * an instruction as vpdpwssd has, but takes the weights as they lie in memory. */
#include "kernels/cpu/fast_avx512.h"

#include "kernels/cpu/fast_body.h"

const cpu_level cpu__avx512 = {
    .variant = "avx512",
    .name = "avx512-vnni",
    .k_step = K_STEP,
    .norm = level_norm,
    .quantize = level_quantize,
    .multiply = level_multiply,
    .add = level_add,
    .glu = level_glu,
    .rotate = level_rotate,
    .logsumexp = level_logsumexp,
    .to_half = level_to_half,
    .attend = level_attend,
};
