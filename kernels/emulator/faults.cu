// Kernels that break a rule each, to see that the emulator notices. For its tests alone.

#include "common/copy.cuh"
#include "common/warp.cuh"

struct fault_parameters {
    const float* input;  // [64], aligned to 16 bytes
    float* output;       // [64]
};

using barrier_for_some_parameters = fault_parameters;
KERNEL(barrier_for_some, 64, 1) {
    if (threadIdx.x < 40) block_barrier();
    p.output[threadIdx.x] = 1.0f;
}

using different_barriers_parameters = fault_parameters;
KERNEL(different_barriers, 64, 1) {
    if (warp_index() == 0) {
        block_barrier();
    } else {
        block_barrier();
    }
    p.output[threadIdx.x] = 1.0f;
}

using shuffle_for_some_parameters = fault_parameters;
KERNEL(shuffle_for_some, 64, 1) {
    p.output[threadIdx.x] = lane_index() < 31 ? shuffle(1.0f, 0) : 1.0f;
}

using different_collectives_parameters = fault_parameters;
KERNEL(different_collectives, 64, 1) {
    p.output[threadIdx.x] = float(lane_index() < 16 ? shuffle(1u, 0) : warp_ballot(true));
}

using follow_for_some_parameters = fault_parameters;
PREFETCHING_KERNEL(follow_for_some, 64, 1) {
    if (threadIdx.x == 63) return;
    follow_previous_kernel();
    p.output[threadIdx.x] = 1.0f;
}

using write_outside_parameters = fault_parameters;
KERNEL(write_outside, 64, 1) { p.output[threadIdx.x + 1] = 1.0f; }

// Of 256 bytes.
using write_outside_shared_parameters = fault_parameters;
KERNEL(write_outside_shared, 64, 1) { reinterpret_cast<float*>(shared_memory())[threadIdx.x + 1] = p.input[threadIdx.x]; }

using unaligned_copy_parameters = fault_parameters;
KERNEL(unaligned_copy, 64, 1) {
    async_copy_16(shared_memory(), p.input + 1);
    async_commit();
    async_wait<0>();
    p.output[threadIdx.x] = 1.0f;
}

// What is read before it was waited for is no number.
using missing_wait_parameters = fault_parameters;
KERNEL(missing_wait, 64, 1) {
    auto* shared = reinterpret_cast<float*>(shared_memory());
    if (threadIdx.x < 16) async_copy_16(shared + threadIdx.x * 4, p.input + threadIdx.x * 4);
    async_commit();
    async_commit();
    async_wait<2>();
    block_barrier();
    p.output[threadIdx.x] = shared[threadIdx.x];
    block_barrier();
    async_wait<0>();
}

using never_waits_parameters = fault_parameters;
KERNEL(never_waits, 64, 1) {
    if (threadIdx.x < 16) async_copy_16(shared_memory() + threadIdx.x * 16, p.input + threadIdx.x * 4);
    async_wait<0>();
    p.output[threadIdx.x] = 1.0f;
}

// The same with the wait that it needs.
using with_wait_parameters = fault_parameters;
KERNEL(with_wait, 64, 1) {
    auto* shared = reinterpret_cast<float*>(shared_memory());
    if (threadIdx.x < 16) async_copy_16(shared + threadIdx.x * 4, p.input + threadIdx.x * 4, threadIdx.x == 15 ? 8 : 16);
    async_commit();
    async_commit();
    async_wait<1>();
    block_barrier();
    p.output[threadIdx.x] = shared[threadIdx.x];
}

// What is read depends on which thread runs first.
using missing_barrier_parameters = fault_parameters;
KERNEL(missing_barrier, 64, 1) {
    auto* shared = reinterpret_cast<float*>(shared_memory());
    shared[threadIdx.x] = p.input[threadIdx.x];
    p.output[threadIdx.x] = shared[63 - threadIdx.x];
}

using unaligned_vector_parameters = fault_parameters;
KERNEL(unaligned_vector, 64, 1) {
    const float2 pair = *reinterpret_cast<const float2*>(p.input + 1);
    p.output[threadIdx.x] = pair.x + pair.y;
}
