//! Fills holes in text with a discrete diffusion language model.
//!
//! Entry point: [`LocalInfiller`], an implementation of [`Infiller`]: a whole request in, text out. Everything
//! below it is private to the crate, but for [`conformance`], which runs a checkpoint on token ids so that
//! anybody can hold it against another implementation.
//!
//! Invariants:
//! - A pinned token never changes, and costs no sampling.
//! - A result depends on the request and its seed alone: not on the number of threads, nor on what was asked before.
//! - Nothing here knows an editor, a protocol, or which use a hole serves.

pub mod bench;
pub mod conformance;
pub mod fit;
pub mod quantise;

mod backend;
mod cancel;
mod canvas;
mod checkpoint;
mod clock;
mod denoiser;
mod embedded;
mod error;
mod infiller;
mod local;
mod noise;
mod philox;
mod prior;
mod prompt;
mod sampler;
mod tokenizer;

pub use cancel::Cancel;
pub use clock::{Stage, StageTimes};
pub use error::Error;
pub use infiller::{
    Candidate, Choice, Description, Device, Elastic, Excerpt, Extent, Hole, Infill, InfillRequest, Infiller, Language,
    LengthUse, ModelSource, OwnedStep, Piece, PromptForm, PromptUse, Step, Timings,
};
pub use local::{
    Autoregressor, LoadProgress, LocalInfiller, LocalOptions, ShownCanvas, ShownRows, ShownToken, cuda_devices,
    show_canvases,
};
pub use prior::Copier;
