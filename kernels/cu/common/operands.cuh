// What products multiply.

#pragma once

#include "common/numbers.cuh"

struct product_operands {
    const void* input;             // rows of `inputs` numbers
    const void* weight;            // rows of `inputs` numbers
    const u8* group_scales;        // of weights of 4 bits: rows of e4m3, one for each 16 numbers
    const u8* input_group_scales;  // of an input of 4 bits: the same
    const float* input_scales;     // of an input of 8 bits: one a row
    const float* output_scales;    // of quantised weights: one a row
    float input_scale;             // of an input of 4 bits: what the scales of its groups are multiplied by
    u32 inputs;
    u32 aligned;         // whether rows of input and weight begin at multiples of 16 bytes
    u32 groups_aligned;  // whether rows of group scales begin at multiples of 4 bytes
};

// The index of a row that is not there; those that are there are below 2^31.
constexpr u64 NO_ROW = ~0ull;

template <typename Number>
__device__ __forceinline__ const Number* row_of(const void* matrix, u64 index, u32 inputs) {
    return index == NO_ROW ? nullptr : static_cast<const Number*>(matrix) + index * inputs;
}
