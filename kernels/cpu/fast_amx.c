/* interim */
#include "kernels/cpu/fast_avx512.h"
#include "kernels/cpu/fast_body.h"
bool cpu__amx_request(void) { return false; }
const cpu_level cpu__amx = {.variant = "amx", .name = "amx", .k_step = K_STEP, .norm = level_norm, .quantize = level_quantize, .multiply = level_multiply, .glu = level_glu, .rotate = level_rotate, .to_half = level_to_half, .attend = level_attend};
