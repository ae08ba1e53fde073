// Products of bf16 on tensor cores, accumulated in f32.
//
// With few rows a product takes as long as its weights take to arrive, so a block keeps STAGES - 1 tiles of both sides under way in
// asynchronous copies while it multiplies one. A tile is ROWS of the input and 64 of the weight, 64 numbers of each; in shared memory
// its rows of 128 bytes have their 16-byte chunks permuted by row, so that neither copies nor matrix loads meet in a bank.

#pragma once

#include "common/matrix.cuh"
#include "common/stages.cuh"
#include "common/warp.cuh"

constexpr u32 TENSOR_COLUMNS = 64;
constexpr u32 TENSOR_INPUTS = 64;

// How a tile of so many rows is spread over warps. A warp has at least 16 columns: where columns of two matrices alternate by eights, a
// thread holds both numbers of a pair.
template <u32 ROWS_>
struct TensorShape {
    static constexpr u32 ROWS = ROWS_;
    static constexpr u32 WARPS = ROWS == 128 ? 8 : 4;
    static constexpr u32 THREADS = WARPS * WARP_LANES_COUNT;
    static constexpr u32 WARP_ROWS = 32;
    static constexpr u32 WARPS_ALONG_ROWS = ROWS / WARP_ROWS;
    static constexpr u32 WARP_COLUMNS = TENSOR_COLUMNS / (WARPS / WARPS_ALONG_ROWS);
    static constexpr u32 ROW_TILES = WARP_ROWS / 16;
    static constexpr u32 COLUMN_TILES = WARP_COLUMNS / 8;
    static constexpr u32 SUMS = ROW_TILES * COLUMN_TILES * 4;
};

// A thread's share of the tile's results: sums of row tile i, column tile j, and of those the four that `mma_m16n8k16_bf16` gives it.
template <typename Shape>
struct TensorSums {
    float of[Shape::ROW_TILES][Shape::COLUMN_TILES][4];
};

// Where in the tile a thread's results stand.
template <typename Shape>
__device__ __forceinline__ u32 tensor_row(u32 row_tile, u32 element) {
    return warp_index() % Shape::WARPS_ALONG_ROWS * Shape::WARP_ROWS + row_tile * 16 + element / 2 * 8 + lane_index() / 4;
}
template <typename Shape>
__device__ __forceinline__ u32 tensor_column(u32 column_tile, u32 element) {
    return warp_index() / Shape::WARPS_ALONG_ROWS * Shape::WARP_COLUMNS + column_tile * 8 + lane_index() % 4 * 2 + element % 2;
}

// Results of columns side by side, and where it is gated those that they are multiplied with.
template <u32 RUN>
struct Results {
    float own[RUN];
    float other[RUN];
};

// Writes them behind `output`; `count` of them are there, and `paired` says whether two begin at a multiple of their size.
__device__ __forceinline__ void write_run(float* output, const float (&results)[2], u32 count, bool paired) {
    if (paired) {
        *reinterpret_cast<float2*>(output) = make_float2(results[0], results[1]);
    } else {
        output[0] = results[0];
        if (count > 1) output[1] = results[1];
    }
}
__device__ __forceinline__ void write_run(bf16* output, const float (&results)[2], u32 count, bool paired) {
    if (paired) {
        *reinterpret_cast<u32*>(output) = to_bf16_pair(results[0], results[1]);
    } else {
        output[0] = to_bf16(results[0]);
        if (count > 1) output[1] = to_bf16(results[1]);
    }
}
template <typename Output>
__device__ __forceinline__ void write_run(Output* output, const float (&results)[1], u32, bool) {
    output[0] = from_float<Output>(results[0]);
}

// How a tile of a result is made: here of bf16 by bf16. Other products have the same members.
template <u32 ROWS>
struct Bf16Product {
    using Shape = TensorShape<ROWS>;
    using Sums = TensorSums<Shape>;
    static constexpr u32 COLUMNS = TENSOR_COLUMNS;
    using Stages = ::Stages<CopiedRows<bf16, ROWS, Shape::THREADS, EightRowPattern>,
                            CopiedRows<bf16, COLUMNS, Shape::THREADS, EightRowPattern>>;
    static_assert(Stages::INPUTS == TENSOR_INPUTS, "a stage's rows are of 128 bytes");
    // A thread's results are of so many rows, and of each of them so many runs of columns side by side.
    static constexpr u32 LANE_ROWS = Shape::ROW_TILES * 2;
    template <bool GATED>
    static constexpr u32 LANE_RUNS = Shape::COLUMN_TILES / (GATED ? 2 : 1);
    static constexpr u32 RUN = 2;

    // Adds the products of a stage. Rows of the tile from `rows` on are not there.
    static __device__ __forceinline__ void add(Sums& sums, const u8* stage, u32 rows) {
        const u32 warp_row = warp_index() % Shape::WARPS_ALONG_ROWS * Shape::WARP_ROWS;
        const u32 warp_column = warp_index() / Shape::WARPS_ALONG_ROWS * Shape::WARP_COLUMNS;
        const u32 matrix = lane_index() / 8;
        const u32 matrix_row = lane_index() % 8;
#pragma unroll
        for (u32 step = 0; step < TENSOR_INPUTS / 16; step++) {
            u32 b[Shape::COLUMN_TILES / 2][4];
#pragma unroll
            for (u32 pair = 0; pair < Shape::COLUMN_TILES / 2; pair++) {
                const u32 row = warp_column + pair * 16 + matrix / 2 * 8 + matrix_row;
                load_matrices_x4(b[pair], stage + Stages::WEIGHT_AT + EightRowPattern::place(row, step * 2 + matrix % 2));
            }
#pragma unroll
            for (u32 i = 0; i < Shape::ROW_TILES; i++) {
                // The same for all lanes of the warp. Rows that are not there cost nothing.
                if (warp_row + i * 16 < rows) {
                    u32 a[4];
                    const u32 row = warp_row + i * 16 + matrix % 2 * 8 + matrix_row;
                    load_matrices_x4(a, stage + EightRowPattern::place(row, step * 2 + matrix / 2));
#pragma unroll
                    for (u32 j = 0; j < Shape::COLUMN_TILES; j++) {
                        const u32 half[2] = {b[j / 2][j % 2 * 2], b[j / 2][j % 2 * 2 + 1]};
                        mma_m16n8k16_bf16(sums.of[i][j], a, half);
                    }
                }
            }
        }
    }

    // The products of the tile over all inputs of the stages, whose weight has begun. `input_row(i)` says which row of the input the tile's row i is, or
    // NO_ROW; rows from `rows` on are none.
    template <typename InputRow>
    static __device__ __forceinline__ Sums multiply(const product_operands& o, Stages& stages, u32 rows, InputRow input_row) {
        Sums sums = {};
        stages.run(o, input_row, [] {}, [](const u8*) {}, [&](const u8* stage) { add(sums, stage, rows); });
        return sums;
    }

    // The tile's row that the thread's row i is.
    static __device__ __forceinline__ u32 row(u32 i) { return tensor_row<Shape>(i / 2, i % 2 * 2); }
    // Where run j begins among the tile's columns, of which a gated tile has half as many.
    template <bool GATED>
    static __device__ __forceinline__ u32 column(u32 j) {
        const u32 column = tensor_column<Shape>(GATED ? 2 * j : j, 0);
        return GATED ? column / 16 * 8 + column % 8 : column;
    }
    template <bool GATED>
    static __device__ __forceinline__ Results<RUN> results(const Sums& sums, u32 i, u32 j) {
        const auto& own = sums.of[i / 2][GATED ? 2 * j : j];
        const auto& other = sums.of[i / 2][GATED ? 2 * j + 1 : j];
        const u32 first = i % 2 * 2;
        return {{own[first], own[first + 1]}, {other[first], other[first + 1]}};
    }

    // The result of a sum over all inputs of a row of the input and one of the weight.
    static __device__ __forceinline__ float scaled(const product_operands&, float sum, u64, u64) { return sum; }
};

// The results of a run that begins at `column` of `columns`, scaled, and where it is gated multiplied. The weight's rows begin at `first_weight`, and
// those that belong to a gate's `columns` behind it.
template <typename Product, bool GATED>
__device__ __forceinline__ Results<Product::RUN> finished(const product_operands& o, Results<Product::RUN> results, u64 input_row,
                                                          u64 first_weight, u32 column, u32 columns) {
#pragma unroll
    for (u32 i = 0; i < Product::RUN; i++) {
        // A column that is not there has no scale: the first one's does as well.
        const u64 weight = first_weight + (column + i < columns ? column + i : column);
        results.own[i] = Product::scaled(o, results.own[i], input_row, weight);
        if (GATED) results.own[i] = gelu_tanh(results.own[i]) * Product::scaled(o, results.other[i], input_row, weight + columns);
    }
    return results;
}
