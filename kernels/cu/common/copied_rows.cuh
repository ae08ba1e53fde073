// Rows of a matrix on their way to shared memory, a stage of their inputs at a time.
//
// Copies have to cost few instructions: what a multiprocessor of a fast card gets from memory comes every few hundred clocks, and each of its
// warps has other work meanwhile. So where rows begin is found once, and a copy is an address that all threads share and an offset of 32 bits.

#pragma once

#include "common/copy.cuh"
#include "common/operands.cuh"
#include "common/quantised_numbers.cuh"

constexpr u32 CHUNK_BYTES = 16;

// How many bits a number has, and what a row that is not aligned is read by.
template <typename Number>
struct Storage;
template <>
struct Storage<bf16> {
    static constexpr u32 BITS = 16;
    using Unit = u16;
};
template <>
struct Storage<e4m3> {
    static constexpr u32 BITS = 8;
    using Unit = u8;
};
template <>
struct Storage<e2m1_pair> {
    static constexpr u32 BITS = 4;
    using Unit = u8;
};

// Rows of 128 bytes, whose chunks are permuted by row, so that the same chunk of eight rows meets in no bank.
struct EightRowPattern {
    static constexpr u32 ROW_BYTES = 128;
    static __device__ __forceinline__ u32 place(u32 row, u32 chunk) { return row * ROW_BYTES + (chunk ^ row % 8) * CHUNK_BYTES; }
};

// One side of a stage, and a thread's share in filling it. The pattern says how many bytes of a row a stage has, and where a row's chunks stand.
template <typename Number, u32 ROWS, u32 THREADS, typename Pattern>
struct CopiedRows {
    static constexpr u32 BYTES = ROWS * Pattern::ROW_BYTES;
    static constexpr u32 ROW_CHUNKS = Pattern::ROW_BYTES / CHUNK_BYTES;
    static constexpr u32 INPUTS = Pattern::ROW_BYTES * 8 / Storage<Number>::BITS;
    static constexpr u32 ROWS_AT_ONCE = THREADS / ROW_CHUNKS;
    static constexpr u32 COPIES = ROWS / ROWS_AT_ONCE;
    static_assert(ROWS % ROWS_AT_ONCE == 0, "threads share the copies evenly");
    static_assert(ROWS_AT_ONCE % 8 == 0, "patterns repeat after eight rows at most: a thread's chunks all stand at the same place of theirs");

    const u8* matrix;
    // Of this thread's first chunk of each row, in bytes, below 2^32.
    u32 offsets[COPIES];
    // How many of the rows are there: those that are not come last.
    u32 present;
    // Where the first of them goes.
    u32 target;
    // Stages that begin here or later have nothing for this thread's chunks.
    u32 behind;

    static __device__ __forceinline__ u32 chunk() { return threadIdx.x % ROW_CHUNKS; }
    // Of so many numbers of a row, fewer than 2^31.
    static __device__ __forceinline__ u32 bytes_of(u32 numbers) {
        constexpr u32 bits = Storage<Number>::BITS;
        return bits < 8 ? numbers / (8 / bits) : numbers * (bits / 8);
    }

    // Prepares copies of the inputs before `end`. `row(i)` is the index in the matrix of the tile's row i, or NO_ROW.
    template <typename Row>
    __device__ __forceinline__ void find(const void* whole, u32 inputs, u32 end, Row row) {
        const u32 tile_row = threadIdx.x / ROW_CHUNKS, row_bytes = bytes_of(inputs), first_input = chunk() * (INPUTS / ROW_CHUNKS);
        matrix = static_cast<const u8*>(whole);
        target = Pattern::place(tile_row, chunk());
        behind = first_input < end ? end - first_input : 0;
        present = 0;
#pragma unroll
        for (u32 i = 0; i < COPIES; i++) {
            const u64 index = row(tile_row + i * ROWS_AT_ONCE);
            const bool is_there = index != NO_ROW;
            offsets[i] = (is_there ? u32(index) * row_bytes : 0) + chunk() * CHUNK_BYTES;
            present += is_there ? 1 : 0;
            keep(offsets[i]);
        }
        keep(target);
        keep(present);
        keep(behind);
    }

    // Begins to fill the side with the inputs from `first` on, of rows that begin at multiples of 16 bytes. Inputs that are not wanted become zero, and
    // so do rows that are not there.
    template <bool IS_STREAMED>
    __device__ __forceinline__ void copy(u8* side, u32 first) const {
        const u32 count = first < behind ? present : 0;
        const u8* from = matrix + bytes_of(first);
#pragma unroll
        for (u32 i = 0; i < COPIES; i++) {
            u8* to = side + target + i * (ROWS_AT_ONCE * Pattern::ROW_BYTES);
            const u32 valid_bytes = i < count ? CHUNK_BYTES : 0;
            if (IS_STREAMED) {
                async_copy_16_ahead(to, from + offsets[i], valid_bytes);
            } else {
                async_copy_16(to, from + offsets[i], valid_bytes);
            }
        }
    }

    // The same of rows that begin anywhere.
    __device__ __forceinline__ void copy_unaligned(u8* side, u32 first) const {
        using Unit = typename Storage<Number>::Unit;
        constexpr u32 units = CHUNK_BYTES / sizeof(Unit);
        const u32 left = first < behind ? bytes_of(behind - first) / sizeof(Unit) : 0;
#pragma unroll
        for (u32 i = 0; i < COPIES; i++) {
            auto* to = reinterpret_cast<Unit*>(side + target + i * (ROWS_AT_ONCE * Pattern::ROW_BYTES));
            const auto* from = reinterpret_cast<const Unit*>(matrix + bytes_of(first) + offsets[i]);
            const u32 count = i < present ? left : 0;
#pragma unroll 1
            for (u32 k = 0; k < units; k++) to[k] = k < count ? from[k] : Unit(0);
        }
    }
};
