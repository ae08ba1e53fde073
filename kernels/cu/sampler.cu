// What happens between two passes: which hole positions are accepted, what the others hold next, and whether a canvas is done.
//
// The state of a run stands on the device, so that a captured graph serves every step; the host reads one word of progress.

#include "common/findings.cuh"
#include "common/order.cuh"
#include "common/steps.cuh"
#include "common/warp.cuh"

constexpr u32 SAMPLER_THREADS = 256;

// A canvas of the run. Its rows stand together among the packed rows, its hole rows among the sample rows; what is left of it when it has
// stopped stands where its holes were in the beginning.
struct Canvas {
    u32 first_row;
    u32 rows;  // pinned ones counted
    u32 first_hole;
    u32 holes;
    u32 first_result;
    u32 is_packed;  // whether its rows are still there
    u32 is_done;
    u32 steps;    // taken
    u32 history;  // argmax canvases remembered
    u32 next_history;
    float mean_entropy;  // nats, of the last step
    u32 reserved;
};

struct advance_canvases_parameters {
    Canvas* canvases;
    const SampleRow* table;      // [sample rows]
    const RowOutcome* outcomes;  // [sample rows]: of this step
    RowOutcome* results;         // [results]: of each canvas's last step
    u32* accepted;               // [results]
    u32* history;                // [stability_threshold, results]
    u32* ids;                    // [packed rows]
    const Step* step;
    const u64* sets;             // [sets, set_words], a bit a token
    const u32* ranks;            // [sets, set_words + 1]: members before each word, and all
    const u32* tape;             // tokens that rejected positions get, [steps, tape_rows]; null to draw them
    u32 set_words;
    u32 tape_rows;
    u32 results_count;           // holes of all canvases in the beginning
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
    u32 first = canvas.first_hole, holes = canvas.holes, first_result = canvas.first_result;
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
            has_changed |= p.history[u64(past) * p.results_count + first_result + i] != outcomes[i].argmax;
        }
    }
    u32 changed = warp_ballot(has_changed);
    if (lane_index() == 0) shared.changed[warp_index()] = changed;
    block_barrier();

    for (u32 rank = threadIdx.x; rank < holes; rank += SAMPLER_THREADS) {
        u32 i = u32(keys[rank]);
        const SampleRow row = p.table[first + i];
        bool is_accepted = rank < shared.accepted;
        p.accepted[first_result + i] = is_accepted;
        p.ids[row.row] = is_accepted ? outcomes[i].sample : renoise(p, row, step);
        p.results[first_result + i] = outcomes[i];
        if (p.stability_threshold > 0) {
            p.history[u64(canvas.next_history) * p.results_count + first_result + i] = outcomes[i].argmax;
        }
    }
    block_barrier();
    if (threadIdx.x != 0) return;
    bool is_stable = canvas.history >= p.stability_threshold;
    for (u32 warp = 0; warp < SAMPLER_THREADS / WARP_LANES_COUNT; warp++) is_stable = is_stable && shared.changed[warp] == 0;
    canvas.is_done = is_stable && shared.mean_entropy < p.confidence_threshold;
    canvas.steps = step.index + 1;
    canvas.mean_entropy = shared.mean_entropy;
    if (p.stability_threshold > 0) {
        canvas.next_history = (canvas.next_history + 1) % p.stability_threshold;
        if (canvas.history < p.stability_threshold) canvas.history++;
    }
}

struct repack_parameters {
    Canvas* canvases;
    SampleRow* table;
    RowOutcome* results;
    u32* accepted;
    u32* ids;
    u32* sources;  // [ids]: for each row afterwards, which sample row it was, or NO_TOKEN
    u32 canvas_count;
    u32 ids_count;
    u32 delete_token;  // or NO_TOKEN
    u32 keep;          // rows of a delete tail that stay
};

// Whether a hole row is behind the first rows of its hole's delete tail: the longest run of accepted delete tokens at the end of a run
// of neighbouring hole rows.
__device__ __forceinline__ bool is_surplus(const repack_parameters& p, const Canvas& canvas, u32 hole) {
    const SampleRow* table = p.table + canvas.first_hole;
    auto is_delete = [&](u32 i) { return p.accepted[canvas.first_result + i] != 0 && p.ids[table[i].row] == p.delete_token; };
    if (p.delete_token == NO_TOKEN || !is_delete(hole)) return false;
    for (u32 i = hole + 1; i < canvas.holes && table[i].row == table[i - 1].row + 1; i++) {
        if (!is_delete(i)) return false;
    }
    u32 before = 0;
    for (u32 i = hole; i > 0 && before < p.keep && table[i].row == table[i - 1].row + 1 && is_delete(i - 1); i--) before++;
    return before >= p.keep;
}

// How many threads before this one hold the condition, and how many of the block.
__device__ __forceinline__ u32 block_rank(bool holds, u32* scratch, u32& all) {
    u32 votes = warp_ballot(holds);
    if (lane_index() == 0) scratch[warp_index()] = count_bits(votes);
    block_barrier();
    u32 rank = count_bits(votes & ((1u << lane_index()) - 1));
    all = 0;
    for (u32 warp = 0; warp < SAMPLER_THREADS / WARP_LANES_COUNT; warp++) {
        if (warp < warp_index()) rank += scratch[warp];
        all += scratch[warp];
    }
    block_barrier();
    return rank;
}

// Takes the rows of canvases that have stopped, and the surplus of delete tails, out of the packed rows; what is behind moves up. One block:
// nothing is written before all threads have read their share, and nothing moves down.
KERNEL(repack, SAMPLER_THREADS, 1) {
    auto* scratch = reinterpret_cast<u32*>(shared_memory());
    u32 packed_rows = 0, packed_holes = 0;
    for (u32 index = 0; index < p.canvas_count; index++) {
        const Canvas canvas = p.canvases[index];
        block_barrier();
        if (!canvas.is_packed) continue;
        Canvas moved = canvas;
        moved.first_row = packed_rows;
        moved.first_hole = packed_holes;
        // What each row is: a hole row that stays has its sample row, others have none; rows that go are marked.
        constexpr u32 GOES = NO_TOKEN - 1;
        for (u32 i = threadIdx.x; i < canvas.rows; i += SAMPLER_THREADS) {
            p.sources[canvas.first_row + i] = canvas.is_done ? GOES : NO_TOKEN;
        }
        block_barrier();
        for (u32 i = threadIdx.x; i < canvas.holes && !canvas.is_done; i += SAMPLER_THREADS) {
            p.sources[p.table[canvas.first_hole + i].row] = is_surplus(p, canvas, i) ? GOES : canvas.first_hole + i;
        }
        block_barrier();
        for (u32 first = 0; first < canvas.holes; first += SAMPLER_THREADS) {
            u32 i = first + threadIdx.x;
            bool is_there = i < canvas.holes;
            SampleRow row = {};
            RowOutcome result = {};
            u32 is_accepted = 0, stays = 0;
            if (is_there) {
                row = p.table[canvas.first_hole + i];
                stays = p.sources[row.row] != GOES;
                result = p.results[canvas.first_result + i];
                is_accepted = p.accepted[canvas.first_result + i];
            }
            u32 all, rank = block_rank(stays != 0, scratch, all);
            if (stays) {
                p.table[packed_holes + rank] = row;
                p.results[canvas.first_result + packed_holes - moved.first_hole + rank] = result;
                p.accepted[canvas.first_result + packed_holes - moved.first_hole + rank] = is_accepted;
            }
            packed_holes += all;
            block_barrier();
        }
        u32 hole = moved.first_hole;
        for (u32 first = 0; first < canvas.rows; first += SAMPLER_THREADS) {
            u32 i = first + threadIdx.x;
            u32 id = 0, source = GOES;
            if (i < canvas.rows) {
                id = p.ids[canvas.first_row + i];
                source = p.sources[canvas.first_row + i];
            }
            u32 all, rank = block_rank(source != GOES, scratch, all);
            u32 all_holes, hole_rank = block_rank(source < GOES, scratch, all_holes);
            if (source != GOES) {
                p.ids[packed_rows + rank] = id;
                p.sources[packed_rows + rank] = source;
            }
            if (source < GOES) {
                p.table[hole + hole_rank].row = packed_rows + rank;
                p.table[hole + hole_rank].canvas_row = packed_rows + rank - moved.first_row;
            }
            packed_rows += all;
            hole += all_holes;
            block_barrier();
        }
        if (threadIdx.x != 0) continue;
        moved.is_packed = !canvas.is_done;
        if (moved.is_packed) {
            moved.rows = packed_rows - moved.first_row;
            moved.holes = packed_holes - moved.first_hole;
        }
        // A canvas that has shrunk is another one: what was remembered of it is not compared with it.
        if (moved.rows != canvas.rows) moved.history = moved.next_history = 0;
        p.canvases[index] = moved;
    }
    for (u32 i = packed_rows + threadIdx.x; i < p.ids_count; i += SAMPLER_THREADS) p.sources[i] = NO_TOKEN;
}

// What the host learns of a run.
struct Progress {
    u32 live_canvases;
    u32 live_rows;  // pinned ones counted
    u32 live_holes;
    u32 next_step;
};

struct next_step_parameters {
    const Canvas* canvases;
    Step* step;
    Progress* progress;
    u32 canvas_count;
    u32 step_limit;
    float t_min;
    float t_max;
};

// Counts who is left, and turns to the next step. One warp.
KERNEL(next_step, WARP_LANES_COUNT, 1) {
    u32 canvases = 0, rows = 0, holes = 0;
    for (u32 i = lane_index(); i < p.canvas_count; i += WARP_LANES_COUNT) {
        if (p.canvases[i].is_done) continue;
        canvases++;
        rows += p.canvases[i].rows;
        holes += p.canvases[i].holes;
    }
    canvases = warp_sum(canvases);
    rows = warp_sum(rows);
    holes = warp_sum(holes);
    if (lane_index() != 0) return;
    u32 next = p.step->index + 1;
    float remaining = float(next < p.step_limit ? p.step_limit - next : 0);
    *p.step = {p.t_min + (p.t_max - p.t_min) * (remaining / float(p.step_limit)), next};
    // Behind the last step nobody is left.
    bool is_over = next >= p.step_limit;
    *p.progress = {is_over ? 0 : canvases, is_over ? 0 : rows, is_over ? 0 : holes, next};
}
