// RMS norms of rows: x * (mean(x^2) + eps)^-0.5 * weight (Zhang and Sennrich, Root Mean Square Layer Normalization, 2019), alone and
// with the sums around them. A block takes a row; outputs are f32, or bf16, e4m3 or e2m1 where a
// product on tensor cores reads them.

#include "common/rows.cuh"

struct rms_norm_parameters {
    const float* input;   // [rows, width]
    const float* weight;  // [width], or null
    void* output;         // [rows, width]
    float* scales;        // [rows] where the output is e4m3, or null
    u8* group_scales;     // [rows, width / 16] where the output is e2m1, or null
    u32 width;
    float eps;
    float input_scale;  // what the scales of groups are multiplied by
};

template <typename Output>
__device__ __forceinline__ void rms_norm(const rms_norm_parameters& p) {
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    const float* input = p.input + u64(blockIdx.x) * p.width;
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) squares = fused(input[i], input[i], squares);
    const float scale = inverse_root_mean_square(squares, p.width, p.eps, scratch);
    auto value = [&](u32 i) { return input[i] * scale * weight_at(p.weight, i); };
    write_row<Output>(p.output, p.scales, p.group_scales, p.input_scale, p.width, scratch, value);
}

using rms_norm_f32_parameters = rms_norm_parameters;
KERNEL(rms_norm_f32, ROW_THREADS, 2) { rms_norm<float>(p); }
using rms_norm_bf16_parameters = rms_norm_parameters;
KERNEL(rms_norm_bf16, ROW_THREADS, 2) { rms_norm<bf16>(p); }

// stream += norm(addend) * weight, and the stream normed.
struct add_normed_parameters {
    const float* addend;  // [rows, width]
    const float* weight;  // [width]
    float* stream;        // [rows, width]
    normed_outputs normed;
    u32 width;
    float eps;
};

template <typename Output>
__device__ __forceinline__ void add_normed(const add_normed_parameters& p) {
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    const float* addend = p.addend + u64(blockIdx.x) * p.width;
    float* stream = p.stream + u64(blockIdx.x) * p.width;
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) squares = fused(addend[i], addend[i], squares);
    const float scale = inverse_root_mean_square(squares, p.width, p.eps, scratch);
    squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        const float sum = stream[i] + addend[i] * scale * p.weight[i];
        stream[i] = sum;
        squares = fused(sum, sum, squares);
    }
    write_normed<Output>(p.normed, stream, squares, p.width, p.eps, scratch);
}

using add_normed_f32_parameters = add_normed_parameters;
KERNEL(add_normed_f32, ROW_THREADS, 2) { add_normed<float>(p); }
using add_normed_bf16_parameters = add_normed_parameters;
KERNEL(add_normed_bf16, ROW_THREADS, 2) { add_normed<bf16>(p); }

// The end of a layer. With sparse = the sum of the row's slots, in their order:
// stream = (stream + norm(norm(dense) * dense_weight + norm(sparse) * sparse_weight) * weight) * scalar, and the stream normed.
struct finish_layer_parameters {
    const float* dense;  // [rows, width]
    const float* dense_weight;
    const float* slots;  // [rows, slot_count, width]
    const float* slots_weight;
    const float* weight;
    float* stream;  // [rows, width]
    normed_outputs normed;
    u32 slot_count;
    u32 width;
    float scalar;
    float eps;
};

template <typename Output>
__device__ __forceinline__ void finish_layer(const finish_layer_parameters& p) {
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    float* sparse = scratch + BLOCK_SUM_SCRATCH;
    float* both = sparse + p.width;
    const float* dense = p.dense + u64(blockIdx.x) * p.width;
    const float* slots = p.slots + u64(blockIdx.x) * p.slot_count * p.width;
    float* stream = p.stream + u64(blockIdx.x) * p.width;
    float dense_squares = 0.0f, sparse_squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        float sum = 0.0f;
        // Together under way, as there is nothing else to do meanwhile.
#pragma unroll 8
        for (u32 slot = 0; slot < p.slot_count; slot++) sum += slots[u64(slot) * p.width + i];
        sparse[i] = sum;
        sparse_squares = fused(sum, sum, sparse_squares);
        dense_squares = fused(dense[i], dense[i], dense_squares);
    }
    const float dense_scale = inverse_root_mean_square(dense_squares, p.width, p.eps, scratch);
    const float sparse_scale = inverse_root_mean_square(sparse_squares, p.width, p.eps, scratch);
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        const float sum = dense[i] * dense_scale * p.dense_weight[i] + sparse[i] * sparse_scale * p.slots_weight[i];
        both[i] = sum;
        squares = fused(sum, sum, squares);
    }
    const float scale = inverse_root_mean_square(squares, p.width, p.eps, scratch);
    squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        const float sum = (stream[i] + both[i] * scale * p.weight[i]) * p.scalar;
        stream[i] = sum;
        squares = fused(sum, sum, squares);
    }
    write_normed<Output>(p.normed, stream, squares, p.width, p.eps, scratch);
}

using finish_layer_f32_parameters = finish_layer_parameters;
KERNEL(finish_layer_f32, ROW_THREADS, 2) { finish_layer<float>(p); }
using finish_layer_bf16_parameters = finish_layer_parameters;
KERNEL(finish_layer_bf16, ROW_THREADS, 2) { finish_layer<bf16>(p); }
