// Rows of f32, one block each. Every thread keeps to its own elements, so it may read again what it has written.

#pragma once

#include "common/warp.cuh"

// (mean(x^2) + eps)^-0.5 from the block's share of the sum of squares.
__device__ __forceinline__ float inverse_root_mean_square(float squares, u32 width, float eps, float* scratch) {
    float mean = block_sum(squares, scratch) / float(width);
    return 1.0f / square_root(mean + eps);
}

// The weight's element, or one where there is no weight.
__device__ __forceinline__ float weight_at(const float* weight, u32 index) { return weight == nullptr ? 1.0f : weight[index]; }
