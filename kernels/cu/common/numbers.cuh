// Numbers: bf16, bits, and the functions of one number. Nothing is contracted or approximated behind the source's back:
// the compilers are told not to, so a fused multiply-add is where `fused` stands and nowhere else.

#pragma once

#include "common/platform.cuh"

// bfloat16 as its bits.
struct bf16 {
    u16 bits;
};

__device__ __forceinline__ float float_from_bits(u32 bits) {
#ifdef LACUNA_EMULATOR
    float value;
    memcpy(&value, &bits, 4);
    return value;
#else
    return __uint_as_float(bits);
#endif
}

__device__ __forceinline__ u32 bits_of(float value) {
#ifdef LACUNA_EMULATOR
    u32 bits;
    memcpy(&bits, &value, 4);
    return bits;
#else
    return __float_as_uint(value);
#endif
}

// Four bytes of two words, those of `lower` being 0 to 3 and those of `upper` 4 to 7: each half byte of the selector says which, from the lowest on.
__device__ __forceinline__ u32 permute_bytes(u32 lower, u32 upper, u32 selector) {
#ifdef LACUNA_EMULATOR
    const u64 both = u64(upper) << 32 | lower;
    u32 chosen = 0;
    for (u32 i = 0; i < 4; i++) chosen |= u32(both >> 8 * (selector >> 4 * i & 7u) & 0xFFu) << 8 * i;
    return chosen;
#else
    return __byte_perm(lower, upper, selector);
#endif
}

__device__ __forceinline__ float infinity() { return float_from_bits(0x7F800000u); }
__device__ __forceinline__ float not_a_number() { return float_from_bits(0x7FC00000u); }

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16 value) { return float_from_bits(u32(value.bits) << 16); }

// To the nearest, of two equally near ones the even one; not a number stays so.
__device__ __forceinline__ bf16 to_bf16(float value) {
    u32 bits = bits_of(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {u16(0x7FFF)};
    return {u16((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

// Two of them in one word, the first in its lower half.
__device__ __forceinline__ u32 to_bf16_pair(float first, float second) {
#ifdef LACUNA_EMULATOR
    return u32(to_bf16(first).bits) | u32(to_bf16(second).bits) << 16;
#else
    u32 pair;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(second), "f"(first));
    return pair;
#endif
}
__device__ __forceinline__ float first_of_pair(u32 pair) { return float_from_bits(pair << 16); }
__device__ __forceinline__ float second_of_pair(u32 pair) { return float_from_bits(pair & 0xFFFF0000u); }

template <typename T>
__device__ __forceinline__ T from_float(float value);
template <>
__device__ __forceinline__ float from_float<float>(float value) {
    return value;
}
template <>
__device__ __forceinline__ bf16 from_float<bf16>(float value) {
    return to_bf16(value);
}

#ifdef LACUNA_EMULATOR
inline float fused(float a, float b, float c) { return std::fma(a, b, c); }
inline float exponential(float x) { return std::exp(x); }
inline float logarithm(float x) { return std::log(x); }
inline float hyperbolic_tangent(float x) { return std::tanh(x); }
inline float square_root(float x) { return std::sqrt(x); }
inline float cosine(float x) { return std::cos(x); }
inline float sine(float x) { return std::sin(x); }
// The other one where one of them is not a number.
inline float maximum(float a, float b) { return std::fmax(a, b); }
inline float minimum(float a, float b) { return std::fmin(a, b); }
#else
// a * b + c, rounded once.
__device__ __forceinline__ float fused(float a, float b, float c) { return fmaf(a, b, c); }
__device__ __forceinline__ float exponential(float x) { return expf(x); }
__device__ __forceinline__ float logarithm(float x) { return logf(x); }
__device__ __forceinline__ float hyperbolic_tangent(float x) { return tanhf(x); }
__device__ __forceinline__ float square_root(float x) { return sqrtf(x); }
__device__ __forceinline__ float cosine(float x) { return cosf(x); }
__device__ __forceinline__ float sine(float x) { return sinf(x); }
__device__ __forceinline__ float maximum(float a, float b) { return fmaxf(a, b); }
__device__ __forceinline__ float minimum(float a, float b) { return fminf(a, b); }
#endif

__device__ __forceinline__ float magnitude(float x) { return float_from_bits(bits_of(x) & 0x7FFFFFFFu); }
__device__ __forceinline__ bool is_nan(float x) { return x != x; }

// x / 2 * (1 + tanh(u)) with u = sqrt(2 / pi) * (x + 0.044715 x^3), as x / (1 + exp(-2u)), in which nothing cancels where tanh
// comes near -1. (Hendrycks and Gimpel, Gaussian Error Linear Units, 2016.)
__device__ __forceinline__ float gelu_tanh(float x) {
    const float twice_root_two_over_pi = 1.5957691216f;
    const float cubic = 0.044715f;
    float factor = fused(x * x, -twice_root_two_over_pi * cubic, -twice_root_two_over_pi);
    return x / (1.0f + exponential(factor * x));
}
