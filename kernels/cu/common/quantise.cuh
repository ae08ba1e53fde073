// How a row of numbers becomes e4m3 with one scale, or e2m1 with a scale for every 16.

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

// The number of this lane as one of 16, whose greatest magnitude over 6, in units of `input_scale`, is their scale as an e4m3; a group that is too
// small for a scale is zero. Eight of them are a word, the first in its lowest bits. All lanes of a warp take part; what is written is written
// by those whose number `index` is there, with groups that begin at multiples of 16. Something that is not a number makes the scale none: so
// it is seen, though an e2m1 always is a number.
__device__ __forceinline__ void write_e2m1(u32* words, u8* scales, u64 index, bool is_there, float value, float input_scale) {
    // As integers, magnitudes are in order, and what is not a number is greater than all of them.
    u32 greatest = bits_of(magnitude(value));
#pragma unroll
    for (u32 mask = GROUP_INPUTS / 2; mask > 0; mask /= 2) {
        const u32 other = shuffle_xor(greatest, mask);
        greatest = other > greatest ? other : greatest;
    }
    const e4m3 scale = to_e4m3(float_from_bits(greatest) / E2M1_MAX / input_scale);
    const float unit = to_float(scale) * input_scale;
    const u32 number = unit == 0.0f ? 0u : to_e2m1(value / unit);
    u32 word = number << 4 * (threadIdx.x % 8);
#pragma unroll
    for (u32 mask = 4; mask > 0; mask /= 2) word |= shuffle_xor(word, mask);
    if (!is_there) return;
    if (threadIdx.x % 8 == 0) words[index / 8] = word;
    if (threadIdx.x % GROUP_INPUTS == 0) scales[index / GROUP_INPUTS] = scale.bits;
}

// Writes this block's row, of which `value(i)` is the number i; its width is a multiple of 16.
template <typename Value>
__device__ __forceinline__ void write_e2m1_row(u32* words, u8* scales, u32 width, float input_scale, Value value) {
    // The same for all lanes of a warp.
    for (u32 first = warp_index() * WARP_LANES_COUNT; first < width; first += blockDim.x) {
        const u32 i = first + lane_index();
        write_e2m1(words, scales, i, i < width, i < width ? value(i) : 0.0f, input_scale);
    }
}
