// What is known of a row of logits that are not written.

#pragma once

#include "common/platform.cuh"

constexpr u32 NO_TOKEN = 0xFFFFFFFFu;
// Tokens of a lane, for which one Philox counter has the words; a warp has a tile's.
constexpr u32 LANE_TOKENS = 4;
// Votes in one row at most; more are not counted.
constexpr u32 ROW_VOTES_MAX = 24;

// What a tile leaves of a row. Logits are capped; tempered ones are also divided by the temperature.
struct TileFindings {
    float greatest;  // tempered
    u32 argmax;      // the lowest token that has it, or NO_TOKEN
    float sum;       // of exp(z), where z is a tempered logit less the greatest
    float weighted;  // of z * exp(z)
    float best;      // the greatest sum of a tempered logit and its Gumbel number
    u32 sample;      // the lowest token that has it, or NO_TOKEN
    float sample_logit;  // tempered
    float own_greatest;
    float own_sum;
};

// What turns kept exponentials of a row into probabilities.
struct RowScale {
    float greatest;  // what was subtracted before exponentials
    float inverse_sum;
};
