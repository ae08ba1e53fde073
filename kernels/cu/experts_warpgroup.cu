// The experts' products by warpgroups: of e4m3 by e4m3, and of bf16 by bf16 where there are many rows.

#include "common/expert_tiles.cuh"
#include "common/warpgroup_product.cuh"

#ifdef LACUNA_WARPGROUPS

// Tiles are named by columns and rows.
#define LACUNA_EXPERTS(NUMBER, NAME, COLUMNS, ROWS, BLOCKS)                                             \
    using experts_down_warpgroup_##NAME##_parameters = experts_parameters;                              \
    PREFETCHING_KERNEL(experts_down_warpgroup_##NAME, COLUMNS * 2, BLOCKS) {                                        \
        tensor_experts<WarpgroupProduct<NUMBER, COLUMNS, ROWS>, false>(p);                              \
    }                                                                                                   \
    using experts_gated_warpgroup_##NAME##_parameters = experts_parameters;                             \
    PREFETCHING_KERNEL(experts_gated_warpgroup_##NAME, COLUMNS * 2, BLOCKS) {                                       \
        tensor_experts<WarpgroupProduct<NUMBER, COLUMNS, ROWS>, true>(p);                               \
    }

LACUNA_EXPERTS(e4m3, fp8_64x32, 64, 32, 4)
LACUNA_EXPERTS(e4m3, fp8_64x64, 64, 64, 3)
LACUNA_EXPERTS(e4m3, fp8_128x128, 128, 128, 1)
LACUNA_EXPERTS(bf16, bf16_128x128, 128, 128, 1)

#endif
