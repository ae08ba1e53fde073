//! How many shares a long sum is split into, so that all multiprocessors work on it.

use crate::Device;

/// Shares at most.
pub(crate) const SPLITS_MAX: usize = 64;

/// What a block takes of a multiprocessor's shared memory besides what it asks for.
const SHARED_BYTES_RESERVED: u32 = 1024;

/// Blocks that run at the same time, where a block asks for so much shared memory, and registers allow so many a multiprocessor.
pub(crate) fn slots(device: &Device, shared_bytes: u32, blocks_per_multiprocessor: u32) -> usize {
    let fitting = device.shared_bytes_per_multiprocessor() / (shared_bytes + SHARED_BYTES_RESERVED);
    (device.multiprocessors() * fitting.clamp(1, blocks_per_multiprocessor)) as usize
}

/// Shares of `units` that take the least time: `blocks` blocks a share run `slots` at a time, each through its part of the
/// units; writing, reading and adding up a share costs so many quarters of a unit.
pub(crate) fn best_splits(
    blocks: usize,
    units: usize,
    slots: usize,
    splits_max: usize,
    quarter_units_per_split: usize,
) -> usize {
    let time = |splits: usize| {
        let waves = (blocks * splits).div_ceil(slots.max(1));
        let adding_up = if splits > 1 { 4 + quarter_units_per_split * splits } else { 0 };
        4 * waves * units.div_ceil(splits) + adding_up
    };
    (1..=splits_max.min(units).clamp(1, SPLITS_MAX)).min_by_key(|splits| time(*splits)).unwrap_or(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splits_fill_the_device_and_no_more() {
        // 64 tiles of queries over 8k tokens on 132 multiprocessors: two splits fill it.
        assert_eq!(best_splits(64, 264, 132, SPLITS_MAX, 2), 2);
        // Few rows over a long prompt: many splits.
        assert!(best_splits(4, 264, 132, SPLITS_MAX, 2) > 16);
        // Short sums are not worth it, and no split is empty.
        assert_eq!(best_splits(64, 1, 132, SPLITS_MAX, 2), 1);
        assert!(best_splits(1, 3, 1000, SPLITS_MAX, 2) <= 3);
        // Without room for shares there is no choice.
        assert_eq!(best_splits(4, 264, 132, 0, 2), 1);
    }
}
