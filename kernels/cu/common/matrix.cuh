// Tensor cores: products of small matrices of bf16, accumulated in f32, one warp each.
//
// Of a product D[16, 8] += A[16, 16] * B[16, 8], lane 4g + t holds
//   a[0] = A[g][2t, 2t+1]    a[1] = A[g+8][2t, 2t+1]    a[2] = A[g][2t+8, 2t+9]    a[3] = A[g+8][2t+8, 2t+9]
//   b[0] = B[2t, 2t+1][g]    b[1] = B[2t+8, 2t+9][g]
//   d[0], d[1] = D[g][2t, 2t+1]    d[2], d[3] = D[g+8][2t, 2t+1]
// (PTX ISA, "Matrix Fragments for mma.m16n8k16 with floating point type").

#pragma once

#include "common/copy.cuh"
#include "common/numbers.cuh"

#ifdef LACUNA_EMULATOR

namespace emulator {

struct Product {
    const u32* a;
    const u32* b;
    float* d;
};

inline void multiply(void* const* payloads) {
    float a[16][16], b[16][8];
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        auto* own = static_cast<Product*>(payloads[lane]);
        u32 g = lane / 4, t = lane % 4;
        for (u32 i = 0; i < 4; i++) {
            a[g + 8 * (i % 2)][2 * t + 8 * (i / 2)] = first_of_pair(own->a[i]);
            a[g + 8 * (i % 2)][2 * t + 8 * (i / 2) + 1] = second_of_pair(own->a[i]);
        }
        for (u32 i = 0; i < 2; i++) {
            b[2 * t + 8 * i][g] = first_of_pair(own->b[i]);
            b[2 * t + 8 * i + 1][g] = second_of_pair(own->b[i]);
        }
    }
    float d[16][8] = {};
    for (u32 row = 0; row < 16; row++) {
        for (u32 k = 0; k < 16; k++) {
            for (u32 column = 0; column < 8; column++) d[row][column] += a[row][k] * b[k][column];
        }
    }
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        auto* own = static_cast<Product*>(payloads[lane]);
        u32 g = lane / 4, t = lane % 4;
        for (u32 i = 0; i < 4; i++) own->d[i] += d[g + 8 * (i / 2)][2 * t + i % 2];
    }
}

struct Load {
    const void* row;
    u32* words;
};

// Each lane brings the address of a row of 16 bytes: lanes 0 to 7 those of the first matrix, and so on.
inline void load_matrices(void* const* payloads) {
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        for (u32 matrix = 0; matrix < 4; matrix++) {
            auto* source = static_cast<const u8*>(static_cast<Load*>(payloads[8 * matrix + lane / 4])->row);
            memcpy(&static_cast<Load*>(payloads[lane])->words[matrix], source + lane % 4 * 4, 4);
        }
    }
}

inline void load_matrices_transposed(void* const* payloads) {
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        for (u32 matrix = 0; matrix < 4; matrix++) {
            u16 pair[2];
            for (u32 i = 0; i < 2; i++) {
                auto* source = static_cast<const u8*>(static_cast<Load*>(payloads[8 * matrix + lane % 4 * 2 + i])->row);
                memcpy(&pair[i], source + lane / 4 * 2, 2);
            }
            memcpy(&static_cast<Load*>(payloads[lane])->words[matrix], pair, 4);
        }
    }
}

}  // namespace emulator

#endif

// d += a * b.
__device__ __forceinline__ void mma_m16n8k16_bf16(float (&d)[4], const u32 (&a)[4], const u32 (&b)[2]) {
#ifdef LACUNA_EMULATOR
    emulator::Product payload = {a, b, d};
    emulator::warp_collective(emulator::multiply, &payload, __LINE__);
#else
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#endif
}

// Loads four matrices of 8 rows of 16 bytes (8 bf16) from shared memory. Lane 8m + r brings the address of row r of matrix m, aligned to 16
// bytes; lane 4g + t gets of matrix m in words[m] the elements [g][2t, 2t+1].
__device__ __forceinline__ void load_matrices_x4(u32 (&words)[4], const void* row) {
#ifdef LACUNA_EMULATOR
    emulator::Load payload = {row, words};
    emulator::warp_collective(emulator::load_matrices, &payload, __LINE__);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}

// The same, each matrix transposed: lane 4g + t gets the elements [2t, 2t+1][g].
__device__ __forceinline__ void load_matrices_x4_transposed(u32 (&words)[4], const void* row) {
#ifdef LACUNA_EMULATOR
    emulator::Load payload = {row, words};
    emulator::warp_collective(emulator::load_matrices_transposed, &payload, __LINE__);
#else
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(words[0]), "=r"(words[1]), "=r"(words[2]), "=r"(words[3])
                 : "r"(shared_address(row))
                 : "memory");
#endif
}
