pub(crate) mod check;

use std::ops::Range;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::prompt::{Passage, SizedHole};
use crate::{Cancel, Error, StageTimes};

/// Text in, text out: all that a front end sees of an engine, whether it runs here or elsewhere.
pub trait Infiller: Send + Sync {
    /// Fills the request's holes.
    ///
    /// Holes with choices are decided first, in rounds: every choice is scored in its place, what the model is sure of
    /// is pinned, and the rest is scored again beside it. Then the free holes are denoised. Holes that are too far
    /// from each other for one canvas have canvases of their own.
    ///
    /// `on_step` is called after every round and after every denoising step with the draft so far. `cancel` is looked
    /// at between passes of the model; a cancelled request ends with [`Error::Cancelled`].
    fn infill(
        &self,
        request: &InfillRequest,
        cancel: &Cancel,
        on_step: &mut dyn FnMut(Step<'_>),
    ) -> Result<Infill, Error>;

    /// Which model runs where.
    fn describe(&self) -> &Description;

    /// Whether every further request will fail, so that another engine has to be opened.
    fn is_lost(&self) -> bool {
        false
    }

    /// How many tokens a text by itself is for the model, if there is one.
    fn token_count(&self, _text: &str) -> Option<usize> {
        None
    }
}

/// A text with holes.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct InfillRequest {
    /// The whole document, with any line ends.
    pub text: String,
    /// What the text is written in.
    pub language: Language,
    /// The document's file name, without its folder, if it has one.
    pub name: Option<String>,
    /// What other files say that may bear on the holes, the most relevant first. As long as their order and their texts
    /// stay the same from one request to the next, what was read of them need not be read again.
    pub excerpts: Vec<Excerpt>,
    /// The holes, ascending and disjoint, at least one.
    pub holes: Vec<Hole>,
    /// The same seed gives the same answer.
    pub seed: u64,
    /// How many different answers to try for, at least 1.
    pub candidates: usize,
}

impl InfillRequest {
    /// A request for one answer about a document without a name and without excerpts, with seed 0.
    pub fn new(text: impl Into<String>, language: Language, holes: Vec<Hole>) -> Self {
        Self { text: text.into(), language, name: None, excerpts: Vec::new(), holes, seed: 0, candidates: 1 }
    }

    /// `text`, which is the request's with some of its holes filled, as a layout sees it.
    pub(crate) fn passage<'a>(&'a self, text: &'a str, holes: &'a [SizedHole]) -> Passage<'a> {
        Passage { text, language: self.language, name: self.name.as_deref(), excerpts: &self.excerpts, holes }
    }
}

/// A part of another file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Excerpt {
    /// The other file's name, as a reader would want to see it.
    pub name: String,
    /// Whole lines of it, with any line ends.
    pub text: String,
}

/// A range of the text to be replaced by something unknown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// Byte offsets into the request's text, on character boundaries; empty for an insertion.
    pub byte_range: Range<usize>,
    /// How far the fill may go.
    pub extent: Extent,
    /// At most this many tokens of text; the engine's own limit where it is `None` or larger. Without meaning where
    /// there are choices.
    pub max_tokens: Option<usize>,
    /// Where there are any, the fill is exactly one of these strings, whatever `extent` says; they are different from
    /// each other, one of them may be empty, and they may have line ends of any kind. Where there are none, the hole
    /// is free.
    pub choices: Vec<String>,
    /// Holes of the same group are decided together: each takes the choice at the same index, so that an opening and
    /// a closing mark agree. All of them have equally many choices, at least one.
    pub group: Option<u32>,
}

impl Hole {
    /// A free hole of the engine's own size.
    pub fn new(byte_range: Range<usize>, extent: Extent) -> Self {
        Self { byte_range, extent, max_tokens: None, choices: Vec::new(), group: None }
    }
}

/// How far a fill may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Extent {
    /// No newline.
    Line,
    /// Any number of lines.
    Block,
}

/// What a text is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Language {
    /// Anything that is none of the others.
    Text,
    /// Rust.
    Rust,
    /// Python.
    Python,
    /// Markdown.
    Markdown,
}

/// The engine's answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Infill {
    /// Different from each other, best first, at least one; all of them take the same choices, so that there is one
    /// where no hole is free.
    pub candidates: Vec<Candidate>,
    /// What the prompt cost.
    pub prompt: PromptUse,
    /// How the free holes came to their lengths.
    pub length: LengthUse,
    /// Where the time went.
    pub timings: Timings,
}

/// One way of filling all holes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// One text a hole, in the request's order: one of the hole's choices as it was given, else text with the
    /// document's own line ends.
    pub fills: Vec<String>,
    /// What was chosen, one entry a hole, in the request's order; `None` for a free hole.
    pub choices: Vec<Option<Choice>>,
    /// In 0..=1. Where the checkpoint has a context prior, the geometric mean of how likely each free fill is to be
    /// right and of the probabilities of what was chosen, a group counted once; else that of the free fills' tokens after
    /// the last step and of what was chosen.
    pub confidence: f32,
    /// The same for each hole alone, in the request's order.
    pub confidences: Vec<f32>,
    /// Tokens of text in all holes.
    pub tokens: usize,
    /// Rounds of choosing and denoising steps taken.
    pub steps: usize,
}

/// Which of a hole's choices the engine took.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Choice {
    /// Its index among the hole's choices.
    pub index: usize,
    /// Its share, in 0..=1, of the scores of all the hole's choices; holes of one group have the same.
    pub probability: f32,
}

/// How much of the prompts had to be encoded. Where there are several canvases, or several rounds, they are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PromptUse {
    /// Tokens in the prompt.
    pub tokens: usize,
    /// Of these, the ones whose keys and values were still there from an earlier request or round.
    pub reused: usize,
    /// Rows on the canvas at the start, pinned ones included.
    pub canvas_rows: usize,
}

/// How a hole of unknown length finds it. Any of these can be combined; without any, all its rows are text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Elastic {
    /// Holes start too long, and the model deletes what is left over; only for a checkpoint that has learned it.
    pub delete: bool,
    /// Several lengths are denoised side by side, and the likeliest fill wins.
    pub lengths: bool,
    /// A hole in which no row is left over gets more; only together with `delete`, which is what tells.
    pub growth: bool,
}

/// How free holes came to their lengths.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LengthUse {
    /// By which means.
    pub elastic: Elastic,
    /// Lengths tried side by side.
    pub lengths_tried: usize,
    /// Rows of all holes at the start; of the longest of several lengths.
    pub rows_at_start: usize,
    /// Rows of the best candidate's holes at the end.
    pub rows_at_end: usize,
}

/// Milliseconds by stage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timings {
    /// Laying out, tokenising and encoding the prompt.
    pub prompt_ms: f64,
    /// All choosing and all denoising steps.
    pub denoise_ms: f64,
    /// More closely, from an engine that was opened to tell and runs in this process.
    #[serde(skip)]
    pub stages: Option<StageTimes>,
}

/// The draft after one round of choosing or one denoising step.
#[derive(Clone, Copy, Debug)]
pub struct Step<'a> {
    /// Rounds and steps taken so far, from 1.
    pub index: usize,
    /// What `index` may come to at most before the canvas under way is done; another canvas raises it.
    pub limit: usize,
    /// Which candidate this is a draft of, from 0; choices are reported as drafts of the first.
    pub candidate: usize,
    /// One list of pieces a hole, in the request's order; the pieces together are the hole's draft. A hole that was
    /// not begun has none, and one with choices, or on a canvas that is done, is a single piece.
    pub holes: &'a [Vec<Piece>],
}

/// A [`Step`] that owns its draft.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OwnedStep {
    index: usize,
    limit: usize,
    candidate: usize,
    holes: Vec<Vec<Piece>>,
}

impl OwnedStep {
    /// A copy.
    pub fn of(step: &Step<'_>) -> Self {
        let Step { index, limit, candidate, holes } = *step;
        Self { index, limit, candidate, holes: holes.to_vec() }
    }

    /// The step.
    pub fn borrow(&self) -> Step<'_> {
        Step { index: self.index, limit: self.limit, candidate: self.candidate, holes: &self.holes }
    }
}

/// One token of a draft, or a choice, as text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Piece {
    /// May be empty: a position that holds no text.
    pub text: String,
    /// Whether the position was accepted in this step, or the choice made.
    pub settled: bool,
    /// The probability of this token or choice, in 0..=1.
    pub certainty: f32,
}

/// Which model runs where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// A short name: `nano (embedded)`, or the folder's name.
    pub model: String,
    /// `cpu` or `cuda:N`, and how many threads.
    pub device: String,
    /// Parameters in the checkpoint.
    pub parameters: u64,
    /// Tokens that a prompt may have at most.
    pub context_tokens: usize,
}

/// Where the weights come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelSource {
    /// The small model inside the binary.
    Embedded,
    /// A Hugging Face style checkpoint folder.
    Folder(PathBuf),
}

/// Where to run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The processor, all cores.
    Cpu,
    /// An NVIDIA card by its index. Never replaced by the processor when it cannot be used.
    Cuda(usize),
    /// A card if there is one that this build can use, else the processor.
    Auto,
}

/// How text becomes a prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PromptForm {
    /// The text itself: as the checkpoint has learned to fill holes in it, or as plain as it is.
    Raw,
    /// A message that asks for what is missing, for a checkpoint that has learned to answer messages.
    Chat,
}

impl FromStr for Device {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let unknown =
            || Error::Device { device: text.to_owned(), reason: "unknown; use cpu, cuda, cuda:N or auto".to_owned() };
        match text.split_once(':') {
            None if text == "cpu" => Ok(Self::Cpu),
            None if text == "auto" => Ok(Self::Auto),
            None if text == "cuda" => Ok(Self::Cuda(0)),
            Some(("cuda", index)) => index.parse().map(Self::Cuda).map_err(|_| unknown()),
            _ => Err(unknown()),
        }
    }
}
