// The experts' products: rows grouped by expert, each group times its expert's matrix. A block takes an expert and some of its columns,
// and the group's rows tile by tile, mostly one; so weights are read once, and those of experts without rows never.

#include "common/exact_product.cuh"
#include "common/tensor_product.cuh"

struct experts_parameters {
    const void* input;           // gated: [rows, inputs]; down: [assignments, inputs] in the groups' order
    const void* weight;          // gated: [experts, 2 * columns, inputs], the gate's first; down: [experts, columns, inputs]
    void* output;                // gated: [assignments, columns] in the groups' order; down: [rows, slots, columns]
    const u32* starts;           // [experts + 1]
    const u32* order;            // [assignments]: row * slots + slot
    const float* slot_weights;   // [rows, slots]
    u32 slots;
    u32 columns;
    u32 inputs;
    u32 aligned;  // whether rows of input and weight begin at multiples of 16 bytes
    u32 paired;   // whether the output's columns are pairs that begin at multiples of their size
};

// Where the inputs of a place in the groups' order begin.
template <typename Input, bool GATED>
__device__ __forceinline__ const Input* expert_input(const experts_parameters& p, u32 place) {
    return static_cast<const Input*>(p.input) + u64(GATED ? p.order[place] / p.slots : place) * p.inputs;
}

template <typename Weight, bool GATED>
__device__ __forceinline__ void exact_experts(const experts_parameters& p) {
    constexpr u32 block_columns = GATED ? EXACT_COLUMNS / 2 : EXACT_COLUMNS;
    const u32 first_column = blockIdx.x * block_columns;
    const u32 expert = blockIdx.y;
    const u32 end = p.starts[expert + 1];
    const auto* weight = static_cast<const Weight*>(p.weight) + u64(expert) * (GATED ? 2 : 1) * p.columns * p.inputs;
    auto weight_row = [&](u32 row) -> const Weight* {
        const u32 column = first_column + row % block_columns;
        return column < p.columns ? weight + (u64(row / block_columns) * p.columns + column) * p.inputs : nullptr;
    };
    auto* output = static_cast<float*>(p.output);
    for (u32 first = p.starts[expert]; first < end; first += EXACT_ROWS) {
        auto input_row = [&](u32 row) -> const float* {
            return first + row < end ? expert_input<float, GATED>(p, first + row) : nullptr;
        };
        ExactSums sums = exact_product<Weight>(p.inputs, input_row, weight_row);
#pragma unroll
        for (u32 i = 0; i < 4; i++) {
            const u32 place = first + exact_row(i);
            if (place >= end) continue;
            const u32 assignment = p.order[place];
#pragma unroll
            for (u32 j = 0; j < (GATED ? 2 : 4); j++) {
                const u32 column = first_column + exact_column(j);
                if (column >= p.columns) continue;
                if (GATED) {
                    output[u64(place) * p.columns + column] = gelu_tanh(sums.of[i][j]) * sums.of[i][(j + 2) % 4];
                } else {
                    output[u64(assignment) * p.columns + column] = sums.of[i][j] * p.slot_weights[assignment];
                }
            }
        }
    }
}

template <u32 ROWS, bool GATED>
__device__ __forceinline__ void tensor_experts(const experts_parameters& p) {
    using Shape = TensorShape<ROWS>;
    constexpr u32 block_columns = GATED ? TENSOR_COLUMNS / 2 : TENSOR_COLUMNS;
    const u32 first_column = blockIdx.x * block_columns;
    const u32 expert = blockIdx.y;
    const u32 end = p.starts[expert + 1];
    const auto* weight = static_cast<const bf16*>(p.weight) + u64(expert) * (GATED ? 2 : 1) * p.columns * p.inputs;
    // Where it is gated, eight columns of the gate and the eight that belong to them alternate.
    auto weight_row = [&](u32 row) -> const bf16* {
        const u32 column = first_column + (GATED ? row / 16 * 8 + row % 8 : row);
        const u64 half = GATED ? row / 8 % 2 : 0;
        return column < p.columns ? weight + (half * p.columns + column) * p.inputs : nullptr;
    };
    for (u32 first = p.starts[expert]; first < end; first += ROWS) {
        auto input_row = [&](u32 row) -> const bf16* {
            return first + row < end ? expert_input<bf16, GATED>(p, first + row) : nullptr;
        };
        auto sums = tensor_product<Shape>(end - first, 0, p.inputs, p.aligned != 0, input_row, weight_row);
#pragma unroll
        for (u32 i = 0; i < Shape::ROW_TILES; i++) {
#pragma unroll
            for (u32 e = 0; e < 4; e += 2) {
                const u32 place = first + tensor_row<Shape>(i, e);
                if (place >= end) continue;
                const u32 assignment = p.order[place];
#pragma unroll
                for (u32 j = 0; j < Shape::COLUMN_TILES; j += GATED ? 2 : 1) {
                    const u32 tile_column = tensor_column<Shape>(j, e);
                    const u32 column = first_column + (GATED ? tile_column / 16 * 8 + tile_column % 8 : tile_column);
                    if (column >= p.columns) continue;
                    const u64 at = u64(GATED ? place : assignment) * p.columns + column;
                    const bool has_second = column + 1 < p.columns;
                    const auto& own = sums.of[i][j];
                    if (GATED) {
                        const auto& other = sums.of[i][(j + 1) % Shape::COLUMN_TILES];
                        const float one = gelu_tanh(own[e]) * other[e], two = gelu_tanh(own[e + 1]) * other[e + 1];
                        write_pair(static_cast<bf16*>(p.output) + at, one, two, has_second, p.paired != 0);
                    } else {
                        const float weight = p.slot_weights[assignment];
                        const float one = own[e] * weight, two = own[e + 1] * weight;
                        write_pair(static_cast<float*>(p.output) + at, one, two, has_second, p.paired != 0);
                    }
                }
            }
        }
    }
}

using experts_gated_f32_parameters = experts_parameters;
KERNEL(experts_gated_f32, EXACT_THREADS, 2) { exact_experts<float, true>(p); }
using experts_gated_widened_parameters = experts_parameters;
KERNEL(experts_gated_widened, EXACT_THREADS, 2) { exact_experts<bf16, true>(p); }
using experts_down_f32_parameters = experts_parameters;
KERNEL(experts_down_f32, EXACT_THREADS, 2) { exact_experts<float, false>(p); }
using experts_down_widened_parameters = experts_parameters;
KERNEL(experts_down_widened, EXACT_THREADS, 2) { exact_experts<bf16, false>(p); }

using experts_gated_tensor_32_parameters = experts_parameters;
KERNEL(experts_gated_tensor_32, TensorShape<32>::THREADS, 4) { tensor_experts<32, true>(p); }
using experts_gated_tensor_64_parameters = experts_parameters;
KERNEL(experts_gated_tensor_64, TensorShape<64>::THREADS, 3) { tensor_experts<64, true>(p); }
using experts_gated_tensor_128_parameters = experts_parameters;
KERNEL(experts_gated_tensor_128, TensorShape<128>::THREADS, 2) { tensor_experts<128, true>(p); }
using experts_down_tensor_32_parameters = experts_parameters;
KERNEL(experts_down_tensor_32, TensorShape<32>::THREADS, 4) { tensor_experts<32, false>(p); }
using experts_down_tensor_64_parameters = experts_parameters;
KERNEL(experts_down_tensor_64, TensorShape<64>::THREADS, 3) { tensor_experts<64, false>(p); }
using experts_down_tensor_128_parameters = experts_parameters;
KERNEL(experts_down_tensor_128, TensorShape<128>::THREADS, 2) { tensor_experts<128, false>(p); }
