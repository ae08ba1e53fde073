//! The seam below the model: tensor operations, each coarse enough that a GPU can fuse inside it.
//!
//! Operations take *packed rows*: the rows of several segments stand one after the other without padding. A segment
//! is one canvas over one prompt, or new tokens of one prompt; segments may share a prompt.

pub(crate) mod cpu;
#[cfg(any(feature = "cuda", test))]
pub(crate) mod cuda;
mod step;
mod timed;

use crate::canvas::TokenSet;
use crate::philox::Place;
use crate::{Cancel, Error};

pub(crate) use step::{CanvasHoles, StepInput, StepOutcome};
pub(crate) use timed::Timed;

/// A run of packed rows that belong to one prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    /// How many rows.
    pub(crate) rows: usize,
    /// Which of the call's caches.
    pub(crate) prompt: usize,
}

/// Which of the two stacks, that share all weights but their layers' scalars, a row goes through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stack {
    Encoder,
    Decoder,
}

/// One row whose distribution is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SampleRow {
    /// The packed row.
    pub(crate) row: usize,
    /// Which of the call's token sets may stand here; all tokens where it is `None`.
    pub(crate) allowed: Option<usize>,
    /// Where the row's random numbers come from.
    pub(crate) place: Place,
}

/// The Gumbel noise that turns an argmax into a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum SampleNoise<'a> {
    /// Generated from each row's place.
    Philox,
    /// Recorded: [canvas rows, vocabulary], looked up by the place's row.
    Tape(&'a [f32]),
}

/// One token whose probability in one row is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ScoredToken {
    /// The packed row.
    pub(crate) row: usize,
    pub(crate) token: u32,
}

/// A token that something else than the model holds possible in a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct RowVote {
    /// The packed row.
    pub(crate) row: usize,
    pub(crate) token: u32,
    /// More than nought. Those of one row add up to less than one; what is missing is the model's.
    pub(crate) probability: f32,
}

/// Rows that a card encodes a long prompt by at a time: enough that products are bound by arithmetic and not by reading weights.
pub(crate) const CARD_ENCODE_ROWS: usize = 2048;
/// Rows that the head takes at a time on a card: a weight of each row and token is kept while soft embeddings are made.
pub(crate) const CARD_HEAD_ROWS: usize = 256;

/// Votes in one row at most; more are not counted.
pub(crate) const ROW_VOTES_MAX: usize = 24;

/// What holds for all rows of one `sample`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SampleSettings<'a> {
    pub(crate) temperature: f32,
    pub(crate) sets: &'a [TokenSet],
    pub(crate) noise: SampleNoise<'a>,
    /// Ascending by row. They are mixed into the distribution at temperature 1.
    pub(crate) votes: &'a [RowVote],
    /// Whether the samples' own probabilities are wanted, as they are wherever there are votes.
    pub(crate) own_probabilities: bool,
    /// Whether a next step will want the soft embeddings.
    pub(crate) keep_soft: bool,
}

/// What the head found in one row.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct RowOutcome {
    pub(crate) argmax: u32,
    pub(crate) sample: u32,
    /// Nats, of the tempered distribution over the allowed tokens.
    pub(crate) entropy: f32,
    /// Of the argmax, in the tempered distribution.
    pub(crate) probability: f32,
    /// Of the sample, in the model's own distribution at temperature 1 and without votes; 1 where it is not wanted.
    pub(crate) own_probability: f32,
}

/// Tensor operations on one device. Weights belong to the backend; activations to a workspace, so that a backend
/// can be shared; keys and values of a prompt to a cache.
pub(crate) trait Backend: Send + Sync + Sized {
    type Cache: Send + Sync;
    type Workspace: Send;

    /// Runs a whole pass where the device's threads are, so that its operations need not go there one by one.
    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R;
    /// Rows that a long prompt is encoded by at a time.
    fn encode_rows(&self) -> usize;
    /// Rows that a pass may have and still take little longer than one with few, since it is bound by reading the weights;
    /// none where its time goes by its rows.
    fn shared_rows(&self) -> usize;
    /// Multiplications and additions a second of a product large enough to be bound by arithmetic alone.
    fn matrix_rate(&self) -> Result<f64, Error>;
    /// An empty cache.
    fn new_cache(&self) -> Self::Cache;
    /// Prompt tokens in the cache.
    fn cached_tokens(&self, cache: &Self::Cache) -> usize;
    /// Forgets all but the first `tokens` tokens.
    fn truncate(&self, cache: &mut Self::Cache, tokens: usize);
    /// Room for `rows` packed rows.
    fn new_workspace(&self, rows: usize) -> Result<Self::Workspace, Error>;

    /// Makes `ids`, scaled, the workspace's rows.
    fn embed(&self, workspace: &mut Self::Workspace, ids: &[u32]) -> Result<(), Error>;
    /// Adds the self-conditioning signal and norms every row. Entry i of the soft embeddings that the last `sample`
    /// kept goes to the packed row `targets[i]`, or nowhere; rows that get none have a zero signal.
    fn self_condition(&self, workspace: &mut Self::Workspace, targets: &[Option<usize>]) -> Result<(), Error>;
    /// Replaces the kept soft embeddings by those of the distributions in `logits`, [entries, vocabulary].
    fn soften(&self, workspace: &mut Self::Workspace, logits: &[f32]) -> Result<(), Error>;
    /// One layer's attention over new prompt tokens, causal; appends their keys and values. With `keys_only` the
    /// rows themselves are left as they are.
    fn attend_prompt(
        &self,
        workspace: &mut Self::Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &mut [&mut Self::Cache],
        keys_only: bool,
    ) -> Result<(), Error>;
    /// One layer's attention of canvases over their prompts and themselves, both directions; writes no cache.
    fn attend_canvas(
        &self,
        workspace: &mut Self::Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &[&Self::Cache],
    ) -> Result<(), Error>;
    /// One layer's dense and sparse feed-forward networks, and its scalar.
    fn feed_forward(&self, workspace: &mut Self::Workspace, layer: usize, stack: Stack) -> Result<(), Error>;
    /// All of a canvas pass's last layer, after which only the packed rows `read`, ascending, are looked at. What the
    /// others hold then depends on the backend, which may leave out what only they would need.
    fn last_layer(
        &self,
        workspace: &mut Self::Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &[&Self::Cache],
        _read: &[usize],
    ) -> Result<(), Error> {
        self.attend_canvas(workspace, layer, segments, caches)?;
        self.feed_forward(workspace, layer, Stack::Decoder)
    }
    /// The soft-capped logits of all rows, [rows, vocabulary]. For conformance: `sample` never shows them.
    fn logits(&self, workspace: &mut Self::Workspace, out: &mut [f32]) -> Result<(), Error>;
    /// The natural logarithms of the tokens' probabilities at temperature 1 among the whole vocabulary. Tokens of one
    /// row stand together.
    fn log_probabilities(
        &self,
        workspace: &mut Self::Workspace,
        tokens: &[ScoredToken],
        out: &mut [f32],
    ) -> Result<(), Error>;
    /// The head and the sampler's arithmetic on chosen rows; keeps their soft embeddings for the next
    /// `self_condition` if asked to.
    fn sample(
        &self,
        workspace: &mut Self::Workspace,
        rows: &[SampleRow],
        settings: SampleSettings<'_>,
        outcomes: &mut [RowOutcome],
    ) -> Result<(), Error>;
    /// Takes the canvases of a run one step further. A device that can do all of it without asking back does so.
    fn step(
        &self,
        layers: usize,
        input: StepInput<'_>,
        prompts: &[&Self::Cache],
        workspace: &mut Self::Workspace,
        outcome: &mut StepOutcome,
    ) -> Result<(), Error> {
        step::on_host(self, layers, input, prompts, workspace, outcome)
    }
}

/// Encodes the prompt tokens `ids` behind what each cache holds already. On cancellation, which is looked at twice a
/// layer of [`Backend::encode_rows`] rows, the cache is as before.
pub(crate) fn encode<B: Backend>(
    backend: &B,
    layers: usize,
    ids: &[u32],
    cache: &mut B::Cache,
    workspace: &mut B::Workspace,
    cancel: &Cancel,
) -> Result<(), Error> {
    let before = backend.cached_tokens(cache);
    let mut blocks = ids.chunks(backend.encode_rows());
    let encoded = blocks.try_for_each(|block| encode_block(backend, layers, block, cache, workspace, cancel));
    if encoded.is_err() {
        backend.truncate(cache, before);
    }
    encoded
}

fn encode_block<B: Backend>(
    backend: &B,
    layers: usize,
    ids: &[u32],
    cache: &mut B::Cache,
    workspace: &mut B::Workspace,
    cancel: &Cancel,
) -> Result<(), Error> {
    backend.embed(workspace, ids)?;
    let segments = [Segment { rows: ids.len(), prompt: 0 }];
    for layer in 0..layers {
        // Nobody reads what the last layer makes of a prompt token but its key and value.
        let last = layer + 1 == layers;
        cancel.check()?;
        backend.attend_prompt(workspace, layer, &segments, &mut [&mut *cache], last)?;
        if !last {
            cancel.check()?;
            backend.feed_forward(workspace, layer, Stack::Encoder)?;
        }
    }
    Ok(())
}

/// One pass over packed canvases; leaves their last hidden states in the workspace, or those of the packed rows `read`,
/// ascending, where not all of them will be looked at.
#[expect(clippy::too_many_arguments, reason = "all of them are what a pass is made of")]
pub(crate) fn denoise<B: Backend>(
    backend: &B,
    layers: usize,
    ids: &[u32],
    segments: &[Segment],
    caches: &[&B::Cache],
    soft_targets: &[Option<usize>],
    read: Option<&[usize]>,
    workspace: &mut B::Workspace,
) -> Result<(), Error> {
    backend.embed(workspace, ids)?;
    backend.self_condition(workspace, soft_targets)?;
    for layer in 0..layers {
        if let Some(read) = read
            && layer + 1 == layers
        {
            backend.last_layer(workspace, layer, segments, caches, read)?;
            break;
        }
        backend.attend_canvas(workspace, layer, segments, caches)?;
        backend.feed_forward(workspace, layer, Stack::Decoder)?;
    }
    Ok(())
}
