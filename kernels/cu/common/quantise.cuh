// How a row of numbers becomes e4m3 with one scale.

#pragma once

#include "common/quantised_numbers.cuh"
#include "common/warp.cuh"

// What makes the greatest magnitude of a row 448. A row of nothing but zeros, or of less than e4m3 and f32 together can tell from it, gets the
// least normal f32, so that no number is divided by zero.
__device__ __forceinline__ float e4m3_scale(float greatest) { return maximum(greatest / E4M3_MAX, 0x1p-126f); }

// Writes this block's row, of which `value(i)` is the number i, and its scale. The scratch can be used again at once.
template <typename Value>
__device__ __forceinline__ void write_e4m3_row(u8* output, float* scale, u32 width, float* scratch, Value value) {
    float greatest = 0.0f;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) greatest = maximum(greatest, magnitude(value(i)));
    const float row_scale = e4m3_scale(block_maximum(greatest, scratch));
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) output[i] = to_e4m3(value(i) / row_scale).bits;
    if (threadIdx.x == 0) *scale = row_scale;
}
