// Products in f32, exact as can be: each result is one chain of fused multiply-adds over ascending k, so it does not depend on how the
// work is spread. Weights are f32, or bf16 that are widened.
//
// A block of 128 threads makes 32 rows times 64 columns. Thread t has rows t / 16 + 8i and columns t % 16 + 16j, so where the tile's
// second half are the second matrix's columns, a thread holds both numbers of a pair.

#pragma once

#include "common/warp.cuh"

constexpr u32 EXACT_THREADS = 128;
constexpr u32 EXACT_ROWS = 32;
constexpr u32 EXACT_COLUMNS = 64;
constexpr u32 EXACT_INPUTS = 32;
// Four more than a row has, so that vector loads of eight rows touch every bank once.
constexpr u32 EXACT_STRIDE = EXACT_INPUTS + 4;
constexpr u32 EXACT_ROW_LOADS = EXACT_ROWS * EXACT_INPUTS / EXACT_THREADS;
constexpr u32 EXACT_COLUMN_LOADS = EXACT_COLUMNS * EXACT_INPUTS / EXACT_THREADS;

struct ExactSums {
    float of[4][4];
};

__device__ __forceinline__ u32 exact_row(u32 i) { return threadIdx.x / 16 + 8 * i; }
__device__ __forceinline__ u32 exact_column(u32 j) { return threadIdx.x % 16 + 16 * j; }

// `input_row(i)` and `weight_row(i)` give where the tile's rows and columns begin, or null where there is none.
template <typename Weight, typename InputRow, typename WeightRow>
__device__ __forceinline__ ExactSums exact_product(u32 inputs, InputRow input_row, WeightRow weight_row) {
    auto* rows = reinterpret_cast<float*>(shared_memory());
    float* columns = rows + EXACT_ROWS * EXACT_STRIDE;
    // A warp loads runs of 32 numbers.
    const u32 lane = lane_index();
    const u32 first = warp_index();
    constexpr u32 warps = EXACT_THREADS / WARP_LANES_COUNT;
    ExactSums sums = {};
    float next_rows[EXACT_ROW_LOADS];
    float next_columns[EXACT_COLUMN_LOADS];
    auto load = [&](u32 start) {
        const bool inside = start + lane < inputs;
#pragma unroll
        for (u32 i = 0; i < EXACT_ROW_LOADS; i++) {
            const float* row = input_row(first + i * warps);
            next_rows[i] = inside && row != nullptr ? row[start + lane] : 0.0f;
        }
#pragma unroll
        for (u32 i = 0; i < EXACT_COLUMN_LOADS; i++) {
            const Weight* row = weight_row(first + i * warps);
            next_columns[i] = inside && row != nullptr ? to_float(row[start + lane]) : 0.0f;
        }
    };
    load(0);
    for (u32 start = 0; start < inputs; start += EXACT_INPUTS) {
        block_barrier();
#pragma unroll
        for (u32 i = 0; i < EXACT_ROW_LOADS; i++) rows[(first + i * warps) * EXACT_STRIDE + lane] = next_rows[i];
#pragma unroll
        for (u32 i = 0; i < EXACT_COLUMN_LOADS; i++) columns[(first + i * warps) * EXACT_STRIDE + lane] = next_columns[i];
        block_barrier();
        load(start + EXACT_INPUTS);
#pragma unroll
        // Behind the last input both sides are zero, and add nothing.
        for (u32 k = 0; k < EXACT_INPUTS; k += 4) {
            float x[4][4], w[4][4];
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                float4 four = *reinterpret_cast<const float4*>(&rows[exact_row(i) * EXACT_STRIDE + k]);
                x[i][0] = four.x, x[i][1] = four.y, x[i][2] = four.z, x[i][3] = four.w;
                four = *reinterpret_cast<const float4*>(&columns[exact_column(i) * EXACT_STRIDE + k]);
                w[i][0] = four.x, w[i][1] = four.y, w[i][2] = four.z, w[i][3] = four.w;
            }
#pragma unroll
            for (u32 step = 0; step < 4; step++) {
#pragma unroll
                for (u32 i = 0; i < 4; i++) {
#pragma unroll
                    for (u32 j = 0; j < 4; j++) sums.of[i][j] = fused(x[i][step], w[j][step], sums.of[i][j]);
                }
            }
        }
    }
    return sums;
}
