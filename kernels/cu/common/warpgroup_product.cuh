// Products by warpgroups, of e4m3 by e4m3 and of bf16 by bf16, accumulated in f32: in the place of `QuantisedProduct` and `Bf16Product` where a card
// has them.
//
// Nothing passes through registers on its way to the tensor cores, and e4m3 is not widened, which where there are no warpgroups' products takes most
// of a multiprocessor's time. The weight is the side of which an instruction takes 64 rows, so that a tile may have few rows of the input.

#pragma once

#include "common/tensor_product.cuh"
#include "common/warpgroup.cuh"

#ifdef LACUNA_WARPGROUPS

template <u32 COLUMNS_, u32 ROWS_>
struct WarpgroupShape {
    static constexpr u32 COLUMNS = COLUMNS_;
    static constexpr u32 ROWS = ROWS_;
    static constexpr u32 THREADS = COLUMNS / WARPGROUP_COLUMNS * 128;
    static constexpr u32 SUMS = ROWS / 2;
};

template <typename Number, u32 COLUMNS_, u32 ROWS>
struct WarpgroupProduct {
    using Shape = WarpgroupShape<COLUMNS_, ROWS>;
    static constexpr u32 COLUMNS = COLUMNS_;
    static constexpr bool HAS_SCALES = sizeof(Number) == 1;
    using Stages = ::Stages<CopiedRows<Number, ROWS, Shape::THREADS, EightRowPattern>,
                            CopiedRows<Number, COLUMNS, Shape::THREADS, EightRowPattern>>;
    static_assert(Stages::BYTES % 1024 == 0 && Stages::WEIGHT_AT % 1024 == 0, "tiles begin where a pattern does");

    static constexpr u32 LANE_ROWS = ROWS / 4;
    template <bool GATED>
    static constexpr u32 LANE_RUNS = GATED ? 1 : 2;
    static constexpr u32 RUN = 1;

    // For each eight rows what an instruction gives: of column g and then of g + 8 the rows 2t and 2t + 1.
    struct Sums {
        float of[1][ROWS / 8][4];
    };

    static __device__ __forceinline__ u32 row(u32 i) { return i / 2 * 8 + lane_index() % 4 * 2 + i % 2; }
    template <bool GATED>
    static __device__ __forceinline__ u32 column(u32 j) {
        return warp_index() * (GATED ? 8 : 16) + j * 8 + lane_index() / 4;
    }
    template <bool GATED>
    static __device__ __forceinline__ Results<RUN> results(const Sums& sums, u32 i, u32 j) {
        const auto& both = sums.of[0][i / 2];
        return {{both[(GATED ? 0 : j * 2) + i % 2]}, {both[2 + i % 2]}};
    }

    static __device__ __forceinline__ void add(Sums& sums, const u8* stage) {
        const u32 own_columns = warp_index() / 4 * WARPGROUP_COLUMNS * WARPGROUP_ROW_BYTES;
        const TileDescriptor columns = tile_descriptor(stage + Stages::WEIGHT_AT + own_columns), rows = tile_descriptor(stage);
        float(&flat)[Shape::SUMS] = reinterpret_cast<float(&)[Shape::SUMS]>(sums.of);
        if constexpr (HAS_SCALES) {
            // Sums of e4m3 are kept to fewer bits there than f32 has, so no more than a stage is left to them (DeepSeek-AI, DeepSeek-V3 Technical
            // Report, 2024, section 3.3.2).
            float of_stage[Shape::SUMS];
            multiply_tiles<Number, ROWS>(of_stage, columns, rows, false);
#pragma unroll
            for (u32 i = 0; i < Shape::SUMS; i++) flat[i] += of_stage[i];
        } else {
            multiply_tiles<Number, ROWS>(flat, columns, rows, true);
        }
    }

    // As `Bf16Product::multiply`.
    template <typename InputRow>
    static __device__ __forceinline__ Sums multiply(const product_operands& o, Stages& stages, u32, InputRow input_row) {
        Sums sums = {};
        stages.run(o, input_row, [] { show_to_tensor_cores(); }, [&](const u8* stage) { add(sums, stage); });
        return sums;
    }

    static __device__ __forceinline__ float scaled(const product_operands& o, float sum, u64 input_row, u64 weight_row) {
        return HAS_SCALES ? sum * o.input_scales[input_row] * o.output_scales[weight_row] : sum;
    }
};

#endif
