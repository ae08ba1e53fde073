// One block of a launch, in one operating system thread.

#pragma once

#include <string>

#include "emulator.h"

namespace emulator {

constexpr size_t SHARED_BYTES_MAX = 256 * 1024;
constexpr unsigned THREADS_MAX = 1024;

// What a launch asks for.
struct Launch {
    void (*kernel)(const void*);
    const void* parameters;
    Index grid;
    Index size;
    size_t shared_bytes;
    bool reversed;
};

// Runs the block at this index. Returns nothing, or what it did that a card does not allow.
std::string run_block(const Launch& launch, Index at);

}  // namespace emulator
