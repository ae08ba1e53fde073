// Segments: runs of packed rows that belong to one prompt.

#pragma once

#include "common/platform.cuh"

// A segment, and one layer's cache of its prompt. The cache holds a row of keys, and one of values, for each token.
struct Segment {
    void* cached_keys;
    void* cached_values;
    u32 cached_tokens;  // before the pass
    u32 first_row;
    u32 rows;
    u32 reserved;
};
