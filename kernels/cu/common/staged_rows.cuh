// Rows of quantised products in shared memory, and the copies that bring them there.

#pragma once

#include "common/copy.cuh"
#include "common/operands.cuh"
#include "common/quantised_numbers.cuh"
#include "common/warp.cuh"

// Of a stage.
constexpr u32 QUANTISED_INPUTS = 128;
constexpr u32 CHUNK_BYTES = 16;
// Groups of numbers of 4 bits.
constexpr u32 STAGE_GROUPS = QUANTISED_INPUTS / GROUP_INPUTS;

// How many numbers a byte holds, and what a row that is not aligned is read by.
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

// One side of a stage, and a thread's share in filling it.
template <typename Number, u32 ROWS, u32 THREADS>
struct StagedRows {
    static constexpr u32 ROW_BYTES = QUANTISED_INPUTS * Storage<Number>::BITS / 8;
    static constexpr u32 BYTES = ROWS * ROW_BYTES;
    static constexpr u32 ROW_CHUNKS = ROW_BYTES / CHUNK_BYTES;
    static constexpr u32 LANE_CHUNKS = ROW_CHUNKS / 4;
    static constexpr u32 ROWS_AT_ONCE = THREADS / ROW_CHUNKS;
    static constexpr u32 COPIES = ROWS / ROWS_AT_ONCE;
    static_assert(ROWS % ROWS_AT_ONCE == 0, "threads share the copies evenly");

    // Indices, as pointers would take twice the registers.
    const u8* matrix;
    u32 matrix_row_bytes;
    u32 rows[COPIES];

    static __device__ __forceinline__ u32 copied_row(u32 copy) { return threadIdx.x / ROW_CHUNKS + copy * ROWS_AT_ONCE; }
    static __device__ __forceinline__ u32 row_bytes(u32 numbers) { return u32(u64(numbers) * Storage<Number>::BITS / 8); }

    // Chunks are permuted so that the eight lanes that load at the same time, four of each of two rows, meet in no bank. Banks repeat after
    // eight chunks, which are two rows of four: there the permutation goes by pairs of rows, so that the same chunk of eight rows, which a matrix
    // load takes at a time, stands at eight places too.
    static __device__ __forceinline__ u32 place(u32 row, u32 chunk) {
        const u32 odd = row & 1;
        const u32 permuted = ROW_CHUNKS == 16  ? chunk ^ chunk >> 3 ^ odd << 1
                             : ROW_CHUNKS == 8 ? chunk ^ odd
                                               : chunk ^ (row >> 1 & 3);
        return row * ROW_BYTES + permuted * CHUNK_BYTES;
    }

    // `row(i)` is the index in the matrix of the tile's row i.
    template <typename Row>
    __device__ __forceinline__ void find(const void* whole, u32 inputs, Row row) {
        matrix = static_cast<const u8*>(whole);
        matrix_row_bytes = row_bytes(inputs);
#pragma unroll
        for (u32 i = 0; i < COPIES; i++) rows[i] = u32(row(copied_row(i)));
    }

    // Begins to fill the side with the inputs from `first` on; those from `end` on become zero. Rows that are not there stay as they are.
    template <bool IS_STREAMED>
    __device__ __forceinline__ void copy(u8* side, u32 first, u32 end, bool aligned) const {
        using Unit = typename Storage<Number>::Unit;
        const u32 chunk = threadIdx.x % ROW_CHUNKS;
        const u32 at = row_bytes(first) + chunk * CHUNK_BYTES, behind = row_bytes(end);
#pragma unroll
        for (u32 i = 0; i < COPIES; i++) {
            if (rows[i] == u32(NO_ROW)) continue;
            u8* target = side + place(copied_row(i), chunk);
            const u8* row = matrix + u64(rows[i]) * matrix_row_bytes;
            if (aligned) {
                const u8* source = row + (at < behind ? at : 0);
                const u32 valid_bytes = at < behind ? CHUNK_BYTES : 0;
                if (IS_STREAMED) {
                    async_copy_16_ahead(target, source, valid_bytes);
                } else {
                    async_copy_16(target, source, valid_bytes);
                }
            } else {
                for (u32 byte = 0; byte < CHUNK_BYTES; byte += sizeof(Unit)) {
                    *reinterpret_cast<Unit*>(target + byte) =
                        at + byte < behind ? *reinterpret_cast<const Unit*>(row + at + byte) : Unit(0);
                }
            }
        }
    }

    // The chunk i of this lane's chunks of a row.
    static __device__ __forceinline__ uint4 load(const u8* side, u32 row, u32 i) {
        return *reinterpret_cast<const uint4*>(side + place(row, lane_index() % 4 * LANE_CHUNKS + i));
    }
};

// The scales of a stage's groups, and a thread's share in filling them. A row's eight scales are two words of four.
template <u32 ROWS, u32 THREADS>
struct StagedGroups {
    static constexpr u32 BYTES = ROWS * STAGE_GROUPS;
    static constexpr u32 COPIES = ROWS * STAGE_GROUPS / 4;
    static_assert(COPIES <= THREADS, "a thread copies one word");

    const u8* row;

    template <typename Row>
    __device__ __forceinline__ void find(const u8* scales, u32 inputs, Row row_index) {
        const u64 index = threadIdx.x < COPIES ? row_index(threadIdx.x / 2) : NO_ROW;
        row = index == NO_ROW ? nullptr : scales + index * (inputs / GROUP_INPUTS);
    }

    __device__ __forceinline__ void copy(u8* side, u32 first, u32 end, bool aligned) const {
        if (row == nullptr) return;
        const u32 at = first / GROUP_INPUTS + threadIdx.x % 2 * 4, behind = end / GROUP_INPUTS;
        u8* target = side + threadIdx.x * 4;
        if (aligned) {
            async_copy_4(target, row + (at < behind ? at : 0), at < behind ? 4 : 0);
        } else {
            for (u32 i = 0; i < 4; i++) target[i] = at + i < behind ? row[at + i] : u8(0);
        }
    }

    // The scales of this lane's two groups.
    static __device__ __forceinline__ u32 load(const u8* side, u32 row) {
        return *reinterpret_cast<const u16*>(side + row * STAGE_GROUPS + lane_index() % 4 * 2);
    }
    // Those of the first four groups, or of the others.
    static __device__ __forceinline__ u32 load_half(const u8* side, u32 row, u32 half) {
        return *reinterpret_cast<const u32*>(side + row * STAGE_GROUPS + half * 4);
    }
};
