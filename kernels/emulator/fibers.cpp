#include "block.h"

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#if !(defined(__x86_64__) && defined(__ELF__))
#include <ucontext.h>
#endif

namespace emulator {
namespace {

constexpr size_t STACK_BYTES = 64 * 1024;
// Shared memory and stacks end in bytes that nobody may change.
constexpr size_t GUARD_BYTES = 256;
constexpr unsigned char GUARD = 0xA5;
// Shared memory begins as this: not a number as f32 and as bf16, and too great for an index.
constexpr unsigned char POISON = 0xFF;

#if defined(__x86_64__) && defined(__ELF__)

// Saves what a function must preserve on the stack, and goes on where another stack was left.
extern "C" void lacuna_emulator_switch(void** left, void* entered);
asm(R"(
.text
.globl lacuna_emulator_switch
.hidden lacuna_emulator_switch
.type lacuna_emulator_switch, @function
lacuna_emulator_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size lacuna_emulator_switch, .-lacuna_emulator_switch
.section .note.GNU-stack,"",@progbits
.text
)");

struct Place {
    void* stack_pointer = nullptr;

    void begin(unsigned char* stack, void (*entry)()) {
        // Six registers, the entry to return to, and a return address for the entry, so aligned that the entry sees the stack
        // as if it had been called.
        auto** top = reinterpret_cast<void**>(stack + STACK_BYTES - 64);
        top[6] = reinterpret_cast<void*>(entry);
        top[7] = nullptr;
        for (int i = 0; i < 6; i++) top[i] = nullptr;
        stack_pointer = top;
    }
    void leave_for(Place& other) { lacuna_emulator_switch(&stack_pointer, other.stack_pointer); }
};

#else

struct Place {
    ucontext_t context;

    void begin(unsigned char* stack, void (*entry)()) {
        getcontext(&context);
        context.uc_stack.ss_sp = stack;
        context.uc_stack.ss_size = STACK_BYTES;
        context.uc_link = nullptr;
        makecontext(&context, entry, 0);
    }
    void leave_for(Place& other) { swapcontext(&context, &other.context); }
};

#endif

enum class State { runnable, at_barrier, at_collective, finished };

struct Copy {
    void* shared;
    const void* global;
    unsigned bytes;
    unsigned valid_bytes;
    unsigned group;
};

struct Fiber {
    Thread thread;
    Place place;
    State state;
    unsigned line;
    std::vector<Copy> copies;
    unsigned groups;
    bool follows;
};

// The collective operation that lanes of a warp wait for, and what each has brought.
struct Meeting {
    unsigned arrived;
    unsigned line;
    Collective collective;
    void* payloads[WARP_LANES];
};

// One block at a time, and all that it needs, kept from launch to launch.
struct Block {
    std::vector<Fiber> fibers;
    Meeting meetings[THREADS_MAX / WARP_LANES];
    std::unique_ptr<unsigned char[]> stacks;
    std::unique_ptr<unsigned char[]> shared_memory;
    Place scheduler;
    const Launch* launch;
    unsigned running;
    bool failed;
    std::string message;

    unsigned char* stack(unsigned index) { return stacks.get() + size_t(index) * STACK_BYTES; }
    unsigned char* shared() {
        auto address = reinterpret_cast<uintptr_t>(shared_memory.get());
        return reinterpret_cast<unsigned char*>((address + 1023) & ~uintptr_t(1023));
    }
};

thread_local Block* block = nullptr;
thread_local Thread* current_thread = nullptr;

Fiber& running() { return block->fibers[block->running]; }

void wait_as(State state, unsigned line) {
    Fiber& fiber = running();
    fiber.state = state;
    fiber.line = line;
    fiber.place.leave_for(block->scheduler);
}

void fail(const char* what, unsigned line) {
    if (block->failed) return;
    block->failed = true;
    const Thread& thread = running().thread;
    char text[256];
    snprintf(text, sizeof text, "%s (line %u, block %u %u %u, thread %u %u %u)", what, line, thread.block.x, thread.block.y,
             thread.block.z, thread.thread.x, thread.thread.y, thread.thread.z);
    block->message = text;
}

void fiber_entry() {
    block->launch->kernel(block->launch->parameters);
    if (!running().copies.empty()) fail("a thread ends whose asynchronous copies nobody has waited for", 0);
    if (!running().follows) fail("a thread ends that has not waited for the kernel before this one", 0);
    wait_as(State::finished, 0);
}

void resume(unsigned index) {
    block->running = index;
    current_thread = &block->fibers[index].thread;
    block->scheduler.leave_for(block->fibers[index].place);
}

// Runs the fibers of a warp until all of them wait for the block or have finished. False where they wait for each other for ever.
bool run_warp(unsigned first, bool reversed) {
    for (bool again = true; again && !block->failed;) {
        again = false;
        for (unsigned lane = 0; lane < WARP_LANES && !block->failed; lane++) {
            unsigned index = first + (reversed ? WARP_LANES - 1 - lane : lane);
            if (block->fibers[index].state == State::runnable) {
                resume(index);
                again = true;
            }
        }
    }
    for (unsigned lane = 0; lane < WARP_LANES && !block->failed; lane++) {
        Fiber& fiber = block->fibers[first + lane];
        if (fiber.state == State::at_collective) {
            block->running = first + lane;
            fail("a warp's lanes do not all take part in a collective operation", fiber.line);
        }
    }
    return !block->failed;
}

void run_threads(unsigned threads, bool reversed) {
    while (!block->failed) {
        unsigned warps = threads / WARP_LANES;
        for (unsigned warp = 0; warp < warps; warp++) {
            if (!run_warp((reversed ? warps - 1 - warp : warp) * WARP_LANES, reversed)) return;
        }
        unsigned finished = 0;
        for (unsigned i = 0; i < threads; i++) finished += block->fibers[i].state == State::finished;
        if (finished == threads) return;
        unsigned line = 0;
        for (unsigned i = 0; i < threads; i++) {
            Fiber& fiber = block->fibers[i];
            if (fiber.state != State::at_barrier) continue;
            block->running = i;
            if (finished > 0) return fail("some threads of a block wait at a barrier and others have finished", fiber.line);
            if (line != 0 && line != fiber.line) return fail("threads of a block wait at different barriers", fiber.line);
            line = fiber.line;
        }
        for (unsigned i = 0; i < threads; i++) block->fibers[i].state = State::runnable;
    }
}

bool is_guard(const unsigned char* bytes, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != GUARD) return false;
    }
    return true;
}

void copy(const Copy& copy) {
    auto* shared = static_cast<unsigned char*>(copy.shared);
    memcpy(shared, copy.global, copy.valid_bytes);
    memset(shared + copy.valid_bytes, 0, copy.bytes - copy.valid_bytes);
}

}  // namespace

Thread& current() { return *current_thread; }

// Kernels are compiled with checks of alignment, which call this where one fails: on a card such an access ends the program. The compiler's
// structure begins with the place in the source.
extern "C" void __ubsan_handle_type_mismatch_v1(void* data, void*) {
    struct Place {
        const char* file;
        unsigned line;
        unsigned column;
    };
    if (block != nullptr) fail("memory is read or written at an address that is not aligned", static_cast<Place*>(data)->line);
}

void block_barrier(unsigned line) { wait_as(State::at_barrier, line); }

void warp_collective(Collective collective, void* payload, unsigned line) {
    unsigned lane = block->running % WARP_LANES, first = block->running - lane;
    Meeting& meeting = block->meetings[first / WARP_LANES];
    if (meeting.arrived == 0) {
        meeting.collective = collective;
        meeting.line = line;
    } else if (meeting.collective != collective || meeting.line != line) {
        fail("a warp's lanes are at different collective operations", line);
    }
    meeting.payloads[lane] = payload;
    meeting.arrived += 1;
    if (meeting.arrived < WARP_LANES || block->failed) return wait_as(State::at_collective, line);
    meeting.arrived = 0;
    collective(meeting.payloads);
    for (unsigned i = 0; i < WARP_LANES; i++) block->fibers[first + i].state = State::runnable;
}

void follow_previous_kernel() { running().follows = true; }

void copy_later(void* shared, const void* global, unsigned bytes, unsigned valid_bytes) {
    Fiber& fiber = running();
    auto address = reinterpret_cast<uintptr_t>(shared) | (valid_bytes == 0 ? 0 : reinterpret_cast<uintptr_t>(global));
    if (address % bytes != 0) fail("an asynchronous copy is not aligned", 0);
    fiber.copies.push_back({shared, global, bytes, valid_bytes, fiber.groups});
}

void commit_copies() { running().groups += 1; }

void wait_for_copies(unsigned groups_left) {
    Fiber& fiber = running();
    size_t kept = 0;
    for (const Copy& waiting : fiber.copies) {
        if (waiting.group + groups_left < fiber.groups) {
            copy(waiting);
        } else {
            fiber.copies[kept++] = waiting;
        }
    }
    fiber.copies.resize(kept);
}

std::string run_block(const Launch& launch, Index at) {
    thread_local std::unique_ptr<Block> own;
    if (!own) {
        own = std::make_unique<Block>();
        own->fibers.resize(THREADS_MAX);
        own->stacks.reset(new unsigned char[THREADS_MAX * STACK_BYTES]);
        own->shared_memory.reset(new unsigned char[SHARED_BYTES_MAX + GUARD_BYTES + 1024]);
    }
    block = own.get();
    block->launch = &launch;
    block->failed = false;
    block->message.clear();
    const Index& size = launch.size;
    unsigned threads = size.x * size.y * size.z;
    unsigned char* shared = block->shared();
    memset(shared, POISON, launch.shared_bytes);
    memset(shared + launch.shared_bytes, GUARD, GUARD_BYTES);
    for (unsigned i = 0; i < threads; i++) {
        Fiber& fiber = block->fibers[i];
        Index thread = {i % size.x, i / size.x % size.y, i / size.x / size.y};
        fiber.thread = {thread, at, size, launch.grid, shared};
        fiber.state = State::runnable;
        fiber.copies.clear();
        fiber.groups = 0;
        fiber.follows = false;
        memset(block->stack(i), GUARD, GUARD_BYTES);
        fiber.place.begin(block->stack(i), fiber_entry);
    }
    for (unsigned warp = 0; warp < threads / WARP_LANES; warp++) block->meetings[warp].arrived = 0;
    block->running = 0;
    run_threads(threads, launch.reversed);
    if (!is_guard(shared + launch.shared_bytes, GUARD_BYTES)) fail("a block writes behind its shared memory", 0);
    for (unsigned i = 0; i < threads; i++) {
        if (!is_guard(block->stack(i), GUARD_BYTES)) {
            block->running = i;
            fail("a thread's local variables do not fit the emulator's stack", 0);
        }
    }
    return block->message;
}

}  // namespace emulator
