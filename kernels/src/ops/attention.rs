//! Attention of segments over their prompts and, of canvases, themselves.

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Slice, SliceMut};
use crate::ops::rope::HeadElement;
use crate::ops::segments::{HEAD_DIM_MAX, HeadShape, Segments};
use crate::ops::splits::{SPLITS_MAX, best_splits, slots};
use crate::{Device, Error, bf16};

const THREADS: u32 = 256;
const WARPS: usize = 8;
/// What a share of the keys costs, in quarters of a tile of keys.
const SPLIT_COST: usize = 2;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct AttendParameters {
    segments: u64,
    queries: u64,
    own_keys: u64,
    own_values: u64,
    output: u64,
    shares: u64,
    share_sums: u64,
    rows: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    window: u32,
    splits: u32,
    is_causal: u32,
    is_vectorised: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct CombineParameters {
    shares: u64,
    share_sums: u64,
    output: u64,
    queries: u32,
    head_dim: u32,
    splits: u32,
    reserved: u32,
}

kernel!(static ATTEND_F32_64: "attention", attend_f32_64(AttendParameters));
kernel!(static ATTEND_F32_256: "attention", attend_f32_256(AttendParameters));
kernel!(static ATTEND_F32_512: "attention", attend_f32_512(AttendParameters));
kernel!(static ATTEND_BF16_64: "attention", attend_bf16_64(AttendParameters));
kernel!(static ATTEND_BF16_256: "attention", attend_bf16_256(AttendParameters));
kernel!(static ATTEND_BF16_512: "attention", attend_bf16_512(AttendParameters));
kernel!(static ATTEND_BF16_512_SMALL: "attention", attend_bf16_512_small(AttendParameters));
kernel!(static COMBINE_F32: "attention", combine_attention_f32(CombineParameters));
kernel!(static COMBINE_BF16: "attention", combine_attention_bf16(CombineParameters));

/// One kernel's tiles, as in the source.
struct AttendTile {
    kernel: &'static Kernel<AttendParameters>,
    element_bytes: usize,
    head_dim: usize,
    queries: usize,
    keys: usize,
    slots: usize,
    blocks_per_multiprocessor: u32,
}

impl AttendTile {
    fn blocks_at_once(&self, device: &Device) -> usize {
        slots(device, self.shared_bytes() as u32, self.blocks_per_multiprocessor)
    }

    /// Queries, the ring of keys and values, scores, weights (in f32 in their place), and three numbers a query. Rows are
    /// padded by 16 bytes.
    const fn shared_bytes(&self) -> usize {
        let row = self.head_dim * self.element_bytes + 16;
        (self.queries + self.slots * self.keys) * row
            + self.queries * (self.keys + 4) * 4
            + if self.element_bytes == 4 { 0 } else { self.queries * (self.keys * self.element_bytes + 16) }
            + self.queries * 12
    }
}

const fn tile(
    kernel: &'static Kernel<AttendParameters>,
    element_bytes: usize,
    head_dim: usize,
    [queries, keys, slots]: [usize; 3],
    blocks_per_multiprocessor: u32,
) -> AttendTile {
    AttendTile { kernel, element_bytes, head_dim, queries, keys, slots, blocks_per_multiprocessor }
}

/// What attention multiplies: f32 exactly, or bf16 on tensor cores.
pub trait AttentionElement: HeadElement {
    #[doc(hidden)]
    const ATTENTION: AttentionKernels;
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct AttentionKernels {
    /// By head_dim ascending; of equal ones, the first that fits the device's shared memory serves.
    tiles: &'static [AttendTile],
    combine: &'static Kernel<CombineParameters>,
}

impl AttentionElement for f32 {
    const ATTENTION: AttentionKernels = AttentionKernels {
        tiles: &[
            tile(&ATTEND_F32_64, 4, 64, [32, 32, 3], 2),
            tile(&ATTEND_F32_256, 4, 256, [32, 16, 2], 2),
            tile(&ATTEND_F32_512, 4, 512, [16, 16, 2], 1),
        ],
        combine: &COMBINE_F32,
    };
}

impl AttentionElement for bf16 {
    const ATTENTION: AttentionKernels = AttentionKernels {
        tiles: &[
            tile(&ATTEND_BF16_64, 2, 64, [64, 64, 3], 2),
            tile(&ATTEND_BF16_256, 2, 256, [64, 32, 3], 2),
            tile(&ATTEND_BF16_512, 2, 512, [64, 32, 2], 1),
            tile(&ATTEND_BF16_512_SMALL, 2, 512, [32, 16, 3], 1),
        ],
        combine: &COMBINE_BF16,
    };
}

/// The tiles for heads of `head_dim` numbers on this device.
fn tile_for<T: AttentionElement>(device: &Device, head_dim: usize) -> Option<&'static AttendTile> {
    T::ATTENTION
        .tiles
        .iter()
        .find(|tile| tile.head_dim >= head_dim && tile.shared_bytes() <= device.shared_bytes_max() as usize)
}

/// Numbers of scratch with which [`attend`] can split the keys as much as is good for any pass of at most `rows` rows.
pub fn attention_scratch_len<T: AttentionElement>(device: &Device, rows: usize, shape: HeadShape) -> usize {
    let Some(tile) = tile_for::<T>(device, shape.head_dim) else { return 0 };
    // Splits are wanted until the device is full twice over, and the more rows there are, the fewer of them it takes: what fewer rows want
    // is no more than this.
    let wanted = 2 * tile.blocks_at_once(device) * tile.queries * (shape.head_dim + 2);
    wanted.min(rows * shape.heads * (shape.head_dim + 2) * SPLITS_MAX)
}

/// What [`attend`] reads: queries, [rows, heads, head_dim], and of canvases their own keys and values, [rows, kv_heads, head_dim].
#[derive(Clone, Copy)]
pub struct AttentionInput<'a, T> {
    /// Normed and rotated.
    pub queries: Slice<'a, T>,
    /// Keys and values of canvases; `None` for prompts, whose cache has them already.
    pub own: Option<(Slice<'a, T>, Slice<'a, T>)>,
}

/// `output = softmax(queries * keys) * values` with scale 1, [rows, heads, head_dim].
///
/// Prompt rows see the tokens up to themselves, of which a window leaves the last `window`. Canvas rows see their prompt,
/// of which a window leaves the last `window - 1` tokens, and their whole canvas. `scratch` has at least the length of one
/// split's share, [`attention_scratch_len`] for all that are worth their cost, or is empty: then the keys are not split. A value that is no
/// number may spoil rows that do not see it, where they share a tile with ones that do.
pub fn attend<T: AttentionElement>(
    segments: &Segments<'_, T>,
    input: AttentionInput<'_, T>,
    window: Option<usize>,
    mut scratch: SliceMut<'_, f32>,
    output: SliceMut<'_, T>,
) -> Result<(), Error> {
    const NAME: &str = "attend";
    let (shape, rows, device) = (segments.shape(), segments.rows(), segments.device());
    let AttentionInput { queries, own } = input;
    require!(NAME, queries.len() == rows * shape.query_width(), "{} numbers are not {rows} queries", queries.len());
    require!(NAME, output.len() == queries.len(), "{} numbers do not fit {rows} rows", output.len());
    require!(NAME, window != Some(0), "a window of nothing");
    require!(NAME, own.is_some() != segments.is_prompt(), "a canvas, and only it, has keys and values of its own");
    if let Some((keys, values)) = own {
        let fits = keys.len() == rows * shape.kv_width() && values.len() == keys.len();
        require!(NAME, fits, "keys or values do not fit {rows} rows");
        require!(NAME, keys.device().is(device) && values.device().is(device), "keys are on another device");
    }
    let is_here = queries.device().is(device) && output.device().is(device) && scratch.device().is(device);
    require!(NAME, is_here, "queries, scratch or output are on another device");
    require!(NAME, rows * shape.heads <= i32::MAX as usize, "{rows} rows are too many");
    let is_even = (output.address() | scratch.address()).is_multiple_of(8);
    require!(NAME, is_even, "the output or the scratch is not aligned to 8 bytes");
    let Some(tile) = tile_for::<T>(device, shape.head_dim) else {
        return Err(crate::error::shape(
            NAME,
            format!("no kernel for heads of {} fits a block of this device", shape.head_dim.min(HEAD_DIM_MAX)),
        ));
    };
    if rows == 0 {
        return Ok(());
    }

    let group = shape.heads / shape.kv_heads;
    let query_tiles = (segments.longest() * group).div_ceil(tile.queries);
    let most_seen = match (segments.is_prompt(), window) {
        (true, Some(window)) => {
            (segments.cached_bound() + segments.longest()).min(window + tile.queries.div_ceil(group))
        }
        (false, Some(window)) => segments.cached_bound().min(window - 1) + segments.longest(),
        (_, None) => segments.cached_bound() + segments.longest(),
    };
    let per_split = rows * shape.heads * (shape.head_dim + 2);
    let splits = best_splits(
        query_tiles * shape.kv_heads * segments.count(),
        most_seen.div_ceil(tile.keys),
        tile.blocks_at_once(device),
        scratch.len() / per_split,
        SPLIT_COST,
    );
    let (shares, share_sums) = if splits > 1 {
        let (shares, sums) =
            scratch.reborrow().slice(0..splits * per_split).split_at(splits * rows * shape.query_width());
        (shares.address(), sums.address())
    } else {
        (0, 0)
    };
    let is_aligned = |address: u64| address.is_multiple_of(16);
    let own_addresses = own.map_or((0, 0), |(keys, values)| (keys.address(), values.address()));
    let parameters = AttendParameters {
        segments: segments.address(),
        queries: queries.address(),
        own_keys: own_addresses.0,
        own_values: own_addresses.1,
        output: output.address(),
        shares,
        share_sums,
        rows: rows as u32,
        heads: shape.heads as u32,
        kv_heads: shape.kv_heads as u32,
        head_dim: shape.head_dim as u32,
        window: window.map_or(0, |window| window.min(u32::MAX as usize / 4) as u32),
        splits: splits as u32,
        is_causal: segments.is_prompt().into(),
        is_vectorised: (shape.head_dim == tile.head_dim
            && segments.is_aligned()
            && [queries.address(), own_addresses.0, own_addresses.1].into_iter().all(is_aligned))
        .into(),
    };
    let launch = Launch {
        grid: [query_tiles as u32, (shape.kv_heads * splits) as u32, segments.count() as u32],
        threads: THREADS,
        shared_bytes: tile.shared_bytes() as u32,
    };
    // SAFETY: the segments lie inside the packed rows, whose number all lengths were just compared with; caches were checked against
    // theirs when they were written. Shares and their sums have `splits` parts of the scratch, which like the output is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(tile.kernel, launch, &parameters)?;
    }
    if splits == 1 {
        return Ok(());
    }
    let combine = CombineParameters {
        shares,
        share_sums,
        output: output.address(),
        queries: (rows * shape.heads) as u32,
        head_dim: shape.head_dim as u32,
        splits: splits as u32,
        reserved: 0,
    };
    let blocks = (rows * shape.heads).div_ceil(WARPS) as u32;
    let launch = Launch { grid: [blocks, 1, 1], threads: THREADS, shared_bytes: 0 };
    // SAFETY: reads the shares that were just written, and writes the output's rows, each a warp's.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(T::ATTENTION.combine, launch, &combine)
    }
}

#[cfg(test)]
mod tests;
