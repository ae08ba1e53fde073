//! Activations on the device, allocated once and used by every pass.

use lacuna_kernels::ops::attention::attention_scratch_len;
use lacuna_kernels::ops::head::{HeadShape, HeadWorkspace};
use lacuna_kernels::ops::linear::LinearScratch;
use lacuna_kernels::ops::router::Routing;
use lacuna_kernels::ops::segments::SegmentBuffer;
use lacuna_kernels::ops::steps::{RowOutcome, SampleRows, Step, TokenLists, TokenSets};
use lacuna_kernels::{Arena, Buffer, Device, Error};

use super::Activation;
use super::matrices::ProductRows;
use super::step::RunRows;
use super::weights::{Layer, Weights};
use crate::backend::{CARD_HEAD_ROWS, ROW_VOTES_MAX};
use crate::canvas::TokenSet;

/// Room for the activations of a number of packed rows.
pub(crate) struct Workspace<T> {
    pub(super) device: Device,
    /// Rows that there is room for.
    pub(super) capacity: usize,
    /// Rows of the pass under way.
    pub(super) rows: usize,
    /// Whose norms of the stream are in `normed`.
    pub(super) ready: Ready,
    /// `[rows]`
    pub(super) ids: Buffer<u32>,
    /// [rows, hidden]: the residual stream.
    pub(super) stream: Buffer<f32>,
    /// [rows, hidden] each: what the next products read of the stream.
    pub(super) normed: [ProductRows<T>; 3],
    /// [rows, hidden]: what a product leaves to be added to the stream.
    pub(super) projected: Buffer<f32>,
    pub(super) linear: LinearScratch,
    pub(super) attention: AttentionRows<T>,
    /// [rows, widest intermediate].
    pub(super) activated: ProductRows<T>,
    pub(super) experts: ExpertRows<T>,
    pub(super) head: HeadRows<T>,
    pub(super) run: RunRows,
}

/// What has been made of the stream as it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ready {
    Nothing,
    /// The first norm is the input of this layer's attention.
    Attention(usize),
    /// The norms are those that this layer's dense network, router and experts read.
    FeedForward(usize),
}

/// What attention works with.
pub(super) struct AttentionRows<T> {
    /// Of canvases, and of new prompt tokens: those of all layers, with room for segments of a row.
    pub(super) canvases: SegmentBuffer,
    pub(super) prompts: SegmentBuffer,
    /// [rows, queries + keys + values].
    pub(super) qkv: Buffer<f32>,
    /// [rows, heads * head_dim].
    pub(super) queries: Buffer<T>,
    /// [rows, key or value].
    pub(super) keys: Buffer<T>,
    pub(super) values: Buffer<T>,
    /// [rows, heads * head_dim].
    pub(super) attended: ProductRows<T>,
    pub(super) scratch: Buffer<f32>,
}

/// What the mixture of experts works with.
pub(super) struct ExpertRows<T> {
    /// [rows, experts].
    pub(super) scores: Buffer<f32>,
    pub(super) routing: Routing,
    /// [rows * experts per token, expert width].
    pub(super) activated: ProductRows<T>,
    /// [rows, experts per token, hidden].
    pub(super) outputs: Buffer<f32>,
}

/// What the head works with.
pub(super) struct HeadRows<T> {
    pub(super) workspace: HeadWorkspace<T>,
    /// Rows at a time.
    pub(super) block: usize,
    pub(super) rows: SampleRows,
    pub(super) votes: TokenLists,
    pub(super) step: Buffer<Step>,
    pub(super) outcomes: Buffer<RowOutcome>,
    pub(super) found: Vec<RowOutcome>,
    /// The sets of the last call, on the host and on the device.
    pub(super) sets: Option<(Vec<TokenSet>, TokenSets)>,
    /// How often other sets came to the device.
    pub(super) sets_written: u64,
    /// [entries, hidden]: soft embeddings kept for the next pass.
    pub(super) soft: Buffer<f32>,
    /// [entries, hidden].
    pub(super) signal: Buffer<f32>,
    /// `[rows]`: the entry that is added to each row.
    pub(super) sources: Buffer<u32>,
    /// What stands there now.
    pub(super) written_sources: Vec<u32>,
}

impl<T: Activation> Workspace<T> {
    pub(super) fn new(device: &Device, weights: &Weights<T>, rows: usize) -> Result<Self, Error> {
        let hidden = weights.hidden;
        let widest = |width: fn(&Layer) -> usize| weights.layers.iter().map(width).max().unwrap_or(0);
        let query_width = widest(|layer| layer.shape.query_width());
        let kv_width = widest(Layer::kv_width);
        let scratch = |layer: &Layer| attention_scratch_len::<T>(device, rows, layer.shape);
        let assignments = rows * weights.experts_per_token;
        let stream = || device.allocate(rows * hidden);
        let roundings = weights.roundings();
        let product_rows = |rows: usize, width: usize| ProductRows::new(device, rows, width, roundings);
        let normed = || product_rows(rows, hidden);
        Ok(Self {
            device: device.clone(),
            capacity: rows,
            rows: 0,
            ready: Ready::Nothing,
            ids: device.allocate(rows)?,
            stream: stream()?,
            normed: [normed()?, normed()?, normed()?],
            projected: stream()?,
            linear: LinearScratch::new(device)?,
            attention: AttentionRows {
                canvases: SegmentBuffer::new(device, rows * weights.layers.len())?,
                prompts: SegmentBuffer::new(device, rows * weights.layers.len())?,
                qkv: device.allocate(rows * widest(|layer| layer.qkv.outputs))?,
                queries: device.allocate(rows * query_width)?,
                keys: device.allocate(rows * kv_width)?,
                values: device.allocate(rows * kv_width)?,
                attended: product_rows(rows, query_width)?,
                scratch: device.allocate(weights.layers.iter().map(scratch).max().unwrap_or(0))?,
            },
            activated: product_rows(rows, weights.mlp_width)?,
            experts: ExpertRows {
                scores: device.allocate(rows * weights.experts)?,
                routing: Routing::new(device, rows, weights.experts, weights.experts_per_token)?,
                activated: product_rows(assignments, weights.expert_width)?,
                outputs: device.allocate(assignments * hidden)?,
            },
            head: HeadRows::new(device, weights, rows)?,
            run: RunRows::new(device, rows)?,
        })
    }
}

impl<T> Workspace<T> {
    /// Whether steps are launched kernel by kernel, and not as graphs.
    pub(super) fn launches_one_by_one(&mut self, is_so: bool) {
        self.run.graphs.are_off = is_so;
    }
}

impl<T: Activation> HeadRows<T> {
    fn new(device: &Device, weights: &Weights<T>, rows: usize) -> Result<Self, Error> {
        let block = rows.clamp(1, CARD_HEAD_ROWS);
        let shape =
            HeadShape { rows: block, vocabulary: weights.vocabulary, hidden: weights.hidden, keeps_weights: true };
        let mut arena = Arena::new(device, shape.footprint::<T>(device))?;
        Ok(Self {
            workspace: HeadWorkspace::new(device, &mut arena, shape)?,
            block,
            rows: SampleRows::new(device, block)?,
            votes: TokenLists::new(device, block, block * ROW_VOTES_MAX)?,
            step: device.allocate(1)?,
            outcomes: device.allocate(block)?,
            found: vec![RowOutcome::default(); block],
            sets: None,
            sets_written: 0,
            soft: device.allocate(rows * weights.hidden)?,
            signal: device.allocate(rows * weights.hidden)?,
            sources: device.allocate(rows)?,
            written_sources: Vec::new(),
        })
    }
}
