//! A backend whose operations on canvases are clocked. Only where an operation ends when its work is done, as on the
//! processor, do the times say how long it takes; a card takes work down, and does it later.

use std::sync::Arc;

use super::{Backend, RowOutcome, SampleRow, SampleSettings, ScoredToken, Segment, Stack};
use crate::Error;
use crate::clock::{Clock, Stage};

/// A backend and the clock that runs in its operations.
pub(crate) struct Timed<B> {
    pub(crate) backend: B,
    pub(crate) clock: Arc<Clock>,
}

impl<B: Backend> Backend for Timed<B> {
    type Cache = B::Cache;
    type Workspace = B::Workspace;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.backend.run(work)
    }

    fn encode_rows(&self) -> usize {
        self.backend.encode_rows()
    }

    fn shared_rows(&self) -> usize {
        self.backend.shared_rows()
    }

    fn matrix_rate(&self) -> Result<f64, Error> {
        self.backend.matrix_rate()
    }

    fn new_cache(&self) -> B::Cache {
        self.backend.new_cache()
    }

    fn cached_tokens(&self, cache: &B::Cache) -> usize {
        self.backend.cached_tokens(cache)
    }

    fn truncate(&self, cache: &mut B::Cache, tokens: usize) {
        self.backend.truncate(cache, tokens);
    }

    fn new_workspace(&self, rows: usize) -> Result<B::Workspace, Error> {
        self.backend.new_workspace(rows)
    }

    fn embed(&self, workspace: &mut B::Workspace, ids: &[u32]) -> Result<(), Error> {
        self.backend.embed(workspace, ids)
    }

    fn self_condition(&self, workspace: &mut B::Workspace, targets: &[Option<usize>]) -> Result<(), Error> {
        self.clock.time(Stage::SelfConditioning, || self.backend.self_condition(workspace, targets))
    }

    fn soften(&self, workspace: &mut B::Workspace, logits: &[f32]) -> Result<(), Error> {
        self.clock.time(Stage::SelfConditioning, || self.backend.soften(workspace, logits))
    }

    fn attend_prompt(
        &self,
        workspace: &mut B::Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &mut [&mut B::Cache],
        keys_only: bool,
    ) -> Result<(), Error> {
        self.backend.attend_prompt(workspace, layer, segments, caches, keys_only)
    }

    fn attend_canvas(
        &self,
        workspace: &mut B::Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &[&B::Cache],
    ) -> Result<(), Error> {
        self.clock.time(Stage::Attention, || self.backend.attend_canvas(workspace, layer, segments, caches))
    }

    fn feed_forward(&self, workspace: &mut B::Workspace, layer: usize, stack: Stack) -> Result<(), Error> {
        match stack {
            Stack::Encoder => self.backend.feed_forward(workspace, layer, stack),
            Stack::Decoder => {
                self.clock.time(Stage::FeedForward, || self.backend.feed_forward(workspace, layer, stack))
            }
        }
    }

    fn last_layer(
        &self,
        workspace: &mut B::Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &[&B::Cache],
        read: &[usize],
    ) -> Result<(), Error> {
        self.clock.time(Stage::LastLayer, || self.backend.last_layer(workspace, layer, segments, caches, read))
    }

    fn logits(&self, workspace: &mut B::Workspace, out: &mut [f32]) -> Result<(), Error> {
        self.backend.logits(workspace, out)
    }

    fn log_probabilities(
        &self,
        workspace: &mut B::Workspace,
        tokens: &[ScoredToken],
        out: &mut [f32],
    ) -> Result<(), Error> {
        self.clock.time(Stage::Head, || self.backend.log_probabilities(workspace, tokens, out))
    }

    fn sample(
        &self,
        workspace: &mut B::Workspace,
        rows: &[SampleRow],
        settings: SampleSettings<'_>,
        outcomes: &mut [RowOutcome],
    ) -> Result<(), Error> {
        self.clock.time(Stage::Head, || self.backend.sample(workspace, rows, settings, outcomes))
    }
}
