// The experts' products with quantised weights: of e4m3 by e4m3, of e2m1 by e2m1 where there are such tensor cores, and of bf16 by e4m3 or
// e2m1.

#include "common/expert_tiles.cuh"
#include "common/quantised_product.cuh"

using experts_down_fp8_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_fp8_32, TensorShape<32>::THREADS, 4) { tensor_experts<Fp8Product<32>, false>(p); }
using experts_down_fp8_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_fp8_64, TensorShape<64>::THREADS, 3) { tensor_experts<Fp8Product<64>, false>(p); }
using experts_down_fp8_128_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_fp8_128, TensorShape<128>::THREADS, FP8_128_BLOCKS) { tensor_experts<Fp8Product<128>, false>(p); }
using experts_gated_fp8_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_fp8_32, TensorShape<32>::THREADS, 4) { tensor_experts<Fp8Product<32>, true>(p); }
using experts_gated_fp8_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_fp8_64, TensorShape<64>::THREADS, 3) { tensor_experts<Fp8Product<64>, true>(p); }
using experts_gated_fp8_128_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_fp8_128, TensorShape<128>::THREADS, FP8_128_BLOCKS) { tensor_experts<Fp8Product<128>, true>(p); }

using experts_down_bf16_fp8_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_bf16_fp8_32, TensorShape<32>::THREADS, 3) { tensor_experts<Bf16Fp8Product<32>, false>(p); }
using experts_down_bf16_fp8_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_bf16_fp8_64, TensorShape<64>::THREADS, 2) { tensor_experts<Bf16Fp8Product<64>, false>(p); }
using experts_gated_bf16_fp8_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_bf16_fp8_32, TensorShape<32>::THREADS, 3) { tensor_experts<Bf16Fp8Product<32>, true>(p); }
using experts_gated_bf16_fp8_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_bf16_fp8_64, TensorShape<64>::THREADS, 2) { tensor_experts<Bf16Fp8Product<64>, true>(p); }

using experts_down_bf16_nvfp4_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_bf16_nvfp4_32, TensorShape<32>::THREADS, 4) { tensor_experts<Bf16Nvfp4Product<32>, false>(p); }
using experts_down_bf16_nvfp4_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_bf16_nvfp4_64, TensorShape<64>::THREADS, 2) { tensor_experts<Bf16Nvfp4Product<64>, false>(p); }
using experts_gated_bf16_nvfp4_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_bf16_nvfp4_32, TensorShape<32>::THREADS, 4) { tensor_experts<Bf16Nvfp4Product<32>, true>(p); }
using experts_gated_bf16_nvfp4_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_bf16_nvfp4_64, TensorShape<64>::THREADS, 2) { tensor_experts<Bf16Nvfp4Product<64>, true>(p); }

#ifdef LACUNA_MULTIPLIES_FP4

using experts_down_nvfp4_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_nvfp4_32, TensorShape<32>::THREADS, 4) { tensor_experts<Nvfp4Product<32>, false>(p); }
using experts_down_nvfp4_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_nvfp4_64, TensorShape<64>::THREADS, 3) { tensor_experts<Nvfp4Product<64>, false>(p); }
using experts_down_nvfp4_128_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_down_nvfp4_128, TensorShape<128>::THREADS, 2) { tensor_experts<Nvfp4Product<128>, false>(p); }
using experts_gated_nvfp4_32_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_nvfp4_32, TensorShape<32>::THREADS, 4) { tensor_experts<Nvfp4Product<32>, true>(p); }
using experts_gated_nvfp4_64_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_nvfp4_64, TensorShape<64>::THREADS, 3) { tensor_experts<Nvfp4Product<64>, true>(p); }
using experts_gated_nvfp4_128_parameters = experts_parameters;
PREFETCHING_KERNEL(experts_gated_nvfp4_128, TensorShape<128>::THREADS, 2) { tensor_experts<Nvfp4Product<128>, true>(p); }

#endif
