//! What happens between two passes: acceptance, renoising, and when to stop, for all canvases of a run at once.

use crate::Error;
use crate::error::require;
use crate::kernel::{Launch, kernel};
use crate::memory::{Slice, SliceMut};
use crate::ops::steps::{RowOutcome, SampleRows, TokenSets};

mod state;

pub use state::{CanvasReport, CanvasStart, Report, RowReport, RunState};

const THREADS: u32 = 256;
/// Holes of one canvas at most: what a block can sort.
pub const CANVAS_HOLES_MAX: usize = 4096;
/// Behind the places to sort in: how many are accepted, the mean entropy, and a word a warp.
const ADVANCE_SHARED_BYTES: u32 = 4 * (2 + THREADS / 32);
const NO_TOKEN: u32 = u32::MAX;

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct AdvanceParameters {
    canvases: u64,
    table: u64,
    outcomes: u64,
    row_reports: u64,
    canvas_reports: u64,
    history: u64,
    ids: u64,
    step: u64,
    sets: u64,
    ranks: u64,
    tape: u64,
    set_words: u32,
    tape_rows: u32,
    holes: u32,
    vocabulary: u32,
    mask: u32,
    stability_threshold: u32,
    entropy_bound: f32,
    confidence_threshold: f32,
    sorted: u32,
    step_limit: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub(crate) struct NextStepParameters {
    step: u64,
    step_limit: u32,
    t_min: f32,
    t_max: f32,
    reserved: u32,
}

kernel!(static ADVANCE: "sampler", advance_canvases(AdvanceParameters));
kernel!(static NEXT_STEP: "sampler", next_step(NextStepParameters));

/// The numbers that govern a denoising run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// Steps at most.
    pub step_limit: u32,
    /// Nats: positions are accepted, the most certain first, while the sum of the entropies before each is within it.
    pub entropy_bound: f32,
    /// The temperature falls from nearly `t_max` to just above `t_min`.
    pub t_min: f32,
    /// As above.
    pub t_max: f32,
    /// How many earlier argmax canvases must equal the newest.
    pub stability_threshold: u32,
    /// Nats; the mean entropy of the hole rows must be below it.
    pub confidence_threshold: f32,
}

impl Schedule {
    /// The temperature of step `step`, counted from 0.
    pub fn temperature(&self, step: u32) -> f32 {
        let remaining = self.step_limit.saturating_sub(step) as f32;
        self.t_min + (self.t_max - self.t_min) * (remaining / self.step_limit as f32)
    }
}

/// What a rejected position gets.
#[derive(Clone, Copy)]
pub enum Renoise<'a> {
    /// A random token of those that may stand there.
    Uniform,
    /// This mask token.
    Absorbing(u32),
    /// Recorded tokens, [steps, canvas rows].
    Tape {
        /// The tokens.
        tokens: Slice<'a, u32>,
        /// Rows of the canvas.
        canvas_rows: usize,
    },
}

/// What [`advance`] goes by, besides the run's state.
#[derive(Clone, Copy)]
pub struct AdvanceInput<'a> {
    /// What the head found in each hole row.
    pub outcomes: Slice<'a, RowOutcome>,
    /// The sets that the rows name.
    pub sets: Option<&'a TokenSets>,
    /// What rejected positions get.
    pub renoise: Renoise<'a>,
    /// Tokens in all.
    pub vocabulary: usize,
}

/// Ends a step: in each canvas that is not done, hole rows of `ids` get their sample where it is accepted and noise where it is
/// not; then the run turns to the next step. `ids` are the tokens of all packed rows, `rows` the hole rows, canvas after canvas.
pub fn advance(
    run: &mut RunState,
    rows: &SampleRows,
    input: AdvanceInput<'_>,
    ids: SliceMut<'_, u32>,
) -> Result<(), Error> {
    const NAME: &str = "advance";
    let Some(schedule) = run.schedule else { return Err(crate::error::shape(NAME, "no run has begun")) };
    let device = ids.device();
    let is_here = run.step.as_slice().device().is(device) && rows.records().device().is(device);
    require!(NAME, is_here, "the run or its rows are on another device");
    end_step(run, rows, input, schedule, ids)?;
    let parameters = NextStepParameters {
        step: run.step.as_mut().address(),
        step_limit: schedule.step_limit,
        t_min: schedule.t_min,
        t_max: schedule.t_max,
        reserved: 0,
    };
    let launch = Launch { grid: [1, 1, 1], threads: 32, shared_bytes: 0 };
    // SAFETY: writes one step, which is the run's.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(&NEXT_STEP, launch, &parameters)
    }
}

/// Accepts, renoises and stops.
fn end_step(
    run: &mut RunState,
    rows: &SampleRows,
    input: AdvanceInput<'_>,
    schedule: Schedule,
    ids: SliceMut<'_, u32>,
) -> Result<(), Error> {
    const NAME: &str = "advance";
    let AdvanceInput { outcomes, sets, renoise, vocabulary } = input;
    let device = ids.device();
    require!(
        NAME,
        rows.len() == run.holes && outcomes.len() == run.holes,
        "{} rows and {} outcomes are not {} holes",
        rows.len(),
        outcomes.len(),
        run.holes
    );
    require!(NAME, rows.packed_rows() <= ids.len(), "{} ids have no row {}", ids.len(), rows.packed_rows());
    require!(NAME, rows.sets() <= sets.map_or(0, TokenSets::len), "a row names a set that there is not");
    let words = sets.map_or(0, TokenSets::words_per_set);
    require!(NAME, words == 0 || words == vocabulary.div_ceil(64), "sets are not of {vocabulary} tokens");
    let in_range = vocabulary > 0 && vocabulary <= i32::MAX as usize;
    require!(NAME, in_range, "a vocabulary of {vocabulary} tokens");
    let is_here = outcomes.device().is(device) && sets.is_none_or(|sets| sets.words().device().is(device));
    require!(NAME, is_here, "outcomes or sets are on another device");
    let (mut mask, mut tape, mut tape_rows) = (NO_TOKEN, 0, 0);
    match renoise {
        Renoise::Uniform => {}
        Renoise::Absorbing(token) => {
            require!(NAME, (token as usize) < vocabulary, "the mask {token} is not one of {vocabulary} tokens");
            mask = token;
        }
        Renoise::Tape { tokens, canvas_rows } => {
            let needed = (schedule.step_limit as usize).saturating_mul(canvas_rows);
            let fits = rows.canvas_rows() <= canvas_rows && tokens.len() >= needed;
            require!(NAME, fits, "a tape of {} tokens is not {needed}", tokens.len());
            require!(NAME, tokens.device().is(device), "the tape is on another device");
            (tape, tape_rows) = (tokens.address(), canvas_rows as u32);
        }
    }
    let sorted = run.holes_max.next_power_of_two().max(2) as u32;
    let (row_reports, canvas_reports) = run.report_addresses();
    let parameters = AdvanceParameters {
        canvases: run.canvases.as_mut().address(),
        table: rows.records().address(),
        outcomes: outcomes.address(),
        row_reports,
        canvas_reports,
        history: run.history.as_mut().address(),
        ids: ids.address(),
        step: run.step.as_slice().address(),
        sets: sets.map_or(0, |sets| sets.words().address()),
        ranks: sets.map_or(0, |sets| sets.ranks().address()),
        tape,
        set_words: words as u32,
        tape_rows,
        holes: run.holes as u32,
        vocabulary: vocabulary as u32,
        mask,
        stability_threshold: schedule.stability_threshold,
        entropy_bound: schedule.entropy_bound,
        confidence_threshold: schedule.confidence_threshold,
        sorted,
        step_limit: schedule.step_limit,
    };
    let launch = Launch {
        grid: [run.canvas_count as u32, 1, 1],
        threads: THREADS,
        shared_bytes: 12 * sorted + ADVANCE_SHARED_BYTES,
    };
    // SAFETY: the canvases that are not done have as many holes as there are rows and outcomes, and what the rows name (packed rows, sets,
    // rows of the tape) is there, as was just checked; behind the last step, and so behind the tape, the kernel does nothing. State and ids
    // are borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        device.launch(&ADVANCE, launch, &parameters)
    }
}

#[cfg(test)]
mod tests;
