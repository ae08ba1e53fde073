// Floating-point numbers in their order, as unsigned ones.

#pragma once

#include "common/numbers.cuh"

// An unsigned number that is in the order of all floating-point numbers, those that are not a number at the ends.
__device__ __forceinline__ u32 order_of(float value) {
    u32 bits = bits_of(value);
    return bits >> 31 ? ~bits : bits | 0x80000000u;
}

// The number whose order it is.
__device__ __forceinline__ float value_of(u32 order) { return float_from_bits(order >> 31 ? order ^ 0x80000000u : ~order); }

// Raises the number to `value` where it is less.
__device__ __forceinline__ void atomic_maximum(u32* address, u32 value) {
#ifdef LACUNA_EMULATOR
    u32 before = __atomic_load_n(address, __ATOMIC_RELAXED);
    while (before < value && !__atomic_compare_exchange_n(address, &before, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
#else
    atomicMax(address, value);
#endif
}

// What other blocks may be changing.
__device__ __forceinline__ u32 load_volatile(const u32* address) { return *static_cast<const volatile u32*>(address); }
