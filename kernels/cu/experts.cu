// The experts' products: rows grouped by expert, each group times its expert's matrix. A block takes an expert and some of its columns,
// and the group's rows tile by tile, mostly one; so weights are read once, and those of experts without rows never.

#include "common/exact_product.cuh"
#include "common/expert_tiles.cuh"

template <typename Weight, bool GATED>
__device__ __forceinline__ void exact_experts(const experts_parameters& p) {
    constexpr u32 block_columns = GATED ? EXACT_COLUMNS / 2 : EXACT_COLUMNS;
    const u32 first_column = blockIdx.x * block_columns;
    const u32 expert = blockIdx.y;
    const u32 end = p.starts[expert + 1];
    const auto* weight = static_cast<const Weight*>(p.operands.weight) + u64(expert) * (GATED ? 2 : 1) * p.columns * p.operands.inputs;
    auto weight_row = [&](u32 row) -> const Weight* {
        const u32 column = first_column + row % block_columns;
        return column < p.columns ? weight + (u64(row / block_columns) * p.columns + column) * p.operands.inputs : nullptr;
    };
    auto* output = static_cast<float*>(p.output);
    for (u32 first = p.starts[expert]; first < end; first += EXACT_ROWS) {
        auto input_row = [&](u32 row) -> const float* {
            return first + row < end ? row_of<float>(p.operands.input, expert_input<GATED>(p, first + row), p.operands.inputs) : nullptr;
        };
        ExactSums sums = exact_product<Weight>(p.operands.inputs, input_row, weight_row);
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

using experts_gated_f32_parameters = experts_parameters;
KERNEL(experts_gated_f32, EXACT_THREADS, 2) { exact_experts<float, true>(p); }
using experts_gated_widened_parameters = experts_parameters;
KERNEL(experts_gated_widened, EXACT_THREADS, 2) { exact_experts<bf16, true>(p); }
using experts_down_f32_parameters = experts_parameters;
KERNEL(experts_down_f32, EXACT_THREADS, 2) { exact_experts<float, false>(p); }
using experts_down_widened_parameters = experts_parameters;
KERNEL(experts_down_widened, EXACT_THREADS, 2) { exact_experts<bf16, false>(p); }

using experts_gated_tensor_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_tensor_32, TensorShape<32>::THREADS, 4) { tensor_experts<Bf16Product<32>, true>(p); }
using experts_gated_tensor_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_tensor_64, TensorShape<64>::THREADS, 3) { tensor_experts<Bf16Product<64>, true>(p); }
using experts_gated_tensor_128_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_tensor_128, TensorShape<128>::THREADS, 2) { tensor_experts<Bf16Product<128>, true>(p); }
using experts_down_tensor_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_tensor_32, TensorShape<32>::THREADS, 4) { tensor_experts<Bf16Product<32>, false>(p); }
using experts_down_tensor_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_tensor_64, TensorShape<64>::THREADS, 3) { tensor_experts<Bf16Product<64>, false>(p); }
using experts_down_tensor_128_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_tensor_128, TensorShape<128>::THREADS, 2) { tensor_experts<Bf16Product<128>, false>(p); }
