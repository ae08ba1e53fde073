//! Which experts a row goes through, and which rows an expert gets.

use crate::error::require;
use crate::kernel::{Launch, kernel};
use crate::memory::{Buffer, Slice};
use crate::{Device, Error};

/// Rows that one block chooses for, a warp each.
const CHOOSE_ROWS: u32 = 4;
const GROUP_THREADS: u32 = 256;
/// A block's sum takes one number a warp.
const GROUP_SHARED_BYTES: u32 = 32 * 4;

/// Experts at most: each lane of a warp keeps a bit for 32 of them.
pub const EXPERTS_MAX: usize = 1024;
/// Experts that a row goes through at most: each lane of a warp keeps one.
pub const SLOTS_MAX: usize = 32;

#[repr(C)]
#[derive(Clone, Copy)]
struct ChooseExpertsParameters {
    scores: u64,
    per_expert_scale: u64,
    chosen: u64,
    weights: u64,
    rows: u32,
    experts: u32,
    slots: u32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct GroupByExpertParameters {
    chosen: u64,
    starts: u64,
    order: u64,
    assignments: u32,
    experts: u32,
}

kernel!(static CHOOSE_EXPERTS: "router", choose_experts(ChooseExpertsParameters));
kernel!(static GROUP_BY_EXPERT: "router", group_by_expert(GroupByExpertParameters));

/// For each of a number of rows the experts that it goes through, and the same grouped by expert. An *assignment* is one expert of one row:
/// row * slots + slot.
pub struct Routing {
    experts: usize,
    slots: usize,
    rows_max: usize,
    /// Rows of the last `route`.
    rows: usize,
    chosen: Buffer<u32>,
    weights: Buffer<f32>,
    starts: Buffer<u32>,
    order: Buffer<u32>,
}

impl Routing {
    /// Room for rows so many, of which each goes through `slots` of `experts` experts.
    pub fn new(device: &Device, rows_max: usize, experts: usize, slots: usize) -> Result<Self, Error> {
        const NAME: &str = "Routing::new";
        require!(NAME, experts <= EXPERTS_MAX, "{experts} experts are more than {EXPERTS_MAX}");
        require!(NAME, slots > 0 && slots <= SLOTS_MAX.min(experts), "{slots} of {experts} experts a row");
        require!(NAME, rows_max < (1 << 31) / slots, "{rows_max} rows are too many");
        let mut starts = device.allocate(experts + 1)?;
        // Before the first `route` no expert has a row.
        starts.as_mut().clear()?;
        Ok(Self {
            experts,
            slots,
            rows_max,
            rows: 0,
            chosen: device.allocate(rows_max * slots)?,
            weights: device.allocate(rows_max * slots)?,
            starts,
            order: device.allocate(rows_max * slots)?,
        })
    }

    /// Chooses for each row of scores, `[rows, experts]`, the greatest ones, of equal ones the lower; their weights are the softmax over the chosen
    /// times `per_expert_scale`, `[experts]`. A score that is no number comes last and makes the weights none.
    pub fn route(&mut self, scores: Slice<'_, f32>, per_expert_scale: Slice<'_, f32>) -> Result<(), Error> {
        const NAME: &str = "Routing::route";
        let experts = self.experts;
        require!(NAME, scores.len().is_multiple_of(experts), "{} scores are not rows of {experts}", scores.len());
        let rows = scores.len() / experts;
        require!(NAME, rows <= self.rows_max, "{rows} rows where there is room for {}", self.rows_max);
        require!(NAME, per_expert_scale.len() == experts, "{} scales for {experts} experts", per_expert_scale.len());
        let device = scores.device();
        let devices = [per_expert_scale.device(), self.chosen.as_slice().device()];
        require!(NAME, devices.iter().all(|other| other.is(device)), "not everything is on the same device");
        self.rows = rows;
        let choose = ChooseExpertsParameters {
            scores: scores.address(),
            per_expert_scale: per_expert_scale.address(),
            chosen: self.chosen.as_mut().address(),
            weights: self.weights.as_mut().address(),
            rows: rows as u32,
            experts: experts as u32,
            slots: self.slots as u32,
        };
        let choose_launch =
            Launch { grid: [(rows as u32).div_ceil(CHOOSE_ROWS), 1, 1], threads: CHOOSE_ROWS * 32, shared_bytes: 0 };
        let group = GroupByExpertParameters {
            chosen: choose.chosen,
            starts: self.starts.as_mut().address(),
            order: self.order.as_mut().address(),
            assignments: (rows * self.slots) as u32,
            experts: experts as u32,
        };
        let group_launch =
            Launch { grid: [experts as u32, 1, 1], threads: GROUP_THREADS, shared_bytes: GROUP_SHARED_BYTES };
        // SAFETY: the scores' and scales' lengths were just checked; our own buffers have room for the rows, and are borrowed mutably. Chosen
        // experts are below `experts`, as there are at least as many as slots, so every assignment gets a place in the order.
        #[expect(unsafe_code, reason = "two launches")]
        unsafe {
            device.launch(&CHOOSE_EXPERTS, choose_launch, &choose)?;
            device.launch(&GROUP_BY_EXPERT, group_launch, &group)
        }
    }

    /// Rows of the last `route`.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// How many experts there are.
    pub fn experts(&self) -> usize {
        self.experts
    }

    /// How many of them each row goes through.
    pub fn slots(&self) -> usize {
        self.slots
    }

    /// Pairs of a row and one of its experts.
    pub fn assignments(&self) -> usize {
        self.rows * self.slots
    }

    /// The experts of each row, ascending: `[rows, slots]`.
    pub fn chosen(&self) -> Slice<'_, u32> {
        self.chosen.slice(0..self.assignments())
    }

    /// What each expert's output is multiplied by: `[rows, slots]`.
    pub fn weights(&self) -> Slice<'_, f32> {
        self.weights.slice(0..self.assignments())
    }

    /// Where each expert's assignments begin in [`order`](Self::order), and where the last one's end: `[experts + 1]`.
    pub fn starts(&self) -> Slice<'_, u32> {
        self.starts.as_slice()
    }

    /// The assignments by expert, each expert's ascending: `[rows * slots]`.
    pub fn order(&self) -> Slice<'_, u32> {
        self.order.slice(0..self.assignments())
    }
}

#[cfg(test)]
mod tests;
