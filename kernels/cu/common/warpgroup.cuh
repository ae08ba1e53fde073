// Products by warpgroups: four warps together multiply tiles that lie in shared memory, while the threads do something else (wgmma, sm_90a).
//
// Of D[64, N] += A[64, K] * B[N, K]^T, with 32 bytes of K, lane 4g + t of warp w holds for each eight rows j of B
//   d[4j], d[4j+1] = D[16w + g][8j + 2t, 8j + 2t + 1]    d[4j+2], d[4j+3] = D[16w + g + 8][8j + 2t, 8j + 2t + 1]
// (PTX ISA, "Register Fragments for wgmma.mma_async.m64nNk32").
//
// Both tiles have rows of 128 bytes. Eight rows are a pattern of 1 KiB, which begins at a multiple of its size, and of which row r holds its chunk
// c of 16 bytes at c ^ r: so neither copies nor the tensor cores meet in a bank (PTX ISA, "Shared Memory Matrix Layout", 128-byte swizzling,
// the inputs running along the rows).

#pragma once

#include "common/quantised_numbers.cuh"
#include "common/warp.cuh"

#if defined(LACUNA_EMULATOR) || defined(__CUDA_ARCH_FEAT_SM90_ALL)
#define LACUNA_WARPGROUPS
#endif

#ifdef LACUNA_WARPGROUPS

constexpr u32 WARPGROUP_ROW_BYTES = 128;
constexpr u32 WARPGROUP_PATTERN_ROWS = 8;
// Columns of the weight that a warpgroup takes, and bytes of each row that one instruction does.
constexpr u32 WARPGROUP_COLUMNS = 64;
constexpr u32 WARPGROUP_STEP_BYTES = 32;

// Where a tile stands, for the tensor cores.
struct TileDescriptor {
    u64 bits;

    // Of so many bytes further along all rows, less than a row.
    __device__ __forceinline__ TileDescriptor at(u32 bytes) const { return {bits + bytes / 16}; }
};

// Of a tile that begins at a multiple of 1 KiB. From bit 0 on its address by sixteens; from 32 on by how much pattern follows pattern, likewise;
// and from 62 on that chunks are permuted. How far chunks are apart that are next to each other in a row, from 16 on, says the pattern already.
__device__ __forceinline__ TileDescriptor tile_descriptor(const u8* tile) {
#ifdef LACUNA_EMULATOR
    const u64 address = u64(tile - shared_memory());
#else
    const u64 address = shared_address(tile);
#endif
    constexpr u64 pattern_bytes = WARPGROUP_PATTERN_ROWS * WARPGROUP_ROW_BYTES;
    return {(address & 0x3FFFF) >> 4 | 1ull << 16 | pattern_bytes >> 4 << 32 | 1ull << 62};
}

#ifdef LACUNA_EMULATOR

namespace emulator {

// Byte k of a row of a tile, by the fields of its descriptor.
inline const u8* tile_byte(u64 descriptor, u32 row, u32 k) {
    const u64 start = (descriptor & 0x3FFF) << 4, pattern_bytes = (descriptor >> 32 & 0x3FFF) << 4;
    u64 address = start + row / 8 * pattern_bytes + row % 8 * 128 + k;
    if (descriptor >> 62 == 1) address ^= (address >> 7 & 7) << 4;
    return shared_memory() + address;
}

template <typename Number>
float tile_number(u64 descriptor, u32 row, u32 k);
template <>
inline float tile_number<bf16>(u64 descriptor, u32 row, u32 k) {
    return to_float(*reinterpret_cast<const bf16*>(tile_byte(descriptor, row, k * 2)));
}
template <>
inline float tile_number<e4m3>(u64 descriptor, u32 row, u32 k) {
    return to_float(e4m3{*tile_byte(descriptor, row, k)});
}

// What one lane holds of the product.
template <typename Number, u32 ROWS>
inline void multiply_tiles(float (&d)[ROWS / 2], u64 a, u64 b, bool adds) {
    constexpr u32 inputs = WARPGROUP_STEP_BYTES / sizeof(Number);
    const u32 warp = warp_index() % 4, g = lane_index() / 4, t = lane_index() % 4;
    float columns[2][inputs];
    for (u32 i = 0; i < 2; i++) {
        for (u32 k = 0; k < inputs; k++) columns[i][k] = tile_number<Number>(a, 16 * warp + g + 8 * i, k);
    }
    for (u32 j = 0; j < ROWS / 8; j++) {
        for (u32 side = 0; side < 2; side++) {
            float sums[2] = {};
            for (u32 k = 0; k < inputs; k++) {
                const float x = tile_number<Number>(b, 8 * j + 2 * t + side, k);
                for (u32 i = 0; i < 2; i++) sums[i] += columns[i][k] * x;
            }
            for (u32 i = 0; i < 2; i++) d[4 * j + 2 * i + side] = sums[i] + (adds ? d[4 * j + 2 * i + side] : 0.0f);
        }
    }
}

}  // namespace emulator

#else

// So many results of a lane, as an instruction names them, and as it is given them.
#define LACUNA_RESULTS_16 "%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15"
#define LACUNA_RESULTS_32 LACUNA_RESULTS_16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define LACUNA_RESULTS_64                                       \
    LACUNA_RESULTS_32                                           \
    ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47"   \
    ", %48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63"
#define LACUNA_OPERANDS_16(d) \
    "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3]), "+f"(d[4]), "+f"(d[5]), "+f"(d[6]), "+f"(d[7]), \
        "+f"(d[8]), "+f"(d[9]), "+f"(d[10]), "+f"(d[11]), "+f"(d[12]), "+f"(d[13]), "+f"(d[14]), "+f"(d[15])
#define LACUNA_OPERANDS_32(d) \
    LACUNA_OPERANDS_16(d), \
        "+f"(d[16]), "+f"(d[17]), "+f"(d[18]), "+f"(d[19]), "+f"(d[20]), "+f"(d[21]), "+f"(d[22]), "+f"(d[23]), \
        "+f"(d[24]), "+f"(d[25]), "+f"(d[26]), "+f"(d[27]), "+f"(d[28]), "+f"(d[29]), "+f"(d[30]), "+f"(d[31])
#define LACUNA_OPERANDS_64(d) \
    LACUNA_OPERANDS_32(d), \
        "+f"(d[32]), "+f"(d[33]), "+f"(d[34]), "+f"(d[35]), "+f"(d[36]), "+f"(d[37]), "+f"(d[38]), "+f"(d[39]), \
        "+f"(d[40]), "+f"(d[41]), "+f"(d[42]), "+f"(d[43]), "+f"(d[44]), "+f"(d[45]), "+f"(d[46]), "+f"(d[47]), \
        "+f"(d[48]), "+f"(d[49]), "+f"(d[50]), "+f"(d[51]), "+f"(d[52]), "+f"(d[53]), "+f"(d[54]), "+f"(d[55]), \
        "+f"(d[56]), "+f"(d[57]), "+f"(d[58]), "+f"(d[59]), "+f"(d[60]), "+f"(d[61]), "+f"(d[62]), "+f"(d[63])

// Behind the results: the descriptors, and whether the product is added to what is there. The factors of both sides are one, and tiles of bf16,
// which could also run the other way, run along their rows.
#define LACUNA_MULTIPLY_TILES(ROWS, RESULTS, KIND, A, B, ADDS, LAST)                                                          \
    asm volatile("{ .reg .pred adds; setp.ne.b32 adds, %" #ADDS ", 0; wgmma.mma_async.sync.aligned.m64n" #ROWS KIND           \
                 " {" LACUNA_RESULTS_##RESULTS "}, %" #A ", %" #B ", adds, 1, 1" LAST "; }"                                    \
                 : LACUNA_OPERANDS_##RESULTS(d)                                                                               \
                 : "l"(a), "l"(b), "r"(u32(adds))                                                                             \
                 : "memory")
#define LACUNA_TILE_PRODUCTS(ROWS, RESULTS, A, B, ADDS)                                                                      \
    template <>                                                                                                              \
    struct TileInstruction<e4m3, ROWS> {                                                                                      \
        static __device__ __forceinline__ void begin(float (&d)[RESULTS], u64 a, u64 b, bool adds) {                          \
            LACUNA_MULTIPLY_TILES(ROWS, RESULTS, "k32.f32.e4m3.e4m3", A, B, ADDS, "");                                        \
        }                                                                                                                    \
    };                                                                                                                       \
    template <>                                                                                                              \
    struct TileInstruction<bf16, ROWS> {                                                                                      \
        static __device__ __forceinline__ void begin(float (&d)[RESULTS], u64 a, u64 b, bool adds) {                          \
            LACUNA_MULTIPLY_TILES(ROWS, RESULTS, "k16.f32.bf16.bf16", A, B, ADDS, ", 0, 0");                                  \
        }                                                                                                                    \
    }

template <typename Number, u32 ROWS>
struct TileInstruction;
LACUNA_TILE_PRODUCTS(32, 16, 16, 17, 18);
LACUNA_TILE_PRODUCTS(64, 32, 32, 33, 34);
LACUNA_TILE_PRODUCTS(128, 64, 64, 65, 66);

#endif

// Lets the tensor cores see what this thread and its asynchronous copies wrote to shared memory; other threads' behind the next barrier.
__device__ __forceinline__ void show_to_tensor_cores() {
#ifndef LACUNA_EMULATOR
    asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
#endif
}

// Begins to multiply 64 rows of one tile by ROWS of another over all 128 bytes of them. `adds` says whether the product is added to what `d` holds,
// which nobody may touch until `finish_tiles`. All threads of the warpgroup take part.
template <typename Number, u32 ROWS>
__device__ __forceinline__ void start_tiles(float (&d)[ROWS / 2], TileDescriptor a, TileDescriptor b, bool adds) {
#ifdef LACUNA_EMULATOR
    warp_barrier();
#else
    asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
#endif
#pragma unroll
    for (u32 byte = 0; byte < WARPGROUP_ROW_BYTES; byte += WARPGROUP_STEP_BYTES) {
        const bool adds_here = adds || byte > 0;
#ifdef LACUNA_EMULATOR
        emulator::multiply_tiles<Number, ROWS>(d, a.at(byte).bits, b.at(byte).bits, adds_here);
#else
        TileInstruction<Number, ROWS>::begin(d, a.at(byte).bits, b.at(byte).bits, adds_here);
#endif
    }
#ifndef LACUNA_EMULATOR
    asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
#endif
}

// Waits for the results of all that has begun.
template <u32 COUNT>
__device__ __forceinline__ void finish_tiles(float (&d)[COUNT]) {
#ifdef LACUNA_EMULATOR
    // There is nothing that would come late.
    (void)d;
    warp_barrier();
#else
    asm volatile("wgmma.wait_group.sync.aligned 0;" ::: "memory");
    // The compiler knows of no results that come late: so it is told that they change here.
#pragma unroll
    for (u32 i = 0; i < COUNT; i++) asm volatile("" : "+f"(d[i])::"memory");
#endif
}

#endif
