//! A denoising step allocates nothing. A file of its own, because the count is the whole process's.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::alloc::System;

use lacuna_engine::bench::{BenchOptions, bench};
use lacuna_engine::{Device, ModelSource};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Steps that one of the two runs does more.
const MORE: usize = 200;

fn allocations(repeats: usize) -> usize {
    let region = Region::new(ALLOCATOR);
    let options = BenchOptions {
        model: ModelSource::Embedded,
        device: Device::Cpu,
        threads: Some(2),
        rows: vec![24],
        prompts: vec![100],
        repeats,
    };
    bench(&options, &mut |_| {}).unwrap();
    region.change().allocations
}

#[test]
fn a_step_allocates_nothing() {
    allocations(10);
    let (few, many) = (allocations(10), allocations(10 + MORE));
    // Handing a pass to the pool's threads takes a block of memory every few dozen times; the step itself takes none.
    let surplus = many.saturating_sub(few);
    assert!(surplus < MORE / 4, "{surplus} allocations in {MORE} steps");
}
