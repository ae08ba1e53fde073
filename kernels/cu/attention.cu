// Attention of packed segments over a prompt's cached keys and values: causal for new prompt tokens, both directions for canvases.
//
// A block takes a tile of queries of one segment and one KV head, and a share of the keys that they see. A query is a row
// together with one of the query heads that read the KV head, so that all of them share each key that is loaded. The softmax runs along
// with the keys (Milakov and Gimelshein, Online normalizer calculation for softmax, 2018; Dao et al., FlashAttention, 2022). Where the
// keys are split among blocks, `combine_attention` adds the shares up in their order.
//
// Keys and values come through a ring of slots in shared memory: keys of a tile, its values, keys of the next, and so on.

#include "common/attention_products.cuh"
#include "common/segments.cuh"

constexpr u32 ATTENTION_VECTOR_BYTES = 16;

struct attend_parameters {
    const Segment* segments;
    const void* queries;     // [rows, heads, head_dim]
    const void* own_keys;    // [rows, kv_heads, head_dim]; not read where causal, for the cache has them
    const void* own_values;  // likewise
    void* output;            // [rows, heads, head_dim]
    float* shares;           // [splits, rows, heads, head_dim], where there is more than one split
    float* share_sums;       // [splits, rows, heads, 2]: the greatest score, and the sum of exponentials
    u32 rows;
    u32 heads;
    u32 kv_heads;
    u32 head_dim;
    u32 window;  // positions that a row sees, itself included; 0 for all
    u32 splits;
    u32 is_causal;
    u32 is_vectorised;  // whether head_dim is the tile's, and all rows are aligned to 16 bytes
};

// The keys that a tile of queries sees, counted from 0: first cached ones, then the segment's own.
struct Keys {
    u32 first_position;  // of the first cached one
    u32 cached;
    u32 count;
};

__device__ __forceinline__ Keys keys_of(const attend_parameters& p, const Segment& segment, u32 first_row, u32 last_row) {
    if (p.is_causal) {
        u32 first = segment.cached_tokens + first_row;
        u32 end = segment.cached_tokens + last_row + 1;
        u32 start = p.window != 0 && first + 1 > p.window ? first + 1 - p.window : 0;
        return {start, end - start, end - start};
    }
    u32 seen = segment.cached_tokens;
    if (p.window != 0 && seen > p.window - 1) seen = p.window - 1;
    return {segment.cached_tokens - seen, seen, seen + segment.rows};
}

// The sizes of a kernel's tiles, and where they stand in shared memory. Rows are padded by 16 bytes, so that
// neighbouring rows lie in different banks.
template <typename Element, u32 HEAD_DIM, u32 QUERIES, u32 KEYS, u32 SLOTS>
struct AttentionTile {
    static constexpr u32 PADDING = ATTENTION_VECTOR_BYTES / sizeof(Element);
    static constexpr u32 STRIDE = HEAD_DIM + PADDING;
    static constexpr u32 SCORE_STRIDE = KEYS + 4;
    static constexpr u32 WEIGHT_STRIDE = KEYS + PADDING;
    static constexpr u32 QUERY_BYTES = QUERIES * STRIDE * sizeof(Element);
    static constexpr u32 SLOT_BYTES = KEYS * STRIDE * sizeof(Element);
    static constexpr u32 SCORE_BYTES = QUERIES * SCORE_STRIDE * sizeof(float);
    // In f32 a weight takes its score's place.
    static constexpr bool WEIGHTS_ARE_SCORES = sizeof(Element) == sizeof(float);
    static constexpr u32 WEIGHT_BYTES = WEIGHTS_ARE_SCORES ? 0 : QUERIES * WEIGHT_STRIDE * sizeof(Element);
    static constexpr u32 STATE_BYTES = 3 * QUERIES * sizeof(float);
    static constexpr u32 BYTES = QUERY_BYTES + SLOTS * SLOT_BYTES + SCORE_BYTES + WEIGHT_BYTES + STATE_BYTES;

    Element* queries;
    Element* slots;
    float* scores;
    Element* weights;
    float* greatest;
    float* sums;
    float* factors;

    __device__ __forceinline__ AttentionTile() {
        u8* next = shared_memory();
        queries = reinterpret_cast<Element*>(next);
        next += QUERY_BYTES;
        slots = reinterpret_cast<Element*>(next);
        next += SLOTS * SLOT_BYTES;
        scores = reinterpret_cast<float*>(next);
        next += SCORE_BYTES;
        weights = reinterpret_cast<Element*>(WEIGHTS_ARE_SCORES ? reinterpret_cast<u8*>(scores) : next);
        next += WEIGHT_BYTES;
        greatest = reinterpret_cast<float*>(next);
        sums = greatest + QUERIES;
        factors = sums + QUERIES;
    }

    __device__ __forceinline__ Element* slot(u32 index) const { return slots + index % SLOTS * (KEYS * STRIDE); }
};

// Begins to fill ROWS rows of a tile; `source` gives a row's numbers, or null where there is none: then zeros.
template <typename Element, u32 HEAD_DIM, u32 ROWS, typename Source>
__device__ __forceinline__ void load_rows(Element* tile, const attend_parameters& p, Source source) {
    constexpr u32 PER_VECTOR = ATTENTION_VECTOR_BYTES / sizeof(Element);
    constexpr u32 VECTORS = HEAD_DIM / PER_VECTOR;
    constexpr u32 STRIDE = HEAD_DIM + PER_VECTOR;
    if (p.is_vectorised) {
#pragma unroll 4
        for (u32 i = threadIdx.x; i < ROWS * VECTORS; i += ATTENTION_THREADS) {
            u32 row = i / VECTORS, column = i % VECTORS * PER_VECTOR;
            const Element* numbers = source(row);
            bool is_there = numbers != nullptr;
            async_copy_16(tile + row * STRIDE + column, is_there ? numbers + column : p.queries,
                          is_there ? ATTENTION_VECTOR_BYTES : 0);
        }
        return;
    }
    for (u32 i = threadIdx.x; i < ROWS * HEAD_DIM; i += ATTENTION_THREADS) {
        u32 row = i / HEAD_DIM, column = i % HEAD_DIM;
        const Element* numbers = source(row);
        bool is_there = numbers != nullptr && column < p.head_dim;
        tile[row * STRIDE + column] = is_there ? numbers[column] : from_float<Element>(0.0f);
    }
}

// Turns a tile of scores into weights, and says by what factor that changes what was summed up before. A few lanes take a
// query. `visible` gives the keys of this tile that a query sees, as first and end.
template <typename Element, u32 QUERIES, u32 KEYS, typename Tile, typename Visible>
__device__ __forceinline__ void weigh(const Tile& tile, Visible visible) {
    constexpr u32 LANES = ATTENTION_THREADS / QUERIES;
    static_assert(LANES <= WARP_LANES_COUNT && KEYS % LANES == 0, "a query's lanes are of one warp");
    u32 query = threadIdx.x / LANES, lane = threadIdx.x % LANES;
    const float* scores = tile.scores + query * Tile::SCORE_STRIDE;
    Element* weights = tile.weights + query * Tile::WEIGHT_STRIDE;
    u32 first, end;
    visible(query, first, end);
    float before = tile.greatest[query];
    float greatest = before;
#pragma unroll
    for (u32 i = 0; i < KEYS / LANES; i++) {
        u32 key = lane + i * LANES;
        if (key >= first && key < end) greatest = maximum(greatest, scores[key]);
    }
#pragma unroll
    for (u32 mask = LANES / 2; mask > 0; mask /= 2) greatest = maximum(greatest, shuffle_xor(greatest, mask));
    // Where all scores are -inf so far, subtracting the greatest has no meaning.
    float shift = greatest == -infinity() ? 0.0f : greatest;
    float sum = 0.0f;
#pragma unroll
    for (u32 i = 0; i < KEYS / LANES; i++) {
        u32 key = lane + i * LANES;
        float weight = key >= first && key < end ? exponential(scores[key] - shift) : 0.0f;
        weights[key] = from_float<Element>(weight);
        sum += weight;
    }
#pragma unroll
    for (u32 mask = LANES / 2; mask > 0; mask /= 2) sum += shuffle_xor(sum, mask);
    if (lane == 0) {
        float factor = exponential(before - shift);
        tile.greatest[query] = greatest;
        tile.factors[query] = factor;
        tile.sums[query] = fused(tile.sums[query], factor, sum);
    }
}

// Two neighbouring numbers at an even place.
__device__ __forceinline__ void store_pair(float* target, float first, float second) {
    *reinterpret_cast<float2*>(target) = make_float2(first, second);
}
__device__ __forceinline__ void store_pair(bf16* target, float first, float second) {
    *reinterpret_cast<u32*>(target) = to_bf16_pair(first, second);
}

// Grid: tiles of queries of the longest segment; KV heads times splits; segments.
template <typename Element, u32 HEAD_DIM, u32 QUERIES, u32 KEYS, u32 SLOTS>
__device__ __forceinline__ void attend(const attend_parameters& p) {
    using Tile = AttentionTile<Element, HEAD_DIM, QUERIES, KEYS, SLOTS>;
    static_assert(SLOTS >= 2, "values are loaded while keys are read");
    const Segment segment = p.segments[blockIdx.z];
    u32 group = p.heads / p.kv_heads;
    // Later tokens see more; who has most to do begins first.
    u32 query_tile = p.is_causal ? gridDim.x - 1 - blockIdx.x : blockIdx.x;
    u32 first_query = query_tile * QUERIES, queries = segment.rows * group;
    if (first_query >= queries) return;
    u32 last_query = (first_query + QUERIES < queries ? first_query + QUERIES : queries) - 1;
    u32 kv_head = blockIdx.y / p.splits, split = blockIdx.y % p.splits;
    Keys keys = keys_of(p, segment, first_query / group, last_query / group);
    u32 tiles_per_split = divide_up(divide_up(keys.count, KEYS), p.splits);
    u32 begin = split * tiles_per_split * KEYS;
    u32 end = begin + tiles_per_split * KEYS < keys.count ? begin + tiles_per_split * KEYS : keys.count;
    u32 tiles = begin < end ? divide_up(end - begin, KEYS) : 0;

    Tile tile;
    AttentionProducts<Element, HEAD_DIM, QUERIES, KEYS> products;
    products.clear();
    if (threadIdx.x < QUERIES) {
        tile.greatest[threadIdx.x] = -infinity();
        tile.sums[threadIdx.x] = 0.0f;
    }
    u64 kv_stride = u64(p.kv_heads) * p.head_dim, kv_column = u64(kv_head) * p.head_dim;
    // The place of a query's numbers in a tensor of [rows, heads, head_dim].
    auto query_offset = [&](u32 query) {
        u32 row = segment.first_row + query / group, head = kv_head * group + query % group;
        return (u64(row) * p.heads + head) * p.head_dim;
    };
    auto load_keys_or_values = [&](u32 index) {
        bool is_keys = index % 2 == 0;
        u32 first = begin + index / 2 * KEYS;
        auto* cached = static_cast<const Element*>(is_keys ? segment.cached_keys : segment.cached_values);
        auto* own = static_cast<const Element*>(is_keys ? p.own_keys : p.own_values);
        load_rows<Element, HEAD_DIM, KEYS>(tile.slot(index), p, [&](u32 row) -> const Element* {
            u32 key = first + row;
            if (key >= end) return nullptr;
            if (key < keys.cached) return cached + (keys.first_position + key) * kv_stride + kv_column;
            return own + (segment.first_row + key - keys.cached) * kv_stride + kv_column;
        });
    };
    if (tiles > 0) {
        load_rows<Element, HEAD_DIM, QUERIES>(tile.queries, p, [&](u32 row) -> const Element* {
            u32 query = first_query + row;
            return query < queries ? static_cast<const Element*>(p.queries) + query_offset(query) : nullptr;
        });
    }
#pragma unroll
    for (u32 index = 0; index + 1 < SLOTS; index++) {
        if (index < 2 * tiles) load_keys_or_values(index);
        async_commit();
    }
    // Waits for what is `index`-th in the ring, and begins to load what comes into the slot that was read before it.
    auto advance = [&](u32 index) {
        async_wait<SLOTS - 2>();
        block_barrier();
        if (index + SLOTS - 1 < 2 * tiles) load_keys_or_values(index + SLOTS - 1);
        async_commit();
        return tile.slot(index);
    };
    for (u32 index = 0; index < tiles; index++) {
        products.score(tile.queries, advance(2 * index), tile.scores);
        block_barrier();
        u32 first_key = begin + index * KEYS;
        weigh<Element, QUERIES, KEYS>(tile, [&](u32 row, u32& first, u32& after) {
            u32 query = first_query + row;
            u32 from = 0, to = query < queries ? end : 0;
            if (p.is_causal && query < queries) {
                u32 position = segment.cached_tokens + query / group;
                if (p.window != 0 && position + 1 > p.window + keys.first_position) {
                    from = position + 1 - p.window - keys.first_position;
                }
                if (position + 1 - keys.first_position < to) to = position + 1 - keys.first_position;
            }
            first = from > first_key ? from - first_key : 0;
            after = to > first_key ? to - first_key : 0;
        });
        const Element* values = advance(2 * index + 1);
        products.add_values(tile.weights, values, tile.factors);
    }
    block_barrier();

    if (p.splits == 1) {
        auto* output = static_cast<Element*>(p.output);
        products.for_each_pair([&](u32 row, u32 column, float first, float second) {
            if (first_query + row >= queries || column >= p.head_dim) return;
            float scale = 1.0f / tile.sums[row];
            // head_dim is even, for heads rotate by halves, so all places are.
            store_pair(output + query_offset(first_query + row) + column, first * scale, second * scale);
        });
        return;
    }
    u64 share = u64(split) * p.rows * p.heads;
    if (tiles > 0) {
        products.for_each_pair([&](u32 row, u32 column, float first, float second) {
            if (first_query + row >= queries || column >= p.head_dim) return;
            store_pair(p.shares + share * p.head_dim + query_offset(first_query + row) + column, first, second);
        });
    }
    if (threadIdx.x < QUERIES && first_query + threadIdx.x < queries) {
        u64 place = share + query_offset(first_query + threadIdx.x) / p.head_dim;
        p.share_sums[2 * place] = tile.greatest[threadIdx.x];
        p.share_sums[2 * place + 1] = tile.sums[threadIdx.x];
    }
}

#define ATTEND_KERNEL(NAME, ELEMENT, HEAD_DIM, QUERIES, KEYS, SLOTS, BLOCKS_MIN)                                         \
    using NAME##_parameters = attend_parameters;                                                                        \
    KERNEL(NAME, ATTENTION_THREADS, BLOCKS_MIN) { attend<ELEMENT, HEAD_DIM, QUERIES, KEYS, SLOTS>(p); }

ATTEND_KERNEL(attend_f32_64, float, 64, 32, 32, 3, 2)
ATTEND_KERNEL(attend_f32_256, float, 256, 32, 16, 2, 2)
ATTEND_KERNEL(attend_f32_512, float, 512, 16, 16, 2, 1)
ATTEND_KERNEL(attend_bf16_64, bf16, 64, 64, 64, 3, 2)
ATTEND_KERNEL(attend_bf16_256, bf16, 256, 64, 32, 3, 2)
ATTEND_KERNEL(attend_bf16_512, bf16, 512, 64, 32, 2, 1)
// For cards whose blocks have less shared memory.
ATTEND_KERNEL(attend_bf16_512_small, bf16, 512, 32, 16, 3, 1)

struct combine_attention_parameters {
    const float* shares;
    const float* share_sums;
    void* output;
    u32 queries;  // rows times heads
    u32 head_dim;
    u32 splits;
    u32 reserved;
};

// Splits at most: two a lane.
constexpr u32 LANE_SPLITS = 2;

// A warp takes a query. Each lane finds what some splits weigh; then the lanes share the columns.
template <typename Element>
__device__ __forceinline__ void combine_attention(const combine_attention_parameters& p) {
    u32 query = blockIdx.x * ATTENTION_WARPS + warp_index();
    if (query >= p.queries) return;
    auto* output = static_cast<Element*>(p.output) + u64(query) * p.head_dim;
    float greatest_of[LANE_SPLITS], sum_of[LANE_SPLITS];
    float greatest = -infinity();
#pragma unroll
    for (u32 i = 0; i < LANE_SPLITS; i++) {
        u32 split = i * WARP_LANES_COUNT + lane_index();
        u64 place = u64(split) * p.queries + query;
        greatest_of[i] = split < p.splits ? p.share_sums[2 * place] : -infinity();
        sum_of[i] = split < p.splits ? p.share_sums[2 * place + 1] : 0.0f;
        greatest = maximum(greatest, greatest_of[i]);
    }
    greatest = warp_maximum(greatest);
    float sum = 0.0f;
    float factors[LANE_SPLITS];
    u32 are_there[LANE_SPLITS];
#pragma unroll
    for (u32 i = 0; i < LANE_SPLITS; i++) {
        // A share without visible keys may not have been written.
        bool is_there = !(greatest_of[i] == -infinity() && sum_of[i] == 0.0f);
        // Where no score is more than -inf this is no number, as a softmax of such scores is none.
        factors[i] = exponential(greatest_of[i] - greatest);
        sum = fused(sum_of[i], factors[i], sum);
        are_there[i] = warp_ballot(is_there);
    }
    float scale = 1.0f / warp_sum(sum);
    for (u32 first = 0; first < p.head_dim; first += WARP_LANES_COUNT) {
        u32 column = first + lane_index();
        float value = 0.0f;
#pragma unroll 4
        for (u32 split = 0; split < p.splits; split++) {
            u32 lane = split % WARP_LANES_COUNT;
            bool is_first = split < WARP_LANES_COUNT;
            float factor = shuffle(is_first ? factors[0] : factors[1], lane);
            bool is_there = ((is_first ? are_there[0] : are_there[1]) >> lane & 1) != 0;
            if (!is_there || column >= p.head_dim) continue;
            value = fused(p.shares[(u64(split) * p.queries + query) * p.head_dim + column], factor, value);
        }
        if (column < p.head_dim) output[column] = from_float<Element>(value * scale);
    }
}

using combine_attention_f32_parameters = combine_attention_parameters;
KERNEL(combine_attention_f32, ATTENTION_THREADS, 4) { combine_attention<float>(p); }
using combine_attention_bf16_parameters = combine_attention_parameters;
KERNEL(combine_attention_bf16, ATTENTION_THREADS, 4) { combine_attention<bf16>(p); }
