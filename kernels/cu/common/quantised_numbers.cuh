// Numbers of 8 and 4 bits, as quantised checkpoints store them.
//
// e4m3 has a sign, four bits of exponent and three of mantissa: up to 448, down to 2^-9, no infinities, and all bits but the sign set
// are not a number (Micikevicius and others, FP8 Formats for Deep Learning, 2022). e2m1 has two bits of exponent and one of mantissa:
// 0, 1/2, 1, 3/2, 2, 3, 4 and 6 of either sign (Open Compute Project, Microscaling Formats, 2023).
//
// All of them are bf16 exactly, and so is an e2m1 times an e4m3: of two and four significant bits come at most six, and bf16 has eight; the
// least such number is 2^-10 and the greatest 2688.

#pragma once

#include "common/matrix.cuh"

// An e4m3 as its bits.
struct e4m3 {
    u8 bits;
};
// Two e2m1 in one byte.
struct e2m1_pair {
    u8 bits;
};

constexpr float E4M3_MAX = 448.0f;
constexpr float E2M1_MAX = 6.0f;
// Numbers of 4 bits that have one scale.
constexpr u32 GROUP_INPUTS = 16;

// Whether there are instructions for e2m1: those of compute capability 12 have them, where they are compiled for with an `a` or an `f`. Compilers
// that know no `f` know one such card.
#if defined(LACUNA_EMULATOR) || defined(__CUDA_ARCH_FEAT_SM120_ALL) || \
    (defined(__CUDA_ARCH_FAMILY_SPECIFIC__) && __CUDA_ARCH_FAMILY_SPECIFIC__ / 100 == 12)
#define LACUNA_MULTIPLIES_FP4
#endif

// Exponent and mantissa at their places in a float are 2^-120 of the number, subnormal ones too.
__device__ __forceinline__ float to_float(e4m3 value) {
    const u32 magnitude = value.bits & 0x7Fu;
    if (magnitude == 0x7Fu) return not_a_number();
    return float_from_bits(u32(value.bits & 0x80u) << 24 | magnitude << 20) * 0x1p120f;
}

#if defined(LACUNA_EMULATOR) || __CUDA_ARCH__ < 890
// To the nearest, of two equally near ones the even one; what is too great becomes the greatest, and not a number stays so.
__device__ __forceinline__ e4m3 to_e4m3(float value) {
    const u32 bits = bits_of(value);
    const u32 sign = bits >> 24 & 0x80u, magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {u8(0x7F)};
    // From halfway between 448 and what would come next, which stands for no number.
    if (magnitude >= 0x43E80000u) return {u8(sign | 0x7Eu)};
    // Below 2^-6 the steps are those of 2^-9: a number of 2^14 has such steps, and what is added to it is rounded to them.
    if (magnitude < 0x3C800000u) {
        return {u8(sign | (bits_of(float_from_bits(magnitude) + 16384.0f) - 0x46800000u))};
    }
    const u32 rounded = magnitude + 0x7FFFFu + (magnitude >> 20 & 1u);
    return {u8(sign | ((rounded >> 20) - (120u << 3)))};
}
// Two of them, the first in the lower byte.
__device__ __forceinline__ u16 to_e4m3_pair(float first, float second) {
    return u16(u32(to_e4m3(first).bits) | u32(to_e4m3(second).bits) << 8);
}
#else
__device__ __forceinline__ u16 to_e4m3_pair(float first, float second) {
    u16 pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(second), "f"(first));
    return pair;
}
__device__ __forceinline__ e4m3 to_e4m3(float value) { return {u8(to_e4m3_pair(value, 0.0f))}; }
#endif

// The four bits of the e2m1 nearest to a number, of two equally near ones the even one; what is too great becomes the greatest, and what is not a
// number 6.
__device__ __forceinline__ u32 to_e2m1(float value) {
#if defined(LACUNA_MULTIPLIES_FP4) && !defined(LACUNA_EMULATOR)
    u32 pair;
    asm("{ .reg .b8 byte; cvt.rn.satfinite.e2m1x2.f32 byte, %1, %2; cvt.u32.u8 %0, byte; }" : "=r"(pair) : "f"(0.0f), "f"(value));
    return pair & 15u;
#else
    const float x = magnitude(value);
    if (is_nan(x)) return 7u;
    // How many of the middles between two neighbours it is beyond, or on with an odd number below.
    const u32 body = u32(x > 0.25f) + u32(x >= 0.75f) + u32(x > 1.25f) + u32(x >= 1.75f) + u32(x > 2.5f) + u32(x >= 3.5f) + u32(x > 5.0f);
    return body | bits_of(value) >> 31 << 3;
#endif
}

// The products of two pairs of bf16.
__device__ __forceinline__ u32 multiply_pairs(u32 a, u32 b) {
#ifdef LACUNA_EMULATOR
    return to_bf16_pair(first_of_pair(a) * first_of_pair(b), second_of_pair(a) * second_of_pair(b));
#else
    // Cards before sm_90 multiply pairs only with an addend, of which -0 changes nothing.
    u32 product;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));
    return product;
#endif
}

// Four e4m3 as two pairs of bf16.
__device__ __forceinline__ void widen_e4m3(u32 (&pairs)[2], u32 word) {
    // Each in the upper byte of its half.
    const u32 spread[2] = {(word & 0xFFu) << 8 | (word & 0xFF00u) << 16, (word & 0xFF0000u) >> 8 | (word & 0xFF000000u)};
    // Only what is not a number carries over into its byte's last bit.
    const bool is_number = (((word & 0x7F7F7F7Fu) + 0x01010101u) & 0x80808080u) == 0;
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
        u32 pair = (spread[i] & 0x80008000u) | (spread[i] >> 4 & 0x07F007F0u);
        if (!is_number) pair |= ((((spread[i] & 0x7F007F00u) + 0x01000100u) & 0x80008000u) >> 15) * 0x7FC0u;
        // Exponent and mantissa at their places in a bf16 are 2^-120 of the number, subnormal ones too.
        pairs[i] = multiply_pairs(pair, 0x7B807B80u);
    }
}

// The scales of two groups, from two e4m3 that are neither negative nor not a number, as a pair for `widen_e2m1`: times 2^119, which is the greatest
// power of two that leaves 448 finite.
__device__ __forceinline__ u32 group_scale_pair(u32 two) {
    // Exponent and mantissa at their places in a bf16, as in `widen_e4m3`.
    const u32 pair = permute_bytes(two, 0, 0x1404) >> 4;
    return multiply_pairs(multiply_pairs(pair, 0x7B807B80u), 0x7B007B00u);
}

// What the numbers of `widen_e2m1` have to be multiplied by.
constexpr float E2M1_UNIT = 128.0f;

// Eight e2m1, arranged as `arrange_e2m1` does, times their group's scale, as four pairs of bf16 that are 2^-7 of the numbers: exponent and
// mantissa at their places in a bf16 are 2^-126, subnormal ones too.
//
// Reading 4-bit weights as fast as memory gives them leaves a multiprocessor some two integer operations a weight, so of most pairs all
// bits are where one mask takes them after one shift. In each half of a word, from the upper bit down: sign of pair 0; sign and upper
// exponent bit of pair 3; sign of pair 1; the rest of pair 3; sign of pair 2; and pairs 0, 1 and 2 without their signs.
__device__ __forceinline__ void widen_e2m1(u32 (&pairs)[4], u32 word, u32 scale_pair) {
    pairs[0] = word & 0x81C081C0u;
    pairs[1] = word << 3 & 0x81C081C0u;
    pairs[2] = word << 6 & 0x81C081C0u;
    pairs[3] = (word << 1 & 0x80008000u) | (word >> 5 & 0x01000100u) | (word >> 4 & 0x00C000C0u);
#pragma unroll
    for (u32 i = 0; i < 4; i++) pairs[i] = multiply_pairs(pairs[i], scale_pair);
}

// From eight e2m1 in their order, the first in the lowest bits.
__device__ __forceinline__ u32 arrange_e2m1(u32 word) {
    u32 arranged = 0;
#pragma unroll
    for (u32 i = 0; i < 8; i++) {
        const u32 number = word >> 4 * i & 15u, sign = number >> 3, magnitude = number & 7u;
        const u32 pair = i / 2;
        const u32 half = pair < 3 ? sign << (15 - 3 * pair) | magnitude << (6 - 3 * pair)
                                  : sign << 14 | (magnitude >> 2) << 13 | (magnitude & 3u) << 10;
        arranged |= half << i % 2 * 16;
    }
    return arranged;
}

// Tensor cores for e4m3. Of D[16, 8] += A[16, 32] * B[32, 8], lane 4g + t holds with i = 4t .. 4t+3
//   a[0] = A[g][i]    a[1] = A[g+8][i]    a[2] = A[g][i+16]    a[3] = A[g+8][i+16]
//   b[0] = B[i][g]    b[1] = B[i+16][g]    d as for bf16
// (PTX ISA, "Matrix Fragments for mma.m16n8k32"). sm_89 and sm_120 have them; sm_90 has none for one warp, and what PTX calls so is there a
// widening to f16 before each product. So where there are none, words are widened once by those who use them.

#ifdef LACUNA_EMULATOR

namespace emulator {

inline void multiply_e4m3(void* const* payloads) {
    float a[16][32], b[32][8];
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        auto* own = static_cast<Product*>(payloads[lane]);
        u32 g = lane / 4, t = lane % 4;
        for (u32 byte = 0; byte < 4; byte++) {
            for (u32 i = 0; i < 4; i++) a[g + 8 * (i % 2)][4 * t + byte + 16 * (i / 2)] = to_float(e4m3{u8(own->a[i] >> 8 * byte)});
            for (u32 i = 0; i < 2; i++) b[4 * t + byte + 16 * i][g] = to_float(e4m3{u8(own->b[i] >> 8 * byte)});
        }
    }
    float d[16][8] = {};
    for (u32 row = 0; row < 16; row++) {
        for (u32 k = 0; k < 32; k++) {
            for (u32 column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column];
        }
    }
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        auto* own = static_cast<Product*>(payloads[lane]);
        u32 g = lane / 4, t = lane % 4;
        for (u32 i = 0; i < 4; i++) own->d[i] += d[g + 8 * (i / 2)][2 * t + i % 2];
    }
}

}  // namespace emulator

#endif

#if defined(LACUNA_EMULATOR) || __CUDA_ARCH__ == 890 || __CUDA_ARCH__ >= 1200

// Four e4m3 as tensor cores take them.
struct E4m3Word {
    u32 bits;
};
__device__ __forceinline__ E4m3Word tensor_word(u32 bits) { return {bits}; }

// d += a * b.
__device__ __forceinline__ void mma_m16n8k32_e4m3(float (&d)[4], const E4m3Word (&a)[4], const E4m3Word (&b)[2]) {
#ifdef LACUNA_EMULATOR
    const u32 a_bits[4] = {a[0].bits, a[1].bits, a[2].bits, a[3].bits}, b_bits[2] = {b[0].bits, b[1].bits};
    emulator::Product payload = {a_bits, b_bits, d};
    emulator::warp_collective(emulator::multiply_e4m3, &payload, __LINE__);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k32.row.col.f32.e4m3.e4m3.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0].bits), "r"(a[1].bits), "r"(a[2].bits), "r"(a[3].bits), "r"(b[0].bits), "r"(b[1].bits));
#endif
}

#else

struct E4m3Word {
    u32 pairs[2];
};

// As f16 where one instruction widens two, or else as bf16.
__device__ __forceinline__ E4m3Word tensor_word(u32 bits) {
    E4m3Word word;
#if __CUDA_ARCH__ >= 890
    asm("{ .reg .b16 lower, upper; mov.b32 {lower, upper}, %2; cvt.rn.f16x2.e4m3x2 %0, lower; cvt.rn.f16x2.e4m3x2 %1, upper; }"
        : "=r"(word.pairs[0]), "=r"(word.pairs[1])
        : "r"(bits));
#else
    widen_e4m3(word.pairs, bits);
#endif
    return word;
}

// Which 16 of the 32 are multiplied together is no matter, if they are the same of both sides.
__device__ __forceinline__ void mma_m16n8k32_e4m3(float (&d)[4], const E4m3Word (&a)[4], const E4m3Word (&b)[2]) {
#pragma unroll
    for (u32 i = 0; i < 2; i++) {
#if __CUDA_ARCH__ >= 890
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
            : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
            : "r"(a[0].pairs[i]), "r"(a[1].pairs[i]), "r"(a[2].pairs[i]), "r"(a[3].pairs[i]), "r"(b[0].pairs[i]),
              "r"(b[1].pairs[i]));
#else
        const u32 a_pairs[4] = {a[0].pairs[i], a[1].pairs[i], a[2].pairs[i], a[3].pairs[i]};
        const u32 b_pairs[2] = {b[0].pairs[i], b[1].pairs[i]};
        mma_m16n8k16_bf16(d, a_pairs, b_pairs);
#endif
    }
}

#endif
