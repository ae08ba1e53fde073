// Rows of quantised products in shared memory, and the copies that bring them there.

#pragma once

#include "common/copied_rows.cuh"
#include "common/warp.cuh"

// Of a stage.
constexpr u32 QUANTISED_INPUTS = 128;
// Groups of numbers of 4 bits.
constexpr u32 STAGE_GROUPS = QUANTISED_INPUTS / GROUP_INPUTS;

// Where the chunks of a stage of rows stand: permuted so that the eight lanes that load at the same time, four of each of two rows, meet in no bank.
// Banks repeat after eight chunks, which are two rows of four: there the permutation goes by pairs of rows, so that the same chunk of eight rows,
// which a matrix load takes at a time, stands at eight places too.
template <u32 ROW_BYTES_>
struct LanePattern {
    static constexpr u32 ROW_BYTES = ROW_BYTES_;
    static __host__ __device__ constexpr u32 place(u32 row, u32 chunk) {
        constexpr u32 chunks = ROW_BYTES / CHUNK_BYTES;
        const u32 odd = row & 1;
        const u32 permuted = chunks == 16 ? chunk ^ chunk >> 3 ^ odd << 1 : chunks == 8 ? chunk ^ odd : chunk ^ (row >> 1 & 3);
        return row * ROW_BYTES + permuted * CHUNK_BYTES;
    }

    // Whether eight lanes find the chunks of two rows from `row` on, the chunk i of each lane's, in eight places of those after which banks repeat.
    static __host__ __device__ constexpr bool is_free_for_lanes(u32 row, u32 i) {
        u32 places = 0;
        for (u32 lane = 0; lane < 8; lane++) {
            places |= 1u << (place(row + lane / 4, lane % 4 * (ROW_BYTES / CHUNK_BYTES / 4) + i) / CHUNK_BYTES % 8);
        }
        return places == 0xFF;
    }
    // The same of eight rows' chunk.
    static __host__ __device__ constexpr bool is_free_for_matrices(u32 chunk) {
        u32 places = 0;
        for (u32 row = 0; row < 8; row++) places |= 1u << (place(row, chunk) / CHUNK_BYTES % 8);
        return places == 0xFF;
    }
};

// Whether it is so of every chunk that lanes load, of all pairs of rows; and of those of e2m1, which matrix loads take too.
template <typename Pattern>
__host__ __device__ constexpr bool meets_in_no_bank() {
    constexpr u32 chunks = Pattern::ROW_BYTES / CHUNK_BYTES;
    for (u32 row = 0; row < 8; row += 2) {
        for (u32 i = 0; i < chunks / 4; i++) {
            if (!Pattern::is_free_for_lanes(row, i)) return false;
        }
    }
    for (u32 chunk = 0; chunks == 4 && chunk < chunks; chunk++) {
        if (!Pattern::is_free_for_matrices(chunk)) return false;
    }
    return true;
}

// One side of a stage.
template <typename Number, u32 ROWS, u32 THREADS>
struct StagedRows : CopiedRows<Number, ROWS, THREADS, LanePattern<QUANTISED_INPUTS * Storage<Number>::BITS / 8>> {
    using Pattern = LanePattern<QUANTISED_INPUTS * Storage<Number>::BITS / 8>;
    static constexpr u32 LANE_CHUNKS = Pattern::ROW_BYTES / CHUNK_BYTES / 4;
    static_assert(meets_in_no_bank<Pattern>(), "each load takes one turn");

    static __device__ __forceinline__ u32 place(u32 row, u32 chunk) { return Pattern::place(row, chunk); }

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

    const u8* scales;
    // Of this thread's word of its row, in bytes, below 2^32.
    u32 offset;
    // Groups of which none is wanted, or none there, begin here.
    u32 behind;

    static __device__ __forceinline__ u32 word() { return threadIdx.x % (STAGE_GROUPS / 4); }

    // As `CopiedRows::find`.
    template <typename Row>
    __device__ __forceinline__ void find(const u8* whole, u32 inputs, u32 end, Row row) {
        const u64 index = threadIdx.x < COPIES ? row(threadIdx.x / (STAGE_GROUPS / 4)) : NO_ROW;
        const u32 first_group = word() * 4, end_group = end / GROUP_INPUTS;
        const bool is_there = index != NO_ROW;
        scales = whole;
        offset = (is_there ? u32(index) * (inputs / GROUP_INPUTS) : 0) + first_group;
        behind = is_there && first_group < end_group ? end_group - first_group : 0;
        keep(offset);
        keep(behind);
    }

    // As `CopiedRows::copy` and `CopiedRows::copy_unaligned`.
    __device__ __forceinline__ void copy(u8* side, u32 first) const {
        if (COPIES < THREADS && threadIdx.x >= COPIES) return;
        const u32 first_group = first / GROUP_INPUTS;
        async_copy_4(side + threadIdx.x * 4, scales + first_group + offset, first_group < behind ? 4 : 0);
    }
    __device__ __forceinline__ void copy_unaligned(u8* side, u32 first) const {
        if (COPIES < THREADS && threadIdx.x >= COPIES) return;
        const u32 first_group = first / GROUP_INPUTS, left = first_group < behind ? behind - first_group : 0;
        const u8* from = scales + first_group + offset;
#pragma unroll 1
        for (u32 i = 0; i < 4; i++) side[threadIdx.x * 4 + i] = i < left ? from[i] : u8(0);
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
