// The canvas head: distributions over the vocabulary from hidden rows, without their logits ever being written.
//
// `head_tiles` reads the embedding once. A block makes the logits of a tile of rows and 128 tokens, and leaves for each row what
// `head_combine` needs of them: greatest, sums, and the best sample. Votes change single logits by what is known only when all tiles are done, so
// tiles leave these tokens out, and `head_combine` puts them in.

#include "common/findings.cuh"
#include "common/logarithms.cuh"
#include "common/order.cuh"
#include "common/products.cuh"
#include "common/reductions.cuh"
#include "common/steps.cuh"

constexpr u32 HEAD_THREADS = PRODUCT_THREADS;
constexpr u32 HEAD_WARPS = PRODUCT_WARPS;
// Numbers from row to row of a tile's logits in shared memory.
constexpr u32 PRODUCT_STRIDE = TILE_COLUMNS + 4;
// Below this an exponential is zero, and zero times -inf must not be NaN.
constexpr float LEAST_EXPONENT = -100.0f;
// What votes leave to the model at least.
constexpr float OWN_SHARE_MIN = 1e-6f;

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
    // is left out loses. One lane asks, so that all of them hear the same.
    bool has_hope = true;
    if (p.wants_sample && p.tape == nullptr) {
        u32 floor = shuffle(lane_index() == 0 ? load_volatile(&p.floors[row]) : 0, 0);
        has_hope = found.greatest > -infinity() && order_of(found.greatest + GUMBEL_MAX) >= floor;
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
template <typename Element, typename Stored, u32 ROWS, u32 DEPTH, u32 STAGES>
__device__ __forceinline__ void head_tiles(const head_tiles_parameters& p) {
    using Product = TileProduct<Element, ROWS, DEPTH, true>;
    constexpr u32 LEFT = ROWS * Product::LEFT_STRIDE, STAGE = LEFT + TILE_COLUMNS * Product::RIGHT_STRIDE;
    static_assert(ROWS * PRODUCT_STRIDE * sizeof(float) <= STAGES * STAGE * sizeof(Element), "the logits fit where the stages were");
    auto* stages = reinterpret_cast<Element*>(shared_memory());
    u32 first_row = blockIdx.x * ROWS, first_token = blockIdx.y * TILE_COLUMNS;
    auto* rows_in = static_cast<const Element*>(p.rows_in);
    auto* embedding = static_cast<const Stored*>(p.embedding);
    Product product;
    product.clear();
    pipeline<STAGES>(
        divide_up(p.hidden, DEPTH),
        [&](u32 stage, u32 slab) {
            load_tile<ROWS, DEPTH>(stages + stage * STAGE, rows_in, first_row, p.rows, p.hidden, slab * DEPTH, p.hidden,
                                            p.is_vectorised);
            load_tile<TILE_COLUMNS, DEPTH>(stages + stage * STAGE + LEFT, embedding, first_token, p.vocabulary, p.hidden,
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
KERNEL(head_tiles_f32, HEAD_THREADS, 2) { head_tiles<float, float, 32, 32, 3>(p); }
// Exact products with an embedding stored as bf16.
using head_tiles_widened_parameters = head_tiles_parameters;
KERNEL(head_tiles_widened, HEAD_THREADS, 2) { head_tiles<float, bf16, 32, 32, 3>(p); }
// Few rows: what counts is the bytes of the embedding that are under way.
using head_tiles_bf16_64_parameters = head_tiles_parameters;
KERNEL(head_tiles_bf16_64, HEAD_THREADS, 2) { head_tiles<bf16, bf16, 64, 64, 3>(p); }
// Many rows: what counts is how much is multiplied for each byte that is loaded.
using head_tiles_bf16_128_parameters = head_tiles_parameters;
KERNEL(head_tiles_bf16_128, HEAD_THREADS, 2) { head_tiles<bf16, bf16, 128, 32, 4>(p); }

// ---- What the tiles together say

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

struct CombineShared {
    ReductionScratch reduction;
    float values[HEAD_WARPS];
    u32 tokens[HEAD_WARPS];
    float companions[HEAD_WARPS];
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
        own_greatest = block_maximum(own_greatest, shared.reduction);
        for (u32 i = 0; i < votes; i++) own_greatest = maximum(own_greatest, shared.vote_own[i]);
        float shift = own_greatest == -infinity() ? 0.0f : own_greatest;
        double sum = 0.0;
        for (u32 tile = threadIdx.x; tile < p.tiles; tile += HEAD_THREADS) {
            sum += sum_share(findings[tile].own_sum, findings[tile].own_greatest, shift);
        }
        if (threadIdx.x < votes && shared.vote_is_first[threadIdx.x]) sum += double(exponential(shared.vote_own[threadIdx.x] - shift));
        sum = block_sum_of_doubles(sum, shared.reduction);
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
    sum = block_sum_of_doubles(sum, shared.reduction);
    weighted = block_sum_of_doubles(weighted, shared.reduction);
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
