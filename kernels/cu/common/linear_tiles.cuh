// Tiles of dense products on tensor cores, whatever numbers they are of.
//
// Where tiles do not fill the multiprocessors evenly, the blocks deal out the tiles' inputs among them in equal runs, so that all of them
// read weights to the end (Osama and others, Stream-K, 2023): a tile's sums may then come from several blocks, each of which leaves its part
// in a scratch, and the last one adds them in the order of the inputs.

#pragma once

#include "common/tensor_product.cuh"

struct linear_parameters {
    product_operands operands;  // input [rows, inputs]; weight [columns, inputs], or [2 * columns, inputs] where it is gated
    void* output;               // [rows, columns]: f32, or bf16 where it is gated and on tensor cores
    float* partial_sums;        // [blocks, 2, sums of a tile]: of the tile that a block begins in, and of the one that it ends in
    u32* arrivals;              // [tiles], zero before and after
    u32 rows;
    u32 columns;
    u32 row_tiles;
    u32 tiles;
    u32 paired;  // whether the output's columns are pairs that begin at multiples of their size
};

// The work of all blocks in units of one tile's inputs of a step, tile after tile, and of that each block's run.
struct Units {
    u32 of_tile;
    u64 all;

    __device__ __forceinline__ u64 start(u32 block) const { return all * block / gridDim.x; }
    // The block whose run holds a unit.
    __device__ __forceinline__ u32 block(u64 unit) const { return u32(((unit + 1) * gridDim.x - 1) / all); }
};

// Adds up the parts of a tile. False in all blocks but the last to arrive, which has the whole.
template <typename Product>
__device__ __forceinline__ bool add_parts(typename Product::Sums& sums, const linear_parameters& p, const Units& units, u32 tile) {
    using Shape = typename Product::Shape;
    constexpr u32 part_numbers = Shape::SUMS * Shape::THREADS;
    const u64 tile_start = u64(tile) * units.of_tile;
    auto part = [&](u32 block) {
        const u32 half = units.start(block) < tile_start ? 1 : 0;
        return p.partial_sums + (u64(block) * 2 + half) * part_numbers + threadIdx.x;
    };
    const u32 first = units.block(tile_start), last = units.block(tile_start + units.of_tile - 1);
    auto* flat = &sums.of[0][0][0];
    float* own = part(blockIdx.x);
#pragma unroll
    for (u32 i = 0; i < Shape::SUMS; i++) own[i * Shape::THREADS] = flat[i];
    device_fence();
    block_barrier();
    auto* arrived = reinterpret_cast<u32*>(shared_memory());
    if (threadIdx.x == 0) *arrived = atomic_add(&p.arrivals[tile], 1);
    block_barrier();
    const bool is_last = *arrived == last - first;
    block_barrier();
    if (!is_last) return false;
    device_fence();
#pragma unroll
    for (u32 i = 0; i < Shape::SUMS; i++) flat[i] = 0.0f;
    for (u32 block = first; block <= last; block++) {
        const float* other = part(block);
#pragma unroll
        for (u32 i = 0; i < Shape::SUMS; i++) flat[i] += load_from_other_block(&other[i * Shape::THREADS]);
    }
    if (threadIdx.x == 0) p.arrivals[tile] = 0;
    return true;
}

template <typename Product, bool GATED>
__device__ __forceinline__ void tensor_linear(const linear_parameters& p) {
    using Shape = typename Product::Shape;
    constexpr u32 block_columns = Product::COLUMNS / (GATED ? 2 : 1);
    const u32 inputs = p.operands.inputs;
    const u32 units_of_tile = divide_up(inputs, Product::Stages::INPUTS);
    const Units units = {units_of_tile, u64(p.tiles) * units_of_tile};
    const u64 end = units.start(blockIdx.x + 1);
    bool follows = false;
    for (u64 unit = units.start(blockIdx.x); unit < end;) {
        const u32 tile = u32(unit / units.of_tile), first_unit = u32(unit % units.of_tile);
        const u32 left = units.of_tile - first_unit;
        const u32 count = end - unit < left ? u32(end - unit) : left;
        unit += count;
        const u32 first_row = tile % p.row_tiles * Shape::ROWS;
        const u32 first_column = tile / p.row_tiles * block_columns;
        auto input_row = [&](u32 row) -> u64 { return first_row + row < p.rows ? first_row + row : NO_ROW; };
        // Where it is gated, eight columns of the gate and the eight that belong to them alternate.
        auto weight_row = [&](u32 row) -> u64 {
            const u32 column = first_column + (GATED ? row / 16 * 8 + row % 8 : row);
            const u64 half = GATED ? row / 8 % 2 : 0;
            return column < p.columns ? half * p.columns + column : NO_ROW;
        };
        const u32 first_input = first_unit * Product::Stages::INPUTS, behind = first_input + count * Product::Stages::INPUTS;
        typename Product::Stages stages;
        stages.begin_weight(p.operands, first_input, behind < inputs ? behind : inputs, weight_row);
        // The first weights are on their way while the kernel before this one ends.
        if (!follows) follow_previous_kernel();
        follows = true;
        auto sums = Product::multiply(p.operands, stages, p.rows - first_row, input_row);
        if (count < units.of_tile && !add_parts<Product>(sums, p, units, tile)) continue;
#pragma unroll
        for (u32 i = 0; i < Product::LANE_ROWS; i++) {
            const u32 row = first_row + Product::row(i);
            if (row >= p.rows) continue;
#pragma unroll
            for (u32 j = 0; j < Product::template LANE_RUNS<GATED>; j++) {
                const u32 column = first_column + Product::template column<GATED>(j);
                if (column >= p.columns) continue;
                const auto results =
                    finished<Product, GATED>(p.operands, Product::template results<GATED>(sums, i, j), row, 0, column, p.columns);
                const u64 at = u64(row) * p.columns + column;
                if constexpr (GATED) {
                    write_run(static_cast<bf16*>(p.output) + at, results.own, p.columns - column, p.paired != 0);
                } else {
                    write_run(static_cast<float*>(p.output) + at, results.own, p.columns - column, p.paired != 0);
                }
            }
        }
    }
    if (!follows) follow_previous_kernel();
}
