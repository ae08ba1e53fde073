// Products of tiles: a block multiplies a few rows with 128 columns, on tensor cores or in exact f32, while the next slabs of both are on
// their way to shared memory.

#pragma once

#include "common/copy.cuh"
#include "common/matrix.cuh"
#include "common/warp.cuh"

constexpr u32 PRODUCT_THREADS = 256;
constexpr u32 PRODUCT_WARPS = PRODUCT_THREADS / WARP_LANES_COUNT;
constexpr u32 TILE_COLUMNS = 128;
constexpr u32 VECTOR_BYTES = 16;

// Begins to fill a tile of ROWS rows and COLUMNS columns of a matrix from (first_row, first_column) on; what is beyond
// it is zero. A matrix of bf16 can fill a tile of f32. Vectorised, its rows are whole vectors of the tile's elements.
template <u32 ROWS, u32 COLUMNS, typename Element, typename Stored>
__device__ __forceinline__ void load_tile(Element* tile, const Stored* matrix, u32 first_row, u32 rows, u64 stride, u32 first_column,
                                          u32 columns, bool is_vectorised) {
    constexpr u32 PER_VECTOR = VECTOR_BYTES / sizeof(Element);
    constexpr u32 VECTORS = COLUMNS / PER_VECTOR;
    constexpr u32 TILE_STRIDE = COLUMNS + PER_VECTOR;
    if (is_vectorised) {
#pragma unroll
        for (u32 i = threadIdx.x; i < ROWS * VECTORS; i += PRODUCT_THREADS) {
            u32 row = i / VECTORS, column = i % VECTORS * PER_VECTOR;
            u32 left = first_column + column < columns ? columns - first_column - column : 0;
            u32 valid = first_row + row < rows ? (left < PER_VECTOR ? left : PER_VECTOR) : 0;
            const Stored* source = valid == 0 ? matrix : matrix + (first_row + row) * stride + first_column + column;
            Element* target = tile + row * TILE_STRIDE + column;
            if constexpr (sizeof(Stored) == sizeof(Element)) {
                async_copy_16(target, source, valid * u32(sizeof(Element)));
            } else {
                uint2 pairs = valid == 0 ? make_uint2(0, 0) : *reinterpret_cast<const uint2*>(source);
                *reinterpret_cast<float4*>(target) = make_float4(first_of_pair(pairs.x), second_of_pair(pairs.x),
                                                                 first_of_pair(pairs.y), second_of_pair(pairs.y));
            }
        }
        return;
    }
    for (u32 i = threadIdx.x; i < ROWS * COLUMNS; i += PRODUCT_THREADS) {
        u32 row = i / COLUMNS, column = i % COLUMNS;
        bool is_there = first_row + row < rows && first_column + column < columns;
        tile[row * TILE_STRIDE + column] =
            from_float<Element>(is_there ? to_float(matrix[(first_row + row) * stride + first_column + column]) : 0.0f);
    }
}

// A block's product [ROWS, TILE_COLUMNS] of a left matrix, row by row, with a right one: the rows of a transposed one, or as it is.
template <typename Element, u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED>
struct TileProduct;

// On tensor cores: a warp has 32 rows, and a share of the columns.
template <u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED>
struct TileProduct<bf16, ROWS, DEPTH, IS_TRANSPOSED> {
    static constexpr u32 ROW_WARPS = ROWS / 32;
    static constexpr u32 COLUMN_WARPS = PRODUCT_WARPS / ROW_WARPS;
    static constexpr u32 WARP_COLUMNS = TILE_COLUMNS / COLUMN_WARPS;
    static constexpr u32 LEFT_STRIDE = DEPTH + 8;
    static constexpr u32 RIGHT_STRIDE = (IS_TRANSPOSED ? DEPTH : TILE_COLUMNS) + 8;
    static_assert(ROWS % 32 == 0 && PRODUCT_WARPS % ROW_WARPS == 0 && WARP_COLUMNS % 16 == 0 && DEPTH % 16 == 0, "whole matrices");

    float product[2][WARP_COLUMNS / 8][4];

    __device__ __forceinline__ u32 first_row() const { return warp_index() % ROW_WARPS * 32; }
    __device__ __forceinline__ u32 first_column() const { return warp_index() / ROW_WARPS * WARP_COLUMNS; }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (u32 i = 0; i < 2; i++) {
#pragma unroll
            for (u32 j = 0; j < WARP_COLUMNS / 8; j++) {
#pragma unroll
                for (u32 k = 0; k < 4; k++) product[i][j][k] = 0.0f;
            }
        }
    }

    __device__ __forceinline__ void add(const bf16* left, const bf16* right) {
        u32 lane = lane_index();
        const bf16* a_row = left + (first_row() + lane % 16) * LEFT_STRIDE + lane / 16 * 8;
#pragma unroll
        for (u32 k = 0; k < DEPTH; k += 16) {
            u32 a[2][4];
            load_matrices_x4(a[0], a_row + k);
            load_matrices_x4(a[1], a_row + 16 * LEFT_STRIDE + k);
#pragma unroll
            for (u32 j = 0; j < WARP_COLUMNS / 16; j++) {
                u32 b[4];
                u32 column = first_column() + j * 16;
                if (IS_TRANSPOSED) {
                    load_matrices_x4(b, right + (column + lane / 16 * 8 + lane % 8) * RIGHT_STRIDE + k + lane / 8 % 2 * 8);
                } else {
                    load_matrices_x4_transposed(b, right + (k + lane % 16) * RIGHT_STRIDE + column + lane / 16 * 8);
                }
#pragma unroll
                for (u32 i = 0; i < 2; i++) {
                    mma_m16n8k16_bf16(product[i][2 * j], a[i], {b[0], b[1]});
                    mma_m16n8k16_bf16(product[i][2 * j + 1], a[i], {b[2], b[3]});
                }
            }
        }
    }

    // Gives `write` two neighbouring numbers at a time: their row, their first column, themselves.
    template <typename Write>
    __device__ __forceinline__ void for_each_pair(Write write) const {
        u32 lane = lane_index();
#pragma unroll
        for (u32 i = 0; i < 2; i++) {
#pragma unroll
            for (u32 j = 0; j < WARP_COLUMNS / 8; j++) {
                u32 row = first_row() + i * 16 + lane / 4, column = first_column() + j * 8 + lane % 4 * 2;
                write(row, column, product[i][j][0], product[i][j][1]);
                write(row + 8, column, product[i][j][2], product[i][j][3]);
            }
        }
    }
};

// In exact f32: a thread has 4 pairs of columns of some rows.
template <u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED>
struct TileProduct<float, ROWS, DEPTH, IS_TRANSPOSED> {
    static constexpr u32 THREAD_ROWS = ROWS / PRODUCT_WARPS;
    static constexpr u32 THREAD_COLUMNS = TILE_COLUMNS / WARP_LANES_COUNT;
    static constexpr u32 LEFT_STRIDE = DEPTH + 4;
    static constexpr u32 RIGHT_STRIDE = (IS_TRANSPOSED ? DEPTH : TILE_COLUMNS) + 4;
    static_assert(ROWS % PRODUCT_WARPS == 0 && THREAD_COLUMNS == 4 && DEPTH % 4 == 0, "threads share the product evenly");

    float product[THREAD_ROWS][THREAD_COLUMNS];

    __device__ __forceinline__ u32 first_row() const { return warp_index() * THREAD_ROWS; }
    // Neighbouring lanes read neighbouring rows of a transposed matrix, and neighbouring columns of one as it is.
    __device__ __forceinline__ u32 column(u32 j) const {
        return IS_TRANSPOSED ? lane_index() + j * WARP_LANES_COUNT : lane_index() * THREAD_COLUMNS + j;
    }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (u32 i = 0; i < THREAD_ROWS; i++) {
#pragma unroll
            for (u32 j = 0; j < THREAD_COLUMNS; j++) product[i][j] = 0.0f;
        }
    }

    __device__ __forceinline__ void add(const float* left, const float* right) {
#pragma unroll 4
        for (u32 k = 0; k < DEPTH; k += 4) {
            float4 a[THREAD_ROWS], b[4];
#pragma unroll
            for (u32 i = 0; i < THREAD_ROWS; i++) {
                a[i] = *reinterpret_cast<const float4*>(left + (first_row() + i) * LEFT_STRIDE + k);
            }
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                const float* source = IS_TRANSPOSED ? right + column(j) * RIGHT_STRIDE + k : right + (k + j) * RIGHT_STRIDE + column(0);
                b[j] = *reinterpret_cast<const float4*>(source);
            }
#pragma unroll
            for (u32 i = 0; i < THREAD_ROWS; i++) {
                if (IS_TRANSPOSED) {
#pragma unroll
                    for (u32 j = 0; j < 4; j++) {
                        product[i][j] = fused(a[i].x, b[j].x, product[i][j]);
                        product[i][j] = fused(a[i].y, b[j].y, product[i][j]);
                        product[i][j] = fused(a[i].z, b[j].z, product[i][j]);
                        product[i][j] = fused(a[i].w, b[j].w, product[i][j]);
                    }
                } else {
                    const float weights[4] = {a[i].x, a[i].y, a[i].z, a[i].w};
#pragma unroll
                    for (u32 depth = 0; depth < 4; depth++) {
                        product[i][0] = fused(weights[depth], b[depth].x, product[i][0]);
                        product[i][1] = fused(weights[depth], b[depth].y, product[i][1]);
                        product[i][2] = fused(weights[depth], b[depth].z, product[i][2]);
                        product[i][3] = fused(weights[depth], b[depth].w, product[i][3]);
                    }
                }
            }
        }
    }

    template <typename Write>
    __device__ __forceinline__ void for_each(Write write) const {
#pragma unroll
        for (u32 i = 0; i < THREAD_ROWS; i++) {
#pragma unroll
            for (u32 j = 0; j < THREAD_COLUMNS; j++) write(first_row() + i, column(j), product[i][j]);
        }
    }
};

template <u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED, typename Write>
__device__ __forceinline__ void for_each_number(const TileProduct<bf16, ROWS, DEPTH, IS_TRANSPOSED>& product, Write write) {
    product.for_each_pair([&](u32 row, u32 column, float first, float second) {
        write(row, column, first);
        write(row, column + 1, second);
    });
}

template <u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED, typename Write>
__device__ __forceinline__ void for_each_number(const TileProduct<float, ROWS, DEPTH, IS_TRANSPOSED>& product, Write write) {
    product.for_each(write);
}

// Runs `load(stage, slab)` ahead of `add(stage)` over all slabs, through a ring of stages in shared memory. Behind it the
// stages can be used for something else.
template <u32 STAGES, typename Load, typename Add>
__device__ __forceinline__ void pipeline(u32 slabs, Load load, Add add) {
#pragma unroll
    for (u32 slab = 0; slab + 1 < STAGES; slab++) {
        if (slab < slabs) load(slab, slab);
        async_commit();
    }
    for (u32 slab = 0; slab < slabs; slab++) {
        async_wait<STAGES - 2>();
        block_barrier();
        if (slab + STAGES - 1 < slabs) load((slab + STAGES - 1) % STAGES, slab + STAGES - 1);
        async_commit();
        add(slab % STAGES);
    }
    block_barrier();
}
