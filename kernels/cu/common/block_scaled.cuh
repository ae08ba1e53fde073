// Tensor cores for e2m1 with scales: a product of small matrices in which every 16 numbers along the inputs have an e4m3 of their own.
//
// Of D[16, 8] += A[16, 64] * B[64, 8], lane 4g + t holds with i = 8t .. 8t+7, the first number in the lowest bits of a word,
//   a[0] = A[g][i]    a[1] = A[g+8][i]    a[2] = A[g][i+32]    a[3] = A[g+8][i+32]
//   b[0] = B[i][g]    b[1] = B[i+32][g]    d as for bf16
// and of its four scales, whose signs count for nothing, byte j belongs to the inputs 16j .. 16j+15 of one row of A or column of B. Selectors
// say which lanes' scales count: of A those of lanes 4g + 2s for row g and 4g + 2s + 1 for row g+8, of B those of lanes 4g + s for column g
// (PTX ISA, "Matrix Fragments for mma.m16n8k64" and "Block Scaling for mma.sync"). So one register holds the scales of several products.

#pragma once

#include "common/quantised_numbers.cuh"

#ifdef LACUNA_EMULATOR

namespace emulator {

inline float widen_e2m1(u32 bits) {
    const float magnitudes[8] = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
    return bits & 8u ? -magnitudes[bits & 7u] : magnitudes[bits & 7u];
}

struct BlockScaledProduct {
    const u32* a;
    const u32* b;
    u32 scales_a;
    u32 scales_b;
    u32 selector_a;
    u32 selector_b;
    float* d;
};

inline void multiply_block_scaled(void* const* payloads) {
    auto brought = [&](u32 lane) { return static_cast<BlockScaledProduct*>(payloads[lane]); };
    // Eight numbers from the input `first` on, times their scale.
    auto widen = [](float* numbers, u32 stride, u32 word, u32 scales, u32 first) {
        const float scale = to_float(e4m3{u8(scales >> first / 16 * 8 & 0x7Fu)});
        for (u32 i = 0; i < 8; i++) numbers[(first + i) * stride] = widen_e2m1(word >> 4 * i & 15u) * scale;
    };
    float a[16][64], b[64][8];
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        const auto* own = brought(lane);
        const u32 g = lane / 4, t = lane % 4;
        for (u32 i = 0; i < 4; i++) {
            const u32 scales = brought(4 * g + 2 * own->selector_a + i % 2)->scales_a;
            widen(a[g + 8 * (i % 2)], 1, own->a[i], scales, 8 * t + 32 * (i / 2));
        }
        for (u32 i = 0; i < 2; i++) widen(&b[0][g], 8, own->b[i], brought(4 * g + own->selector_b)->scales_b, 8 * t + 32 * i);
    }
    float d[16][8] = {};
    for (u32 row = 0; row < 16; row++) {
        for (u32 k = 0; k < 64; k++) {
            for (u32 column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column];
        }
    }
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        for (u32 i = 0; i < 4; i++) brought(lane)->d[i] += d[lane / 4 + 8 * (i / 2)][lane % 4 * 2 + i % 2];
    }
}

}  // namespace emulator

#endif

#ifdef LACUNA_MULTIPLIES_FP4

// d += a * b.
template <u32 SELECTOR_A, u32 SELECTOR_B>
__device__ __forceinline__ void mma_m16n8k64_e2m1(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2], u32 scales_a, u32 scales_b) {
    static_assert(SELECTOR_A < 2 && SELECTOR_B < 4, "a quad has two pairs of lanes, and four lanes");
#ifdef LACUNA_EMULATOR
    emulator::BlockScaledProduct payload = {a, b, scales_a, scales_b, SELECTOR_A, SELECTOR_B, d};
    emulator::warp_collective(emulator::multiply_block_scaled, &payload, __LINE__);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k64.row.col.kind::mxf4nvf4.block_scale.scale_vec::4X.f32.e2m1.e2m1.f32.ue4m3 "
        "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3}, %10, {0, %11}, %12, {0, %13};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]), "r"(scales_a), "n"(SELECTOR_A), "r"(scales_b),
          "n"(SELECTOR_B));
#endif
}

#endif
