// The model's lower end: token embeddings, and the self-conditioning signal that is added to them.

#include "common/rows.cuh"

struct embed_parameters {
    const u32* ids;      // [rows]
    const void* table;   // [vocabulary, width]
    float* stream;       // [rows, width]
    u32 vocabulary;
    u32 width;
    float scale;
};

// A row of no token's is no number.
template <typename Weight>
__device__ __forceinline__ void embed(const embed_parameters& p) {
    const u32 id = p.ids[blockIdx.x];
    const Weight* source = static_cast<const Weight*>(p.table) + u64(id) * p.width;
    float* stream = p.stream + u64(blockIdx.x) * p.width;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        stream[i] = id < p.vocabulary ? to_float(source[i]) * p.scale : not_a_number();
    }
}

using embed_f32_parameters = embed_parameters;
KERNEL(embed_f32, ROW_THREADS, 2) { embed<float>(p); }
using embed_bf16_parameters = embed_parameters;
KERNEL(embed_bf16, ROW_THREADS, 2) { embed<bf16>(p); }

// stream = norm(stream + signal of the row's source), without a weight, and the stream normed.
struct self_condition_parameters {
    const u32* sources;   // [rows], an entry of the signal or anything beyond for none; or null for none at all
    const float* signal;  // [entries, width]
    float* stream;        // [rows, width]
    normed_outputs normed;
    u32 entries;
    u32 width;
    float eps;
};

template <typename Output>
__device__ __forceinline__ void self_condition(const self_condition_parameters& p) {
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    float* stream = p.stream + u64(blockIdx.x) * p.width;
    const u32 source = p.sources == nullptr ? p.entries : p.sources[blockIdx.x];
    const float* signal = p.signal + u64(source) * p.width;
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        const float sum = source < p.entries ? stream[i] + signal[i] : stream[i];
        stream[i] = sum;
        squares = fused(sum, sum, squares);
    }
    const float scale = inverse_root_mean_square(squares, p.width, p.eps, scratch);
    squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        const float normed = stream[i] * scale;
        stream[i] = normed;
        squares = fused(normed, normed, squares);
    }
    write_normed<Output>(p.normed, stream, squares, p.width, p.eps, scratch);
}

using self_condition_f32_parameters = self_condition_parameters;
KERNEL(self_condition_f32, ROW_THREADS, 2) { self_condition<float>(p); }
using self_condition_bf16_parameters = self_condition_parameters;
KERNEL(self_condition_bf16, ROW_THREADS, 2) { self_condition<bf16>(p); }
