// Copies from global to shared memory that go on while the thread does something else.

#pragma once

#include "common/platform.cuh"

#ifndef LACUNA_EMULATOR
__device__ __forceinline__ u32 shared_address(const void* shared) { return u32(__cvta_generic_to_shared(shared)); }
#endif

// Begins to copy 16 bytes, both sides aligned to 16; of them only the first `valid_bytes` are read, the rest become zero.
__device__ __forceinline__ void async_copy_16(void* shared, const void* global, u32 valid_bytes = 16) {
#ifdef LACUNA_EMULATOR
    emulator::copy_later(shared, global, 16, valid_bytes);
#else
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid_bytes)
                 : "memory");
#endif
}

// The same of what is read once and in order: the second-level cache takes the next line along.
__device__ __forceinline__ void async_copy_16_ahead(void* shared, const void* global, u32 valid_bytes = 16) {
#ifdef LACUNA_EMULATOR
    emulator::copy_later(shared, global, 16, valid_bytes);
#else
    asm volatile("cp.async.cg.shared.global.L2::256B [%0], [%1], 16, %2;" ::"r"(shared_address(shared)), "l"(global),
                 "r"(valid_bytes)
                 : "memory");
#endif
}

// Begins to copy 4 bytes, both sides aligned to 4; without valid bytes they become zero.
__device__ __forceinline__ void async_copy_4(void* shared, const void* global, u32 valid_bytes = 4) {
#ifdef LACUNA_EMULATOR
    emulator::copy_later(shared, global, 4, valid_bytes);
#else
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(shared_address(shared)), "l"(global), "r"(valid_bytes)
                 : "memory");
#endif
}

// Closes a group of copies.
__device__ __forceinline__ void async_commit() {
#ifdef LACUNA_EMULATOR
    emulator::commit_copies();
#else
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}

// Waits until of this thread's groups only the last `GROUPS_LEFT` may still be under way. Other threads see what was copied behind the next
// barrier.
template <u32 GROUPS_LEFT>
__device__ __forceinline__ void async_wait() {
#ifdef LACUNA_EMULATOR
    emulator::wait_for_copies(GROUPS_LEFT);
#else
    asm volatile("cp.async.wait_group %0;" ::"n"(GROUPS_LEFT) : "memory");
#endif
}
