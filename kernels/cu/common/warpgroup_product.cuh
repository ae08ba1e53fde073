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

    // Begins to multiply the tiles of a stage.
    static __device__ __forceinline__ void start(float (&d)[Shape::SUMS], const u8* stage, bool adds) {
        // The same for all threads of the warp, as the compiler must know.
        const u32 warpgroup = COLUMNS == WARPGROUP_COLUMNS ? 0 : shuffle(warp_index() / 4, 0);
        const u8* weight = stage + Stages::WEIGHT_AT + warpgroup * WARPGROUP_COLUMNS * WARPGROUP_ROW_BYTES;
        start_tiles<Number, ROWS>(d, tile_descriptor(weight), tile_descriptor(stage), adds);
    }

    // As `Bf16Product::multiply`.
    template <typename InputRow>
    static __device__ __forceinline__ Sums multiply(const product_operands& o, Stages& stages, u32, InputRow input_row) {
        Sums sums = {};
        float(&flat)[Shape::SUMS] = reinterpret_cast<float(&)[Shape::SUMS]>(sums.of);
        auto settle = [] { show_to_tensor_cores(); };
        if constexpr (HAS_SCALES) {
            // Sums of e4m3 are kept to fewer bits there than f32 has, so no more than a stage is left to them (DeepSeek-AI, DeepSeek-V3 Technical
            // Report, 2024, section 3.3.2).
            float of_stage[Shape::SUMS];
            auto start_stage = [&](const u8* stage) { start(of_stage, stage, false); };
            stages.run(o, input_row, settle, start_stage, [&](const u8*) {
                finish_tiles(of_stage);
#pragma unroll
                for (u32 i = 0; i < Shape::SUMS; i++) flat[i] += of_stage[i];
            });
        } else {
            auto start_stage = [&](const u8* stage) { start(flat, stage, true); };
            stages.run(o, input_row, settle, start_stage, [&](const u8*) { finish_tiles(flat); });
        }
        return sums;
    }

    static __device__ __forceinline__ float scaled(const product_operands& o, float sum, u64 input_row, u64 weight_row) {
        return HAS_SCALES ? sum * o.input_scales[input_row] * o.output_scales[weight_row] : sum;
    }
};

#endif
