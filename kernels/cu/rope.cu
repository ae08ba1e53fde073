// What stands between the projection of queries, keys and values and the attention: norms of each head, rotary position embedding by
// halves (Su et al., RoFormer, 2021), and where keys and values go: to the cache behind what it has, or to rows of their own.

#include "common/segments.cuh"
#include "common/warp.cuh"

constexpr u32 ROPE_THREADS = 256;
constexpr u32 ROPE_WARPS = ROPE_THREADS / WARP_LANES_COUNT;
constexpr u32 HEAD_DIM_MAX = 512;
constexpr u32 LANE_PAIRS_MAX = HEAD_DIM_MAX / 2 / WARP_LANES_COUNT;

struct place_heads_parameters {
    const Segment* segments;
    const float* projected;            // [rows, heads + kv_heads (+ kv_heads), head_dim]: queries, keys and values, if any
    const float* query_norm;           // [head_dim]
    const float* key_norm;             // [head_dim]
    const float* inverse_frequencies;  // [head_dim / 2]; 0 where a dimension does not rotate
    void* queries;                     // [rows, heads, head_dim], or null where nobody wants them
    void* own_keys;                    // [rows, kv_heads, head_dim], or null to append to the segments' caches
    void* own_values;
    u32 segment_count;
    u32 heads;
    u32 kv_heads;
    u32 head_dim;
    u32 has_values;  // where there are none, the raw keys serve
    float eps;
};

// A head, spread over a warp: lane l has the dimensions l + 32i, and those that rotate with them.
struct SpreadHead {
    float first[LANE_PAIRS_MAX];
    float second[LANE_PAIRS_MAX];

    // Runs over the lane's pairs of dimensions.
    template <typename Body>
    __device__ __forceinline__ static void for_each(u32 half, Body body) {
#pragma unroll
        for (u32 i = 0; i < LANE_PAIRS_MAX; i++) {
            u32 dimension = lane_index() + i * WARP_LANES_COUNT;
            if (dimension < half) body(i, dimension);
        }
    }

    __device__ __forceinline__ void load(const float* head, u32 half) {
        for_each(half, [&](u32 i, u32 dimension) {
            first[i] = head[dimension];
            second[i] = head[dimension + half];
        });
    }

    __device__ __forceinline__ void norm(const float* weight, u32 half, float eps) {
        float squares = 0.0f;
        for_each(half, [&](u32 i, u32) { squares = fused(second[i], second[i], fused(first[i], first[i], squares)); });
        float scale = 1.0f / square_root(warp_sum(squares) / float(2 * half) + eps);
        for_each(half, [&](u32 i, u32 dimension) {
            first[i] *= scale;
            second[i] *= scale;
            if (weight != nullptr) {
                first[i] *= weight[dimension];
                second[i] *= weight[dimension + half];
            }
        });
    }

    __device__ __forceinline__ void rotate(const float* cosines, const float* sines, u32 half) {
        for_each(half, [&](u32 i, u32 dimension) {
            float x = first[i], y = second[i], c = cosines[dimension], s = sines[dimension];
            first[i] = x * c - y * s;
            second[i] = y * c + x * s;
        });
    }

    template <typename Element>
    __device__ __forceinline__ void store(Element* head, u32 half) const {
        for_each(half, [&](u32 i, u32 dimension) {
            head[dimension] = from_float<Element>(first[i]);
            head[dimension + half] = from_float<Element>(second[i]);
        });
    }
};

// A block takes a row, its warps take heads in turn.
template <typename Element>
__device__ __forceinline__ void place_heads(const place_heads_parameters& p) {
    auto* cosines = reinterpret_cast<float*>(shared_memory());
    u32 row = blockIdx.x, half = p.head_dim / 2;
    float* sines = cosines + half;
    // Every row is one of a segment's.
    u32 index = 0;
    while (index + 1 < p.segment_count && row >= p.segments[index].first_row + p.segments[index].rows) index++;
    const Segment segment = p.segments[index];
    u32 position = segment.cached_tokens + row - segment.first_row;
    for (u32 i = threadIdx.x; i < half; i += ROPE_THREADS) {
        float angle = float(position) * p.inverse_frequencies[i];
        cosines[i] = cosine(angle);
        sines[i] = sine(angle);
    }
    block_barrier();

    u64 kv_width = u64(p.kv_heads) * p.head_dim;
    bool is_own = p.own_keys != nullptr;
    u64 kv_row = (is_own ? row : position) * kv_width;
    auto* keys = static_cast<Element*>(is_own ? p.own_keys : segment.cached_keys) + kv_row;
    auto* values = static_cast<Element*>(is_own ? p.own_values : segment.cached_values) + kv_row;
    auto* queries = static_cast<Element*>(p.queries);
    u32 width = p.heads + p.kv_heads * (p.has_values ? 2 : 1);
    const float* projected = p.projected + u64(row) * width * p.head_dim;
    u32 tasks = p.heads + 2 * p.kv_heads;
    for (u32 task = (queries == nullptr ? p.heads : 0) + warp_index(); task < tasks; task += ROPE_WARPS) {
        SpreadHead head;
        if (task < p.heads) {
            head.load(projected + u64(task) * p.head_dim, half);
            head.norm(p.query_norm, half, p.eps);
            head.rotate(cosines, sines, half);
            head.store(queries + (u64(row) * p.heads + task) * p.head_dim, half);
        } else if (task < p.heads + p.kv_heads) {
            head.load(projected + u64(task) * p.head_dim, half);
            head.norm(p.key_norm, half, p.eps);
            head.rotate(cosines, sines, half);
            head.store(keys + u64(task - p.heads) * p.head_dim, half);
        } else {
            u32 source = p.has_values ? task : task - p.kv_heads;
            head.load(projected + u64(source) * p.head_dim, half);
            head.norm(nullptr, half, p.eps);
            head.store(values + u64(task - p.heads - p.kv_heads) * p.head_dim, half);
        }
    }
}

using place_heads_f32_parameters = place_heads_parameters;
KERNEL(place_heads_f32, ROPE_THREADS, 2) { place_heads<float>(p); }
using place_heads_bf16_parameters = place_heads_parameters;
KERNEL(place_heads_bf16, ROPE_THREADS, 2) { place_heads<bf16>(p); }
