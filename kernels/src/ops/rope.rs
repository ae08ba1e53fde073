//! From the projection of queries, keys and values to what attention reads: norms, rotation, and the cache.

use crate::error::require;
use crate::kernel::{Kernel, Launch, kernel};
use crate::memory::{Element, Slice, SliceMut};
use crate::ops::segments::Segments;
use crate::{Error, bf16};

const THREADS: u32 = 256;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct PlaceHeadsParameters {
    segments: u64,
    projected: u64,
    query_norm: u64,
    key_norm: u64,
    inverse_frequencies: u64,
    queries: u64,
    own_keys: u64,
    own_values: u64,
    segment_count: u32,
    heads: u32,
    kv_heads: u32,
    head_dim: u32,
    has_values: u32,
    eps: f32,
}

kernel!(static PLACE_HEADS_F32: "rope", place_heads_f32(PlaceHeadsParameters));
kernel!(static PLACE_HEADS_BF16: "rope", place_heads_bf16(PlaceHeadsParameters));

/// What queries, keys and values are: f32 for exact products, bf16 for tensor cores.
pub trait HeadElement: Element {
    #[doc(hidden)]
    const KERNELS: RopeKernels;
}

#[doc(hidden)]
#[derive(Clone, Copy)]
pub struct RopeKernels {
    place_heads: &'static Kernel<PlaceHeadsParameters>,
}

impl HeadElement for f32 {
    const KERNELS: RopeKernels = RopeKernels { place_heads: &PLACE_HEADS_F32 };
}
impl HeadElement for bf16 {
    const KERNELS: RopeKernels = RopeKernels { place_heads: &PLACE_HEADS_BF16 };
}

/// What a layer norms and rotates its heads by.
#[derive(Clone, Copy)]
pub struct HeadWeights<'a> {
    /// `[head_dim]`
    pub query_norm: Slice<'a, f32>,
    /// `[head_dim]`
    pub key_norm: Slice<'a, f32>,
    /// `[head_dim / 2]`; 0 where a dimension does not rotate.
    pub inverse_frequencies: Slice<'a, f32>,
    /// Of the norms.
    pub eps: f32,
    /// Whether the projection holds values; where it does not, the raw keys serve.
    pub has_values: bool,
}

/// Where keys and values of canvas rows go; those of prompt rows go to their caches.
pub struct OwnKeys<'a, T> {
    /// [rows, kv_heads, head_dim]
    pub keys: SliceMut<'a, T>,
    /// [rows, kv_heads, head_dim]
    pub values: SliceMut<'a, T>,
}

/// Norms every head, rotates queries and keys to their positions (the segment's tokens before, and its rows), and puts
/// them where attention finds them: queries, [rows, heads, head_dim], where anybody wants them; keys and values behind what their caches hold or, of
/// canvases, in `own`. `projected` is [rows, heads + kv_heads (+ kv_heads), head_dim]: queries, keys and, where the layer has them, values.
pub fn place_heads<T: HeadElement>(
    segments: &Segments<'_, T>,
    projected: Slice<'_, f32>,
    weights: HeadWeights<'_>,
    queries: Option<SliceMut<'_, T>>,
    own: Option<OwnKeys<'_, T>>,
) -> Result<(), Error> {
    const NAME: &str = "place_heads";
    let (shape, rows, device) = (segments.shape(), segments.rows(), segments.device());
    let HeadWeights { query_norm, key_norm, inverse_frequencies, eps, has_values } = weights;
    let width = shape.query_width() + shape.kv_width() * if has_values { 2 } else { 1 };
    require!(
        NAME,
        projected.len() == rows * width,
        "{} projected numbers are not {rows} rows of {width}",
        projected.len()
    );
    require!(
        NAME,
        query_norm.len() == shape.head_dim
            && key_norm.len() == shape.head_dim
            && inverse_frequencies.len() == shape.head_dim / 2,
        "norms or frequencies do not fit heads of {}",
        shape.head_dim
    );
    require!(NAME, own.is_some() != segments.is_prompt(), "a canvas, and only it, needs keys and values of its own");
    if let Some(queries) = &queries {
        require!(NAME, queries.len() == rows * shape.query_width(), "queries do not fit {rows} rows");
        require!(NAME, queries.device().is(device), "the queries are on another device");
    }
    if let Some(own) = &own {
        let fits = own.keys.len() == rows * shape.kv_width() && own.values.len() == own.keys.len();
        require!(NAME, fits, "keys or values do not fit {rows} rows");
        let is_here = own.keys.device().is(device) && own.values.device().is(device);
        require!(NAME, is_here, "keys or values are on another device");
    }
    let is_here = [projected, query_norm, key_norm, inverse_frequencies].iter().all(|slice| slice.device().is(device));
    require!(NAME, is_here, "the projection or a norm is on another device");
    let parameters = PlaceHeadsParameters {
        segments: segments.address(),
        projected: projected.address(),
        query_norm: query_norm.address(),
        key_norm: key_norm.address(),
        inverse_frequencies: inverse_frequencies.address(),
        queries: queries.map_or(0, |queries| queries.address()),
        own_keys: own.as_ref().map_or(0, |own| own.keys.address()),
        own_values: own.as_ref().map_or(0, |own| own.values.address()),
        segment_count: segments.count() as u32,
        heads: shape.heads as u32,
        kv_heads: shape.kv_heads as u32,
        head_dim: shape.head_dim as u32,
        has_values: has_values.into(),
        eps,
    };
    // Cosines and sines of the row's position.
    let shared_bytes = 4 * shape.head_dim as u32;
    let launch = Launch { grid: [rows as u32, 1, 1], threads: THREADS, shared_bytes };
    // SAFETY: block r reads and writes row r of slices whose lengths were just compared with the rows, and of its segment's cache, whose
    // capacity was checked when the segments were written and which they borrow mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(T::KERNELS.place_heads, launch, &parameters)
    }
}

#[cfg(test)]
mod tests;
