// Products with quantised weights on tensor cores, accumulated in f32: e4m3 by e4m3, and bf16 by e4m3 or e2m1 that are widened to bf16 in
// registers.
//
// As with bf16, a product of few rows takes as long as its weights take to arrive. A stage is 128 inputs of 64 columns, 8 or 4.5 KiB of
// weights, and three stages of each of two to four blocks are under way on a multiprocessor: 27 to 96 KiB, where the fastest memory asks for
// some 40.
//
// In which order inputs are multiplied is no matter, if it is the same on both sides. So lane 4g + t takes of its rows of a stage the inputs
// 32t to 32t + 31, which are whole chunks of 16 bytes on either side, and gives them to tensor cores one after the other as if they were
// those of its place.
//
// Weights are the first operand of the tensor cores' products, and rows of the input the second: so a chunk of the input is used where it was
// loaded, while what weights are widened to can be put anywhere; and a tile's rows go by eights.

#pragma once

#include "common/operands.cuh"
#include "common/quantised_numbers.cuh"
#include "common/tensor_product.cuh"

// Of a stage.
constexpr u32 QUANTISED_INPUTS = 128;
constexpr u32 CHUNK_BYTES = 16;
// Inputs of a weight of 4 bits that have one scale, and such groups of a stage.
constexpr u32 GROUP_INPUTS = 16;
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

    // Chunks are permuted so that the eight lanes that load at the same time, four of each of two rows, meet in no bank.
    static __device__ __forceinline__ u32 place(u32 row, u32 chunk) {
        const u32 odd = row & 1;
        const u32 permuted = ROW_CHUNKS == 16 ? chunk ^ chunk >> 3 ^ odd << 1 : ROW_CHUNKS == 8 ? chunk ^ odd : chunk;
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
template <u32 ROWS>
struct StagedGroups {
    static constexpr u32 BYTES = ROWS * STAGE_GROUPS;
    static constexpr u32 COPIES = ROWS * STAGE_GROUPS / 4;

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
};

template <u32 ROWS, typename Input_, typename Weight_>
struct QuantisedProduct {
    using Shape = TensorShape<ROWS>;
    static constexpr u32 INPUTS = QUANTISED_INPUTS;
    static constexpr bool HAS_GROUPS = Storage<Weight_>::BITS == 4;
    static constexpr bool HAS_INPUT_SCALES = Storage<Input_>::BITS == 8;
    using Input = StagedRows<Input_, ROWS, Shape::THREADS>;
    using Weight = StagedRows<Weight_, TENSOR_COLUMNS, Shape::THREADS>;
    using Groups = StagedGroups<TENSOR_COLUMNS>;
    static constexpr u32 STAGE_BYTES = Input::BYTES + Weight::BYTES + (HAS_GROUPS ? Groups::BYTES : 0);

    // Tiles of the warp's share: eight rows by sixteen columns.
    static constexpr u32 ROW_TILES = Shape::WARP_ROWS / 8;
    static constexpr u32 COLUMN_TILES = Shape::WARP_COLUMNS / 16;
    static constexpr u32 LANE_ROWS = ROW_TILES * 2;
    template <bool GATED>
    static constexpr u32 LANE_RUNS = COLUMN_TILES * (GATED ? 1 : 2);
    static constexpr u32 RUN = 1;

    // Of tile of columns j and tile of rows i what `mma` gives: of column g and then of g + 8 the rows 2t and 2t + 1.
    struct Sums {
        float of[COLUMN_TILES][ROW_TILES][4];
    };

    static __device__ __forceinline__ u32 warp_row() { return warp_index() % Shape::WARPS_ALONG_ROWS * Shape::WARP_ROWS; }
    static __device__ __forceinline__ u32 warp_column() { return warp_index() / Shape::WARPS_ALONG_ROWS * Shape::WARP_COLUMNS; }

    static __device__ __forceinline__ u32 row(u32 i) { return warp_row() + i / 2 * 8 + lane_index() % 4 * 2 + i % 2; }
    template <bool GATED>
    static __device__ __forceinline__ u32 column(u32 j) {
        return (GATED ? warp_column() / 2 : warp_column()) + j * 8 + lane_index() / 4;
    }
    template <bool GATED>
    static __device__ __forceinline__ Results<RUN> results(const Sums& sums, u32 i, u32 j) {
        const auto& both = sums.of[GATED ? j : j / 2][i / 2];
        return {{both[(GATED ? 0 : j % 2 * 2) + i % 2]}, {both[2 + i % 2]}};
    }

    static __device__ __forceinline__ void add_e4m3(Sums& sums, const u8* stage, u32 rows) {
        const u8* weights = stage + Input::BYTES;
        const u32 lane = lane_index() / 4;
#pragma unroll
        for (u32 chunk = 0; chunk < Input::LANE_CHUNKS; chunk++) {
            E4m3Word a[COLUMN_TILES][2][4];
#pragma unroll
            for (u32 j = 0; j < COLUMN_TILES; j++) {
                const uint4 upper = Weight::load(weights, warp_column() + j * 16 + lane, chunk);
                const uint4 lower = Weight::load(weights, warp_column() + j * 16 + 8 + lane, chunk);
                a[j][0][0] = tensor_word(upper.x), a[j][0][1] = tensor_word(lower.x);
                a[j][0][2] = tensor_word(upper.y), a[j][0][3] = tensor_word(lower.y);
                a[j][1][0] = tensor_word(upper.z), a[j][1][1] = tensor_word(lower.z);
                a[j][1][2] = tensor_word(upper.w), a[j][1][3] = tensor_word(lower.w);
            }
#pragma unroll
            for (u32 i = 0; i < ROW_TILES; i++) {
                // The same for all lanes of the warp. Rows that are not there cost nothing.
                if (warp_row() + i * 8 >= rows) continue;
                const uint4 words = Input::load(stage, warp_row() + i * 8 + lane, chunk);
                const E4m3Word b[2][2] = {{tensor_word(words.x), tensor_word(words.y)}, {tensor_word(words.z), tensor_word(words.w)}};
#pragma unroll
                for (u32 j = 0; j < COLUMN_TILES; j++) {
                    mma_m16n8k32_e4m3(sums.of[j][i], a[j][0], b[0]);
                    mma_m16n8k32_e4m3(sums.of[j][i], a[j][1], b[1]);
                }
            }
        }
    }

    // A lane's weights of one column as pairs of bf16, eight inputs at a time.
    struct Column {
        uint4 words;
        u32 scales;

        __device__ __forceinline__ void widen(u32 (&pairs)[4], const u8* weights, u32 column, u32 chunk) {
            if constexpr (HAS_GROUPS) {
                if (chunk == 0) {
                    words = Weight::load(weights, column, 0);
                    scales = group_scale_pair(Groups::load(weights + Weight::BYTES, column));
                }
                const u32 four[4] = {words.x, words.y, words.z, words.w};
                const u32 scale = chunk < 2 ? scales & 0xFFFFu : scales >> 16;
                widen_e2m1(pairs, four[chunk], scale | scale << 16);
            } else {
                if (chunk % 2 == 0) words = Weight::load(weights, column, chunk / 2);
                u32 first[2], second[2];
                widen_e4m3(first, chunk % 2 == 0 ? words.x : words.z);
                widen_e4m3(second, chunk % 2 == 0 ? words.y : words.w);
                pairs[0] = first[0], pairs[1] = first[1], pairs[2] = second[0], pairs[3] = second[1];
            }
        }
    };

    static __device__ __forceinline__ void add_bf16(Sums& sums, const u8* stage, u32 rows) {
        const u32 lane = lane_index() / 4;
        Column columns[COLUMN_TILES][2];
#pragma unroll
        for (u32 chunk = 0; chunk < Input::LANE_CHUNKS; chunk++) {
            u32 a[COLUMN_TILES][2][4];
#pragma unroll
            for (u32 j = 0; j < COLUMN_TILES; j++) {
                u32 pairs[2][4];
#pragma unroll
                for (u32 half = 0; half < 2; half++) {
                    columns[j][half].widen(pairs[half], stage + Input::BYTES, warp_column() + j * 16 + half * 8 + lane, chunk);
                }
#pragma unroll
                for (u32 k = 0; k < 4; k++) a[j][k / 2][k % 2 * 2] = pairs[0][k], a[j][k / 2][k % 2 * 2 + 1] = pairs[1][k];
            }
#pragma unroll
            for (u32 i = 0; i < ROW_TILES; i++) {
                // As above.
                if (warp_row() + i * 8 >= rows) continue;
                const uint4 words = Input::load(stage, warp_row() + i * 8 + lane, chunk);
                const u32 b[2][2] = {{words.x, words.y}, {words.z, words.w}};
#pragma unroll
                for (u32 j = 0; j < COLUMN_TILES; j++) {
                    mma_m16n8k16_bf16(sums.of[j][i], a[j][0], b[0]);
                    mma_m16n8k16_bf16(sums.of[j][i], a[j][1], b[1]);
                }
            }
        }
    }

    // As `Bf16Product::multiply`. Scales of groups are applied to each weight, all others by `scaled`.
    template <typename InputRow, typename WeightRow>
    static __device__ __forceinline__ Sums multiply(const product_operands& o, u32 rows, u32 begin, u32 end, InputRow input_row,
                                                    WeightRow weight_row) {
        u8* stages = shared_memory();
        Input input;
        Weight weight;
        Groups groups;
        input.find(o.input, o.inputs, input_row);
        weight.find(o.weight, o.inputs, weight_row);
        if constexpr (HAS_GROUPS) groups.find(o.group_scales, o.inputs, weight_row);
        auto copy_stage = [&](u32 tile) {
            u8* stage = stages + tile % TENSOR_STAGES * STAGE_BYTES;
            const u32 first = begin + tile * QUANTISED_INPUTS;
            if (first < end) {
                weight.template copy<true>(stage + Input::BYTES, first, end, o.aligned != 0);
                if constexpr (HAS_GROUPS) groups.copy(stage + Input::BYTES + Weight::BYTES, first, end, o.groups_aligned != 0);
                input.template copy<false>(stage, first, end, o.aligned != 0);
            }
            // A group of nothing keeps the count of groups the same for all.
            async_commit();
        };
        Sums sums = {};
        const u32 tiles = begin < end ? divide_up(end - begin, QUANTISED_INPUTS) : 0;
        for (u32 tile = 0; tile < TENSOR_STAGES - 1; tile++) copy_stage(tile);
        for (u32 tile = 0; tile < tiles; tile++) {
            async_wait<TENSOR_STAGES - 2>();
            // Behind it this tile is there for all threads, and nobody reads the one before, whose place the next copies take.
            block_barrier();
            copy_stage(tile + TENSOR_STAGES - 1);
            const u8* stage = stages + tile % TENSOR_STAGES * STAGE_BYTES;
            if constexpr (HAS_INPUT_SCALES) {
                add_e4m3(sums, stage, rows);
            } else {
                add_bf16(sums, stage, rows);
            }
        }
        async_wait<0>();
        block_barrier();
        return sums;
    }

    static __device__ __forceinline__ float scaled(const product_operands& o, float sum, u64 input_row, u64 weight_row) {
        if (HAS_GROUPS) sum *= E2M1_UNIT;
        if (HAS_INPUT_SCALES) sum *= o.input_scales[input_row];
        return sum * o.output_scales[weight_row];
    }
};

template <u32 ROWS>
using Fp8Product = QuantisedProduct<ROWS, e4m3, e4m3>;
template <u32 ROWS>
using Bf16Fp8Product = QuantisedProduct<ROWS, bf16, e4m3>;
template <u32 ROWS>
using Bf16Nvfp4Product = QuantisedProduct<ROWS, bf16, e2m1_pair>;
