// Rows of activations as e4m3 or e2m1, and 4-bit weights in the order in which products widen them.

#include "common/quantise.cuh"
#include "common/rows.cuh"

struct quantise_rows_parameters {
    const void* input;  // [rows, width]
    u8* output;         // [rows, width]
    float* scales;      // [rows]
    u32 width;
};

template <typename Input>
__device__ __forceinline__ void quantise_rows(const quantise_rows_parameters& p) {
    const u64 first = u64(blockIdx.x) * p.width;
    const Input* input = static_cast<const Input*>(p.input) + first;
    write_e4m3_row(p.output + first, p.scales + blockIdx.x, p.width, reinterpret_cast<float*>(shared_memory()),
                   [&](u32 i) { return to_float(input[i]); });
}

using quantise_rows_f32_parameters = quantise_rows_parameters;
KERNEL(quantise_rows_f32, ROW_THREADS, 2) { quantise_rows<float>(p); }
using quantise_rows_bf16_parameters = quantise_rows_parameters;
KERNEL(quantise_rows_bf16, ROW_THREADS, 2) { quantise_rows<bf16>(p); }

struct quantise_groups_parameters {
    const void* input;   // [numbers]
    u32* words;          // [numbers / 8]
    u8* group_scales;    // [numbers / 16]
    u64 numbers;         // a multiple of 16
    float input_scale;   // what the scales of groups are multiplied by
};

template <typename Input>
__device__ __forceinline__ void quantise_groups(const quantise_groups_parameters& p) {
    const u64 index = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool is_there = index < p.numbers;
    const float value = is_there ? to_float(static_cast<const Input*>(p.input)[index]) : 0.0f;
    write_e2m1(p.words, p.group_scales, index, is_there, value, p.input_scale);
}

using quantise_groups_f32_parameters = quantise_groups_parameters;
KERNEL(quantise_groups_f32, 256, 4) { quantise_groups<float>(p); }
using quantise_groups_bf16_parameters = quantise_groups_parameters;
KERNEL(quantise_groups_bf16, 256, 4) { quantise_groups<bf16>(p); }

struct arrange_fp4_parameters {
    const u8* packed;  // [words, 4]: two numbers a byte, the first in its lower half
    u32* arranged;     // [words]
    u64 words;
};

KERNEL(arrange_fp4, 256, 4) {
    const u64 word = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    if (word >= p.words) return;
    u32 numbers = 0;
#pragma unroll
    for (u32 i = 0; i < 4; i++) numbers |= u32(p.packed[word * 4 + i]) << 8 * i;
    p.arranged[word] = arrange_e2m1(numbers);
}
