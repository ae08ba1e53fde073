//! The state of a run on the device.

use crate::error::require;
use crate::memory::{Buffer, Element, Slice};
use crate::ops::steps::{RowOutcome, Step};
use crate::{Device, Error};

use super::{CANVAS_HOLES_MAX, Schedule};

/// One canvas of a run, as it stands before the run's next step.
#[derive(Clone, Copy, Debug)]
pub struct CanvasStart<'a> {
    /// Rows that are not pinned, at least one; they stand together among the sample rows, canvas after canvas.
    pub holes: usize,
    /// The argmax of those rows in the steps before, the oldest first, as many as are remembered.
    pub history: &'a [&'a [u32]],
}

/// As the kernels have it.
#[repr(C)]
#[derive(Clone, Copy)]
pub(super) struct CanvasRecord {
    first_hole: u32,
    holes: u32,
    is_done: u32,
    history: u32,
    next_history: u32,
    reserved: u32,
}

// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for CanvasRecord {}

/// Words that the device reports of a hole row, and of a canvas.
const ROW_WORDS: usize = 7;
const CANVAS_WORDS: usize = 2;

/// What became of a hole row in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RowReport {
    /// What the head found.
    pub outcome: RowOutcome,
    /// Whether the row holds its sample now, and not noise.
    pub is_accepted: bool,
    /// What it holds.
    pub token: u32,
}

/// What became of a canvas in a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CanvasReport {
    /// Whether its argmax has been the same for long enough, and is certain enough. Further steps leave it as it is.
    pub is_done: bool,
    /// Nats.
    pub mean_entropy: f32,
}

/// What became of all canvases in a step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Report {
    /// Canvas after canvas.
    pub rows: Vec<RowReport>,
    /// In their order.
    pub canvases: Vec<CanvasReport>,
}

/// The state of a run on the device, allocated once; its addresses stay the same, as a captured graph needs it.
pub struct RunState {
    pub(super) canvases: Buffer<CanvasRecord>,
    pub(super) history: Buffer<u32>,
    pub(super) step: Buffer<Step>,
    /// Of each hole row, then of each canvas, so that one copy brings all of it to the host.
    report: Buffer<u32>,
    holes_limit: usize,
    pub(super) canvas_count: usize,
    pub(super) holes: usize,
    /// Holes of the canvas that has most.
    pub(super) holes_max: usize,
    pub(super) schedule: Option<Schedule>,
}

impl RunState {
    /// Room for so many canvases with so many holes together, of which so many argmax canvases are remembered.
    pub fn new(device: &Device, canvases: usize, holes: usize, stability_threshold: usize) -> Result<Self, Error> {
        Ok(Self {
            canvases: device.allocate(canvases)?,
            history: device.allocate(holes * stability_threshold)?,
            step: device.allocate(1)?,
            report: device.allocate(holes * ROW_WORDS + canvases * CANVAS_WORDS)?,
            holes_limit: holes,
            canvas_count: 0,
            holes: 0,
            holes_max: 0,
            schedule: None,
        })
    }

    /// Begins a run of canvases with its step `step`, counted from 0, or goes on with one after its canvases were changed.
    pub fn begin(&mut self, canvases: &[CanvasStart<'_>], step: u32, schedule: Schedule) -> Result<(), Error> {
        const NAME: &str = "run";
        let threshold = schedule.stability_threshold as usize;
        let holes = canvases.iter().fold(0_usize, |holes, canvas| holes.saturating_add(canvas.holes));
        require!(
            NAME,
            canvases.len() <= self.canvases.len() && holes <= self.holes_limit,
            "{holes} holes of {} canvases do not fit {} of {}",
            canvases.len(),
            self.holes_limit,
            self.canvases.len()
        );
        let remembered = holes * threshold;
        require!(NAME, remembered <= self.history.len(), "there is no room for {remembered} remembered tokens");
        let longest = canvases.iter().map(|canvas| canvas.holes).max().unwrap_or(0);
        require!(NAME, longest <= CANVAS_HOLES_MAX, "{longest} holes of a canvas, of at most {CANVAS_HOLES_MAX}");
        require!(NAME, step < schedule.step_limit, "step {step} of {}", schedule.step_limit);
        let mut history = vec![0; remembered];
        let mut records = Vec::with_capacity(canvases.len());
        let mut first_hole = 0;
        for canvas in canvases {
            require!(NAME, canvas.holes > 0, "a canvas has no holes");
            require!(
                NAME,
                canvas.history.len() <= threshold && canvas.history.iter().all(|past| past.len() == canvas.holes),
                "what is remembered of a canvas does not fit its {} holes",
                canvas.holes
            );
            for (index, past) in canvas.history.iter().enumerate() {
                history[index * holes + first_hole..][..canvas.holes].copy_from_slice(past);
            }
            records.push(CanvasRecord {
                first_hole: first_hole as u32,
                holes: canvas.holes as u32,
                is_done: 0,
                history: canvas.history.len() as u32,
                next_history: (canvas.history.len() % threshold.max(1)) as u32,
                reserved: 0,
            });
            first_hole += canvas.holes;
        }
        self.canvases.slice_mut(0..records.len()).write(&records)?;
        self.history.slice_mut(0..history.len()).write(&history)?;
        self.step.as_mut().write(&[Step { temperature: schedule.temperature(step), index: step }])?;
        (self.canvas_count, self.holes, self.holes_max) = (canvases.len(), holes, longest);
        self.schedule = Some(schedule);
        Ok(())
    }

    /// The step under way.
    pub fn step(&self) -> Slice<'_, Step> {
        self.step.as_slice()
    }

    /// Where the reports of rows and canvases begin.
    pub(super) fn report_addresses(&mut self) -> (u64, u64) {
        let rows = self.holes * ROW_WORDS;
        (self.report.slice_mut(0..rows).address(), self.report.slice_mut(rows..self.report.len()).address())
    }

    /// Waits for the last step, and says what became of the canvases.
    pub fn report(&self) -> Result<Report, Error> {
        let words = self.report.slice(0..self.holes * ROW_WORDS + self.canvas_count * CANVAS_WORDS).read()?;
        let (rows, canvases) = words.split_at(self.holes * ROW_WORDS);
        let row = |words: &[u32]| RowReport {
            outcome: RowOutcome {
                argmax: words[0],
                sample: words[1],
                entropy: f32::from_bits(words[2]),
                probability: f32::from_bits(words[3]),
                own_probability: f32::from_bits(words[4]),
            },
            is_accepted: words[5] != 0,
            token: words[6],
        };
        let canvas = |words: &[u32]| CanvasReport { is_done: words[0] != 0, mean_entropy: f32::from_bits(words[1]) };
        Ok(Report {
            rows: rows.chunks_exact(ROW_WORDS).map(row).collect(),
            canvases: canvases.chunks_exact(CANVAS_WORDS).map(canvas).collect(),
        })
    }
}
