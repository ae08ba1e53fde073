// Random numbers in place of a checkpoint's, for measurements.

#include "common/philox.cuh"

struct fill_parameters {
    void* output;  // [count]
    u64 count;
    u64 seed;
    float bound;
    u32 reserved;
};

// Numbers spread evenly over [-bound, bound): four a thread, from the words of its index.
template <typename T>
__device__ __forceinline__ void fill(const fill_parameters& p) {
    const u64 group = u64(blockIdx.x) * blockDim.x + threadIdx.x;
    u32 words[4];
    random_words(Place{p.seed, 0, 0, u32(group >> 32)}, PURPOSE_SAMPLE, u32(group), words);
    T* output = static_cast<T*>(p.output);
#pragma unroll
    for (u32 i = 0; i < 4; i++) {
        // 24 bits, so that all but the last product is exact.
        const float uniform = float(words[i] >> 8) * (1.0f / 8388608.0f) - 1.0f;
        if (4 * group + i < p.count) output[4 * group + i] = from_float<T>(uniform * p.bound);
    }
}

using fill_f32_parameters = fill_parameters;
KERNEL(fill_f32, 256, 2) { fill<float>(p); }
using fill_bf16_parameters = fill_parameters;
KERNEL(fill_bf16, 256, 2) { fill<bf16>(p); }
