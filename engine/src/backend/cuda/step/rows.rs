//! What the device holds of a run between its steps.

use lacuna_kernels::ops::sampler::{CanvasStart, RunState};
use lacuna_kernels::ops::steps::{RowOutcome, SampleRow as KernelRow, SampleRows, TokenLists};
use lacuna_kernels::{Buffer, Device, Error};

use super::graphs::Graphs;
use super::{kernel_schedule, votes_in};
use crate::backend::cuda::head::kernel_row;
use crate::backend::{CARD_HEAD_ROWS, CanvasHoles, ROW_VOTES_MAX, RowVote, SampleRow, StepInput};
use crate::noise::Tape;
use crate::sampler::Schedule;

/// Argmax canvases that there is room for; published schedules remember one.
const REMEMBERED: usize = 2;

/// Room for the hole rows of a run, and what is known to stand there.
pub(in super::super) struct RunRows {
    pub(super) state: RunState,
    /// Argmax canvases that the state has room for.
    remembered: usize,
    /// All hole rows.
    pub(super) table: SampleRows,
    /// The same in the parts that the head takes at a time.
    pub(super) blocks: Vec<Block>,
    pub(super) outcomes: Buffer<RowOutcome>,
    pub(super) tape: Option<TapeBuffers>,
    pub(in super::super) graphs: Graphs,
    held: Option<Held>,
    written_votes: Vec<RowVote>,
}

/// Rows that the head takes at a time.
pub(super) struct Block {
    pub(super) rows: SampleRows,
    pub(super) votes: TokenLists,
}

/// Recorded noise of a step.
pub(super) struct TapeBuffers {
    /// [canvas rows, vocabulary]
    pub(super) gumbel: Buffer<f32>,
    /// [steps, canvas rows]
    pub(super) renoise: Buffer<u32>,
    pub(super) canvas_rows: usize,
}

/// What the device would do next.
struct Held {
    step: usize,
    schedule: Schedule,
    ids: Vec<u32>,
    rows: Vec<KernelRow>,
    canvases: Vec<CanvasHoles>,
}

impl RunRows {
    pub(in super::super) fn new(device: &Device, rows: usize) -> Result<Self, Error> {
        let size = rows.clamp(1, CARD_HEAD_ROWS);
        let block = |_| {
            let votes = TokenLists::new(device, size, size * ROW_VOTES_MAX)?;
            Ok(Block { rows: SampleRows::new(device, size)?, votes })
        };
        Ok(Self {
            state: RunState::new(device, rows, rows, REMEMBERED)?,
            remembered: REMEMBERED,
            table: SampleRows::new(device, rows)?,
            blocks: (0..rows.div_ceil(size)).map(block).collect::<Result<_, Error>>()?,
            outcomes: device.allocate(rows)?,
            tape: None,
            graphs: Graphs::default(),
            held: None,
            written_votes: Vec::new(),
        })
    }

    /// Something else than a step writes what the device holds.
    pub(in super::super) fn forget(&mut self) {
        self.held = None;
    }

    /// Whether the device would do just this next. What it holds is known again when that has been done.
    pub(super) fn is_continued_by(&mut self, input: &StepInput<'_>) -> bool {
        self.held.take().is_some_and(|held| {
            held.step == input.step
                && held.schedule == *input.schedule
                && held.ids == input.ids
                && held.canvases == input.canvases
                && held.rows.iter().copied().eq(input.rows.iter().map(kernel_row))
        })
    }

    /// Brings the run's hole rows and what is remembered of its canvases to the device.
    pub(super) fn begin(&mut self, device: &Device, input: &StepInput<'_>) -> Result<(), Error> {
        self.tape = None;
        self.written_votes.clear();
        let threshold = input.schedule.stability_threshold;
        if threshold > self.remembered {
            let rows = self.outcomes.len();
            self.state = RunState::new(device, rows, rows, threshold)?;
            self.remembered = threshold;
        }
        let rows: Vec<KernelRow> = input.rows.iter().map(kernel_row).collect();
        self.table.write(&rows)?;
        let mut parts = rows.chunks(CARD_HEAD_ROWS);
        for block in &mut self.blocks {
            block.rows.write(parts.next().unwrap_or_default())?;
        }
        let mut history = input.history;
        let past: Vec<Vec<&[u32]>> = (input.canvases.iter())
            .map(|canvas| {
                let (own, others) = history.split_at(canvas.remembered * canvas.holes);
                history = others;
                own.chunks_exact(canvas.holes).collect()
            })
            .collect();
        let starts: Vec<CanvasStart<'_>> = (input.canvases.iter().zip(&past))
            .map(|(canvas, history)| CanvasStart { holes: canvas.holes, history })
            .collect();
        self.state.begin(&starts, input.step as u32, kernel_schedule(input.schedule))
    }

    /// Brings other votes to the device.
    pub(super) fn write_votes(&mut self, rows: &[SampleRow], votes: &[RowVote]) -> Result<(), Error> {
        if self.written_votes == votes {
            return Ok(());
        }
        self.written_votes.clear();
        for (block, rows) in self.blocks.iter_mut().zip(rows.chunks(CARD_HEAD_ROWS)) {
            block.votes.write_votes(&votes_in(rows, votes))?;
        }
        self.written_votes.extend_from_slice(votes);
        Ok(())
    }

    /// Brings the noise of a step to the device.
    pub(super) fn write_tape(&mut self, device: &Device, gumbel: &[f32], tape: Tape<'_>) -> Result<(), Error> {
        let (gumbel, renoise) = (device.upload(gumbel)?, device.upload(tape.renoise)?);
        self.tape = Some(TapeBuffers { gumbel, renoise, canvas_rows: tape.rows });
        Ok(())
    }

    /// Notes what a step has left on the device: the hole rows hold these tokens.
    pub(super) fn follow(&mut self, input: &StepInput<'_>, tokens: &[u32]) {
        let mut ids = input.ids.to_vec();
        for (row, token) in input.rows.iter().zip(tokens) {
            ids[row.row] = *token;
        }
        let limit = input.schedule.stability_threshold;
        let canvases = input
            .canvases
            .iter()
            .map(|canvas| CanvasHoles { remembered: (canvas.remembered + 1).min(limit), ..*canvas })
            .collect();
        self.held = Some(Held {
            step: input.step + 1,
            schedule: *input.schedule,
            ids,
            rows: input.rows.iter().map(kernel_row).collect(),
            canvases,
        });
    }
}
