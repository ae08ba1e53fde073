// The canvas head: distributions over the vocabulary from hidden rows, without their logits ever being written.
//
// `head_tiles` reads the embedding once. A block makes the logits of a tile of rows and 128 tokens, and leaves for each row what
// `head_combine` needs of them: greatest, sums, and the best sample. Votes change single logits by what is known only when all tiles are done, so
// tiles leave these tokens out, and `head_combine` puts them in.
//
// A soft embedding is a product of a row's distribution with the whole embedding. Its weights need the logits, whose product with the
// embedding needs its rows whole; so one read of the embedding cannot serve both. The tiles keep exponentials, in the
// element type of the product: at 256 rows a tenth of the bytes that making them again would read. `head_weights` turns
// them into probabilities, `soft_embeddings` reads the embedding a second time, and `soft_embeddings_sum` adds its shares up.

#include "common/copy.cuh"
#include "common/logarithms.cuh"

#include "common/matrix.cuh"
#include "common/order.cuh"
#include "common/steps.cuh"
#include "common/warp.cuh"

constexpr u32 HEAD_THREADS = 256;
constexpr u32 HEAD_WARPS = HEAD_THREADS / WARP_LANES_COUNT;
// Tokens of a tile, and columns of the soft embeddings'. A lane has 4 tokens, for which one Philox counter has the words.
constexpr u32 TILE_COLUMNS = 128;
constexpr u32 PRODUCT_STRIDE = TILE_COLUMNS + 4;
constexpr u32 LANE_TOKENS = 4;
constexpr u32 VECTOR_BYTES = 16;
constexpr u32 NO_TOKEN = 0xFFFFFFFFu;
// Below this an exponential is zero, and zero times -inf must not be NaN.
constexpr float LEAST_EXPONENT = -100.0f;
// What votes leave to the model at least.
constexpr float OWN_SHARE_MIN = 1e-6f;
// Votes in one row at most; more are not counted.
constexpr u32 ROW_VOTES_MAX = 24;

// ---- Products of tiles

// Begins to fill a tile of ROWS rows and COLUMNS columns of a matrix from (first_row, first_column) on; what is beyond
// it is zero.
template <typename Element, u32 ROWS, u32 COLUMNS>
__device__ __forceinline__ void load_tile(Element* tile, const Element* matrix, u32 first_row, u32 rows, u64 stride, u32 first_column,
                                          u32 columns, bool is_vectorised) {
    constexpr u32 PER_VECTOR = VECTOR_BYTES / sizeof(Element);
    constexpr u32 VECTORS = COLUMNS / PER_VECTOR;
    constexpr u32 TILE_STRIDE = COLUMNS + PER_VECTOR;
    if (is_vectorised) {
#pragma unroll
        for (u32 i = threadIdx.x; i < ROWS * VECTORS; i += HEAD_THREADS) {
            u32 row = i / VECTORS, column = i % VECTORS * PER_VECTOR;
            u32 left = first_column + column < columns ? columns - first_column - column : 0;
            u32 valid = first_row + row < rows ? (left < PER_VECTOR ? left : PER_VECTOR) : 0;
            const Element* source = valid == 0 ? matrix : matrix + (first_row + row) * stride + first_column + column;
            async_copy_16(tile + row * TILE_STRIDE + column, source, valid * u32(sizeof(Element)));
        }
        return;
    }
    for (u32 i = threadIdx.x; i < ROWS * COLUMNS; i += HEAD_THREADS) {
        u32 row = i / COLUMNS, column = i % COLUMNS;
        bool is_there = first_row + row < rows && first_column + column < columns;
        tile[row * TILE_STRIDE + column] =
            is_there ? matrix[(first_row + row) * stride + first_column + column] : from_float<Element>(0.0f);
    }
}

// A block's product [ROWS, TILE_COLUMNS] of a left matrix, row by row, with a right one: the rows of a transposed one, or as it is.
template <typename Element, u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED>
struct TileProduct;

// On tensor cores: a warp has 32 rows, and a share of the columns.
template <u32 ROWS, u32 DEPTH, bool IS_TRANSPOSED>
struct TileProduct<bf16, ROWS, DEPTH, IS_TRANSPOSED> {
    static constexpr u32 ROW_WARPS = ROWS / 32;
    static constexpr u32 COLUMN_WARPS = HEAD_WARPS / ROW_WARPS;
    static constexpr u32 WARP_COLUMNS = TILE_COLUMNS / COLUMN_WARPS;
    static constexpr u32 LEFT_STRIDE = DEPTH + 8;
    static constexpr u32 RIGHT_STRIDE = (IS_TRANSPOSED ? DEPTH : TILE_COLUMNS) + 8;
    static_assert(ROWS % 32 == 0 && HEAD_WARPS % ROW_WARPS == 0 && WARP_COLUMNS % 16 == 0 && DEPTH % 16 == 0, "whole matrices");

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
    static constexpr u32 THREAD_ROWS = ROWS / HEAD_WARPS;
    static constexpr u32 THREAD_COLUMNS = TILE_COLUMNS / WARP_LANES_COUNT;
    static constexpr u32 LEFT_STRIDE = DEPTH + 4;
    static constexpr u32 RIGHT_STRIDE = (IS_TRANSPOSED ? DEPTH : TILE_COLUMNS) + 4;
    static_assert(ROWS % HEAD_WARPS == 0 && THREAD_COLUMNS == 4 && DEPTH % 4 == 0, "threads share the product evenly");

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

// ---- The rows that the head reads

struct head_rows_parameters {
    const float* stream;     // [packed rows, hidden]
    const SampleRow* table;  // which of them; all in their order where null
    const float* weight;     // [hidden]
    void* output;            // [rows, hidden]
    u32* floors;             // [rows], see `head_tiles`; they begin at nothing
    u32 hidden;
    float eps;
};

// The final norm of chosen rows, a block each.
template <typename Element>
__device__ __forceinline__ void head_rows(const head_rows_parameters& p) {
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    u32 row = p.table == nullptr ? blockIdx.x : p.table[blockIdx.x].row;
    const float* input = p.stream + u64(row) * p.hidden;
    auto* output = static_cast<Element*>(p.output) + u64(blockIdx.x) * p.hidden;
    if (threadIdx.x == 0) p.floors[blockIdx.x] = 0;
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.hidden; i += HEAD_THREADS) squares = fused(input[i], input[i], squares);
    float mean = block_sum(squares, scratch) / float(p.hidden);
    float scale = 1.0f / square_root(mean + p.eps);
    for (u32 i = threadIdx.x; i < p.hidden; i += HEAD_THREADS) {
        output[i] = from_float<Element>(input[i] * scale * p.weight[i]);
    }
}

using head_rows_f32_parameters = head_rows_parameters;
KERNEL(head_rows_f32, HEAD_THREADS, 2) { head_rows<float>(p); }
using head_rows_bf16_parameters = head_rows_parameters;
KERNEL(head_rows_bf16, HEAD_THREADS, 2) { head_rows<bf16>(p); }

// ---- Tiles of logits

// What a tile leaves of a row. Logits are capped; tempered ones are also divided by the temperature.
struct TileFindings {
    float greatest;  // tempered
    u32 argmax;      // the lowest token that has it, or NO_TOKEN
    float sum;       // of exp(z), where z is a tempered logit less the greatest
    float weighted;  // of z * exp(z)
    float best;      // the greatest sum of a tempered logit and its Gumbel number
    u32 sample;      // the lowest token that has it, or NO_TOKEN
    float sample_logit;  // tempered
    float own_greatest;
    float own_sum;
};

struct head_tiles_parameters {
    const void* rows_in;     // [rows, hidden], normed
    const void* embedding;   // [vocabulary, hidden]
    const SampleRow* table;  // [rows]
    const Step* step;        // null for temperature 1
    const u64* sets;         // [sets, set_words], a bit a token
    const u32* listed_from;  // [rows + 1]: where each row's listed tokens begin; null where there are none
    const u32* listed;       // tokens whose logits are wanted
    float* listed_logits;    // capped; -inf where the token must not stand there
    const float* tape;       // Gumbel numbers, [canvas rows, vocabulary]; null to draw them
    TileFindings* findings;  // [rows, tiles]
    u32* floors;             // [rows]: of each row's best samples so far, the order of the best
    void* kept;              // [rows, kept_stride]: exp(z); null where nobody wants soft embeddings
    float* logits;           // [rows, vocabulary], capped; where not null, nothing else is written
    u64 kept_stride;
    u32 rows;
    u32 vocabulary;
    u32 hidden;
    u32 set_words;
    float soft_cap;
    u32 leaves_out_listed;
    u32 wants_sample;
    u32 wants_own;
    u32 is_vectorised;
    u32 reserved;
};

// The lower one of equal tokens with the greater value; one that is not a number never wins.
__device__ __forceinline__ void keep_greater(float& value, u32& token, float& companion, float other_value, u32 other_token,
                                             float other_companion) {
    if (other_value > value || (other_value == value && other_token < token)) {
        value = other_value;
        token = other_token;
        companion = other_companion;
    }
}

// The logits of one row's tile as the lane's four tokens have them, and what the warp finds in them.
template <typename Element>
__device__ __forceinline__ void finish_row(const head_tiles_parameters& p, u32 row, u32 first_token, float* products) {
    u32 lane_token = first_token + lane_index() * LANE_TOKENS;
    float* own_products = products + lane_index() * LANE_TOKENS;
    float logits[LANE_TOKENS];
    float inverse_cap = 1.0f / p.soft_cap;
#pragma unroll
    for (u32 i = 0; i < LANE_TOKENS; i++) logits[i] = p.soft_cap * hyperbolic_tangent(own_products[i] * inverse_cap);
    if (p.logits != nullptr) {
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) {
            if (lane_token + i < p.vocabulary) p.logits[u64(row) * p.vocabulary + lane_token + i] = logits[i];
        }
        return;
    }
    const SampleRow sample_row = p.table[row];
    u32 allowed = 0xF;
    if (sample_row.set != NO_SET) {
        u32 word = lane_token / 64;
        allowed = word < p.set_words ? u32(p.sets[u64(sample_row.set) * p.set_words + word] >> lane_token % 64) : 0;
    }
#pragma unroll
    for (u32 i = 0; i < LANE_TOKENS; i++) {
        if (lane_token + i >= p.vocabulary || (allowed >> i & 1) == 0) logits[i] = -infinity();
    }

    u32 listed_from = 0, listed_to = 0;
    if (p.listed_from != nullptr) {
        listed_from = p.listed_from[row];
        listed_to = p.listed_from[row + 1];
    }
    if (listed_from < listed_to) {
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) own_products[i] = logits[i];
        warp_barrier();
        for (u32 i = listed_from + lane_index(); i < listed_to; i += WARP_LANES_COUNT) {
            u32 column = p.listed[i] - first_token;
            if (column < TILE_COLUMNS) p.listed_logits[i] = products[column];
        }
        // Tokens may be listed twice, so none is taken out before all are read.
        warp_barrier();
        if (p.leaves_out_listed) {
            for (u32 i = listed_from + lane_index(); i < listed_to; i += WARP_LANES_COUNT) {
                u32 column = p.listed[i] - first_token;
                if (column < TILE_COLUMNS) products[column] = -infinity();
            }
            warp_barrier();
#pragma unroll
            for (u32 i = 0; i < LANE_TOKENS; i++) logits[i] = own_products[i];
        }
    }

    TileFindings found;
    found.own_greatest = -infinity();
    found.own_sum = 0.0f;
    if (p.wants_own) {
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) found.own_greatest = maximum(found.own_greatest, logits[i]);
        found.own_greatest = warp_maximum(found.own_greatest);
        float shift = found.own_greatest == -infinity() ? 0.0f : found.own_greatest;
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) found.own_sum += exponential(logits[i] - shift);
        found.own_sum = warp_sum(found.own_sum);
    }

    Step step = {1.0f, 0};
    if (p.step != nullptr) step = *p.step;
    float inverse_temperature = 1.0f / step.temperature;
    found.greatest = -infinity();
#pragma unroll
    for (u32 i = 0; i < LANE_TOKENS; i++) {
        logits[i] *= inverse_temperature;
        found.greatest = maximum(found.greatest, logits[i]);
    }
    found.greatest = warp_maximum(found.greatest);
    float shift = found.greatest == -infinity() ? 0.0f : found.greatest;
    found.argmax = NO_TOKEN;
    found.sum = 0.0f;
    found.weighted = 0.0f;
    float kept[LANE_TOKENS];
#pragma unroll
    for (u32 i = 0; i < LANE_TOKENS; i++) {
        float z = logits[i] - shift;
        kept[i] = exponential(z);
        found.sum += kept[i];
        found.weighted = fused(kept[i], maximum(z, LEAST_EXPONENT), found.weighted);
        bool is_greatest = logits[i] == found.greatest && found.greatest > -infinity();
        if (is_greatest && found.argmax == NO_TOKEN) found.argmax = lane_token + i;
    }
    found.sum = warp_sum(found.sum);
    found.weighted = warp_sum(found.weighted);
#pragma unroll
    for (u32 mask = WARP_LANES_COUNT / 2; mask > 0; mask /= 2) {
        u32 other = shuffle_xor(found.argmax, mask);
        if (other < found.argmax) found.argmax = other;
    }
    if (p.kept != nullptr) {
        auto* target = static_cast<Element*>(p.kept) + u64(row) * p.kept_stride + lane_token;
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) {
            if (lane_token + i < p.vocabulary) target[i] = from_float<Element>(kept[i]);
        }
    }

    found.best = -infinity();
    found.sample = NO_TOKEN;
    found.sample_logit = -infinity();
    // Noise has a greatest value, so tiles that could not win even with it are not drawn for. Whatever other blocks have found by now, what
    // is left out loses.
    bool has_hope = true;
    if (p.wants_sample && p.tape == nullptr) {
        float best_possible = found.greatest + GUMBEL_MAX;
        has_hope = best_possible > -infinity() && order_of(best_possible) >= load_volatile(&p.floors[row]);
    }
    if (p.wants_sample && has_hope) {
        u32 words[4] = {0, 0, 0, 0};
        const float* tape = nullptr;
        if (p.tape != nullptr) {
            tape = p.tape + u64(sample_row.canvas_row) * p.vocabulary;
        } else {
            random_words(place_of(sample_row, step), PURPOSE_SAMPLE, lane_token / LANE_TOKENS, words);
        }
#pragma unroll
        for (u32 i = 0; i < LANE_TOKENS; i++) {
            if (lane_token + i >= p.vocabulary) continue;
            float value = logits[i] + (tape != nullptr ? tape[lane_token + i] : gumbel_of_word(words[i]));
            if (value > found.best) {
                found.best = value;
                found.sample = lane_token + i;
                found.sample_logit = logits[i];
            }
        }
#pragma unroll
        for (u32 mask = WARP_LANES_COUNT / 2; mask > 0; mask /= 2) {
            float value = shuffle_xor(found.best, mask), logit = shuffle_xor(found.sample_logit, mask);
            u32 token = shuffle_xor(found.sample, mask);
            keep_greater(found.best, found.sample, found.sample_logit, value, token, logit);
        }
        if (p.tape == nullptr && lane_index() == 0 && found.sample != NO_TOKEN) {
            atomic_maximum(&p.floors[row], order_of(found.best));
        }
    }
    if (lane_index() == 0) p.findings[u64(row) * gridDim.y + blockIdx.y] = found;
}

// Grid: tiles of rows; tiles of tokens. Blocks that read the same tokens follow each other.
template <typename Element, u32 ROWS, u32 DEPTH, u32 STAGES>
__device__ __forceinline__ void head_tiles(const head_tiles_parameters& p) {
    using Product = TileProduct<Element, ROWS, DEPTH, true>;
    constexpr u32 LEFT = ROWS * Product::LEFT_STRIDE, STAGE = LEFT + TILE_COLUMNS * Product::RIGHT_STRIDE;
    static_assert(ROWS * PRODUCT_STRIDE * sizeof(float) <= STAGES * STAGE * sizeof(Element), "the logits fit where the stages were");
    auto* stages = reinterpret_cast<Element*>(shared_memory());
    u32 first_row = blockIdx.x * ROWS, first_token = blockIdx.y * TILE_COLUMNS;
    auto* rows_in = static_cast<const Element*>(p.rows_in);
    auto* embedding = static_cast<const Element*>(p.embedding);
    Product product;
    product.clear();
    pipeline<STAGES>(
        divide_up(p.hidden, DEPTH),
        [&](u32 stage, u32 slab) {
            load_tile<Element, ROWS, DEPTH>(stages + stage * STAGE, rows_in, first_row, p.rows, p.hidden, slab * DEPTH, p.hidden,
                                            p.is_vectorised);
            load_tile<Element, TILE_COLUMNS, DEPTH>(stages + stage * STAGE + LEFT, embedding, first_token, p.vocabulary, p.hidden,
                                                    slab * DEPTH, p.hidden, p.is_vectorised);
        },
        [&](u32 stage) { product.add(stages + stage * STAGE, stages + stage * STAGE + LEFT); });
    auto* products = reinterpret_cast<float*>(shared_memory());
    for_each_number(product, [&](u32 row, u32 column, float value) { products[row * PRODUCT_STRIDE + column] = value; });
    block_barrier();
    for (u32 row = warp_index(); row < ROWS && first_row + row < p.rows; row += HEAD_WARPS) {
        finish_row<Element>(p, first_row + row, first_token, products + row * PRODUCT_STRIDE);
    }
}

using head_tiles_f32_parameters = head_tiles_parameters;
KERNEL(head_tiles_f32, HEAD_THREADS, 2) { head_tiles<float, 32, 32, 3>(p); }
// Few rows: what counts is the bytes of the embedding that are under way.
using head_tiles_bf16_64_parameters = head_tiles_parameters;
KERNEL(head_tiles_bf16_64, HEAD_THREADS, 2) { head_tiles<bf16, 64, 64, 3>(p); }
// Many rows: what counts is how much is multiplied for each byte that is loaded.
using head_tiles_bf16_128_parameters = head_tiles_parameters;
KERNEL(head_tiles_bf16_128, HEAD_THREADS, 2) { head_tiles<bf16, 128, 32, 4>(p); }

// ---- What the tiles together say

// What turns kept exponentials of a row into probabilities.
struct RowScale {
    float greatest;  // what was subtracted before exponentials
    float inverse_sum;
};

struct head_combine_parameters {
    const TileFindings* findings;  // [rows, tiles]
    const SampleRow* table;
    const Step* step;  // null for temperature 1
    const u32* listed_from;
    const u32* listed;
    const float* listed_logits;
    const float* vote_probabilities;  // of the listed tokens; null where they are no votes
    float* vote_weights;              // their probabilities in the tempered mixture
    float* log_probabilities;         // of the listed tokens, where wanted
    const float* tape;
    RowOutcome* outcomes;
    RowScale* scales;
    u32 tiles;
    u32 vocabulary;
    u32 wants_own;
    u32 reserved;
};

// The logarithm of the sum of two exponentials.
__device__ __forceinline__ float add_exponentials(float a, float b) {
    return maximum(a, b) + logarithm_of_one_plus(exponential(-absolute(a - b)));
}

// The sum over the block in a fixed order, the same in every thread.
__device__ __forceinline__ double block_sum_of_doubles(double value, double* scratch) {
    scratch[threadIdx.x] = value;
    block_barrier();
#pragma unroll
    for (u32 width = HEAD_THREADS / 2; width > 0; width /= 2) {
        if (threadIdx.x < width) scratch[threadIdx.x] += scratch[threadIdx.x + width];
        block_barrier();
    }
    double sum = scratch[0];
    block_barrier();
    return sum;
}

__device__ __forceinline__ float block_maximum(float value, float* scratch) {
    value = warp_maximum(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    block_barrier();
    float greatest = warp_maximum(lane_index() < HEAD_WARPS ? scratch[lane_index()] : -infinity());
    block_barrier();
    return greatest;
}

struct CombineShared {
    double sums[HEAD_THREADS];
    float values[HEAD_WARPS];
    u32 tokens[HEAD_WARPS];
    float companions[HEAD_WARPS];
    float scratch[BLOCK_SUM_SCRATCH];
    // Votes: their first mention, capped logits of the model and of the mixture.
    u32 vote_tokens[ROW_VOTES_MAX];
    float vote_own[ROW_VOTES_MAX];
    float vote_mixed[ROW_VOTES_MAX];
    u32 vote_is_first[ROW_VOTES_MAX];
    // What one thread found, for all of them.
    float greatest;
    u32 argmax;
};

// The greatest value of the block, with the lowest token that has it, in every thread.
__device__ __forceinline__ void block_keep_greater(float& value, u32& token, float& companion, CombineShared& shared) {
#pragma unroll
    for (u32 mask = WARP_LANES_COUNT / 2; mask > 0; mask /= 2) {
        float other = shuffle_xor(value, mask), other_companion = shuffle_xor(companion, mask);
        u32 other_token = shuffle_xor(token, mask);
        keep_greater(value, token, companion, other, other_token, other_companion);
    }
    if (lane_index() == 0) {
        shared.values[warp_index()] = value;
        shared.tokens[warp_index()] = token;
        shared.companions[warp_index()] = companion;
    }
    block_barrier();
    for (u32 warp = 0; warp < HEAD_WARPS; warp++) {
        keep_greater(value, token, companion, shared.values[warp], shared.tokens[warp], shared.companions[warp]);
    }
    block_barrier();
}

__device__ __forceinline__ double sum_share(float sum, float greatest, float shift) {
    // A tile of nothing but -inf has a sum of nought, or NaN; a product with exp(-inf) leaves both as they are.
    return double(sum) * double(exponential(greatest - shift));
}

// A block takes a row.
KERNEL(head_combine, HEAD_THREADS, 2) {
    auto& shared = *reinterpret_cast<CombineShared*>(shared_memory());
    u32 row = blockIdx.x;
    const TileFindings* findings = p.findings + u64(row) * p.tiles;
    const SampleRow sample_row = p.table[row];
    Step step = {1.0f, 0};
    if (p.step != nullptr) step = *p.step;
    float inverse_temperature = 1.0f / step.temperature;

    float greatest = -infinity(), best = -infinity(), sample_logit = -infinity(), own_greatest = -infinity(), unused = 0.0f;
    u32 argmax = NO_TOKEN, sample = NO_TOKEN;
    for (u32 tile = threadIdx.x; tile < p.tiles; tile += HEAD_THREADS) {
        const TileFindings& found = findings[tile];
        keep_greater(greatest, argmax, unused, found.greatest, found.argmax, 0.0f);
        keep_greater(best, sample, sample_logit, found.best, found.sample, found.sample_logit);
        own_greatest = maximum(own_greatest, found.own_greatest);
    }
    block_keep_greater(greatest, argmax, unused, shared);
    block_keep_greater(best, sample, sample_logit, shared);

    u32 votes_from = 0, votes = 0;
    if (p.listed_from != nullptr && p.vote_probabilities != nullptr) {
        votes_from = p.listed_from[row];
        votes = p.listed_from[row + 1] - votes_from;
        if (votes > ROW_VOTES_MAX) votes = ROW_VOTES_MAX;
    }
    if (threadIdx.x < votes) {
        u32 token = p.listed[votes_from + threadIdx.x], is_first = 1;
        for (u32 i = 0; i < threadIdx.x; i++) is_first &= p.listed[votes_from + i] != token;
        shared.vote_tokens[threadIdx.x] = token;
        shared.vote_own[threadIdx.x] = p.listed_logits[votes_from + threadIdx.x];
        shared.vote_mixed[threadIdx.x] = shared.vote_own[threadIdx.x];
        shared.vote_is_first[threadIdx.x] = is_first;
    }
    block_barrier();

    float own_log_partition = 0.0f;
    if (p.wants_own) {
        own_greatest = block_maximum(own_greatest, shared.scratch);
        for (u32 i = 0; i < votes; i++) own_greatest = maximum(own_greatest, shared.vote_own[i]);
        float shift = own_greatest == -infinity() ? 0.0f : own_greatest;
        double sum = 0.0;
        for (u32 tile = threadIdx.x; tile < p.tiles; tile += HEAD_THREADS) {
            sum += sum_share(findings[tile].own_sum, findings[tile].own_greatest, shift);
        }
        if (threadIdx.x < votes && shared.vote_is_first[threadIdx.x]) sum += double(exponential(shared.vote_own[threadIdx.x] - shift));
        sum = block_sum_of_doubles(sum, shared.sums);
        own_log_partition = float(double(shift) + logarithm(sum));
    }
    if (threadIdx.x == 0 && votes > 0) {
        float voted = 0.0f;
        for (u32 i = 0; i < votes; i++) voted += p.vote_probabilities[votes_from + i];
        float log_share = logarithm(maximum(1.0f - voted, OWN_SHARE_MIN));
        for (u32 i = 0; i < votes; i++) {
            u32 first = 0;
            while (shared.vote_tokens[first] != shared.vote_tokens[i]) first++;
            float logit = shared.vote_mixed[first];
            // Everything else keeps its logit, so that the model's partition stands for its share.
            if (logit != -infinity()) {
                float probability = p.vote_probabilities[votes_from + i];
                shared.vote_mixed[first] = add_exponentials(logit, own_log_partition + logarithm(probability) - log_share);
            }
        }
        for (u32 i = 0; i < votes; i++) {
            if (!shared.vote_is_first[i]) continue;
            u32 token = shared.vote_tokens[i];
            float logit = shared.vote_mixed[i] * inverse_temperature;
            float noise;
            if (p.tape != nullptr) {
                noise = p.tape[u64(sample_row.canvas_row) * p.vocabulary + token];
            } else {
                u32 words[4];
                random_words(place_of(sample_row, step), PURPOSE_SAMPLE, token / 4, words);
                u32 word = token % 4 == 0 ? words[0] : token % 4 == 1 ? words[1] : token % 4 == 2 ? words[2] : words[3];
                noise = gumbel_of_word(word);
            }
            if (logit > -infinity()) keep_greater(greatest, argmax, unused, logit, token, 0.0f);
            if (logit + noise > -infinity()) keep_greater(best, sample, sample_logit, logit + noise, token, logit);
        }
    }
    if (threadIdx.x == 0) {
        shared.greatest = greatest;
        shared.argmax = argmax;
    }
    block_barrier();
    greatest = shared.greatest;

    float shift = greatest == -infinity() ? 0.0f : greatest;
    double sum = 0.0, weighted = 0.0;
    for (u32 tile = threadIdx.x; tile < p.tiles; tile += HEAD_THREADS) {
        const TileFindings& found = findings[tile];
        double share = sum_share(found.sum, found.greatest, shift);
        sum += share;
        weighted += sum_share(found.weighted, found.greatest, shift);
        // What the tile's own greatest logit is below the row's belongs to each of its exponents.
        if (found.greatest != -infinity()) weighted += share * double(found.greatest - shift);
    }
    if (threadIdx.x < votes && shared.vote_is_first[threadIdx.x]) {
        float z = shared.vote_mixed[threadIdx.x] * inverse_temperature - shift;
        sum += double(exponential(z));
        weighted += double(exponential(z) * maximum(z, LEAST_EXPONENT));
    }
    sum = block_sum_of_doubles(sum, shared.sums);
    weighted = block_sum_of_doubles(weighted, shared.sums);
    double log_sum = logarithm(sum);
    float log_partition = float(double(shift) + log_sum);
    float inverse_sum = 1.0f / float(sum);

    if (threadIdx.x < votes && p.vote_weights != nullptr) {
        u32 first = 0;
        while (shared.vote_tokens[first] != shared.vote_tokens[threadIdx.x]) first++;
        p.vote_weights[votes_from + threadIdx.x] = exponential(shared.vote_mixed[first] * inverse_temperature - shift) * inverse_sum;
    }
    if (p.log_probabilities != nullptr && p.listed_from != nullptr) {
        for (u32 i = p.listed_from[row] + threadIdx.x; i < p.listed_from[row + 1]; i += HEAD_THREADS) {
            p.log_probabilities[i] = p.listed_logits[i] - log_partition;
        }
    }
    if (threadIdx.x != 0) return;
    if (p.scales != nullptr) p.scales[row] = {shift, inverse_sum};
    if (p.outcomes == nullptr) return;
    RowOutcome outcome;
    outcome.argmax = argmax == NO_TOKEN ? 0 : argmax;
    outcome.sample = sample == NO_TOKEN ? 0 : sample;
    outcome.entropy = float(log_sum - weighted / sum);
    outcome.probability = exponential(greatest - log_partition);
    outcome.own_probability = 1.0f;
    if (p.wants_own) {
        float own = sample_logit * step.temperature;
        for (u32 i = 0; i < votes; i++) {
            if (shared.vote_is_first[i] && shared.vote_tokens[i] == outcome.sample) own = shared.vote_own[i];
        }
        outcome.own_probability = exponential(own - own_log_partition);
    }
    p.outcomes[row] = outcome;
}

// ---- Soft embeddings

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
    for (u32 tile = blockIdx.y * HEAD_WARPS + warp_index(); tile < p.tiles; tile += gridDim.y * HEAD_WARPS) {
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
KERNEL(head_weights_f32, HEAD_THREADS, 4) { head_weights<float>(p); }
using head_weights_bf16_parameters = head_weights_parameters;
KERNEL(head_weights_bf16, HEAD_THREADS, 4) { head_weights<bf16>(p); }

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
    auto& shared = *reinterpret_cast<CombineShared*>(shared_memory());
    const float* logits = p.logits + u64(blockIdx.x) * p.vocabulary;
    auto* weights = static_cast<Element*>(p.weights) + u64(blockIdx.x) * p.weights_stride;
    float greatest = -infinity();
    for (u32 i = threadIdx.x; i < p.vocabulary; i += HEAD_THREADS) greatest = maximum(greatest, logits[i]);
    greatest = block_maximum(greatest, shared.scratch);
    float shift = greatest == -infinity() ? 0.0f : greatest;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < p.vocabulary; i += HEAD_THREADS) sum += double(exponential(logits[i] - shift));
    float scale = 1.0f / float(block_sum_of_doubles(sum, shared.sums));
    for (u32 i = threadIdx.x; i < p.vocabulary; i += HEAD_THREADS) {
        weights[i] = from_float<Element>(exponential(logits[i] - shift) * scale);
    }
}

using soften_f32_parameters = soften_parameters;
KERNEL(soften_f32, HEAD_THREADS, 2) { soften<float>(p); }
using soften_bf16_parameters = soften_parameters;
KERNEL(soften_bf16, HEAD_THREADS, 2) { soften<bf16>(p); }

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
template <typename Element, u32 ROWS, u32 DEPTH, u32 STAGES>
__device__ __forceinline__ void soft_embeddings(const soft_embeddings_parameters& p) {
    using Product = TileProduct<Element, ROWS, DEPTH, false>;
    constexpr u32 LEFT = ROWS * Product::LEFT_STRIDE, STAGE = LEFT + DEPTH * Product::RIGHT_STRIDE;
    auto* stages = reinterpret_cast<Element*>(shared_memory());
    u32 first_row = blockIdx.x * ROWS, first_column = blockIdx.y * TILE_COLUMNS;
    u32 slabs = divide_up(p.vocabulary, DEPTH), per_split = divide_up(slabs, gridDim.z);
    u32 begin = blockIdx.z * per_split < slabs ? blockIdx.z * per_split : slabs;
    u32 end = begin + per_split < slabs ? begin + per_split : slabs;
    auto* weights = static_cast<const Element*>(p.weights);
    auto* embedding = static_cast<const Element*>(p.embedding);
    Product product;
    product.clear();
    pipeline<STAGES>(
        end - begin,
        [&](u32 stage, u32 slab) {
            u32 first_token = (begin + slab) * DEPTH;
            load_tile<Element, ROWS, DEPTH>(stages + stage * STAGE, weights, first_row, p.rows, p.weights_stride, first_token,
                                            p.vocabulary, p.is_vectorised);
            load_tile<Element, DEPTH, TILE_COLUMNS>(stages + stage * STAGE + LEFT, embedding, first_token, p.vocabulary, p.hidden,
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
KERNEL(soft_embeddings_f32, HEAD_THREADS, 2) { soft_embeddings<float, 32, 32, 3>(p); }
using soft_embeddings_bf16_64_parameters = soft_embeddings_parameters;
KERNEL(soft_embeddings_bf16_64, HEAD_THREADS, 2) { soft_embeddings<bf16, 64, 64, 3>(p); }
using soft_embeddings_bf16_128_parameters = soft_embeddings_parameters;
KERNEL(soft_embeddings_bf16_128, HEAD_THREADS, 2) { soft_embeddings<bf16, 128, 32, 4>(p); }

struct soft_embeddings_sum_parameters {
    const float* shares;  // [splits, numbers]
    float* output;        // [numbers]
    u64 numbers;          // rows times hidden
    u32 splits;
    float scale;
};

KERNEL(soft_embeddings_sum, HEAD_THREADS, 4) {
    u64 i = u64(blockIdx.x) * HEAD_THREADS + threadIdx.x;
    if (i >= p.numbers) return;
    float sum = 0.0f;
    for (u32 split = 0; split < p.splits; split++) sum += p.shares[split * p.numbers + i];
    p.output[i] = sum * p.scale;
}
