// The two products of attention: queries with keys, and weights with values. Rows in shared memory are padded by 16 bytes.

#pragma once

#include "common/copy.cuh"
#include "common/matrix.cuh"
#include "common/warp.cuh"

constexpr u32 ATTENTION_THREADS = 256;
constexpr u32 ATTENTION_WARPS = ATTENTION_THREADS / WARP_LANES_COUNT;

// Both, and the block's part of the output while it grows.
template <typename Element, u32 HEAD_DIM, u32 QUERIES, u32 KEYS>
struct AttentionProducts;

// On tensor cores. Of the output a warp has 16 queries and a share of the dimensions; of the scores, a share of the keys.
template <u32 HEAD_DIM, u32 QUERIES, u32 KEYS>
struct AttentionProducts<bf16, HEAD_DIM, QUERIES, KEYS> {
    static constexpr u32 QUERY_WARPS = QUERIES / 16;
    static constexpr u32 COLUMN_WARPS = ATTENTION_WARPS / QUERY_WARPS;
    static constexpr u32 WARP_KEYS = KEYS / COLUMN_WARPS < 8 ? 8 : KEYS / COLUMN_WARPS;
    static constexpr u32 WARP_DIMS = HEAD_DIM / COLUMN_WARPS;
    static constexpr u32 STRIDE = HEAD_DIM + 8;
    static constexpr u32 SCORE_STRIDE = KEYS + 4;
    static constexpr u32 WEIGHT_STRIDE = KEYS + 8;
    static_assert(QUERIES % 16 == 0 && ATTENTION_WARPS % QUERY_WARPS == 0, "warps share the queries evenly");
    static_assert(WARP_DIMS % 16 == 0 && KEYS % 16 == 0 && HEAD_DIM % 32 == 0, "whole matrices");

    float output[WARP_DIMS / 8][4];

    __device__ __forceinline__ u32 first_query() const { return warp_index() % QUERY_WARPS * 16; }
    __device__ __forceinline__ u32 column_warp() const { return warp_index() / QUERY_WARPS; }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (u32 i = 0; i < WARP_DIMS / 8; i++) {
#pragma unroll
            for (u32 j = 0; j < 4; j++) output[i][j] = 0.0f;
        }
    }

    __device__ __forceinline__ void score(const bf16* queries, const bf16* keys, float* scores) const {
        u32 lane = lane_index(), first_key = column_warp() * WARP_KEYS;
        if (first_key >= KEYS) return;
        float products[WARP_KEYS / 8][4];
#pragma unroll
        for (u32 i = 0; i < WARP_KEYS / 8; i++) {
#pragma unroll
            for (u32 j = 0; j < 4; j++) products[i][j] = 0.0f;
        }
        const bf16* query = queries + (first_query() + lane % 16) * STRIDE + lane / 16 * 8;
        const bf16* key = keys + (first_key + lane % 8) * STRIDE + lane / 8 * 8;
#pragma unroll 4
        for (u32 k = 0; k < HEAD_DIM; k += 32) {
            u32 a[2][4];
            load_matrices_x4(a[0], query + k);
            load_matrices_x4(a[1], query + k + 16);
#pragma unroll
            for (u32 i = 0; i < WARP_KEYS / 8; i++) {
                u32 b[4];
                load_matrices_x4(b, key + i * 8 * STRIDE + k);
                mma_m16n8k16_bf16(products[i], a[0], {b[0], b[1]});
                mma_m16n8k16_bf16(products[i], a[1], {b[2], b[3]});
            }
        }
        float* score = scores + (first_query() + lane / 4) * SCORE_STRIDE + first_key + lane % 4 * 2;
#pragma unroll
        for (u32 i = 0; i < WARP_KEYS / 8; i++) {
            score[i * 8] = products[i][0];
            score[i * 8 + 1] = products[i][1];
            score[i * 8 + 8 * SCORE_STRIDE] = products[i][2];
            score[i * 8 + 8 * SCORE_STRIDE + 1] = products[i][3];
        }
    }

    __device__ __forceinline__ void add_values(const bf16* weights, const bf16* values, const float* factors) {
        u32 lane = lane_index();
        float first = factors[first_query() + lane / 4], second = factors[first_query() + lane / 4 + 8];
#pragma unroll
        for (u32 i = 0; i < WARP_DIMS / 8; i++) {
            output[i][0] *= first;
            output[i][1] *= first;
            output[i][2] *= second;
            output[i][3] *= second;
        }
        const bf16* weight = weights + (first_query() + lane % 16) * WEIGHT_STRIDE + lane / 16 * 8;
        const bf16* value = values + lane % 16 * STRIDE + column_warp() * WARP_DIMS + lane / 16 * 8;
#pragma unroll
        for (u32 k = 0; k < KEYS; k += 16) {
            u32 a[4];
            load_matrices_x4(a, weight + k);
#pragma unroll
            for (u32 i = 0; i < WARP_DIMS / 16; i++) {
                u32 b[4];
                load_matrices_x4_transposed(b, value + k * STRIDE + i * 16);
                mma_m16n8k16_bf16(output[2 * i], a, {b[0], b[1]});
                mma_m16n8k16_bf16(output[2 * i + 1], a, {b[2], b[3]});
            }
        }
    }

    // Gives `write` two neighbouring numbers at a time: their query, their first dimension, themselves.
    template <typename Write>
    __device__ __forceinline__ void for_each_pair(Write write) const {
        u32 lane = lane_index(), query = first_query() + lane / 4, column = column_warp() * WARP_DIMS + lane % 4 * 2;
#pragma unroll
        for (u32 i = 0; i < WARP_DIMS / 8; i++) {
            write(query, column + i * 8, output[i][0], output[i][1]);
            write(query + 8, column + i * 8, output[i][2], output[i][3]);
        }
    }
};

// In exact f32. Of the output a thread has 4 dimensions of some queries; of the scores, whole ones.
template <u32 HEAD_DIM, u32 QUERIES, u32 KEYS>
struct AttentionProducts<float, HEAD_DIM, QUERIES, KEYS> {
    static constexpr u32 DIM_THREADS = HEAD_DIM / 4;
    static constexpr u32 THREAD_QUERIES = QUERIES * DIM_THREADS / ATTENTION_THREADS;
    static constexpr u32 STRIDE = HEAD_DIM + 4;
    static constexpr u32 SCORE_STRIDE = KEYS + 4;
    static constexpr u32 WEIGHT_STRIDE = KEYS + 4;
    static_assert(QUERIES * DIM_THREADS % ATTENTION_THREADS == 0 && THREAD_QUERIES > 0, "threads share the output evenly");
    static_assert(QUERIES * KEYS % ATTENTION_THREADS == 0, "threads share the scores evenly");

    float output[THREAD_QUERIES][4];

    __device__ __forceinline__ u32 first_query() const { return threadIdx.x / DIM_THREADS * THREAD_QUERIES; }
    __device__ __forceinline__ u32 first_dim() const { return threadIdx.x % DIM_THREADS * 4; }

    __device__ __forceinline__ void clear() {
#pragma unroll
        for (u32 i = 0; i < THREAD_QUERIES; i++) {
#pragma unroll
            for (u32 j = 0; j < 4; j++) output[i][j] = 0.0f;
        }
    }

    __device__ __forceinline__ void score(const float* queries, const float* keys, float* scores) const {
#pragma unroll
        for (u32 i = threadIdx.x; i < QUERIES * KEYS; i += ATTENTION_THREADS) {
            u32 query = i / KEYS, key = i % KEYS;
            auto* a = reinterpret_cast<const float4*>(queries + query * STRIDE);
            auto* b = reinterpret_cast<const float4*>(keys + key * STRIDE);
            float product = 0.0f;
#pragma unroll 8
            for (u32 k = 0; k < HEAD_DIM / 4; k++) {
                product = fused(a[k].x, b[k].x, product);
                product = fused(a[k].y, b[k].y, product);
                product = fused(a[k].z, b[k].z, product);
                product = fused(a[k].w, b[k].w, product);
            }
            scores[query * SCORE_STRIDE + key] = product;
        }
    }

    __device__ __forceinline__ void add_values(const float* weights, const float* values, const float* factors) {
#pragma unroll
        for (u32 i = 0; i < THREAD_QUERIES; i++) {
            float factor = factors[first_query() + i];
#pragma unroll
            for (u32 j = 0; j < 4; j++) output[i][j] *= factor;
        }
#pragma unroll 4
        for (u32 key = 0; key < KEYS; key++) {
            float4 value = *reinterpret_cast<const float4*>(values + key * STRIDE + first_dim());
#pragma unroll
            for (u32 i = 0; i < THREAD_QUERIES; i++) {
                float weight = weights[(first_query() + i) * WEIGHT_STRIDE + key];
                output[i][0] = fused(weight, value.x, output[i][0]);
                output[i][1] = fused(weight, value.y, output[i][1]);
                output[i][2] = fused(weight, value.z, output[i][2]);
                output[i][3] = fused(weight, value.w, output[i][3]);
            }
        }
    }

    template <typename Write>
    __device__ __forceinline__ void for_each_pair(Write write) const {
#pragma unroll
        for (u32 i = 0; i < THREAD_QUERIES; i++) {
            write(first_query() + i, first_dim(), output[i][0], output[i][1]);
            write(first_query() + i, first_dim() + 2, output[i][2], output[i][3]);
        }
    }
};
