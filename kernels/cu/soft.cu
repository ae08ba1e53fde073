// Soft embeddings: the mean of the embedding under each row's distribution, which the next step is conditioned on.
//
// The weights need the logits, whose product with the embedding needs its rows whole; so one read of the embedding cannot serve both. The tiles
// of the head keep exponentials, in the element type of the product: at 256 rows a tenth of the bytes that making them
// again would read. `head_weights` turns them into probabilities, `soft_embeddings` reads the embedding a second time, and
// `soft_embeddings_sum` adds its shares up.

#include "common/findings.cuh"
#include "common/products.cuh"
#include "common/reductions.cuh"

constexpr u32 SOFT_THREADS = PRODUCT_THREADS;
constexpr u32 SOFT_WARPS = PRODUCT_WARPS;

struct head_weights_parameters {
    const TileFindings* findings;  // [rows, tiles]
    const RowScale* scales;        // [rows]
    const u32* listed_from;
    const u32* listed;
    const float* vote_weights;  // null where there are no votes
    void* kept;                 // [rows, kept_stride], exponentials in, probabilities out
    u64 kept_stride;
    u32 vocabulary;
    u32 tiles;
};

// Grid: rows; shares of the tiles. A block's warps take tiles in turn.
template <typename Element>
__device__ __forceinline__ void head_weights(const head_weights_parameters& p) {
    u32 row = blockIdx.x;
    const RowScale scale = p.scales[row];
    auto* kept = static_cast<Element*>(p.kept) + u64(row) * p.kept_stride;
    for (u32 tile = blockIdx.y * SOFT_WARPS + warp_index(); tile < p.tiles; tile += gridDim.y * SOFT_WARPS) {
        float factor = exponential(p.findings[u64(row) * p.tiles + tile].greatest - scale.greatest) * scale.inverse_sum;
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) {
            u32 token = tile * TILE_COLUMNS + lane_index() * LANE_TOKENS + i;
            if (token < p.vocabulary) kept[token] = from_float<Element>(to_float(kept[token]) * factor);
        }
        if (p.vote_weights == nullptr) continue;
        warp_barrier();
        u32 from = p.listed_from[row], to = p.listed_from[row + 1];
        if (to > from + ROW_VOTES_MAX) to = from + ROW_VOTES_MAX;
        for (u32 i = from + lane_index(); i < to; i += WARP_LANES_COUNT) {
            u32 token = p.listed[i];
            if (token / TILE_COLUMNS == tile && token < p.vocabulary) kept[token] = from_float<Element>(p.vote_weights[i]);
        }
    }
}

using head_weights_f32_parameters = head_weights_parameters;
KERNEL(head_weights_f32, SOFT_THREADS, 4) { head_weights<float>(p); }
using head_weights_bf16_parameters = head_weights_parameters;
KERNEL(head_weights_bf16, SOFT_THREADS, 4) { head_weights<bf16>(p); }

struct soften_parameters {
    const float* logits;  // [rows, vocabulary]
    void* weights;        // [rows, weights_stride]
    u64 weights_stride;
    u32 vocabulary;
    u32 reserved;
};

// The softmax of whole rows of logits, a block each.
template <typename Element>
__device__ __forceinline__ void soften(const soften_parameters& p) {
    auto& scratch = *reinterpret_cast<ReductionScratch*>(shared_memory());
    const float* logits = p.logits + u64(blockIdx.x) * p.vocabulary;
    auto* weights = static_cast<Element*>(p.weights) + u64(blockIdx.x) * p.weights_stride;
    float greatest = -infinity();
    for (u32 i = threadIdx.x; i < p.vocabulary; i += SOFT_THREADS) greatest = maximum(greatest, logits[i]);
    greatest = block_maximum(greatest, scratch);
    float shift = greatest == -infinity() ? 0.0f : greatest;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < p.vocabulary; i += SOFT_THREADS) sum += double(exponential(logits[i] - shift));
    float scale = 1.0f / float(block_sum_of_doubles(sum, scratch));
    for (u32 i = threadIdx.x; i < p.vocabulary; i += SOFT_THREADS) {
        weights[i] = from_float<Element>(exponential(logits[i] - shift) * scale);
    }
}

using soften_f32_parameters = soften_parameters;
KERNEL(soften_f32, SOFT_THREADS, 2) { soften<float>(p); }
using soften_bf16_parameters = soften_parameters;
KERNEL(soften_bf16, SOFT_THREADS, 2) { soften<bf16>(p); }

struct soft_embeddings_parameters {
    const void* weights;    // [rows, weights_stride]
    const void* embedding;  // [vocabulary, hidden]
    float* shares;          // [splits, rows, hidden]
    u64 weights_stride;
    u32 rows;
    u32 vocabulary;
    u32 hidden;
    u32 is_vectorised;
};

// Grid: tiles of rows; tiles of hidden columns; splits of the vocabulary. Blocks that read the same numbers of the embedding follow each other.
template <typename Element, typename Stored, u32 ROWS, u32 DEPTH, u32 STAGES>
__device__ __forceinline__ void soft_embeddings(const soft_embeddings_parameters& p) {
    using Product = TileProduct<Element, ROWS, DEPTH, false>;
    constexpr u32 LEFT = ROWS * Product::LEFT_STRIDE, STAGE = LEFT + DEPTH * Product::RIGHT_STRIDE;
    auto* stages = reinterpret_cast<Element*>(shared_memory());
    u32 first_row = blockIdx.x * ROWS, first_column = blockIdx.y * TILE_COLUMNS;
    u32 slabs = divide_up(p.vocabulary, DEPTH), per_split = divide_up(slabs, gridDim.z);
    u32 begin = blockIdx.z * per_split < slabs ? blockIdx.z * per_split : slabs;
    u32 end = begin + per_split < slabs ? begin + per_split : slabs;
    auto* weights = static_cast<const Element*>(p.weights);
    auto* embedding = static_cast<const Stored*>(p.embedding);
    Product product;
    product.clear();
    pipeline<STAGES>(
        end - begin,
        [&](u32 stage, u32 slab) {
            u32 first_token = (begin + slab) * DEPTH;
            load_tile<ROWS, DEPTH>(stages + stage * STAGE, weights, first_row, p.rows, p.weights_stride, first_token,
                                            p.vocabulary, p.is_vectorised);
            load_tile<DEPTH, TILE_COLUMNS>(stages + stage * STAGE + LEFT, embedding, first_token, p.vocabulary, p.hidden,
                                                    first_column, p.hidden, p.is_vectorised);
        },
        [&](u32 stage) { product.add(stages + stage * STAGE, stages + stage * STAGE + LEFT); });
    float* share = p.shares + u64(blockIdx.z) * p.rows * p.hidden;
    for_each_number(product, [&](u32 row, u32 column, float value) {
        if (first_row + row < p.rows && first_column + column < p.hidden) {
            share[u64(first_row + row) * p.hidden + first_column + column] = value;
        }
    });
}

using soft_embeddings_f32_parameters = soft_embeddings_parameters;
KERNEL(soft_embeddings_f32, SOFT_THREADS, 2) { soft_embeddings<float, float, 32, 32, 3>(p); }
// Exact products with an embedding stored as bf16.
using soft_embeddings_widened_parameters = soft_embeddings_parameters;
KERNEL(soft_embeddings_widened, SOFT_THREADS, 2) { soft_embeddings<float, bf16, 32, 32, 3>(p); }
using soft_embeddings_bf16_64_parameters = soft_embeddings_parameters;
KERNEL(soft_embeddings_bf16_64, SOFT_THREADS, 2) { soft_embeddings<bf16, bf16, 64, 64, 3>(p); }
using soft_embeddings_bf16_128_parameters = soft_embeddings_parameters;
KERNEL(soft_embeddings_bf16_128, SOFT_THREADS, 2) { soft_embeddings<bf16, bf16, 128, 32, 4>(p); }

struct soft_embeddings_sum_parameters {
    const float* shares;  // [splits, numbers]
    float* output;        // [numbers]
    u64 numbers;          // rows times hidden
    u32 splits;
    float scale;
};

KERNEL(soft_embeddings_sum, SOFT_THREADS, 4) {
    u64 i = u64(blockIdx.x) * SOFT_THREADS + threadIdx.x;
    if (i >= p.numbers) return;
    float sum = 0.0f;
    for (u32 split = 0; split < p.splits; split++) sum += p.shares[split * p.numbers + i];
    p.output[i] = sum * p.scale;
}
