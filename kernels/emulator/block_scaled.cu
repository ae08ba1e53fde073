// Products of e2m1 with scales that are chosen by every selector, to see what the emulator makes of them. For its tests alone.

#include "common/block_scaled.cuh"

struct block_scaled_products_parameters {
    const u32* a;       // [32, 4]
    const u32* b;       // [32, 2]
    const u32* scales;  // [2, 32]: of A and of B
    float* d;           // [2, 4, 32, 4]: by selectors of A and of B
};

template <u32 A, u32 B>
__device__ __forceinline__ void product(const block_scaled_products_parameters& p) {
    const u32 lane = threadIdx.x;
    u32 a[4], b[2];
    float d[4];
    float* output = p.d + ((A * 4 + B) * 32 + lane) * 4;
    for (u32 i = 0; i < 4; i++) a[i] = p.a[lane * 4 + i], d[i] = output[i];
    for (u32 i = 0; i < 2; i++) b[i] = p.b[lane * 2 + i];
    mma_m16n8k64_e2m1<A, B>(d, a, b, p.scales[lane], p.scales[32 + lane]);
    for (u32 i = 0; i < 4; i++) output[i] = d[i];
}

KERNEL(block_scaled_products, 32, 1) {
    product<0, 0>(p), product<0, 1>(p), product<0, 2>(p), product<0, 3>(p);
    product<1, 0>(p), product<1, 1>(p), product<1, 2>(p), product<1, 3>(p);
}
