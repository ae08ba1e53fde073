// What a kernel is written in: CUDA C++ on a card, the emulator's names for the same things on the processor.
//
// A kernel takes one structure of plain data, whose Rust twin has the same layout, and uses of CUDA only what is
// wrapped here: indices, dynamic shared memory, barriers, shuffles with all lanes, asynchronous copies, matrix instructions.

#pragma once

#ifdef LACUNA_EMULATOR
#include "emulator.h"
#endif

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int i32;

constexpr u32 WARP_LANES_COUNT = 32;

// Waits until the kernel before this one has ended, and all can be seen that it wrote; and lets the next one's blocks take the places of those of
// this one that end. So a kernel's blocks are there when the one before has ended, where it is launched that way (programmatic dependent
// launch, from sm_90 on); where it is not, nothing happens. All threads of all kernels come by here, so that a kernel ends after all before it.
__device__ __forceinline__ void follow_previous_kernel() {
#ifdef LACUNA_EMULATOR
    emulator::follow_previous_kernel();
#elif __CUDA_ARCH__ >= 900
    asm volatile("griddepcontrol.launch_dependents; griddepcontrol.wait;" ::: "memory");
#endif
}

// Begins a kernel: KERNEL(name, threads of a block at most, blocks on a multiprocessor at least) { ... uses p ... }. Its parameters are
// a structure called name_parameters. In a PREFETCHING_KERNEL each thread calls `follow_previous_kernel` itself, before it reads what kernels write, or
// writes.
#define KERNEL(NAME, THREADS_MAX, BLOCKS_MIN) LACUNA_KERNEL(NAME, THREADS_MAX, BLOCKS_MIN, follow_previous_kernel())
#define PREFETCHING_KERNEL(NAME, THREADS_MAX, BLOCKS_MIN) LACUNA_KERNEL(NAME, THREADS_MAX, BLOCKS_MIN, (void)0)
#ifdef LACUNA_EMULATOR
#define LACUNA_KERNEL(NAME, THREADS_MAX, BLOCKS_MIN, FIRST)                                                          \
    static void NAME(const NAME##_parameters& p);                                                                    \
    extern "C" const char* NAME##__emulated(const void* parameters, const unsigned* grid, const unsigned* block,     \
                                            size_t shared_bytes, int reversed, unsigned threads) {                   \
        if (block[0] * block[1] * block[2] > THREADS_MAX) return "a block has more threads than the kernel allows";  \
        auto body = [](const void* p) {                                                                              \
            FIRST;                                                                                                   \
            NAME(*static_cast<const NAME##_parameters*>(p));                                                         \
        };                                                                                                           \
        return emulator::run(body, parameters, grid, block, shared_bytes, reversed, threads);                        \
    }                                                                                                                \
    extern "C" size_t NAME##__parameters_size() { return sizeof(NAME##_parameters); }                                \
    static void NAME(const NAME##_parameters& p)
#else
#define LACUNA_KERNEL(NAME, THREADS_MAX, BLOCKS_MIN, FIRST)                                                          \
    static __device__ __forceinline__ void NAME##_body(const NAME##_parameters& p);                                  \
    extern "C" __global__ void __launch_bounds__(THREADS_MAX, BLOCKS_MIN) NAME(const NAME##_parameters p) {          \
        FIRST;                                                                                                       \
        NAME##_body(p);                                                                                              \
    }                                                                                                                \
    static __device__ __forceinline__ void NAME##_body(const NAME##_parameters& p)
#endif

// The block's dynamic shared memory, of which there is one.
#ifdef LACUNA_EMULATOR
__forceinline__ u8* shared_memory() { return emulator::current().shared; }
#else
extern __shared__ __align__(1024) u8 lacuna_shared_memory[];
__device__ __forceinline__ u8* shared_memory() { return lacuna_shared_memory; }
#endif

// Waits for all threads of the block, and lets them see what the others wrote.
#ifdef LACUNA_EMULATOR
#define block_barrier() emulator::block_barrier(__LINE__)
#else
#define block_barrier() __syncthreads()
#endif

// Lets all blocks see what this thread wrote before they see what it writes next.
__device__ __forceinline__ void device_fence() {
#ifdef LACUNA_EMULATOR
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
#else
    __threadfence();
#endif
}

// Adds, and returns what was there before. Of integers alone: a sum of floating-point numbers must not depend on the order.
__device__ __forceinline__ u32 atomic_add(u32* address, u32 value) {
#ifdef LACUNA_EMULATOR
    return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
#else
    return atomicAdd(address, value);
#endif
}

// Reads what another block of this launch wrote, where the nearest cache may not know of it.
__device__ __forceinline__ float load_from_other_block(const float* address) {
#ifdef LACUNA_EMULATOR
    return *address;
#else
    return __ldcg(address);
#endif
}

// Has the compiler keep a value, where it would find it anew at every use.
__device__ __forceinline__ void keep(u32& value) {
#ifdef LACUNA_EMULATOR
    (void)value;
#else
    asm volatile("" : "+r"(value));
#endif
}

__host__ __device__ constexpr u32 divide_up(u32 a, u32 b) { return a / b + (a % b != 0); }
