// Sums and maxima over a block of 256 threads.

#pragma once

#include "common/warp.cuh"

constexpr u32 REDUCTION_THREADS = 256;

// Numbers of shared memory that a reduction needs.
struct ReductionScratch {
    double sums[REDUCTION_THREADS];
    float values[REDUCTION_THREADS / WARP_LANES_COUNT];
    float padding[REDUCTION_THREADS / WARP_LANES_COUNT];
};

// The sum over the block in a fixed order, the same in every thread.
__device__ __forceinline__ double block_sum_of_doubles(double value, ReductionScratch& scratch) {
    scratch.sums[threadIdx.x] = value;
    block_barrier();
#pragma unroll
    for (u32 width = REDUCTION_THREADS / 2; width > 0; width /= 2) {
        if (threadIdx.x < width) scratch.sums[threadIdx.x] += scratch.sums[threadIdx.x + width];
        block_barrier();
    }
    double sum = scratch.sums[0];
    block_barrier();
    return sum;
}

// The greatest value, the same in every thread; one that is not a number counts for nothing.
__device__ __forceinline__ float block_maximum(float value, ReductionScratch& scratch) {
    value = warp_maximum(value);
    if (lane_index() == 0) scratch.values[warp_index()] = value;
    block_barrier();
    u32 warps = REDUCTION_THREADS / WARP_LANES_COUNT;
    float greatest = warp_maximum(lane_index() < warps ? scratch.values[lane_index()] : -infinity());
    block_barrier();
    return greatest;
}
