//! What happens between two passes: acceptance, renoising, and when to stop, for all canvases of a run at once.

use crate::error::require;
use crate::kernel::{Launch, kernel};
use crate::memory::{Buffer, Element, Slice, SliceMut};
use crate::ops::steps::{RowOutcome, SampleRows, Step, TokenSets};
use crate::{Device, Error};

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
    results: u64,
    accepted: u64,
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
    canvases: u64,
    step: u64,
    progress: u64,
    canvas_count: u32,
    step_limit: u32,
    t_min: f32,
    t_max: f32,
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

/// One canvas of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CanvasSize {
    /// Pinned rows counted.
    pub rows: usize,
    /// Rows that are not pinned; they stand together among the sample rows, canvas after canvas.
    pub holes: usize,
}

/// As the kernels have it.
#[repr(C)]
#[derive(Clone, Copy)]
struct CanvasRecord {
    first_hole: u32,
    holes: u32,
    rows: u32,
    is_done: u32,
    steps: u32,
    history: u32,
    next_history: u32,
    mean_entropy: f32,
}

/// What a canvas has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CanvasState {
    /// Whether it has stopped.
    pub is_done: bool,
    /// Taken so far.
    pub steps: u32,
    /// Nats, of its last step.
    pub mean_entropy: f32,
}

/// What the host learns of a run.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Canvases that go on.
    pub live_canvases: u32,
    /// Their rows, pinned ones counted.
    pub live_rows: u32,
    /// The step that comes next.
    pub next_step: u32,
    reserved: u32,
}

// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for CanvasRecord {}
// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for Progress {}

/// The state of a run on the device, allocated once; its addresses stay the same, as a captured graph needs it.
pub struct RunState {
    canvases: Buffer<CanvasRecord>,
    results: Buffer<RowOutcome>,
    accepted: Buffer<u32>,
    history: Buffer<u32>,
    step: Buffer<Step>,
    progress: Buffer<Progress>,
    sizes: Vec<CanvasSize>,
    schedule: Option<Schedule>,
}

impl RunState {
    /// Room for so many canvases with so many holes together, of which so many argmax canvases are remembered.
    pub fn new(device: &Device, canvases: usize, holes: usize, stability_threshold: usize) -> Result<Self, Error> {
        Ok(Self {
            canvases: device.allocate(canvases)?,
            results: device.allocate(holes)?,
            accepted: device.allocate(holes)?,
            history: device.allocate(holes * stability_threshold)?,
            step: device.allocate(1)?,
            progress: device.allocate(1)?,
            sizes: Vec::new(),
            schedule: None,
        })
    }

    /// Begins a run. A canvas without holes is done already.
    pub fn begin(&mut self, canvases: &[CanvasSize], schedule: Schedule) -> Result<(), Error> {
        const NAME: &str = "run";
        let holes: usize = canvases.iter().map(|canvas| canvas.holes).sum();
        require!(
            NAME,
            canvases.len() <= self.canvases.len() && holes <= self.results.len(),
            "{holes} holes of {} canvases do not fit {} of {}",
            canvases.len(),
            self.results.len(),
            self.canvases.len()
        );
        let remembered = holes * schedule.stability_threshold as usize;
        require!(NAME, remembered <= self.history.len(), "there is no room for {remembered} remembered tokens");
        let longest = canvases.iter().map(|canvas| canvas.holes).max().unwrap_or(0);
        require!(NAME, longest <= CANVAS_HOLES_MAX, "{longest} holes of a canvas, of at most {CANVAS_HOLES_MAX}");
        require!(NAME, canvases.iter().all(|canvas| canvas.holes <= canvas.rows), "a canvas has more holes than rows");
        let mut first_hole = 0;
        let mut records = Vec::with_capacity(canvases.len());
        for CanvasSize { rows, holes } in canvases {
            records.push(CanvasRecord {
                first_hole,
                holes: *holes as u32,
                rows: *rows as u32,
                is_done: (*holes == 0).into(),
                steps: 0,
                history: 0,
                next_history: 0,
                mean_entropy: 0.0,
            });
            first_hole += *holes as u32;
        }
        self.canvases.slice_mut(0..records.len()).write(&records)?;
        self.step.as_mut().write(&[Step { temperature: schedule.temperature(0), index: 0 }])?;
        self.sizes = canvases.to_vec();
        self.schedule = Some(schedule);
        Ok(())
    }

    fn holes(&self) -> usize {
        self.sizes.iter().map(|canvas| canvas.holes).sum()
    }

    /// The step under way.
    pub fn step(&self) -> Slice<'_, Step> {
        self.step.as_slice()
    }

    /// Of each hole row, what was found in its canvas's last step.
    pub fn results(&self) -> Slice<'_, RowOutcome> {
        self.results.slice(0..self.holes())
    }

    /// Of each hole row, 1 where its sample was accepted in its canvas's last step.
    pub fn accepted(&self) -> Slice<'_, u32> {
        self.accepted.slice(0..self.holes())
    }

    /// Who goes on, after a step.
    pub fn progress(&self) -> Slice<'_, Progress> {
        self.progress.as_slice()
    }

    /// What the canvases have come to.
    pub fn canvases(&self) -> Result<Vec<CanvasState>, Error> {
        let records = self.canvases.slice(0..self.sizes.len()).read()?;
        let state = |record: &CanvasRecord| CanvasState {
            is_done: record.is_done != 0,
            steps: record.steps,
            mean_entropy: record.mean_entropy,
        };
        Ok(records.iter().map(state).collect())
    }
}

/// What [`advance`] goes by, besides the run's state.
#[derive(Clone, Copy)]
pub struct AdvanceInput<'a> {
    /// The hole rows, canvas after canvas.
    pub rows: &'a SampleRows,
    /// What the head found in each.
    pub outcomes: Slice<'a, RowOutcome>,
    /// The sets that the rows name.
    pub sets: Option<&'a TokenSets>,
    /// What rejected positions get.
    pub renoise: Renoise<'a>,
    /// Tokens in all.
    pub vocabulary: usize,
}

/// Ends a step: in each canvas that is not done, hole rows of `ids` get their sample where it is accepted and noise where it is
/// not; then the run turns to the next step. `ids` are the tokens of all packed rows.
pub fn advance(run: &mut RunState, input: AdvanceInput<'_>, ids: SliceMut<'_, u32>) -> Result<(), Error> {
    const NAME: &str = "advance";
    let AdvanceInput { rows, outcomes, sets, renoise, vocabulary } = input;
    let (holes, device) = (run.holes(), ids.device());
    let Some(schedule) = run.schedule else { return Err(crate::error::shape(NAME, "no run has begun")) };
    require!(
        NAME,
        rows.len() == holes && outcomes.len() == holes,
        "{} rows and {} outcomes are not {holes} holes",
        rows.len(),
        outcomes.len()
    );
    require!(NAME, rows.packed_rows() <= ids.len(), "{} ids have no row {}", ids.len(), rows.packed_rows());
    require!(NAME, rows.sets() <= sets.map_or(0, TokenSets::len), "a row names a set that there is not");
    let words = sets.map_or(0, TokenSets::words_per_set);
    require!(NAME, words == 0 || words == vocabulary.div_ceil(64), "sets are not of {vocabulary} tokens");
    let in_range = vocabulary > 0 && vocabulary <= i32::MAX as usize;
    require!(NAME, in_range, "a vocabulary of {vocabulary} tokens");
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
    let is_here =
        [run.step.as_slice().device(), rows.records().device(), outcomes.device()].iter().all(|other| other.is(device));
    require!(NAME, is_here && sets.is_none_or(|sets| sets.words().device().is(device)), "a part is on another device");
    let longest = run.sizes.iter().map(|canvas| canvas.holes).max().unwrap_or(0);
    let sorted = longest.next_power_of_two().max(2) as u32;
    let parameters = AdvanceParameters {
        canvases: run.canvases.as_mut().address(),
        table: rows.records().address(),
        outcomes: outcomes.address(),
        results: run.results.as_mut().address(),
        accepted: run.accepted.as_mut().address(),
        history: run.history.as_mut().address(),
        ids: ids.address(),
        step: run.step.as_slice().address(),
        sets: sets.map_or(0, |sets| sets.words().address()),
        ranks: sets.map_or(0, |sets| sets.ranks().address()),
        tape,
        set_words: words as u32,
        tape_rows,
        holes: holes as u32,
        vocabulary: vocabulary as u32,
        mask,
        stability_threshold: schedule.stability_threshold,
        entropy_bound: schedule.entropy_bound,
        confidence_threshold: schedule.confidence_threshold,
        sorted,
        step_limit: schedule.step_limit,
    };
    let canvases = run.sizes.len() as u32;
    let launch = Launch { grid: [canvases, 1, 1], threads: THREADS, shared_bytes: 12 * sorted + ADVANCE_SHARED_BYTES };
    let next = NextStepParameters {
        canvases: parameters.canvases,
        step: run.step.as_mut().address(),
        progress: run.progress.as_mut().address(),
        canvas_count: canvases,
        step_limit: schedule.step_limit,
        t_min: schedule.t_min,
        t_max: schedule.t_max,
    };
    let next_launch = Launch { grid: [1, 1, 1], threads: 32, shared_bytes: 0 };
    // SAFETY: the canvases' holes are as many as rows and outcomes, and what the rows name (packed rows, sets, rows of the tape) is there, as
    // was just checked; behind the last step, and so behind the tape, the kernel does nothing. State and ids are borrowed mutably.
    #[expect(unsafe_code, reason = "launches")]
    unsafe {
        device.launch(&ADVANCE, launch, &parameters)?;
        device.launch(&NEXT_STEP, next_launch, &next)
    }
}

#[cfg(test)]
mod tests;
