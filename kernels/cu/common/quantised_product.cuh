// Products with quantised weights on tensor cores, accumulated in f32: e4m3 by e4m3; e2m1 by e2m1 with the scales of their groups, where there
// are such tensor cores; and bf16 by e4m3 or e2m1 that are widened to bf16 in registers.
//
// As with bf16, a product of few rows takes as long as its weights take to arrive. A stage is 128 inputs of 64 columns, 8 or 4.5 KiB of
// weights, and three stages of each of two to four blocks are under way on a multiprocessor: 27 to 96 KiB, where the fastest memory asks for
// some 40.
//
// In which order inputs are multiplied is no matter, if it is the same on both sides. So lane 4g + t takes of its rows of a stage the inputs
// 32t to 32t + 31, which are whole chunks of 16 bytes on either side, and gives them to tensor cores one after the other as if they were
// those of its place. Only e2m1 by e2m1 keep their places, as scales belong to them.
//
// Weights are the first operand of the tensor cores' products, and rows of the input the second: so a chunk of the input is used where it was
// loaded, while what weights are widened to can be put anywhere; and a tile's rows go by eights.

#pragma once

#include "common/block_scaled.cuh"
#include "common/operands.cuh"
#include "common/staged_rows.cuh"
#include "common/tensor_product.cuh"

// One type or another.
template <bool IS_FIRST, typename First, typename Second>
struct Choose {
    using Type = First;
};
template <typename First, typename Second>
struct Choose<false, First, Second> {
    using Type = Second;
};
template <bool IS_FIRST, typename First, typename Second>
using Choice = typename Choose<IS_FIRST, First, Second>::Type;

template <u32 ROWS, typename Input_, typename Weight_>
struct QuantisedProduct {
    using Shape = TensorShape<ROWS>;
    static constexpr u32 COLUMNS = TENSOR_COLUMNS;
    static constexpr bool HAS_GROUPS = Storage<Weight_>::BITS == 4;
    static constexpr bool HAS_INPUT_GROUPS = Storage<Input_>::BITS == 4;
    static constexpr bool HAS_INPUT_SCALES = Storage<Input_>::BITS == 8;
    using Input = StagedRows<Input_, ROWS, Shape::THREADS>;
    using Weight = StagedRows<Weight_, TENSOR_COLUMNS, Shape::THREADS>;
    using Groups = StagedGroups<TENSOR_COLUMNS, Shape::THREADS>;
    using InputGroups = StagedGroups<ROWS, Shape::THREADS>;
    using Stages =
        ::Stages<Input, Weight, Choice<HAS_GROUPS, Groups, NoGroups>, Choice<HAS_INPUT_GROUPS, InputGroups, NoGroups>>;
    static constexpr u32 WEIGHT_AT = Stages::WEIGHT_AT, GROUPS_AT = Stages::GROUPS_AT, INPUT_GROUPS_AT = Stages::INPUT_GROUPS_AT;

    // Tiles of the warp's share: eight rows by sixteen columns.
    static constexpr u32 ROW_TILES = Shape::WARP_ROWS / 8;
    static constexpr u32 COLUMN_TILES = Shape::WARP_COLUMNS / 16;
    static constexpr u32 LANE_ROWS = ROW_TILES * 2;
    template <bool GATED>
    static constexpr u32 LANE_RUNS = COLUMN_TILES * (GATED ? 1 : 2);
    static constexpr u32 RUN = 1;

    // Of tile of columns j and tile of rows i what `mma` gives: of column g and then of g + 8 the rows 2t and 2t + 1.
    struct Sums {
        float of[COLUMN_TILES][ROW_TILES][4];
    };

    static __device__ __forceinline__ u32 warp_row() { return warp_index() % Shape::WARPS_ALONG_ROWS * Shape::WARP_ROWS; }
    static __device__ __forceinline__ u32 warp_column() { return warp_index() / Shape::WARPS_ALONG_ROWS * Shape::WARP_COLUMNS; }

    static __device__ __forceinline__ u32 row(u32 i) { return warp_row() + i / 2 * 8 + lane_index() % 4 * 2 + i % 2; }
    template <bool GATED>
    static __device__ __forceinline__ u32 column(u32 j) {
        return (GATED ? warp_column() / 2 : warp_column()) + j * 8 + lane_index() / 4;
    }
    template <bool GATED>
    static __device__ __forceinline__ Results<RUN> results(const Sums& sums, u32 i, u32 j) {
        const auto& both = sums.of[GATED ? j : j / 2][i / 2];
        return {{both[(GATED ? 0 : j % 2 * 2) + i % 2]}, {both[2 + i % 2]}};
    }

    // Each of these adds the products of a stage with the warp's first TILES tiles of rows.
    template <u32 TILES>
    static __device__ __forceinline__ void add_e4m3(Sums& sums, const u8* stage) {
        const u8* weights = stage + WEIGHT_AT;
        const u32 lane = lane_index() / 4;
#pragma unroll
        for (u32 chunk = 0; chunk < Input::LANE_CHUNKS; chunk++) {
            E4m3Word a[COLUMN_TILES][2][4];
#pragma unroll
            for (u32 j = 0; j < COLUMN_TILES; j++) {
                const uint4 upper = Weight::load(weights, warp_column() + j * 16 + lane, chunk);
                const uint4 lower = Weight::load(weights, warp_column() + j * 16 + 8 + lane, chunk);
                a[j][0][0] = tensor_word(upper.x), a[j][0][1] = tensor_word(lower.x);
                a[j][0][2] = tensor_word(upper.y), a[j][0][3] = tensor_word(lower.y);
                a[j][1][0] = tensor_word(upper.z), a[j][1][1] = tensor_word(lower.z);
                a[j][1][2] = tensor_word(upper.w), a[j][1][3] = tensor_word(lower.w);
            }
#pragma unroll
            for (u32 i = 0; i < TILES; i++) {
                const uint4 words = Input::load(stage, warp_row() + i * 8 + lane, chunk);
                const E4m3Word b[2][2] = {{tensor_word(words.x), tensor_word(words.y)}, {tensor_word(words.z), tensor_word(words.w)}};
#pragma unroll
                for (u32 j = 0; j < COLUMN_TILES; j++) {
                    mma_m16n8k32_e4m3(sums.of[j][i], a[j][0], b[0]);
                    mma_m16n8k32_e4m3(sums.of[j][i], a[j][1], b[1]);
                }
            }
        }
    }

#ifdef LACUNA_MULTIPLIES_FP4

    // The weights of a stage as tensor cores take them: those of a tile's first 64 inputs, and of the others; and of lane 4g + t the scales of
    // row g + 8 * (t % 2), of the first inputs where t < 2, else of the others.
    struct BlockScaledWeights {
        u32 of[COLUMN_TILES][2][4];
        u32 scales[COLUMN_TILES];
    };

    // Adds the products with eight rows of the input, of two times eight whose scales came together: those of both halves of the inputs of the
    // first eight rows in lanes t = 0 and t = 1, and of the second in t = 2 and t = 3.
    template <u32 EIGHT>
    static __device__ __forceinline__ void add_eight_rows(Sums& sums, const u8* stage, u32 row_tile, const BlockScaledWeights& weights,
                                                          u32 scales) {
        u32 chunks[4];
        load_matrices_x4(chunks, stage + Input::place(warp_row() + row_tile * 8 + lane_index() % 8, lane_index() / 8));
        const u32 halves[2][2] = {{chunks[0], chunks[1]}, {chunks[2], chunks[3]}};
#pragma unroll
        for (u32 j = 0; j < COLUMN_TILES; j++) {
            auto& d = sums.of[j][row_tile];
            mma_m16n8k64_e2m1<0, 2 * EIGHT>(d, weights.of[j][0], halves[0], weights.scales[j], scales);
            mma_m16n8k64_e2m1<1, 2 * EIGHT + 1>(d, weights.of[j][1], halves[1], weights.scales[j], scales);
        }
    }

    // A row's chunk holds what the four lanes of a quad take as one register: chunks 0 and 1 are the first 64 inputs, 2 and 3 the others.
    template <u32 TILES>
    static __device__ __forceinline__ void add_e2m1(Sums& sums, const u8* stage) {
        const u32 matrix = lane_index() / 8, matrix_row = lane_index() % 8;
        const u32 g = lane_index() / 4, t = lane_index() % 4;
        BlockScaledWeights weights;
#pragma unroll
        for (u32 j = 0; j < COLUMN_TILES; j++) {
            const u32 column = warp_column() + j * 16;
#pragma unroll
            for (u32 half = 0; half < 2; half++) {
                const u32 place = Weight::place(column + matrix % 2 * 8 + matrix_row, half * 2 + matrix / 2);
                load_matrices_x4(weights.of[j][half], stage + WEIGHT_AT + place);
            }
            weights.scales[j] = Groups::load_half(stage + GROUPS_AT, column + t % 2 * 8 + g, t / 2);
        }
#pragma unroll
        for (u32 i = 0; i < TILES; i += 2) {
            const u32 scales = InputGroups::load_half(stage + INPUT_GROUPS_AT, warp_row() + (i + t / 2) * 8 + g, t % 2);
            add_eight_rows<0>(sums, stage, i, weights, scales);
            if (i + 1 < TILES) add_eight_rows<1>(sums, stage, i + 1, weights, scales);
        }
    }

#endif

    // A lane's weights of one column as pairs of bf16, eight inputs at a time.
    struct Column {
        uint4 words;
        u32 scales;

        __device__ __forceinline__ void widen(u32 (&pairs)[4], const u8* weights, u32 column, u32 chunk) {
            if constexpr (HAS_GROUPS) {
                if (chunk == 0) {
                    words = Weight::load(weights, column, 0);
                    scales = group_scale_pair(Groups::load(weights + Weight::BYTES, column));
                }
                const u32 four[4] = {words.x, words.y, words.z, words.w};
                widen_e2m1(pairs, four[chunk], permute_bytes(scales, scales, chunk < 2 ? 0x1010 : 0x3232));
            } else {
                if (chunk % 2 == 0) words = Weight::load(weights, column, chunk / 2);
                u32 first[2], second[2];
                widen_e4m3(first, chunk % 2 == 0 ? words.x : words.z);
                widen_e4m3(second, chunk % 2 == 0 ? words.y : words.w);
                pairs[0] = first[0], pairs[1] = first[1], pairs[2] = second[0], pairs[3] = second[1];
            }
        }
    };

    template <u32 TILES>
    static __device__ __forceinline__ void add_bf16(Sums& sums, const u8* stage) {
        const u32 lane = lane_index() / 4;
        Column columns[COLUMN_TILES][2];
#pragma unroll
        for (u32 chunk = 0; chunk < Input::LANE_CHUNKS; chunk++) {
            u32 a[COLUMN_TILES][2][4];
#pragma unroll
            for (u32 j = 0; j < COLUMN_TILES; j++) {
                u32 pairs[2][4];
#pragma unroll
                for (u32 half = 0; half < 2; half++) {
                    columns[j][half].widen(pairs[half], stage + WEIGHT_AT, warp_column() + j * 16 + half * 8 + lane, chunk);
                }
#pragma unroll
                for (u32 k = 0; k < 4; k++) a[j][k / 2][k % 2 * 2] = pairs[0][k], a[j][k / 2][k % 2 * 2 + 1] = pairs[1][k];
            }
#pragma unroll
            for (u32 i = 0; i < TILES; i++) {
                const uint4 words = Input::load(stage, warp_row() + i * 8 + lane, chunk);
                const u32 b[2][2] = {{words.x, words.y}, {words.z, words.w}};
#pragma unroll
                for (u32 j = 0; j < COLUMN_TILES; j++) {
                    mma_m16n8k16_bf16(sums.of[j][i], a[j][0], b[0]);
                    mma_m16n8k16_bf16(sums.of[j][i], a[j][1], b[1]);
                }
            }
        }
    }

    template <u32 TILES>
    static __device__ __forceinline__ void add_tiles(Sums& sums, const u8* stage) {
        if constexpr (HAS_INPUT_SCALES) {
            add_e4m3<TILES>(sums, stage);
#ifdef LACUNA_MULTIPLIES_FP4
        } else if constexpr (HAS_INPUT_GROUPS) {
            add_e2m1<TILES>(sums, stage);
#endif
        } else {
            add_bf16<TILES>(sums, stage);
        }
    }

    // The same with as many tiles of rows as are there. All lanes of the warp take the same branch: instructions under conditions of their own would
    // cost as much where there is nothing to multiply, and here every instruction counts.
    static __device__ __forceinline__ void add(Sums& sums, const u8* stage, u32 row_tiles) {
        static_assert(ROW_TILES == 4, "a branch for each count");
        switch (row_tiles) {
            case 0: return;
            case 1: return add_tiles<1>(sums, stage);
            case 2: return add_tiles<2>(sums, stage);
            case 3: return add_tiles<3>(sums, stage);
            default: return add_tiles<4>(sums, stage);
        }
    }

    // As `Bf16Product::multiply`. Scales of groups are applied to each number, all others by `scaled`.
    template <typename InputRow>
    static __device__ __forceinline__ Sums multiply(const product_operands& o, Stages& stages, u32 rows, InputRow input_row) {
        Sums sums = {};
        u32 row_tiles = warp_row() < rows ? divide_up(rows - warp_row(), 8) : 0;
        keep(row_tiles);
        stages.run(o, input_row, [] {}, [](const u8*) {}, [&](const u8* stage) { add(sums, stage, row_tiles); });
        return sums;
    }

    static __device__ __forceinline__ float scaled(const product_operands& o, float sum, u64 input_row, u64 weight_row) {
        if (HAS_GROUPS && !HAS_INPUT_GROUPS) sum *= E2M1_UNIT;
        if (HAS_INPUT_SCALES) sum *= o.input_scales[input_row];
        if (HAS_INPUT_GROUPS) sum *= o.input_scale;
        return sum * o.output_scales[weight_row];
    }
};

// Blocks of e4m3 by e4m3 with tiles of 128 rows that a multiprocessor has registers for: where words are two registers each, half as many. There
// warpgroups make these products, but for those who do without.
#if !defined(LACUNA_EMULATOR) && __CUDA_ARCH__ == 900
constexpr u32 FP8_128_BLOCKS = 1;
#else
constexpr u32 FP8_128_BLOCKS = 2;
#endif

template <u32 ROWS>
using Fp8Product = QuantisedProduct<ROWS, e4m3, e4m3>;
template <u32 ROWS>
using Bf16Fp8Product = QuantisedProduct<ROWS, bf16, e4m3>;
template <u32 ROWS>
using Bf16Nvfp4Product = QuantisedProduct<ROWS, bf16, e2m1_pair>;
template <u32 ROWS>
using Nvfp4Product = QuantisedProduct<ROWS, e2m1_pair, e2m1_pair>;
