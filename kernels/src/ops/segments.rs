//! Segments: runs of packed rows that belong to one prompt, with that prompt's cached keys and values.

use std::marker::PhantomData;

use crate::error::require;
use crate::memory::{Buffer, Element, Slice, SliceMut};
use crate::{Device, Error};

/// The heads of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadShape {
    /// Query heads.
    pub heads: usize,
    /// Key and value heads; query head h reads the one at h / (heads / kv_heads).
    pub kv_heads: usize,
    /// Numbers in a head, an even number of at most [`HEAD_DIM_MAX`].
    pub head_dim: usize,
}

/// Numbers in a head at most.
pub const HEAD_DIM_MAX: usize = 512;

impl HeadShape {
    /// Numbers in a row's queries.
    pub fn query_width(&self) -> usize {
        self.heads * self.head_dim
    }

    /// Numbers in a row's keys, or values.
    pub fn kv_width(&self) -> usize {
        self.kv_heads * self.head_dim
    }

    pub(crate) fn check(&self, operation: &'static str) -> Result<(), Error> {
        let Self { heads, kv_heads, head_dim } = *self;
        require!(
            operation,
            head_dim > 0 && head_dim <= HEAD_DIM_MAX && head_dim.is_multiple_of(2),
            "heads of {head_dim} numbers, which is not an even number up to {HEAD_DIM_MAX}"
        );
        require!(
            operation,
            kv_heads > 0 && heads > 0 && heads <= 1024 && heads.is_multiple_of(kv_heads),
            "{heads} query heads cannot share {kv_heads} key heads evenly"
        );
        Ok(())
    }
}

/// New tokens of a prompt, whose keys and values are appended to its cache.
pub struct PromptSegment<'a, T> {
    /// How many.
    pub rows: usize,
    /// Tokens in the cache before them.
    pub cached_tokens: usize,
    /// One layer's cached keys: [capacity, kv width].
    pub keys: SliceMut<'a, T>,
    /// One layer's cached values: [capacity, kv width].
    pub values: SliceMut<'a, T>,
}

/// A canvas over a prompt. Several may stand over the same one.
pub struct CanvasSegment<'a, T> {
    /// How many.
    pub rows: usize,
    /// Tokens in the cache.
    pub cached_tokens: usize,
    /// One layer's cached keys: [capacity, kv width].
    pub keys: Slice<'a, T>,
    /// One layer's cached values: [capacity, kv width].
    pub values: Slice<'a, T>,
}

/// As the kernels read it.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentRecord {
    keys: u64,
    values: u64,
    cached_tokens: u32,
    first_row: u32,
    rows: u32,
    reserved: u32,
}

// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for SegmentRecord {}

/// Where the segments of all layers stand on the device; its address stays the same, as a captured graph needs it.
pub struct SegmentBuffer {
    records: Buffer<SegmentRecord>,
    /// What stands there now: the same segments again, as in a canvas's next step, are not written again, because a write makes the host wait.
    written: Vec<SegmentRecord>,
}

impl SegmentBuffer {
    /// Room for so many segments, those of all layers counted.
    pub fn new(device: &Device, segments: usize) -> Result<Self, Error> {
        Ok(Self { records: device.allocate(segments)?, written: Vec::with_capacity(segments) })
    }

    /// Writes the segments of prompts, a list a layer. `shape` gives a layer's heads.
    pub fn write_prompts<'a, T: Element>(
        &'a mut self,
        layers: Vec<Vec<PromptSegment<'a, T>>>,
        shape: impl Fn(usize) -> HeadShape,
    ) -> Result<SegmentTables<'a, T>, Error> {
        let mut writer = Writer::new(true);
        for (layer, segments) in layers.into_iter().enumerate() {
            writer.begin(shape(layer))?;
            for PromptSegment { rows, cached_tokens, mut keys, mut values } in segments {
                let (keys, values) = (keys.reborrow(), values.reborrow());
                writer.check_devices(&self.records, keys.device(), values.device())?;
                writer.push(rows, cached_tokens, (keys.address(), keys.len()), (values.address(), values.len()))?;
            }
        }
        writer.write(self)
    }

    /// Writes the segments of canvases, a list a layer. `shape` gives a layer's heads.
    pub fn write_canvases<'a, T: Element>(
        &'a mut self,
        layers: &[Vec<CanvasSegment<'a, T>>],
        shape: impl Fn(usize) -> HeadShape,
    ) -> Result<SegmentTables<'a, T>, Error> {
        let mut writer = Writer::new(false);
        for (layer, segments) in layers.iter().enumerate() {
            writer.begin(shape(layer))?;
            for CanvasSegment { rows, cached_tokens, keys, values } in segments {
                writer.check_devices(&self.records, keys.device(), values.device())?;
                writer.push(*rows, *cached_tokens, (keys.address(), keys.len()), (values.address(), values.len()))?;
            }
        }
        writer.write(self)
    }
}

/// What is known on the host of one layer's segments.
#[derive(Clone, Copy, Debug)]
struct Layer {
    shape: HeadShape,
    first: usize,
    count: usize,
    rows: usize,
    longest: usize,
    most_cached: usize,
    is_aligned: bool,
}

/// The segments of a pass on the device, checked against their caches.
pub struct SegmentTables<'a, T> {
    records: Slice<'a, SegmentRecord>,
    layers: Vec<Layer>,
    is_prompt: bool,
    caches: PhantomData<&'a mut T>,
}

impl<T: Element> SegmentTables<'_, T> {
    /// The segments with one layer's caches.
    pub fn layer(&self, layer: usize) -> Segments<'_, T> {
        Segments { records: self.records, layer: self.layers[layer], is_prompt: self.is_prompt, caches: PhantomData }
    }
}

/// A pass's segments in one layer.
#[derive(Clone, Copy)]
pub struct Segments<'a, T> {
    records: Slice<'a, SegmentRecord>,
    layer: Layer,
    is_prompt: bool,
    caches: PhantomData<&'a T>,
}

impl<'a, T: Element> Segments<'a, T> {
    /// Packed rows of all segments.
    pub fn rows(&self) -> usize {
        self.layer.rows
    }

    /// Rows of the longest one.
    pub(crate) fn longest(&self) -> usize {
        self.layer.longest
    }

    /// As many tokens as there are in the fullest cache before the pass, or a few more for canvases: launches go by it, and should be the same
    /// while a prompt grows, so that a graph serves.
    pub fn cached_bound(&self) -> usize {
        if self.is_prompt { self.layer.most_cached } else { rounded_up(self.layer.most_cached) }
    }

    pub(crate) fn count(&self) -> usize {
        self.layer.count
    }

    pub(crate) fn shape(&self) -> HeadShape {
        self.layer.shape
    }

    /// Whether they are new tokens of prompts.
    pub(crate) fn is_prompt(&self) -> bool {
        self.is_prompt
    }

    /// Whether all caches begin at multiples of 16 bytes.
    pub(crate) fn is_aligned(&self) -> bool {
        self.layer.is_aligned
    }

    pub(crate) fn address(&self) -> u64 {
        self.records.slice(self.layer.first..self.layer.first + self.layer.count).address()
    }

    pub(crate) fn device(&self) -> &'a Device {
        self.records.device()
    }
}

const NAME: &str = "segments";

/// To a power of two, and beyond 256 to a multiple of it.
fn rounded_up(tokens: usize) -> usize {
    const BLOCK: usize = 256;
    match tokens {
        0 => 0,
        tokens if tokens < BLOCK => tokens.next_power_of_two(),
        tokens => tokens.checked_next_multiple_of(BLOCK).unwrap_or(tokens),
    }
}

/// Checks segments and collects them.
struct Writer {
    records: Vec<SegmentRecord>,
    layers: Vec<Layer>,
    is_prompt: bool,
}

impl Writer {
    fn new(is_prompt: bool) -> Self {
        Self { records: Vec::new(), layers: Vec::new(), is_prompt }
    }

    fn begin(&mut self, shape: HeadShape) -> Result<(), Error> {
        shape.check(NAME)?;
        let first = self.records.len();
        self.layers.push(Layer { shape, first, count: 0, rows: 0, longest: 0, most_cached: 0, is_aligned: true });
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "it stands with the other checks")]
    fn check_devices(&self, records: &Buffer<SegmentRecord>, keys: &Device, values: &Device) -> Result<(), Error> {
        let device = records.as_slice().device();
        require!(NAME, keys.is(device) && values.is(device), "a cache is on another device");
        Ok(())
    }

    /// `keys` and `values` are addresses and numbers of elements.
    fn push(&mut self, rows: usize, cached: usize, keys: (u64, usize), values: (u64, usize)) -> Result<(), Error> {
        let Some(layer) = self.layers.last_mut() else { return Ok(()) };
        let width = layer.shape.kv_width();
        require!(NAME, keys.1 == values.1, "{} numbers of keys do not fit {} of values", keys.1, values.1);
        let needed = if self.is_prompt { cached.saturating_add(rows) } else { cached };
        require!(NAME, needed <= keys.1 / width, "{needed} tokens do not fit a cache for {}", keys.1 / width);
        let (first_row, total) = (layer.rows, layer.rows.saturating_add(rows));
        require!(
            NAME,
            total <= i32::MAX as usize && cached.saturating_add(rows) <= i32::MAX as usize,
            "{total} rows over {cached} tokens are too many"
        );
        self.records.push(SegmentRecord {
            keys: keys.0,
            values: values.0,
            cached_tokens: cached as u32,
            first_row: first_row as u32,
            rows: rows as u32,
            reserved: 0,
        });
        layer.count += 1;
        layer.rows = total;
        layer.longest = layer.longest.max(rows);
        layer.most_cached = layer.most_cached.max(cached);
        layer.is_aligned &= (keys.0 | values.0).is_multiple_of(16);
        Ok(())
    }

    fn write<'a, T: Element>(self, buffer: &'a mut SegmentBuffer) -> Result<SegmentTables<'a, T>, Error> {
        let SegmentBuffer { records, written } = buffer;
        let room = records.len();
        require!(NAME, self.records.len() <= room, "{} segments do not fit a buffer for {room}", self.records.len());
        if !written.starts_with(&self.records) {
            // Nothing is known to stand there while it is being written.
            written.clear();
            records.slice_mut(0..self.records.len()).write(&self.records)?;
            written.extend_from_slice(&self.records);
        }
        Ok(SegmentTables {
            records: records.as_slice(),
            layers: self.layers,
            is_prompt: self.is_prompt,
            caches: PhantomData,
        })
    }
}

#[cfg(test)]
mod tests;
