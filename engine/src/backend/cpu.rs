//! The processor, all cores, f32 arithmetic over weights as they are stored.
//!
//! A row's result depends on that row alone (and on what it attends to): not on the number of threads, nor on the
//! rows packed beside it.

mod attention;
mod feed_forward;
mod head;
mod matmul;
mod matrix;
mod products;
mod rope;
#[cfg(test)]
mod tests;
mod vector;
mod weights;
mod workspace;

use crate::Error;
use crate::backend::{Backend, RowOutcome, SampleRow, SampleSettings, ScoredToken, Segment, Stack};
use crate::checkpoint::Checkpoint;

#[cfg(test)]
pub(crate) use matmul::matmul;
#[cfg(test)]
pub(crate) use matrix::PackedMatrix;
pub use matrix::quantised::Nvfp4Inputs;
use weights::Weights;
pub(crate) use workspace::Workspace;

/// Rows that a long prompt is encoded by at a time: few enough that a cancelled request ends soon.
pub(crate) const ENCODE_ROWS: usize = 128;

/// Packed weights and the threads to use them with.
pub(crate) struct CpuBackend {
    weights: Weights,
    pool: rayon::ThreadPool,
}

/// Keys and values of one prompt, a pair a layer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cache {
    layers: Vec<LayerCache>,
    tokens: usize,
}

/// Keys (normed, rotated) and values of one layer, [tokens, heads * head_dim] each.
#[derive(Clone, Debug, Default)]
struct LayerCache {
    keys: Vec<f32>,
    values: Vec<f32>,
}

impl CpuBackend {
    /// Packs the checkpoint's weights.
    pub(crate) fn new(
        checkpoint: &Checkpoint,
        threads: Option<usize>,
        nvfp4_inputs: Nvfp4Inputs,
    ) -> Result<Self, Error> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads.unwrap_or(0))
            .thread_name(|index| format!("lacuna-cpu-{index}"))
            .build()
            .map_err(|error| Error::Device { device: "cpu".to_owned(), reason: error.to_string() })?;
        let weights = Weights::load(checkpoint, nvfp4_inputs)?;
        Ok(Self { weights, pool })
    }

    /// Threads that a pass uses.
    pub(crate) fn threads(&self) -> usize {
        self.pool.current_num_threads()
    }
}

impl Backend for CpuBackend {
    type Cache = Cache;
    type Workspace = Workspace;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        self.pool.install(work)
    }

    fn encode_rows(&self) -> usize {
        ENCODE_ROWS
    }

    fn shared_rows(&self) -> usize {
        0
    }

    fn matrix_rate(&self) -> Result<f64, Error> {
        Ok(self.run(matrix_rate))
    }

    fn new_cache(&self) -> Cache {
        Cache { layers: vec![LayerCache::default(); self.weights.layers.len()], tokens: 0 }
    }

    fn cached_tokens(&self, cache: &Cache) -> usize {
        cache.tokens
    }

    fn truncate(&self, cache: &mut Cache, tokens: usize) {
        cache.tokens = cache.tokens.min(tokens);
        for (layer, weights) in cache.layers.iter_mut().zip(&self.weights.layers) {
            let width = weights.kv_width();
            layer.keys.truncate(tokens * width);
            layer.values.truncate(tokens * width);
        }
    }

    fn new_workspace(&self, rows: usize) -> Result<Workspace, Error> {
        Ok(Workspace::new(&self.weights, rows, self.threads()))
    }

    fn embed(&self, workspace: &mut Workspace, ids: &[u32]) -> Result<(), Error> {
        head::embed(&self.weights, workspace, ids);
        Ok(())
    }

    fn self_condition(&self, workspace: &mut Workspace, targets: &[Option<usize>]) -> Result<(), Error> {
        head::self_condition(&self.weights, workspace, targets);
        Ok(())
    }

    fn soften(&self, workspace: &mut Workspace, logits: &[f32]) -> Result<(), Error> {
        head::soften(&self.weights, workspace, logits);
        Ok(())
    }

    fn attend_prompt(
        &self,
        workspace: &mut Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &mut [&mut Cache],
        keys_only: bool,
    ) -> Result<(), Error> {
        attention::attend_prompt(&self.weights, workspace, layer, segments, caches, keys_only);
        Ok(())
    }

    fn attend_canvas(
        &self,
        workspace: &mut Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &[&Cache],
    ) -> Result<(), Error> {
        attention::attend_canvas(&self.weights, workspace, layer, segments, caches, None);
        Ok(())
    }

    fn feed_forward(&self, workspace: &mut Workspace, layer: usize, stack: Stack) -> Result<(), Error> {
        feed_forward::feed_forward(&self.weights, workspace, layer, stack);
        Ok(())
    }

    fn last_layer(
        &self,
        workspace: &mut Workspace,
        layer: usize,
        segments: &[Segment],
        caches: &[&Cache],
        read: &[usize],
    ) -> Result<(), Error> {
        let rows = workspace.rows;
        attention::attend_canvas(&self.weights, workspace, layer, segments, caches, Some(read));
        feed_forward::feed_forward(&self.weights, workspace, layer, Stack::Decoder);
        workspace.spread_stream(read, rows, self.weights.hidden);
        Ok(())
    }

    fn logits(&self, workspace: &mut Workspace, out: &mut [f32]) -> Result<(), Error> {
        head::logits(&self.weights, workspace, out);
        Ok(())
    }

    fn log_probabilities(
        &self,
        workspace: &mut Workspace,
        tokens: &[ScoredToken],
        out: &mut [f32],
    ) -> Result<(), Error> {
        head::log_probabilities(&self.weights, workspace, tokens, out);
        Ok(())
    }

    fn sample(
        &self,
        workspace: &mut Workspace,
        rows: &[SampleRow],
        settings: SampleSettings<'_>,
        outcomes: &mut [RowOutcome],
    ) -> Result<(), Error> {
        head::sample(&self.weights, workspace, rows, settings, outcomes);
        Ok(())
    }
}

fn matrix_rate() -> f64 {
    const ROWS: usize = 264;
    const SIZE: usize = 1024;
    let weight = vec![0.5_f32; SIZE * SIZE];
    let matrix = matrix::PackedMatrix::pack(&[(crate::checkpoint::WeightData::F32(&weight), SIZE)], SIZE);
    let input = vec![0.25_f32; ROWS * SIZE];
    let mut output = vec![0.0_f32; ROWS * SIZE];
    // The best of several: anything else that runs on the machine only ever slows one down.
    let seconds = (0..20).map(|_| {
        let start = std::time::Instant::now();
        matmul::matmul(&input, &matrix, &mut output);
        start.elapsed().as_secs_f64()
    });
    (2 * ROWS * SIZE * SIZE) as f64 / seconds.fold(f64::INFINITY, f64::min)
}
