// Dense products, output[rows, columns] = input[rows, inputs] * weight[columns, inputs]^T, plain or gated: of a weight that holds a
// gate's columns and then as many others, gelu(gate) * other.
//
// Exact ones are f32. Those on tensor cores take bf16; those of quantised weights stand by themselves.

#include "common/exact_product.cuh"
#include "common/linear_tiles.cuh"

template <typename Weight, bool GATED>
__device__ __forceinline__ void exact_linear(const linear_parameters& p) {
    constexpr u32 block_columns = GATED ? EXACT_COLUMNS / 2 : EXACT_COLUMNS;
    const u32 first_row = blockIdx.x * EXACT_ROWS;
    const u32 first_column = blockIdx.y * block_columns;
    const auto* input = static_cast<const float*>(p.operands.input);
    const auto* weight = static_cast<const Weight*>(p.operands.weight);
    auto input_row = [&](u32 row) -> const float* {
        return first_row + row < p.rows ? input + u64(first_row + row) * p.operands.inputs : nullptr;
    };
    auto weight_row = [&](u32 row) -> const Weight* {
        const u32 column = first_column + row % block_columns;
        return column < p.columns ? weight + (u64(row / block_columns) * p.columns + column) * p.operands.inputs : nullptr;
    };
    ExactSums sums = exact_product<Weight>(p.operands.inputs, input_row, weight_row);
    auto* output = static_cast<float*>(p.output);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
#pragma unroll
        for (u32 j = 0; j < (GATED ? 2 : 4); j++) {
            const u32 row = first_row + exact_row(i), column = first_column + exact_column(j);
            if (row < p.rows && column < p.columns) {
                const float sum = sums.of[i][j];
                output[u64(row) * p.columns + column] = GATED ? gelu_tanh(sum) * sums.of[i][(j + 2) % 4] : sum;
            }
        }
    }
}

using linear_f32_parameters = linear_parameters;
KERNEL(linear_f32, EXACT_THREADS, 3) { exact_linear<float, false>(p); }
using linear_widened_parameters = linear_parameters;
KERNEL(linear_widened, EXACT_THREADS, 3) { exact_linear<bf16, false>(p); }
using gated_f32_parameters = linear_parameters;
KERNEL(gated_f32, EXACT_THREADS, 3) { exact_linear<float, true>(p); }
using gated_widened_parameters = linear_parameters;
KERNEL(gated_widened, EXACT_THREADS, 3) { exact_linear<bf16, true>(p); }

using linear_tensor_32_parameters = linear_parameters;
PREFETCHING_KERNEL(linear_tensor_32, TensorShape<32>::THREADS, 4) { tensor_linear<Bf16Product<32>, false>(p); }
using linear_tensor_64_parameters = linear_parameters;
PREFETCHING_KERNEL(linear_tensor_64, TensorShape<64>::THREADS, 3) { tensor_linear<Bf16Product<64>, false>(p); }
using linear_tensor_128_parameters = linear_parameters;
PREFETCHING_KERNEL(linear_tensor_128, TensorShape<128>::THREADS, 2) { tensor_linear<Bf16Product<128>, false>(p); }
using gated_tensor_32_parameters = linear_parameters;
PREFETCHING_KERNEL(gated_tensor_32, TensorShape<32>::THREADS, 4) { tensor_linear<Bf16Product<32>, true>(p); }
using gated_tensor_64_parameters = linear_parameters;
PREFETCHING_KERNEL(gated_tensor_64, TensorShape<64>::THREADS, 3) { tensor_linear<Bf16Product<64>, true>(p); }
using gated_tensor_128_parameters = linear_parameters;
PREFETCHING_KERNEL(gated_tensor_128, TensorShape<128>::THREADS, 2) { tensor_linear<Bf16Product<128>, true>(p); }
