// Rows of f32, one block each. Every thread keeps to its own elements, so it may read again what it has written.

#pragma once

#include "common/quantise.cuh"

constexpr u32 ROW_THREADS = 512;

// (mean(x^2) + eps)^-0.5 from the block's share of the sum of squares.
__device__ __forceinline__ float inverse_root_mean_square(float squares, u32 width, float eps, float* scratch) {
    float mean = block_sum(squares, scratch) / float(width);
    return 1.0f / square_root(mean + eps);
}

// The weight's element, or one where there is no weight.
__device__ __forceinline__ float weight_at(const float* weight, u32 index) { return weight == nullptr ? 1.0f : weight[index]; }

// What a finished row of the residual stream is written as for those who read it next: normed, each time with another weight.
constexpr u32 NORMED_OUTPUTS = 3;
struct normed_outputs {
    const float* weights[NORMED_OUTPUTS];  // [width], or null for ones
    void* outputs[NORMED_OUTPUTS];         // [rows, width], or null for none
    float* scales[NORMED_OUTPUTS];         // [rows] where the output is e4m3, or null
    u8* group_scales[NORMED_OUTPUTS];      // [rows, width / 16] where the output is e2m1, or null
    float input_scales[NORMED_OUTPUTS];    // what those are multiplied by
};

// Writes this block's row, of which `value(i)` is the number i: as e4m3 where there are `scales`, as e2m1 where there are `group_scales`.
template <typename Output, typename Value>
__device__ __forceinline__ void write_row(void* rows, float* scales, u8* group_scales, float input_scale, u32 width, float* scratch,
                                          Value value) {
    const u64 first = u64(blockIdx.x) * width;
    if (scales != nullptr) {
        write_e4m3_row(static_cast<u8*>(rows) + first, scales + blockIdx.x, width, scratch, value);
    } else if (group_scales != nullptr) {
        write_e2m1_row(static_cast<u32*>(rows) + first / 8, group_scales + first / GROUP_INPUTS, width, input_scale, value);
    } else {
        Output* output = static_cast<Output*>(rows) + first;
        for (u32 i = threadIdx.x; i < width; i += blockDim.x) output[i] = from_float<Output>(value(i));
    }
}

// Writes this block's row, of whose squares `squares` is the thread's share.
template <typename Output>
__device__ __forceinline__ void write_normed(const normed_outputs& normed, const float* row, float squares, u32 width, float eps,
                                             float* scratch) {
    const float scale = inverse_root_mean_square(squares, width, eps, scratch);
    for (u32 n = 0; n < NORMED_OUTPUTS; n++) {
        if (normed.outputs[n] == nullptr) continue;
        auto value = [&](u32 i) { return row[i] * scale * weight_at(normed.weights[n], i); };
        write_row<Output>(normed.outputs[n], normed.scales[n], normed.group_scales[n], normed.input_scales[n], width, scratch, value);
    }
}
