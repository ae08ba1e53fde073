// What a kernel's source needs to run on the processor: the names of CUDA C++, and the functions behind them.
//
// A block runs as fibers of one operating system thread; several threads may take blocks of a launch. A fiber runs until it waits: for its block at a barrier, or for
// its warp at a collective operation. So a barrier that is missing, and a copy that nobody waited for, show up as wrong results,
// all the more since the order of blocks and threads can be reversed.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>

#define __device__
#define __host__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))

struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
struct alignas(8) float2 {
    float x, y;
};
struct alignas(16) float4 {
    float x, y, z, w;
};
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }
inline uint4 make_uint4(unsigned x, unsigned y, unsigned z, unsigned w) { return {x, y, z, w}; }
inline float2 make_float2(float x, float y) { return {x, y}; }
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }

namespace emulator {

struct Index {
    unsigned x, y, z;
};

constexpr unsigned WARP_LANES = 32;

// Works on what all lanes of a warp brought along, once the last of them is there.
using Collective = void (*)(void* const* payloads);

// The thread that runs, and the launch that it is part of.
struct Thread {
    Index thread;
    Index block;
    Index block_size;
    Index grid_size;
    unsigned char* shared;
};

Thread& current();

// Waits for all threads of the block.
void block_barrier(unsigned line);
// Waits for all lanes of the warp; the last one runs `collective`, which must be the same for all of them.
void warp_collective(Collective collective, void* payload, unsigned line);

// Notes that the thread waits for the kernel before this one. Each thread has to, before it ends.
void follow_previous_kernel();

// Asynchronous copies happen as late as the program allows: when they are waited for.
void copy_later(void* shared, const void* global, unsigned bytes, unsigned valid_bytes);
void commit_copies();
void wait_for_copies(unsigned groups_left);

// Runs `kernel` once for each thread of each block, blocks on up to `threads` operating system threads. Returns null, or why it could not,
// until the next call of this thread.
const char* run(void (*kernel)(const void*), const void* parameters, const unsigned* grid, const unsigned* block,
                size_t shared_bytes, int reversed, unsigned threads);

}  // namespace emulator

#define threadIdx (emulator::current().thread)
#define blockIdx (emulator::current().block)
#define blockDim (emulator::current().block_size)
#define gridDim (emulator::current().grid_size)
