// Dense products by warpgroups: of e4m3 by e4m3, and of bf16 by bf16 where there are many rows.

#include "common/linear_tiles.cuh"
#include "common/warpgroup_product.cuh"

#ifdef LACUNA_WARPGROUPS

// Tiles are named by columns and rows.
#define LACUNA_LINEAR(NUMBER, NAME, COLUMNS, ROWS, BLOCKS)                                              \
    using linear_warpgroup_##NAME##_parameters = linear_parameters;                                     \
    PREFETCHING_KERNEL(linear_warpgroup_##NAME, COLUMNS * 2, BLOCKS) {                                              \
        tensor_linear<WarpgroupProduct<NUMBER, COLUMNS, ROWS>, false>(p);                               \
    }                                                                                                   \
    using gated_warpgroup_##NAME##_parameters = linear_parameters;                                      \
    PREFETCHING_KERNEL(gated_warpgroup_##NAME, COLUMNS * 2, BLOCKS) { tensor_linear<WarpgroupProduct<NUMBER, COLUMNS, ROWS>, true>(p); }

LACUNA_LINEAR(e4m3, fp8_64x32, 64, 32, 4)
LACUNA_LINEAR(e4m3, fp8_64x64, 64, 64, 3)
LACUNA_LINEAR(e4m3, fp8_64x128, 64, 128, 2)
LACUNA_LINEAR(e4m3, fp8_128x128, 128, 128, 1)
LACUNA_LINEAR(bf16, bf16_64x128, 64, 128, 2)
LACUNA_LINEAR(bf16, bf16_128x128, 128, 128, 1)

#endif
