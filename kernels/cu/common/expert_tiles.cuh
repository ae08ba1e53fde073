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
    u32 is_eager;  // whether nearly all experts have rows
    u32 paired;    // whether the output's columns are pairs that begin at multiples of their size
};

// Which row of the input belongs to a place in the groups' order.
template <bool GATED>
__device__ __forceinline__ u64 expert_input(const experts_parameters& p, u32 place) {
    return GATED ? p.order[place] / p.slots : place;
}

template <typename Product, bool GATED>
__device__ __forceinline__ void tensor_experts(const experts_parameters& p) {
    using Shape = typename Product::Shape;
    constexpr u32 block_columns = Product::COLUMNS / (GATED ? 2 : 1);
    const u32 first_column = blockIdx.x * block_columns;
    const u32 expert = blockIdx.y;
    const u64 first_weight = u64(expert) * (GATED ? 2 : 1) * p.columns;
    // Where it is gated, eight columns of the gate and the eight that belong to them alternate.
    auto weight_row = [&](u32 row) -> u64 {
        const u32 column = first_column + (GATED ? row / 16 * 8 + row % 8 : row);
        const u64 half = GATED ? row / 8 % 2 : 0;
        return column < p.columns ? first_weight + half * p.columns + column : NO_ROW;
    };
    typename Product::Stages stages;
    // The first weights are on their way while the kernel before this one ends, where it is likely that the expert has rows.
    if (p.is_eager) stages.begin_weight(p.operands, 0, p.operands.inputs, weight_row);
    follow_previous_kernel();
    const u32 start = p.starts[expert], end = p.starts[expert + 1];
    if (start == end) return Product::Stages::abandon();
    for (u32 first = start; first < end; first += Shape::ROWS) {
        if (first > start || !p.is_eager) stages.begin_weight(p.operands, 0, p.operands.inputs, weight_row);
        auto input_row = [&](u32 row) -> u64 { return first + row < end ? expert_input<GATED>(p, first + row) : NO_ROW; };
        auto sums = Product::multiply(p.operands, stages, end - first, input_row);
#pragma unroll
        for (u32 i = 0; i < Product::LANE_ROWS; i++) {
            const u32 place = first + Product::row(i);
            if (place >= end) continue;
            const u32 assignment = p.order[place];
            const u64 row = expert_input<GATED>(p, place);
#pragma unroll
            for (u32 j = 0; j < Product::template LANE_RUNS<GATED>; j++) {
                const u32 column = first_column + Product::template column<GATED>(j);
                if (column >= p.columns) continue;
                auto results = finished<Product, GATED>(p.operands, Product::template results<GATED>(sums, i, j), row, first_weight, column,
                                                        p.columns);
                if constexpr (GATED) {
                    bf16* output = static_cast<bf16*>(p.output) + u64(place) * p.columns + column;
                    write_run(output, results.own, p.columns - column, p.paired != 0);
                } else {
                    for (u32 k = 0; k < Product::RUN; k++) results.own[k] *= p.slot_weights[assignment];
                    float* output = static_cast<float*>(p.output) + u64(assignment) * p.columns + column;
                    write_run(output, results.own, p.columns - column, p.paired != 0);
                }
            }
        }
    }
}
