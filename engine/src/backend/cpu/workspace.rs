//! Activations, allocated once and used by every pass.

use std::ops::Range;
use std::sync::Mutex;

use super::weights::Weights;

/// Query rows that one attention task takes.
pub(crate) const ATTENTION_ROWS: usize = 64;

/// Room for the activations of a number of packed rows.
pub(crate) struct Workspace {
    /// Rows that there is room for.
    pub(crate) capacity: usize,
    /// Rows of the pass under way.
    pub(crate) rows: usize,
    /// [rows, hidden]: the residual stream.
    pub(crate) stream: Vec<f32>,
    /// [rows, hidden].
    pub(crate) normed: Vec<f32>,
    /// [rows, hidden].
    pub(crate) projected: Vec<f32>,
    /// [rows, queries + keys + values].
    pub(crate) qkv: Vec<f32>,
    /// [rows, key or value] of the layer, normed and rotated.
    pub(crate) keys: Vec<f32>,
    pub(crate) values: Vec<f32>,
    /// One block of [rows, head_dim] a task, task after task.
    pub(crate) attended_by_task: Vec<f32>,
    /// [rows, heads * head_dim].
    pub(crate) attended: Vec<f32>,
    pub(crate) tasks: Vec<AttentionTask>,
    /// [rows, head_dim / 2], of the layer's rotation.
    pub(crate) cosines: Vec<f32>,
    pub(crate) sines: Vec<f32>,
    pub(crate) positions: Vec<usize>,
    /// [rows, 2 * widest intermediate].
    pub(crate) gate_up: Vec<f32>,
    /// [rows, widest intermediate].
    pub(crate) activated: Vec<f32>,
    pub(crate) experts: ExpertRows,
    pub(crate) head: HeadRows,
    /// One a thread: scores of one attention task.
    pub(crate) scores: Vec<Mutex<Vec<f32>>>,
}

/// One head of a few query rows of one segment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct AttentionTask {
    pub(crate) prompt: usize,
    pub(crate) head: usize,
    /// Packed rows.
    pub(crate) first_row: usize,
    pub(crate) rows: usize,
    /// The segment's packed rows.
    pub(crate) segment_start: usize,
    pub(crate) segment_rows: usize,
    /// Where the task's output begins.
    pub(crate) offset: usize,
}

/// What the mixture of experts works with; an assignment is a row given to one of its experts.
pub(crate) struct ExpertRows {
    /// [rows, experts].
    pub(crate) scores: Vec<f32>,
    /// [rows, experts per token]: the expert and its weight.
    pub(crate) chosen: Vec<(usize, f32)>,
    /// Assignments sorted by expert: the row, and where in `chosen` it stands.
    pub(crate) assignments: Vec<(usize, usize)>,
    /// [experts + 1]: while assignments are sorted, where each expert's next one goes.
    pub(crate) starts: Vec<usize>,
    /// The experts that have assignments, and which.
    pub(crate) groups: Vec<(usize, Range<usize>)>,
    /// [assignments, hidden].
    pub(crate) inputs: Vec<f32>,
    /// [assignments, 2 * expert width].
    pub(crate) gate_up: Vec<f32>,
    /// [assignments, expert width].
    pub(crate) activated: Vec<f32>,
    /// [assignments, hidden].
    pub(crate) outputs: Vec<f32>,
    /// [rows, hidden].
    pub(crate) sum: Vec<f32>,
}

/// What the head works with.
pub(crate) struct HeadRows {
    /// [block, hidden].
    pub(crate) normed: Vec<f32>,
    /// [block, vocabulary].
    pub(crate) logits: Vec<f32>,
    /// Rows in a block.
    pub(crate) block: usize,
    /// [entries, hidden]: soft embeddings kept for the next pass.
    pub(crate) soft: Vec<f32>,
    /// Entries whose distributions, kept in `logits`, have no soft embeddings yet; none where `soft` has them all.
    pub(crate) unsoftened: usize,
    /// [entries, hidden].
    pub(crate) signal: Vec<f32>,
}

/// Logits are made for so many rows at a time that a block has at most this many numbers.
const LOGITS_BLOCK: usize = 4 << 20;

impl Workspace {
    pub(crate) fn new(weights: &Weights, rows: usize, threads: usize) -> Self {
        let hidden = weights.hidden;
        let widest = |width: fn(&super::weights::Layer) -> usize| weights.layers.iter().map(width).max().unwrap_or(0);
        let query_width = weights.heads * widest(|layer| layer.head_dim);
        let kv_width = widest(super::weights::Layer::kv_width);
        let half = widest(|layer| layer.head_dim / 2);
        let assignments = rows * weights.experts_per_token;
        let block = (LOGITS_BLOCK / weights.vocabulary.max(1)).clamp(1, rows.max(1));
        Self {
            capacity: rows,
            rows: 0,
            stream: vec![0.0; rows * hidden],
            normed: vec![0.0; rows * hidden],
            projected: vec![0.0; rows * hidden],
            qkv: vec![0.0; rows * (query_width + 2 * kv_width)],
            keys: vec![0.0; rows * kv_width],
            values: vec![0.0; rows * kv_width],
            attended_by_task: vec![0.0; rows * query_width],
            attended: vec![0.0; rows * query_width],
            tasks: Vec::with_capacity(weights.heads * rows),
            cosines: vec![0.0; rows * half],
            sines: vec![0.0; rows * half],
            positions: Vec::with_capacity(rows),
            gate_up: vec![0.0; rows * 2 * weights.mlp_width],
            activated: vec![0.0; rows * weights.mlp_width],
            experts: ExpertRows {
                scores: vec![0.0; rows * weights.experts],
                chosen: vec![(0, 0.0); assignments],
                assignments: vec![(0, 0); assignments],
                starts: vec![0; weights.experts + 1],
                groups: Vec::with_capacity(weights.experts),
                inputs: vec![0.0; assignments * hidden],
                gate_up: vec![0.0; assignments * 2 * weights.expert_width],
                activated: vec![0.0; assignments * weights.expert_width],
                outputs: vec![0.0; assignments * hidden],
                sum: vec![0.0; rows * hidden],
            },
            head: HeadRows {
                normed: vec![0.0; rows * hidden],
                logits: vec![0.0; block * weights.vocabulary],
                block,
                soft: vec![0.0; rows * hidden],
                unsoftened: 0,
                signal: vec![0.0; rows * hidden],
            },
            scores: (0..threads.max(1)).map(|_| Mutex::new(Vec::new())).collect(),
        }
    }

    /// Keeps these rows of the stream and of the queries, ascending, as the first ones; [`Self::rows`] is then their
    /// number.
    pub(crate) fn gather_rows(&mut self, rows: &[usize], hidden: usize, row_width: usize) {
        for (index, row) in rows.iter().copied().enumerate().filter(|(index, row)| index != row) {
            self.stream.copy_within(row * hidden..(row + 1) * hidden, index * hidden);
            self.qkv.copy_within(row * row_width..(row + 1) * row_width, index * row_width);
        }
        self.rows = rows.len();
    }

    /// Moves the first rows of the stream back to where they were gathered from, among `count` rows.
    pub(crate) fn spread_stream(&mut self, rows: &[usize], count: usize, hidden: usize) {
        // From the last one on: no row comes to lie on one that has yet to move.
        for (index, row) in rows.iter().copied().enumerate().rev().filter(|(index, row)| index != row) {
            self.stream.copy_within(index * hidden..(index + 1) * hidden, row * hidden);
        }
        self.rows = count;
    }
}
