// Spreads the blocks of a launch over operating system threads.

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "block.h"

namespace emulator {
namespace {

// How far a launch has come.
struct Progress {
    const Launch& launch;
    size_t blocks;
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::string message;

    explicit Progress(const Launch& of)
        : launch(of), blocks(size_t(of.grid.x) * of.grid.y * of.grid.z) {}
};

// Runs blocks until none is left, in this operating system thread.
void work(Progress& progress) {
    const Launch& launch = progress.launch;
    while (!progress.failed) {
        size_t i = progress.next++;
        if (i >= progress.blocks) return;
        size_t index = launch.reversed ? progress.blocks - 1 - i : i;
        const Index& grid = launch.grid;
        Index at = {unsigned(index % grid.x), unsigned(index / grid.x % grid.y), unsigned(index / grid.x / grid.y)};
        std::string message = run_block(launch, at);
        if (!message.empty()) {
            std::lock_guard<std::mutex> lock(progress.mutex);
            progress.message = message;
            progress.failed = true;
        }
    }
}

// Threads that help with the blocks of one launch at a time. They live as long as the process.
class Helpers {
public:
    // Works on a launch with so many helpers beside the caller's thread; alone where the helpers are at another launch.
    void work_on(Progress& progress, size_t count) {
        std::unique_lock<std::mutex> turn(turn_, std::try_to_lock);
        if (!turn.owns_lock() || count == 0) return work(progress);
        {
            std::lock_guard<std::mutex> lock(mutex_);
            while (threads_ < count) {
                std::thread([this, index = threads_] { help(index); }).detach();
                threads_++;
            }
            progress_ = &progress;
            wanted_ = count;
            working_ = count;
            round_++;
        }
        begun_.notify_all();
        work(progress);
        std::unique_lock<std::mutex> lock(mutex_);
        ended_.wait(lock, [this] { return working_ == 0; });
    }

private:
    void help(size_t index) {
        std::unique_lock<std::mutex> lock(mutex_);
        // The round that is about to begin is this thread's first.
        for (size_t seen = round_ - (progress_ != nullptr && index < wanted_ ? 1 : 0);;) {
            begun_.wait(lock, [&] { return round_ != seen; });
            seen = round_;
            if (index >= wanted_) continue;
            Progress& progress = *progress_;
            lock.unlock();
            work(progress);
            lock.lock();
            working_--;
            if (working_ == 0) ended_.notify_one();
        }
    }

    std::mutex turn_;
    std::mutex mutex_;
    std::condition_variable begun_;
    std::condition_variable ended_;
    size_t threads_ = 0;
    Progress* progress_ = nullptr;
    size_t wanted_ = 0;
    size_t working_ = 0;
    size_t round_ = 0;
};

}  // namespace

const char* run(void (*kernel)(const void*), const void* parameters, const unsigned* grid, const unsigned* size,
                size_t shared_bytes, int reversed, unsigned threads) {
    // Never destroyed, as its threads wait on it until the process ends.
    static Helpers* helpers = new Helpers;
    thread_local std::string message;
    unsigned block_threads = size[0] * size[1] * size[2];
    if (block_threads == 0 || block_threads > THREADS_MAX || block_threads % WARP_LANES != 0) {
        return "a block is not whole warps of at most 1024 threads";
    }
    if (shared_bytes > SHARED_BYTES_MAX) return "a block asks for more shared memory than the emulator has";
    const Launch launch = {kernel, parameters, {grid[0], grid[1], grid[2]}, {size[0], size[1], size[2]}, shared_bytes, reversed != 0};
    Progress progress(launch);
    size_t workers = threads < progress.blocks ? threads : progress.blocks;
    helpers->work_on(progress, workers > 1 ? workers - 1 : 0);
    if (!progress.failed) return nullptr;
    message = progress.message;
    return message.c_str();
}

}  // namespace emulator
