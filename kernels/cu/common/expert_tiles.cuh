// Tiles of the experts' products on tensor cores, whatever numbers they are of.

#pragma once

#include "common/tensor_product.cuh"

struct experts_parameters {
    // Input, gated: [rows, inputs]; down: [assignments, inputs] in the groups' order. Weight, gated: [experts, 2 * columns, inputs], the gate's
    // first; down: [experts, columns, inputs].
    product_operands operands;
    void* output;               // gated: [assignments, columns] in the groups' order; down: [rows, slots, columns]
    const u32* starts;          // [experts + 1]
    const u32* order;           // [assignments]: row * slots + slot
    const float* slot_weights;  // [rows, slots]
    u32 slots;
    u32 columns;
    u32 paired;  // whether the output's columns are pairs that begin at multiples of their size
};

// Which row of the input belongs to a place in the groups' order.
template <bool GATED>
__device__ __forceinline__ u64 expert_input(const experts_parameters& p, u32 place) {
    return GATED ? p.order[place] / p.slots : place;
}

template <typename Product, bool GATED>
__device__ __forceinline__ void tensor_experts(const experts_parameters& p) {
    using Shape = typename Product::Shape;
    constexpr u32 block_columns = GATED ? TENSOR_COLUMNS / 2 : TENSOR_COLUMNS;
    const u32 first_column = blockIdx.x * block_columns;
    const u32 expert = blockIdx.y;
    const u32 end = p.starts[expert + 1];
    const u64 first_weight = u64(expert) * (GATED ? 2 : 1) * p.columns;
    // Where it is gated, eight columns of the gate and the eight that belong to them alternate.
    auto weight_row = [&](u32 row) -> u64 {
        const u32 column = first_column + (GATED ? row / 16 * 8 + row % 8 : row);
        const u64 half = GATED ? row / 8 % 2 : 0;
        return column < p.columns ? first_weight + half * p.columns + column : NO_ROW;
    };
    for (u32 first = p.starts[expert]; first < end; first += Shape::ROWS) {
        auto input_row = [&](u32 row) -> u64 { return first + row < end ? expert_input<GATED>(p, first + row) : NO_ROW; };
        auto sums = Product::multiply(p.operands, end - first, 0, p.operands.inputs, input_row, weight_row);
#pragma unroll
        for (u32 i = 0; i < Shape::ROW_TILES; i++) {
#pragma unroll
            for (u32 e = 0; e < 4; e += 2) {
                const u32 place = first + tensor_row<Shape>(i, e);
                if (place >= end) continue;
                const u32 assignment = p.order[place];
                const u64 row = expert_input<GATED>(p, place);
#pragma unroll
                for (u32 j = 0; j < Shape::COLUMN_TILES; j += GATED ? 2 : 1) {
                    const u32 tile_column = tensor_column<Shape>(j, e);
                    const u32 column = first_column + (GATED ? tile_column / 16 * 8 + tile_column % 8 : tile_column);
                    if (column >= p.columns) continue;
                    const u64 at = u64(GATED ? place : assignment) * p.columns + column;
                    const bool has_second = column + 1 < p.columns;
                    auto result = [&](u32 tile_of_columns, u32 half, u32 second) {
                        // Of a second column that is not there the sum is nobody's, and the first one's scale as good as any.
                        const u64 weight = first_weight + u64(half) * p.columns + column + (has_second ? second : 0);
                        return Product::scaled(p.operands, sums.of[i][tile_of_columns][e + second], row, weight);
                    };
                    if (GATED) {
                        const u32 other = (j + 1) % Shape::COLUMN_TILES;
                        const float one = gelu_tanh(result(j, 0, 0)) * result(other, 1, 0);
                        const float two = gelu_tanh(result(j, 0, 1)) * result(other, 1, 1);
                        write_pair(static_cast<bf16*>(p.output) + at, one, two, has_second, p.paired != 0);
                    } else {
                        const float weight = p.slot_weights[assignment];
                        const float one = result(j, 0, 0) * weight, two = result(j, 0, 1) * weight;
                        write_pair(static_cast<float*>(p.output) + at, one, two, has_second, p.paired != 0);
                    }
                }
            }
        }
    }
}
