//! The state of a run on the device.

use crate::error::require;
use crate::memory::{Buffer, Element, Slice};
use crate::ops::steps::{RowOutcome, SampleRows, Step};
use crate::{Device, Error};

use super::{CANVAS_HOLES_MAX, Schedule};

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
pub(super) struct CanvasRecord {
    first_row: u32,
    rows: u32,
    first_hole: u32,
    holes: u32,
    first_result: u32,
    is_packed: u32,
    is_done: u32,
    steps: u32,
    history: u32,
    next_history: u32,
    mean_entropy: f32,
    reserved: u32,
}

/// What a canvas has come to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CanvasState {
    /// Its rows and holes now.
    pub size: CanvasSize,
    /// Where its results stand.
    pub first_result: usize,
    /// Whether its rows are still among the packed ones.
    pub is_packed: bool,
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
    /// Their holes.
    pub live_holes: u32,
    /// The step that comes next.
    pub next_step: u32,
}

// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for CanvasRecord {}
// SAFETY: numbers without padding, of which every bit pattern is a value.
#[expect(unsafe_code, reason = "see the trait")]
unsafe impl Element for Progress {}

/// The state of a run on the device, allocated once; its addresses stay the same, as a captured graph needs it.
pub struct RunState {
    pub(super) canvases: Buffer<CanvasRecord>,
    pub(super) results: Buffer<RowOutcome>,
    pub(super) accepted: Buffer<u32>,
    pub(super) history: Buffer<u32>,
    pub(super) step: Buffer<Step>,
    pub(super) progress: Buffer<Progress>,
    pub(super) canvas_count: usize,
    pub(super) results_count: usize,
    /// Rows and holes of the canvases that are packed, and holes of the one that has most.
    pub(super) packed_rows: usize,
    pub(super) packed_holes: usize,
    pub(super) holes_max: usize,
    pub(super) schedule: Option<Schedule>,
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
            canvas_count: 0,
            results_count: 0,
            packed_rows: 0,
            packed_holes: 0,
            holes_max: 0,
            schedule: None,
        })
    }

    /// Begins a run of canvases whose rows are packed one after the other, as are their hole rows among the sample rows. A canvas
    /// without holes is done already.
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
        let rows = canvases.iter().fold(0_usize, |rows, canvas| rows.saturating_add(canvas.rows));
        require!(NAME, rows <= i32::MAX as usize, "{rows} rows are too many");
        let (mut first_row, mut first_hole) = (0, 0);
        let mut records = Vec::with_capacity(canvases.len());
        for CanvasSize { rows, holes } in canvases {
            records.push(CanvasRecord {
                first_row,
                rows: *rows as u32,
                first_hole,
                holes: *holes as u32,
                first_result: first_hole,
                is_packed: 1,
                is_done: (*holes == 0).into(),
                steps: 0,
                history: 0,
                next_history: 0,
                mean_entropy: 0.0,
                reserved: 0,
            });
            first_row += *rows as u32;
            first_hole += *holes as u32;
        }
        self.canvases.slice_mut(0..records.len()).write(&records)?;
        self.step.as_mut().write(&[Step { temperature: schedule.temperature(0), index: 0 }])?;
        (self.canvas_count, self.results_count) = (canvases.len(), holes);
        (self.packed_rows, self.packed_holes, self.holes_max) = (rows, holes, longest);
        self.schedule = Some(schedule);
        Ok(())
    }

    /// The step under way.
    pub fn step(&self) -> Slice<'_, Step> {
        self.step.as_slice()
    }

    /// Of each hole row, canvas after canvas, what was found in its canvas's last step. Those of a canvas begin where they did when the run
    /// began, also when it has fewer holes now.
    pub fn results(&self) -> Slice<'_, RowOutcome> {
        self.results.slice(0..self.results_count)
    }

    /// Likewise, 1 where the sample was accepted.
    pub fn accepted(&self) -> Slice<'_, u32> {
        self.accepted.slice(0..self.results_count)
    }

    /// Who goes on, after a step.
    pub fn progress(&self) -> Slice<'_, Progress> {
        self.progress.as_slice()
    }

    /// What the canvases have come to.
    pub fn canvases(&self) -> Result<Vec<CanvasState>, Error> {
        let records = self.canvases.slice(0..self.canvas_count).read()?;
        let state = |record: &CanvasRecord| CanvasState {
            size: CanvasSize { rows: record.rows as usize, holes: record.holes as usize },
            first_result: record.first_result as usize,
            is_packed: record.is_packed != 0,
            is_done: record.is_done != 0,
            steps: record.steps,
            mean_entropy: record.mean_entropy,
        };
        Ok(records.iter().map(state).collect())
    }

    /// Learns of the device what the packed rows are after a step that repacked them, so that the next one works on no others.
    pub fn settle(&mut self, rows: &mut SampleRows) -> Result<Vec<CanvasState>, Error> {
        let canvases = self.canvases()?;
        let packed = canvases.iter().filter(|canvas| canvas.is_packed).map(|canvas| canvas.size);
        self.packed_rows = packed.clone().map(|size| size.rows).sum();
        self.packed_holes = packed.clone().map(|size| size.holes).sum();
        self.holes_max = packed.map(|size| size.holes).max().unwrap_or(0);
        rows.truncate(self.packed_holes, self.packed_rows);
        Ok(canvases)
    }
}
