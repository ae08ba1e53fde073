// RMS norms of rows: x * (mean(x^2) + eps)^-0.5 * weight (Zhang and Sennrich, Root Mean Square Layer Normalization, 2019), alone and
// with the sums around them. A block takes a row; outputs are f32, or bf16 where a product on tensor cores reads them.

#include "common/rows.cuh"

constexpr u32 NORM_THREADS = 512;

struct rms_norm_parameters {
    const float* input;
    const float* weight;  // or null
    void* output;
    u64 input_stride;  // numbers from row to row
    u64 output_stride;
    u32 width;
    float eps;
};

template <typename Output>
__device__ __forceinline__ void rms_norm(const rms_norm_parameters& p) {
    auto* scratch = reinterpret_cast<float*>(shared_memory());
    const float* input = p.input + blockIdx.x * p.input_stride;
    Output* output = static_cast<Output*>(p.output) + blockIdx.x * p.output_stride;
    float squares = 0.0f;
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) squares = fused(input[i], input[i], squares);
    float scale = inverse_root_mean_square(squares, p.width, p.eps, scratch);
    for (u32 i = threadIdx.x; i < p.width; i += blockDim.x) {
        output[i] = from_float<Output>(input[i] * scale * weight_at(p.weight, i));
    }
}

using rms_norm_f32_parameters = rms_norm_parameters;
KERNEL(rms_norm_f32, NORM_THREADS, 2) { rms_norm<float>(p); }
using rms_norm_bf16_parameters = rms_norm_parameters;
KERNEL(rms_norm_bf16, NORM_THREADS, 2) { rms_norm<bf16>(p); }
