// Counter-based random numbers: the same counter and key give the same numbers on every device, in any order.
//
// Philox4x32-10 after Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).

#pragma once

#include "common/numbers.cuh"

// What a random number is drawn for. Different purposes never share numbers.
constexpr u32 PURPOSE_SAMPLE = 0;
constexpr u32 PURPOSE_RENOISE = 1;

// Where in a request a random number is drawn.
struct Place {
    u64 seed;
    u32 candidate;
    u32 step;
    u32 row;  // of the canvas, pinned rows counted
};

// Four random words for the counter [index, row, step, candidate and purpose] under the key `seed`.
__device__ __forceinline__ void random_words(const Place& place, u32 purpose, u32 index, u32 (&words)[4]) {
    constexpr u32 ROUNDS = 10;
    u32 counter[4] = {index, place.row, place.step, place.candidate << 2 | purpose};
    u32 key[2] = {u32(place.seed), u32(place.seed >> 32)};
#pragma unroll
    for (u32 round = 0; round < ROUNDS; round++) {
        u64 first = u64(0xD2511F53u) * counter[0];
        u64 second = u64(0xCD9E8D57u) * counter[2];
        counter[0] = u32(second >> 32) ^ counter[1] ^ key[0];
        counter[1] = u32(second);
        counter[2] = u32(first >> 32) ^ counter[3] ^ key[1];
        counter[3] = u32(first);
        key[0] += 0x9E3779B9u;
        key[1] += 0xBB67AE85u;
    }
#pragma unroll
    for (u32 i = 0; i < 4; i++) words[i] = counter[i];
}

// The Gumbel number that a random word stands for; it grows with the word.
__device__ __forceinline__ float gumbel_of_word(u32 word) {
    // The middle of one of 2^23 equal intervals: exact in f32, and neither logarithm sees 0 or 1.
    float uniform = (float(word >> 9) + 0.5f) * (1.0f / 8388608.0f);
    return -logarithm(-logarithm(uniform));
}

// No Gumbel number is larger: minus the logarithm of 2^-24, rounded up.
constexpr float GUMBEL_MAX = 16.64f;

// A number below `count`, uniformly but for a bias below 2^-32 * count.
__device__ __forceinline__ u32 random_index(const Place& place, u32 purpose, u32 count) {
    u32 words[4];
    random_words(place, purpose, 0, words);
    return u32(u64(words[0]) * count >> 32);
}
