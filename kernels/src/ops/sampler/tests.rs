use super::*;
use crate::Device;
use crate::ops::steps::SampleRow;
use crate::reference::philox::Place;
use crate::reference::sampler::{self as reference, Stopping};
use crate::testing::{Random, on_devices};

const VOCABULARY: usize = 200;
const SCHEDULE: Schedule = Schedule {
    step_limit: 9,
    entropy_bound: 0.5,
    t_min: 0.4,
    t_max: 0.8,
    stability_threshold: 1,
    confidence_threshold: 0.3,
};

#[derive(Clone, Copy)]
enum TestRenoise {
    Uniform,
    Absorbing(u32),
    Tape,
}

/// A run whose outcomes are given.
struct Case {
    schedule: Schedule,
    canvases: Vec<CanvasSize>,
    rows: Vec<SampleRow>,
    sets: Vec<Vec<u64>>,
    renoise: TestRenoise,
    tape: Vec<u32>,
    /// One list a step, of which as many are used as there are holes then.
    outcomes: Vec<Vec<RowOutcome>>,
    /// The delete token and how many of a tail are kept, where rows are repacked.
    repack: Option<(Option<u32>, u32)>,
}

const TAPE_ROWS: usize = 2000;
const DELETE: u32 = 9;

/// What the host sees after a step.
#[derive(Debug, PartialEq)]
struct Seen {
    /// Of the packed rows.
    ids: Vec<u32>,
    sources: Vec<u32>,
    /// Packed row and canvas row of each sample row.
    table: Vec<(u32, u32)>,
    /// Of each canvas's holes: whether accepted, and argmax, sample and the entropy's bits.
    results: Vec<(u32, (u32, u32, u32))>,
    /// Rows, holes, whether done, steps, and the mean entropy's bits.
    canvases: Vec<(usize, usize, bool, u32, u32)>,
    progress: (u32, u32, u32, u32),
    temperature: u32,
}

impl crate::testing::Bits for Vec<Seen> {
    fn bits(&self) -> Vec<u64> {
        format!("{self:?}").bytes().map(u64::from).collect()
    }
}

/// Every fifth row of a canvas is pinned, and the first and last ones are.
fn canvas_row(hole: usize) -> usize {
    hole + hole / 4 + 1
}

impl Case {
    /// Argmax and entropies change now and then.
    fn new(random: &mut Random, schedule: Schedule, holes: &[usize]) -> Self {
        let canvases: Vec<CanvasSize> =
            holes.iter().map(|holes| CanvasSize { rows: canvas_row(*holes) + 1, holes: *holes }).collect();
        let mut rows = Vec::new();
        let mut first = 0;
        for (index, canvas) in canvases.iter().enumerate() {
            for hole in 0..canvas.holes {
                rows.push(SampleRow {
                    row: first + canvas_row(hole),
                    set: [None, Some(0), Some(1), Some(2)][random.below(4)],
                    seed: 77,
                    candidate: index as u32,
                    canvas_row: canvas_row(hole) as u32,
                });
            }
            first += canvas.rows;
        }
        let certain: Vec<bool> = canvases.iter().map(|_| random.below(2) == 0).collect();
        let outcomes = (0..schedule.step_limit)
            .map(|step| {
                let mut outcomes = Vec::new();
                for (canvas, certain) in canvases.iter().zip(&certain) {
                    let moves = random.below(3) == 0;
                    for hole in 0..canvas.holes {
                        let entropy = match random.below(40) {
                            0 => 0.0,
                            1 => -0.0,
                            2 if !certain => f32::NAN,
                            3 if !certain => f32::INFINITY,
                            4 => 0.125,
                            5 => -random.uniform() * 0.1,
                            6 if !certain => -f32::NAN,
                            _ => random.uniform() * if *certain { 0.4 } else { 2.0 },
                        };
                        let argmax = hole as u32 + if moves { step } else { 0 };
                        let sample = random.below(VOCABULARY) as u32;
                        let (probability, own_probability) = (random.uniform(), random.uniform());
                        outcomes.push(RowOutcome { argmax, sample, entropy, probability, own_probability });
                    }
                }
                outcomes
            })
            .collect();
        let every_third = (0..VOCABULARY).step_by(3).fold(vec![0_u64; 4], |mut words, token| {
            words[token / 64] |= 1 << (token % 64);
            words
        });
        Self {
            schedule,
            canvases,
            rows,
            sets: vec![every_third, vec![0; 4], vec![0, 0, 1 << 63, 0]],
            renoise: TestRenoise::Uniform,
            tape: (0..TAPE_ROWS * schedule.step_limit as usize).map(|_| random.below(VOCABULARY) as u32).collect(),
            outcomes,
            repack: None,
        }
    }

    /// Most of what is accepted are delete tokens, and of canvases some are accepted whole.
    fn with_repack(mut self, random: &mut Random, delete: Option<u32>, keep: u32) -> Self {
        for outcome in self.outcomes.iter_mut().flatten() {
            if random.below(10) < 8 {
                outcome.sample = DELETE;
            }
        }
        self.repack = Some((delete, keep));
        self
    }

    fn start(&self) -> Vec<u32> {
        let rows: usize = self.canvases.iter().map(|canvas| canvas.rows).sum();
        (0..rows as u32).map(|row| 1000 + row).collect()
    }

    fn run(&self, device: &Device) -> Result<Vec<Seen>, Error> {
        let holes = self.rows.len();
        let mut run = RunState::new(device, self.canvases.len(), holes, self.schedule.stability_threshold as usize)?;
        run.begin(&self.canvases, self.schedule)?;
        run.results.as_mut().clear()?;
        run.accepted.as_mut().clear()?;
        let mut rows = SampleRows::new(device, holes)?;
        rows.write(&self.rows)?;
        let sets: Vec<&[u64]> = self.sets.iter().map(Vec::as_slice).collect();
        let sets = TokenSets::upload(device, &sets, VOCABULARY)?;
        let tape = device.upload(&self.tape)?;
        let mut ids = device.upload(&self.start())?;
        let mut sources = device.allocate::<u32>(ids.len())?;
        sources.as_mut().clear()?;
        let mut seen = Vec::new();
        for outcomes in &self.outcomes {
            let outcomes = device.upload(&outcomes[..outcomes.len() - (holes - rows.len())])?;
            let input = AdvanceInput {
                outcomes: outcomes.as_slice(),
                sets: Some(&sets),
                renoise: match self.renoise {
                    TestRenoise::Uniform => Renoise::Uniform,
                    TestRenoise::Absorbing(mask) => Renoise::Absorbing(mask),
                    TestRenoise::Tape => Renoise::Tape { tokens: tape.as_slice(), canvas_rows: TAPE_ROWS },
                },
                vocabulary: VOCABULARY,
            };
            let repack = self.repack.map(|(delete, keep)| Repack { delete, keep, sources: sources.as_mut() });
            advance(&mut run, &mut rows, input, ids.as_mut(), repack)?;
            let states = if self.repack.is_some() { run.settle(&mut rows)? } else { run.canvases()? };
            let (results, accepted) = (run.results().read()?, run.accepted().read()?);
            let found = |index: usize| {
                let found = results[index];
                (accepted[index], (found.argmax, found.sample, found.entropy.to_bits()))
            };
            let progress = run.progress().read()?[0];
            let packed: usize = states.iter().filter(|canvas| canvas.is_packed).map(|canvas| canvas.size.rows).sum();
            seen.push(Seen {
                ids: ids.slice(0..packed).read()?,
                sources: sources.as_slice().read()?,
                table: rows.records().read()?.iter().map(|record| record.rows_of()).collect(),
                results: (states.iter())
                    .flat_map(|canvas| (canvas.first_result..canvas.first_result + canvas.size.holes).map(found))
                    .collect(),
                canvases: (states.iter())
                    .map(|canvas| {
                        let CanvasSize { rows, holes } = canvas.size;
                        (rows, holes, canvas.is_done, canvas.steps, canvas.mean_entropy.to_bits())
                    })
                    .collect(),
                progress: (progress.live_canvases, progress.live_rows, progress.live_holes, progress.next_step),
                temperature: run.step().read()?[0].temperature.to_bits(),
            });
        }
        Ok(seen)
    }

    fn expected(&self) -> Vec<Seen> {
        let mut ids = self.start();
        let mut rows = self.rows.iter();
        let mut canvases: Vec<Twin> = (self.canvases.iter().enumerate())
            .map(|(index, canvas)| Twin {
                candidate: index as u32,
                ids: ids.drain(..canvas.rows).collect(),
                holes: rows.by_ref().take(canvas.holes).map(|row| (row.canvas_row as usize, row.set)).collect(),
                results: vec![(0, (0, 0, 0)); canvas.holes],
                stopping: Stopping::default(),
                is_packed: true,
                is_done: canvas.holes == 0,
                steps: 0,
                mean: 0,
            })
            .collect();
        let mut sources = vec![0; self.start().len()];
        let mut seen = Vec::new();
        for (step, outcomes) in self.outcomes.iter().enumerate() {
            let packed: usize =
                canvases.iter().filter(|canvas| canvas.is_packed).map(|canvas| canvas.holes.len()).sum();
            let mut outcomes = &outcomes[..packed];
            let mut first_hole = 0;
            let mut moved = Vec::new();
            for canvas in canvases.iter_mut().filter(|canvas| canvas.is_packed) {
                let found;
                (found, outcomes) = outcomes.split_at(canvas.holes.len());
                if !canvas.is_done {
                    canvas.step(self, step as u32, found);
                }
                if let Some((delete, keep)) = self.repack {
                    moved.extend(canvas.repack(first_hole, delete, keep as usize));
                }
                first_hole += found.len() as u32;
            }
            if self.repack.is_some() {
                moved.resize(sources.len(), NO_TOKEN);
                sources = moved;
            }
            seen.push(self.see(&canvases, step as u32, &sources));
        }
        seen
    }

    fn see(&self, canvases: &[Twin], step: u32, sources: &[u32]) -> Seen {
        let is_over = step + 1 >= self.schedule.step_limit;
        let live: Vec<&Twin> = canvases.iter().filter(|canvas| !canvas.is_done && !is_over).collect();
        let packed: Vec<&Twin> = canvases.iter().filter(|canvas| canvas.is_packed).collect();
        let mut table = Vec::new();
        let mut first_row = 0;
        for canvas in &packed {
            table.extend(canvas.holes.iter().map(|(row, _)| (first_row + *row as u32, *row as u32)));
            first_row += canvas.ids.len() as u32;
        }
        Seen {
            ids: packed.iter().flat_map(|canvas| canvas.ids.clone()).collect(),
            sources: sources.to_vec(),
            table,
            results: canvases.iter().flat_map(|canvas| canvas.results.clone()).collect(),
            canvases: (canvases.iter())
                .map(|canvas| (canvas.ids.len(), canvas.holes.len(), canvas.is_done, canvas.steps, canvas.mean))
                .collect(),
            progress: (
                live.len() as u32,
                live.iter().map(|canvas| canvas.ids.len() as u32).sum(),
                live.iter().map(|canvas| canvas.holes.len() as u32).sum(),
                step + 1,
            ),
            temperature: self.schedule.temperature(step + 1).to_bits(),
        }
    }

    fn noise(&self, place: Place, set: Option<usize>) -> u32 {
        match self.renoise {
            TestRenoise::Uniform => {
                reference::uniform_token(place, set.map(|set| &self.sets[set][..]), VOCABULARY as u32)
            }
            TestRenoise::Absorbing(mask) => mask,
            TestRenoise::Tape => self.tape[place.step as usize * TAPE_ROWS + place.row as usize],
        }
    }

    fn check(&self) -> Vec<Seen> {
        let found = on_devices(|device| self.run(device));
        let expected = self.expected();
        for (step, (found, expected)) in found.iter().zip(&expected).enumerate() {
            assert_eq!(found, expected, "step {step}");
        }
        assert_eq!(found.len(), expected.len());
        found
    }
}

/// One canvas as the twin has it.
struct Twin {
    candidate: u32,
    ids: Vec<u32>,
    /// Rows of the canvas, and their sets.
    holes: Vec<(usize, Option<usize>)>,
    results: Vec<(u32, (u32, u32, u32))>,
    stopping: Stopping,
    is_packed: bool,
    is_done: bool,
    steps: u32,
    mean: u32,
}

impl Twin {
    fn step(&mut self, case: &Case, step: u32, found: &[RowOutcome]) {
        if step >= case.schedule.step_limit {
            return;
        }
        let entropies: Vec<f32> = found.iter().map(|outcome| outcome.entropy).collect();
        let chosen = reference::accept(&entropies, case.schedule.entropy_bound);
        self.results.clear();
        for ((row, set), (outcome, is_chosen)) in self.holes.iter().zip(found.iter().zip(chosen)) {
            self.results.push((is_chosen.into(), (outcome.argmax, outcome.sample, outcome.entropy.to_bits())));
            let place = Place { seed: 77, candidate: self.candidate, step, row: *row as u32 };
            self.ids[*row] = if is_chosen { outcome.sample } else { case.noise(place, *set) };
        }
        let argmax: Vec<u32> = found.iter().map(|outcome| outcome.argmax).collect();
        let Schedule { stability_threshold, confidence_threshold, .. } = case.schedule;
        let threshold = stability_threshold as usize;
        let (is_done, mean) = self.stopping.observe(&argmax, &entropies, threshold, confidence_threshold);
        (self.is_done, self.steps, self.mean) = (is_done, step + 1, mean.to_bits());
    }

    /// Where the rows that stay packed come from.
    fn repack(&mut self, first_hole: u32, delete: Option<u32>, keep: usize) -> Vec<u32> {
        if self.is_done {
            self.is_packed = false;
            return Vec::new();
        }
        let is_deleted = |row: usize, index: usize| self.results[index].0 == 1 && Some(self.ids[row]) == delete;
        let holes: Vec<(usize, bool)> =
            self.holes.iter().enumerate().map(|(index, (row, _))| (*row, is_deleted(*row, index))).collect();
        let leaves = reference::surplus(&holes, keep);
        if leaves.iter().any(|leaves| *leaves) {
            self.stopping = Stopping::default();
        }
        let mut sources = Vec::new();
        let (mut ids, mut kept, mut results) = (Vec::new(), Vec::new(), Vec::new());
        for (row, id) in self.ids.iter().enumerate() {
            match self.holes.iter().position(|(hole, _)| *hole == row) {
                Some(index) if leaves[index] => continue,
                Some(index) => {
                    kept.push((ids.len(), self.holes[index].1));
                    results.push(self.results[index]);
                    sources.push(first_hole + index as u32);
                }
                None => sources.push(NO_TOKEN),
            }
            ids.push(*id);
        }
        (self.ids, self.holes, self.results) = (ids, kept, results);
        sources
    }
}

#[test]
fn whole_runs_are_those_of_the_twin() {
    let mut random = Random::new(61);
    let mut stopped = 0;
    for stability_threshold in [0, 1, 3] {
        for holes in [&[1][..], &[2, 0, 17, 64], &[255, 3], &[33, 5, 5, 5, 5]] {
            for renoise in [TestRenoise::Uniform, TestRenoise::Absorbing(4), TestRenoise::Tape] {
                let schedule = Schedule { stability_threshold, ..SCHEDULE };
                let case = Case { renoise, ..Case::new(&mut random, schedule, holes) };
                let seen = case.check();
                stopped += seen.iter().filter(|seen| seen.progress.0 == 0).count();
            }
        }
    }
    // Some of them must have stopped before their last step.
    assert!(stopped > 36, "{stopped}");
}

#[test]
fn rows_leave_as_in_the_twin() {
    let mut random = Random::new(66);
    let (mut shrunk, mut gone) = (0, 0);
    for holes in [&[1][..], &[2, 0, 17, 64], &[300, 3], &[33, 5, 5, 5, 5]] {
        for (delete, keep) in [(Some(DELETE), 1), (Some(DELETE), 2), (None, 0)] {
            for entropy_bound in [0.5, 1e9] {
                let schedule = Schedule { entropy_bound, confidence_threshold: 1.0, ..SCHEDULE };
                let case = Case::new(&mut random, schedule, holes).with_repack(&mut random, delete, keep);
                let seen = case.check();
                let last = &seen[seen.len() - 1];
                shrunk += case.canvases.iter().zip(&last.canvases).filter(|(a, b)| a.rows != b.0).count();
                gone += usize::from(last.ids.len() < last.canvases.iter().map(|canvas| canvas.0).sum());
            }
        }
    }
    assert!(shrunk > 20 && gone > 10, "{shrunk} canvases have shrunk, and {gone} times one has left");
}

#[test]
fn every_place_is_sorted() {
    let mut random = Random::new(62);
    let mut case = Case::new(&mut random, Schedule { step_limit: 1, entropy_bound: 700.0, ..SCHEDULE }, &[1500]);
    case.renoise = TestRenoise::Absorbing(1);
    case.check();
}

#[test]
fn nothing_happens_behind_the_last_step() {
    let mut random = Random::new(63);
    let mut case = Case::new(&mut random, Schedule { confidence_threshold: 0.0, ..SCHEDULE }, &[7]);
    let more = case.outcomes[0].clone();
    case.outcomes.push(more);
    let seen = on_devices(|device| case.run(device));
    let (last, before) = (&seen[9], &seen[8]);
    assert_eq!((&last.ids, &last.canvases), (&before.ids, &before.canvases));
    assert_eq!((last.progress.0, last.progress.3), (0, 10));
}

#[test]
fn the_sampler_refuses_what_does_not_fit() {
    let mut random = Random::new(64);
    let device = Device::emulator();
    let good = || Case::new(&mut Random::new(65), SCHEDULE, &[3, 2]);
    assert!(good().run(&device).is_ok());
    let refused = |case: &Case| {
        let error = case.run(&device).unwrap_err();
        assert!(matches!(error, Error::Shape { .. }), "{error}");
    };
    let mut case = good();
    case.outcomes[0].pop();
    refused(&case);
    let mut case = good();
    case.rows[1].row = 100;
    refused(&case);
    let mut case = good();
    case.rows[1].set = Some(3);
    refused(&case);
    let mut case = good();
    case.renoise = TestRenoise::Absorbing(VOCABULARY as u32);
    refused(&case);
    let mut case = good();
    case.renoise = TestRenoise::Tape;
    case.tape.pop();
    refused(&case);
    let mut case = good();
    case.canvases[0].rows = 2;
    refused(&case);
    let mut case = good();
    case.repack = Some((Some(DELETE), 0));
    refused(&case);
    refused(&Case::new(&mut random, SCHEDULE, &[CANVAS_HOLES_MAX + 1]));
}
