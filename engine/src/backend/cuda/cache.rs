//! Keys and values of one prompt on the device.

use lacuna_kernels::ops::segments::{CanvasSegment, PromptSegment};
use lacuna_kernels::{Buffer, Device, Element, Error};

/// Tokens that a layer's buffers grow by at least, so that typing seldom makes them move.
const BLOCK_TOKENS: usize = 256;

/// Keys and values of one prompt, a pair of buffers a layer.
pub(crate) struct Cache<T> {
    pub(super) layers: Vec<LayerCache<T>>,
    /// While a pass adds some, those before it.
    pub(super) tokens: usize,
}

/// Keys (normed, rotated) and values of one layer, [capacity, kv width] each; nothing until the first token comes.
pub(super) struct LayerCache<T> {
    buffers: Option<Buffers<T>>,
}

struct Buffers<T> {
    keys: Buffer<T>,
    values: Buffer<T>,
}

impl<T: Element> Cache<T> {
    pub(super) fn new(layers: usize) -> Self {
        Self { layers: (0..layers).map(|_| LayerCache { buffers: None }).collect(), tokens: 0 }
    }

    pub(super) fn truncate(&mut self, tokens: usize) {
        self.tokens = self.tokens.min(tokens);
    }
}

impl<T: Element> LayerCache<T> {
    /// Makes room for `rows` tokens behind the first `cached`, of `width` numbers each.
    pub(super) fn reserve(&mut self, device: &Device, width: usize, cached: usize, rows: usize) -> Result<(), Error> {
        let needed = cached + rows;
        let capacity = self.buffers.as_ref().map_or(0, |buffers| buffers.keys.len() / width);
        if needed <= capacity && self.buffers.is_some() {
            return Ok(());
        }
        // A long prompt comes in many parts; by growing in proportion it is copied few times.
        let tokens = needed.max(capacity + capacity / 2).next_multiple_of(BLOCK_TOKENS);
        let mut grown = Buffers { keys: device.allocate(tokens * width)?, values: device.allocate(tokens * width)? };
        if let Some(old) = &self.buffers {
            let kept = 0..cached * width;
            grown.keys.slice_mut(kept.clone()).copy_from(old.keys.slice(kept.clone()))?;
            grown.values.slice_mut(kept.clone()).copy_from(old.values.slice(kept))?;
        }
        self.buffers = Some(grown);
        Ok(())
    }

    /// New tokens of the prompt behind those that are cached, for which there is room; `None` where nothing was ever reserved.
    pub(super) fn prompt_segment(&mut self, cached_tokens: usize, rows: usize) -> Option<PromptSegment<'_, T>> {
        let Buffers { keys, values } = self.buffers.as_mut()?;
        Some(PromptSegment { rows, cached_tokens, keys: keys.as_mut(), values: values.as_mut() })
    }

    /// A canvas over the prompt; `nothing` stands for buffers that were never needed.
    pub(super) fn canvas_segment<'a>(
        &'a self,
        cached_tokens: usize,
        rows: usize,
        nothing: &'a Buffer<T>,
    ) -> CanvasSegment<'a, T> {
        let (keys, values) =
            self.buffers.as_ref().map_or((nothing, nothing), |buffers| (&buffers.keys, &buffers.values));
        CanvasSegment { rows, cached_tokens, keys: keys.as_slice(), values: values.as_slice() }
    }
}
