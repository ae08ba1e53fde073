// Which experts a row goes through, and which rows an expert gets.

#include "common/warp.cuh"

constexpr u32 CHOOSE_WARPS = 4;

struct choose_experts_parameters {
    const float* scores;            // [rows, experts]
    const float* per_expert_scale;  // [experts]
    u32* chosen;                    // [rows, slots], ascending
    float* weights;                 // [rows, slots]
    u32 rows;
    u32 experts;  // at most 1024
    u32 slots;    // at most 32 and the experts
};

// Greater for the greater score and, of equal ones, for the lower expert. What is no number comes last, behind minus infinity.
__device__ __forceinline__ u64 rank_of(float score, u32 expert) {
    u32 bits = bits_of(score + 0.0f);
    u32 order = is_nan(score) ? 1 : bits & 0x80000000u ? ~bits : bits | 0x80000000u;
    return u64(order) << 32 | (0xFFFFFFFFu - expert);
}

__device__ __forceinline__ u64 warp_maximum(u64 value) {
#pragma unroll
    for (u32 mask = WARP_LANES_COUNT / 2; mask > 0; mask /= 2) {
        const u64 other = u64(shuffle_xor(u32(value >> 32), mask)) << 32 | shuffle_xor(u32(value), mask);
        value = value > other ? value : other;
    }
    return value;
}

// A warp takes a row: the most probable experts, their probabilities summed to one and then scaled by expert. The softmax over all experts
// cancels in that sum, so only the chosen ones are exponentiated.
KERNEL(choose_experts, CHOOSE_WARPS * WARP_LANES_COUNT, 4) {
    const u32 row = blockIdx.x * CHOOSE_WARPS + warp_index();
    if (row >= p.rows) return;
    const u32 lane = lane_index();
    const float* scores = p.scores + u64(row) * p.experts;
    // Bit i: whether this lane's i-th expert is taken. Lane s keeps what slot s got.
    u32 taken = 0, own_expert = 0;
    float own_score = 0.0f;
    for (u32 slot = 0; slot < p.slots; slot++) {
        u64 best = 0;
        for (u32 i = 0; lane + i * WARP_LANES_COUNT < p.experts; i++) {
            const u32 expert = lane + i * WARP_LANES_COUNT;
            const u64 rank = rank_of(scores[expert], expert);
            if (!(taken >> i & 1) && rank > best) best = rank;
        }
        const u32 expert = 0xFFFFFFFFu - u32(warp_maximum(best));
        if (expert % WARP_LANES_COUNT == lane) taken |= 1u << expert / WARP_LANES_COUNT;
        if (slot == lane) {
            own_expert = expert;
            own_score = scores[expert];
        }
    }
    const float weight = exponential(own_score - shuffle(own_score, 0));
    float sum = 0.0f;
    u32 place = 0;
    for (u32 slot = 0; slot < p.slots; slot++) {
        sum += shuffle(weight, slot);
        place += shuffle(own_expert, slot) < own_expert;
    }
    if (lane < p.slots) {
        p.chosen[u64(row) * p.slots + place] = own_expert;
        p.weights[u64(row) * p.slots + place] = weight / sum * p.per_expert_scale[own_expert];
    }
}

constexpr u32 GROUP_THREADS = 256;

struct group_by_expert_parameters {
    const u32* chosen;  // [assignments]
    u32* starts;        // [experts + 1]: where an expert's assignments begin in the order
    u32* order;         // [assignments], by expert and then as they came
    u32 assignments;
    u32 experts;
};

// A block takes an expert and looks at all assignments: there are few, and no block has to wait for another.
KERNEL(group_by_expert, GROUP_THREADS, 2) {
    auto* scratch = reinterpret_cast<u32*>(shared_memory());
    const u32 expert = blockIdx.x;
    u32 before = 0;
    for (u32 i = threadIdx.x; i < p.assignments; i += blockDim.x) before += p.chosen[i] < expert;
    const u32 start = block_sum(before, scratch);
    u32 found = 0;
    for (u32 first = 0; first < p.assignments; first += blockDim.x) {
        const u32 index = first + threadIdx.x;
        const bool mine = index < p.assignments && p.chosen[index] == expert;
        const u32 votes = warp_ballot(mine);
        if (lane_index() == 0) scratch[warp_index()] = count_bits(votes);
        block_barrier();
        u32 place = start + found + count_bits(votes & ((1u << lane_index()) - 1));
        for (u32 warp = 0; warp < blockDim.x / WARP_LANES_COUNT; warp++) {
            if (warp < warp_index()) place += scratch[warp];
            found += scratch[warp];
        }
        if (mine) p.order[place] = index;
        block_barrier();
    }
    if (threadIdx.x == 0) {
        p.starts[expert] = start;
        if (expert + 1 == p.experts) p.starts[p.experts] = start + found;
    }
}
