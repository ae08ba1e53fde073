// What happens between two passes: which hole positions are accepted, what the others hold next, and whether a canvas is done.
//
// The state of a run stands on the device, so that a captured graph serves every step; the host reads one report.

#include "common/findings.cuh"
#include "common/order.cuh"
#include "common/steps.cuh"
#include "common/warp.cuh"

constexpr u32 SAMPLER_THREADS = 256;

// A canvas of the run, whose hole rows stand together among the sample rows.
struct Canvas {
    u32 first_hole;
    u32 holes;
    u32 is_done;
    u32 history;  // argmax canvases remembered
    u32 next_history;
    u32 reserved;
};

// What the host is told of a hole row after a step.
struct RowReport {
    RowOutcome outcome;
    u32 is_accepted;
    u32 token;  // what the row holds now
};

// What the host is told of a canvas after a step.
struct CanvasReport {
    u32 is_done;
    float mean_entropy;  // nats
};

struct advance_canvases_parameters {
    Canvas* canvases;
    const SampleRow* table;      // [sample rows]
    const RowOutcome* outcomes;  // [sample rows]: of this step
    RowReport* row_reports;      // [sample rows]
    CanvasReport* canvas_reports;  // [canvases]
    u32* history;                // [stability_threshold, sample rows]
    u32* ids;                    // [packed rows]
    const Step* step;
    const u64* sets;             // [sets, set_words], a bit a token
    const u32* ranks;            // [sets, set_words + 1]: members before each word, and all
    const u32* tape;             // tokens that rejected positions get, [steps, tape_rows]; null to draw them
    u32 set_words;
    u32 tape_rows;
    u32 holes;                   // of all canvases
    u32 vocabulary;
    u32 mask;                    // what rejected positions get, or NO_TOKEN to draw
    u32 stability_threshold;
    float entropy_bound;
    float confidence_threshold;
    u32 sorted;                  // places to sort in: a power of two, at least the holes of each canvas
    u32 step_limit;
};

// The `index`-th member of a set, or 0 where there is none.
__device__ __forceinline__ u32 member_of(const advance_canvases_parameters& p, u32 set, u32 index) {
    const u32* ranks = p.ranks + u64(set) * (p.set_words + 1);
    if (index >= ranks[p.set_words]) return 0;
    // The last word that begins with at most so many members before it.
    u32 low = 0, high = p.set_words;
    while (high - low > 1) {
        u32 middle = (low + high) / 2;
        if (ranks[middle] <= index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    u64 word = p.sets[u64(set) * p.set_words + low];
    for (u32 left = index - ranks[low]; left > 0; left--) word &= word - 1;
    u32 lower = u32(word);
    u32 half = lower != 0 ? lower : u32(word >> 32);
    // The bits below the lowest one that is set.
    return low * 64 + (lower != 0 ? 0 : 32) + count_bits(~half & (half - 1));
}

__device__ __forceinline__ u32 renoise(const advance_canvases_parameters& p, const SampleRow& row, const Step& step) {
    if (p.tape != nullptr) return p.tape[u64(step.index) * p.tape_rows + row.canvas_row];
    if (p.mask != NO_TOKEN) return p.mask;
    Place place = place_of(row, step);
    if (row.set == NO_SET) return random_index(place, PURPOSE_RENOISE, p.vocabulary);
    u32 members = p.ranks[u64(row.set) * (p.set_words + 1) + p.set_words];
    return member_of(p, row.set, random_index(place, PURPOSE_RENOISE, members));
}

struct AdvanceShared {
    u32 accepted;
    float mean_entropy;
    u32 changed[SAMPLER_THREADS / WARP_LANES_COUNT];
};

// A block takes a canvas.
KERNEL(advance_canvases, SAMPLER_THREADS, 1) {
    Canvas& canvas = p.canvases[blockIdx.x];
    u32 first = canvas.first_hole, holes = canvas.holes;
    const Step step = *p.step;
    if (canvas.is_done || step.index >= p.step_limit) return;
    auto* keys = reinterpret_cast<u64*>(shared_memory());
    auto* entropies = reinterpret_cast<float*>(keys + p.sorted);
    auto& shared = *reinterpret_cast<AdvanceShared*>(entropies + p.sorted);
    const RowOutcome* outcomes = p.outcomes + first;
    for (u32 i = threadIdx.x; i < p.sorted; i += SAMPLER_THREADS) {
        float entropy = i < holes ? outcomes[i].entropy : 0.0f;
        entropies[i] = entropy;
        // Equal entropies keep the order of their positions; places without one come last.
        keys[i] = i < holes ? u64(order_of(entropy)) << 32 | i : ~u64(0);
    }
    block_barrier();

    // Batcher's bitonic sort (Sorting networks and their applications, 1968).
    for (u32 size = 2; size <= p.sorted; size *= 2) {
        for (u32 distance = size / 2; distance > 0; distance /= 2) {
            for (u32 i = threadIdx.x; i < p.sorted; i += SAMPLER_THREADS) {
                u32 other = i ^ distance;
                if (other <= i) continue;
                bool ascends = (i & size) == 0;
                u64 a = keys[i], b = keys[other];
                if ((a > b) == ascends) {
                    keys[i] = b;
                    keys[other] = a;
                }
            }
            block_barrier();
        }
    }

    // Sums in the order of the positions, so that they are the same everywhere.
    if (threadIdx.x == 0) {
        float before = 0.0f;
        u32 accepted = 0;
        while (accepted < holes && (accepted == 0 || !(before > p.entropy_bound || is_nan(before)))) {
            before += value_of(u32(keys[accepted] >> 32));
            accepted++;
        }
        shared.accepted = accepted;
    }
    if (threadIdx.x == WARP_LANES_COUNT) {
        // Minus nought changes no number that it is added to, not even another one.
        float sum = -0.0f;
        for (u32 i = 0; i < holes; i++) sum += entropies[i];
        shared.mean_entropy = sum / float(holes);
    }
    bool has_changed = false;
    for (u32 i = threadIdx.x; i < holes; i += SAMPLER_THREADS) {
        for (u32 past = 0; past < canvas.history; past++) {
            has_changed |= p.history[u64(past) * p.holes + first + i] != outcomes[i].argmax;
        }
    }
    u32 changed = warp_ballot(has_changed);
    if (lane_index() == 0) shared.changed[warp_index()] = changed;
    block_barrier();

    for (u32 rank = threadIdx.x; rank < holes; rank += SAMPLER_THREADS) {
        u32 i = u32(keys[rank]);
        const SampleRow row = p.table[first + i];
        bool is_accepted = rank < shared.accepted;
        u32 token = is_accepted ? outcomes[i].sample : renoise(p, row, step);
        p.ids[row.row] = token;
        p.row_reports[first + i] = {outcomes[i], is_accepted, token};
        if (p.stability_threshold > 0) {
            p.history[u64(canvas.next_history) * p.holes + first + i] = outcomes[i].argmax;
        }
    }
    block_barrier();
    if (threadIdx.x != 0) return;
    bool is_stable = canvas.history >= p.stability_threshold;
    for (u32 warp = 0; warp < SAMPLER_THREADS / WARP_LANES_COUNT; warp++) is_stable = is_stable && shared.changed[warp] == 0;
    canvas.is_done = is_stable && shared.mean_entropy < p.confidence_threshold;
    p.canvas_reports[blockIdx.x] = {canvas.is_done, shared.mean_entropy};
    if (p.stability_threshold > 0) {
        canvas.next_history = (canvas.next_history + 1) % p.stability_threshold;
        if (canvas.history < p.stability_threshold) canvas.history++;
    }
}

struct next_step_parameters {
    Step* step;
    u32 step_limit;
    float t_min;
    float t_max;
    u32 reserved;
};

// Turns to the next step. One thread does it.
KERNEL(next_step, WARP_LANES_COUNT, 1) {
    if (lane_index() != 0) return;
    u32 next = p.step->index + 1;
    float remaining = float(next < p.step_limit ? p.step_limit - next : 0);
    *p.step = {p.t_min + (p.t_max - p.t_min) * (remaining / float(p.step_limit)), next};
}
