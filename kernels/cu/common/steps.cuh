// What the head and the sampler read and write of a denoising run, all of it on the device, so that a captured graph serves every step.

#pragma once

#include "common/philox.cuh"

// The step under way.
struct Step {
    float temperature;
    u32 index;  // from 0
};

constexpr u32 NO_SET = 0xFFFFFFFFu;

// A row whose distribution is wanted.
struct SampleRow {
    u64 seed;
    u32 row;         // packed
    u32 set;         // the token set that may stand here, or NO_SET
    u32 candidate;
    u32 canvas_row;  // pinned rows counted
};

__device__ __forceinline__ Place place_of(const SampleRow& row, const Step& step) {
    return {row.seed, row.candidate, step.index, row.canvas_row};
}

// What the head found in a row.
struct RowOutcome {
    u32 argmax;
    u32 sample;
    float entropy;          // nats, of the tempered distribution over the allowed tokens
    float probability;      // of the argmax, in the tempered distribution
    float own_probability;  // of the sample, in the model's own distribution at temperature 1 and without votes; 1 where not wanted
};
