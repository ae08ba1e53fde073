// What lanes of a warp and threads of a block do together. All lanes of a warp take part. Sums are added in an order that
// depends on the number of threads alone.

#pragma once

#include "common/numbers.cuh"

#ifdef LACUNA_EMULATOR

namespace emulator {

struct Shuffle {
    u32 value;
    u32 source;
    u32 result;
};

inline void shuffle(void* const* payloads) {
    for (u32 lane = 0; lane < WARP_LANES; lane++) {
        auto* own = static_cast<Shuffle*>(payloads[lane]);
        own->result = static_cast<Shuffle*>(payloads[own->source % WARP_LANES])->value;
    }
}

inline void ballot(void* const* payloads) {
    u32 votes = 0;
    for (u32 lane = 0; lane < WARP_LANES; lane++) votes |= u32(static_cast<Shuffle*>(payloads[lane])->value != 0) << lane;
    for (u32 lane = 0; lane < WARP_LANES; lane++) static_cast<Shuffle*>(payloads[lane])->result = votes;
}

inline void meet(void* const*) {}

}  // namespace emulator

#endif

__device__ __forceinline__ u32 lane_index() { return threadIdx.x % WARP_LANES_COUNT; }
__device__ __forceinline__ u32 warp_index() { return threadIdx.x / WARP_LANES_COUNT; }

// Waits for all lanes of the warp, and lets them see what the others wrote.
#ifdef LACUNA_EMULATOR
#define warp_barrier() emulator::warp_collective(emulator::meet, nullptr, __LINE__)
#else
#define warp_barrier() __syncwarp()
#endif

// The value that lane `source` brings along.
__device__ __forceinline__ u32 shuffle(u32 value, u32 source) {
#ifdef LACUNA_EMULATOR
    emulator::Shuffle payload = {value, source, 0};
    emulator::warp_collective(emulator::shuffle, &payload, __LINE__);
    return payload.result;
#else
    return __shfl_sync(0xFFFFFFFFu, value, source);
#endif
}
__device__ __forceinline__ float shuffle(float value, u32 source) {
    return float_from_bits(shuffle(bits_of(value), source));
}

// The value of the lane whose index differs by the bits of `mask`.
template <typename T>
__device__ __forceinline__ T shuffle_xor(T value, u32 mask) {
#ifdef LACUNA_EMULATOR
    return shuffle(value, lane_index() ^ mask);
#else
    return __shfl_xor_sync(0xFFFFFFFFu, value, mask);
#endif
}

// A bit for each lane: whether its condition holds.
__device__ __forceinline__ u32 warp_ballot(bool condition) {
#ifdef LACUNA_EMULATOR
    emulator::Shuffle payload = {condition, 0, 0};
    emulator::warp_collective(emulator::ballot, &payload, __LINE__);
    return payload.result;
#else
    return __ballot_sync(0xFFFFFFFFu, condition);
#endif
}

__device__ __forceinline__ u32 count_bits(u32 bits) {
#ifdef LACUNA_EMULATOR
    return u32(__builtin_popcount(bits));
#else
    return u32(__popc(bits));
#endif
}

// The sum of the lanes' values, the same bits in every lane.
template <typename T>
__device__ __forceinline__ T warp_sum(T value) {
#pragma unroll
    for (u32 mask = WARP_LANES_COUNT / 2; mask > 0; mask /= 2) value += shuffle_xor(value, mask);
    return value;
}

// The greatest value; one that is not a number counts for nothing.
__device__ __forceinline__ float warp_maximum(float value) {
#pragma unroll
    for (u32 mask = WARP_LANES_COUNT / 2; mask > 0; mask /= 2) value = maximum(value, shuffle_xor(value, mask));
    return value;
}

// Numbers of shared memory that a block's sum needs.
constexpr u32 BLOCK_SUM_SCRATCH = 32;

// The sum over a one-dimensional block, the same bits in every thread. The scratch can be used again at once.
template <typename T>
__device__ __forceinline__ T block_sum(T value, T* scratch) {
    value = warp_sum(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    block_barrier();
    u32 warps = blockDim.x / WARP_LANES_COUNT;
    T sum = warp_sum(lane_index() < warps ? scratch[lane_index()] : T(0));
    block_barrier();
    return sum;
}

// The greatest value over a one-dimensional block, the same in every thread; one that is not a number counts for nothing. The scratch is as for a
// sum, and can be used again at once.
__device__ __forceinline__ float block_maximum(float value, float* scratch) {
    value = warp_maximum(value);
    if (lane_index() == 0) scratch[warp_index()] = value;
    block_barrier();
    const u32 warps = blockDim.x / WARP_LANES_COUNT;
    const float greatest = warp_maximum(lane_index() < warps ? scratch[lane_index()] : -infinity());
    block_barrier();
    return greatest;
}
