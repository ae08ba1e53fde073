//! Runs a checkpoint on token ids, from file to file, so that it can be held against another implementation.

use std::path::{Path, PathBuf};

use crate::backend::{Backend, Segment, denoise, encode};
use crate::canvas::{Canvas, Row};
use crate::checkpoint::Checkpoint;
use crate::denoiser::{CanvasJob, Run};
use crate::local::{OnBackend, Placement, Precision, on_backend};
use crate::noise::{Noise, Tape};
use crate::prior::Votes;
use crate::sampler::Schedule;
use crate::{Cancel, Device, Error, ModelSource};

pub use crate::backend::cpu::Nvfp4Inputs;

mod input;
mod output;
#[cfg(test)]
mod tests;

use input::Input;
use output::Output;

/// What to run.
#[derive(Clone, Debug)]
pub struct ForwardOptions {
    /// Where the weights come from.
    pub model: ModelSource,
    /// Where to run.
    pub device: Device,
    /// Threads to compute with; all cores where it is `None`.
    pub threads: Option<usize>,
    /// The tensors to read: `prompt_ids: I64 [P]`, `canvas_ids: I64 [C]` and, optionally,
    /// `self_conditioning_logits: F32 [C, V]`; to denoise also `gumbel: F32 [T, C, V]`, `renoise: I64 [T, C]` and,
    /// optionally, `pinned: U8 [C]`.
    pub input: PathBuf,
    /// The tensors to write: `logits: F32 [C, V]`; of denoising, a row a step, `canvas` and `argmax` (I64), `accepted`
    /// (U8) and `entropy` (F32, nats), and `steps: I64 [1]`.
    pub output: PathBuf,
    /// What becomes of the inputs of NVFP4 matrices, on the processor.
    pub nvfp4_inputs: Nvfp4Inputs,
    /// Whether to run whole denoising on the noise tape in the input instead of one forward pass.
    pub denoise: bool,
}

/// Reads the input tensors, runs the model, and writes the output tensors.
pub fn forward(options: &ForwardOptions) -> Result<(), Error> {
    let checkpoint = crate::local::open_checkpoint(&options.model)?;
    let input = Input::read(&options.input, checkpoint.config.vocab_size, options.denoise)?;
    let ForwardOptions { device, threads, denoise, nvfp4_inputs, .. } = *options;
    let placement = Placement { device, threads, precision: Precision::Exact(nvfp4_inputs), progress: &mut |_| {} };
    let work = Forward { checkpoint: &checkpoint, input: &input, denoise };
    on_backend(&checkpoint, placement, work)?.write(&options.output)
}

/// One forward pass, or a whole denoising run.
struct Forward<'a> {
    checkpoint: &'a Checkpoint,
    input: &'a Input,
    denoise: bool,
}

impl OnBackend for Forward<'_> {
    type Output = Output;

    fn run<B: Backend + 'static>(self, backend: B, _device: String) -> Result<Output, Error> {
        let Self { checkpoint, input, denoise } = self;
        if denoise { run_tape(&backend, checkpoint, input) } else { one_pass(&backend, checkpoint, input) }
    }
}

fn one_pass<B: Backend>(backend: &B, checkpoint: &Checkpoint, input: &Input) -> Result<Output, Error> {
    let layers = checkpoint.config.layers.len();
    let rows = input.canvas.len();
    let mut workspace = backend.new_workspace(rows.max(backend.encode_rows()))?;
    let mut cache = backend.new_cache();
    backend.run(|| encode(backend, layers, &input.prompt, &mut cache, &mut workspace, &Cancel::new()))?;
    let mut targets = Vec::new();
    if let Some(logits) = &input.self_conditioning {
        backend.run(|| backend.soften(&mut workspace, logits))?;
        targets.extend((0..rows).map(Some));
    }
    let mut logits = vec![0.0; rows * checkpoint.config.vocab_size];
    backend.run(|| {
        let segments = [Segment { rows, prompt: 0 }];
        denoise(backend, layers, &input.canvas, &segments, &[&cache], &targets, None, &mut workspace)?;
        backend.logits(&mut workspace, &mut logits)
    })?;
    Ok(Output::Logits { rows, vocabulary: checkpoint.config.vocab_size, logits })
}

fn run_tape<B: Backend>(backend: &B, checkpoint: &Checkpoint, input: &Input) -> Result<Output, Error> {
    let layers = checkpoint.config.layers.len();
    let vocabulary = checkpoint.config.vocab_size;
    let rows = input.canvas.len();
    let mut workspace = backend.new_workspace(rows.max(backend.encode_rows()))?;
    let mut cache = backend.new_cache();
    let cancel = Cancel::new();
    backend.run(|| encode(backend, layers, &input.prompt, &mut cache, &mut workspace, &cancel))?;

    let contents = input.canvas.iter().zip(&input.pinned).map(|(token, pinned)| match pinned {
        true => Row::Pinned(*token),
        false => Row::Hole { allowed: None },
    });
    let canvas = Canvas::new(contents.collect(), |row| input.canvas[row]);
    let first_soft: Option<Vec<f32>> = input.self_conditioning.as_ref().map(|logits| {
        canvas.hole_rows().flat_map(|row| logits[row * vocabulary..][..vocabulary].iter().copied()).collect()
    });
    let tape = Tape { rows, vocabulary, gumbel: &input.gumbel, renoise: &input.renoise };
    let schedule = Schedule::new(&checkpoint.generation, input.steps);
    let run = Run {
        backend,
        layers,
        prompts: &[&cache],
        cancels: &[&cancel],
        schedule: &schedule,
        noise: Noise::Tape(tape),
        sets: &[],
        delete: None,
        grow_to: None,
        own_probabilities: false,
        first_soft: first_soft.as_deref(),
    };
    let mut trace = output::Trace::new(rows);
    let job = CanvasJob {
        canvas,
        holes: Vec::new(),
        limits: Vec::new(),
        prompt: 0,
        seed: 0,
        candidate: 0,
        votes: Votes::default(),
    };
    let denoised = run.run(vec![job], &mut workspace, &mut |report| trace.record(&report))?;
    Ok(Output::Trace(trace, denoised[0].steps))
}

/// A file that is named in an error.
fn invalid(path: &Path, reason: impl Into<String>) -> Error {
    Error::checkpoint(path, reason)
}
