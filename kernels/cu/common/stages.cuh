// The pipeline of a product: stages of both sides in shared memory, of which one is multiplied while the next are on their way.
//
// The weight's copies begin first: no kernel writes it, so they need not wait for the kernel before this one.

#pragma once

#include "common/copied_rows.cuh"

// Stages that there is room for.
constexpr u32 TENSOR_STAGES = 4;

// In the place of scales of groups, where there are none.
struct NoGroups {
    static constexpr u32 BYTES = 0;

    template <typename Row>
    __device__ __forceinline__ void find(const u8*, u32, u32, Row) {}
    __device__ __forceinline__ void copy(u8*, u32) const {}
    __device__ __forceinline__ void copy_unaligned(u8*, u32) const {}
};

template <typename Input, typename Weight, typename Groups = NoGroups, typename InputGroups = NoGroups>
struct Stages {
    // Inputs of a stage, which begin at multiples of as many.
    static constexpr u32 INPUTS = Input::INPUTS;
    static_assert(INPUTS == Weight::INPUTS, "both sides of a stage have the same inputs");
    // Where a stage's parts begin, behind its rows of the input.
    static constexpr u32 WEIGHT_AT = Input::BYTES;
    static constexpr u32 GROUPS_AT = WEIGHT_AT + Weight::BYTES;
    static constexpr u32 INPUT_GROUPS_AT = GROUPS_AT + Groups::BYTES;
    static constexpr u32 BYTES = INPUT_GROUPS_AT + InputGroups::BYTES;

    Weight weight;
    Groups groups;
    Input input;
    InputGroups input_groups;
    u32 begin;
    u32 end;

    static __device__ __forceinline__ u8* stage(u32 tile) { return shared_memory() + tile % TENSOR_STAGES * BYTES; }
    static __device__ __forceinline__ bool is_aligned(const product_operands& o) {
        return o.aligned != 0 && (Groups::BYTES == 0 || o.groups_aligned != 0);
    }

    __device__ __forceinline__ void copy_weight(const product_operands& o, u32 tile) const {
        const u32 first = begin + tile * INPUTS;
        if (first >= end) return;
        if (is_aligned(o)) {
            weight.template copy<true>(stage(tile) + WEIGHT_AT, first);
            groups.copy(stage(tile) + GROUPS_AT, first);
        } else {
            weight.copy_unaligned(stage(tile) + WEIGHT_AT, first);
            groups.copy_unaligned(stage(tile) + GROUPS_AT, first);
        }
    }

    __device__ __forceinline__ void copy_input(const product_operands& o, u32 tile) const {
        const u32 first = begin + tile * INPUTS;
        if (first >= end) return;
        if (is_aligned(o)) {
            input.template copy<false>(stage(tile), first);
            input_groups.copy(stage(tile) + INPUT_GROUPS_AT, first);
        } else {
            input.copy_unaligned(stage(tile), first);
            input_groups.copy_unaligned(stage(tile) + INPUT_GROUPS_AT, first);
        }
    }

    // Begins to copy the weight's first stages of the inputs from `first` to `behind`. `weight_row(i)` says which row of the weight the tile's row i
    // is, or NO_ROW.
    template <typename WeightRow>
    __device__ __forceinline__ void begin_weight(const product_operands& o, u32 first, u32 behind, WeightRow weight_row) {
        begin = first;
        end = behind;
        weight.find(o.weight, o.inputs, end, weight_row);
        groups.find(o.group_scales, o.inputs, end, weight_row);
#pragma unroll
        for (u32 tile = 0; tile < TENSOR_STAGES - 1; tile++) copy_weight(o, tile);
    }

    // Takes back what `begin_weight` began, where nothing comes of it.
    static __device__ __forceinline__ void abandon() {
        async_commit();
        async_wait<0>();
    }

    // Behind `begin_weight`: for each stage, when it is there, `start(stage)`, which may leave work to tensor cores while the next copies begin, and
    // `finish(stage)`. `input_row` is as `weight_row`. `settle()` is what a thread does behind its own copies, before others rely on them.
    template <typename InputRow, typename Settle, typename Start, typename Finish>
    __device__ __forceinline__ void run(const product_operands& o, InputRow input_row, Settle settle, Start start, Finish finish) {
        input.find(o.input, o.inputs, end, input_row);
        input_groups.find(o.input_group_scales, o.inputs, end, input_row);
#pragma unroll
        for (u32 tile = 0; tile < TENSOR_STAGES - 1; tile++) {
            copy_input(o, tile);
            // The first group has the weight's copies too. A group of nothing keeps the count of groups the same for all.
            async_commit();
        }
        const u32 tiles = begin < end ? divide_up(end - begin, INPUTS) : 0;
        for (u32 tile = 0; tile < tiles; tile++) {
            async_wait<TENSOR_STAGES - 2>();
            settle();
            // Behind it this tile is there for all threads, and nobody reads the one before, whose place the next copies take.
            block_barrier();
            start(stage(tile));
            copy_weight(o, tile + TENSOR_STAGES - 1);
            copy_input(o, tile + TENSOR_STAGES - 1);
            async_commit();
            finish(stage(tile));
        }
        async_wait<0>();
        block_barrier();
    }
};
