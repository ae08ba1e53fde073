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

/// Rows of a canvas, pinned ones counted, and how many of them are holes.
#[derive(Clone, Copy)]
struct CanvasSize {
    rows: usize,
    holes: usize,
}

/// A run whose outcomes are given.
struct Case {
    schedule: Schedule,
    canvases: Vec<CanvasSize>,
    rows: Vec<SampleRow>,
    sets: Vec<Vec<u64>>,
    renoise: TestRenoise,
    tape: Vec<u32>,
    /// One list a step.
    outcomes: Vec<Vec<RowOutcome>>,
    /// Before this step the host brings the state back to the device, as after a change of canvases.
    resumed_at: Option<usize>,
}

const TAPE_ROWS: usize = 2000;

/// What the host sees after a step.
#[derive(Debug, PartialEq)]
struct Seen {
    ids: Vec<u32>,
    /// Of each hole row: whether accepted, what it holds, and argmax, sample and the entropy's bits.
    rows: Vec<(bool, u32, (u32, u32, u32))>,
    /// Of each canvas: whether done, and the mean entropy's bits.
    canvases: Vec<(bool, u32)>,
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
            resumed_at: None,
        }
    }

    fn start(&self) -> Vec<u32> {
        let rows: usize = self.canvases.iter().map(|canvas| canvas.rows).sum();
        (0..rows as u32).map(|row| 1000 + row).collect()
    }

    fn run(&self, device: &Device) -> Result<Vec<Seen>, Error> {
        let holes = self.rows.len();
        let mut run = RunState::new(device, self.canvases.len(), holes, self.schedule.stability_threshold as usize)?;
        self.begin(&mut run, 0)?;
        let mut rows = SampleRows::new(device, holes)?;
        rows.write(&self.rows)?;
        let sets: Vec<&[u64]> = self.sets.iter().map(Vec::as_slice).collect();
        let sets = TokenSets::upload(device, &sets, VOCABULARY)?;
        let tape = device.upload(&self.tape)?;
        let mut ids = device.upload(&self.start())?;
        let mut seen = Vec::new();
        for (step, outcomes) in self.outcomes.iter().enumerate() {
            if self.resumed_at == Some(step) {
                self.begin(&mut run, step)?;
            }
            let outcomes = device.upload(outcomes)?;
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
            advance(&mut run, &rows, input, ids.as_mut())?;
            let report = run.report()?;
            let row = |RowReport { outcome, is_accepted, token }: &RowReport| {
                (*is_accepted, *token, (outcome.argmax, outcome.sample, outcome.entropy.to_bits()))
            };
            seen.push(Seen {
                ids: ids.as_slice().read()?,
                rows: report.rows.iter().map(row).collect(),
                canvases: (report.canvases.iter())
                    .map(|canvas| (canvas.is_done, canvas.mean_entropy.to_bits()))
                    .collect(),
                temperature: run.step().read()?[0].temperature.to_bits(),
            });
        }
        Ok(seen)
    }

    /// Brings the state before a step to the device, with what is remembered of the steps before it.
    fn begin(&self, run: &mut RunState, step: usize) -> Result<(), Error> {
        let remembered = step.min(self.schedule.stability_threshold as usize);
        let argmax: Vec<Vec<u32>> = (self.outcomes[step - remembered..step].iter())
            .map(|outcomes| outcomes.iter().map(|outcome| outcome.argmax).collect())
            .collect();
        let mut histories = Vec::new();
        let mut first = 0;
        for canvas in &self.canvases {
            histories.push(argmax.iter().map(|all| &all[first..first + canvas.holes]).collect::<Vec<_>>());
            first += canvas.holes;
        }
        let starts: Vec<CanvasStart<'_>> = (self.canvases.iter().zip(&histories))
            .map(|(canvas, history)| CanvasStart { holes: canvas.holes, history })
            .collect();
        run.begin(&starts, step as u32, self.schedule)
    }

    fn expected(&self) -> Vec<Seen> {
        let mut ids = self.start();
        let mut rows = self.rows.iter();
        let mut canvases: Vec<Twin> = (self.canvases.iter().enumerate())
            .map(|(index, canvas)| Twin {
                candidate: index as u32,
                ids: ids.drain(..canvas.rows).collect(),
                holes: rows.by_ref().take(canvas.holes).map(|row| (row.canvas_row as usize, row.set)).collect(),
                rows: Vec::new(),
                stopping: Stopping::default(),
                is_done: false,
                mean: 0,
            })
            .collect();
        let mut seen = Vec::new();
        for (step, outcomes) in self.outcomes.iter().enumerate() {
            let mut outcomes = &outcomes[..];
            for canvas in &mut canvases {
                let found;
                (found, outcomes) = outcomes.split_at(canvas.holes.len());
                if !canvas.is_done {
                    canvas.step(self, step as u32, found);
                }
            }
            seen.push(Seen {
                ids: canvases.iter().flat_map(|canvas| canvas.ids.clone()).collect(),
                rows: canvases.iter().flat_map(|canvas| canvas.rows.clone()).collect(),
                canvases: canvases.iter().map(|canvas| (canvas.is_done, canvas.mean)).collect(),
                temperature: self.schedule.temperature(step as u32 + 1).to_bits(),
            });
        }
        seen
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
    rows: Vec<(bool, u32, (u32, u32, u32))>,
    stopping: Stopping,
    is_done: bool,
    mean: u32,
}

impl Twin {
    fn step(&mut self, case: &Case, step: u32, found: &[RowOutcome]) {
        if step >= case.schedule.step_limit {
            return;
        }
        let entropies: Vec<f32> = found.iter().map(|outcome| outcome.entropy).collect();
        let chosen = reference::accept(&entropies, case.schedule.entropy_bound);
        self.rows.clear();
        for ((row, set), (outcome, is_chosen)) in self.holes.iter().zip(found.iter().zip(chosen)) {
            let place = Place { seed: 77, candidate: self.candidate, step, row: *row as u32 };
            self.ids[*row] = if is_chosen { outcome.sample } else { case.noise(place, *set) };
            let found = (outcome.argmax, outcome.sample, outcome.entropy.to_bits());
            self.rows.push((is_chosen, self.ids[*row], found));
        }
        let argmax: Vec<u32> = found.iter().map(|outcome| outcome.argmax).collect();
        let Schedule { stability_threshold, confidence_threshold, .. } = case.schedule;
        let threshold = stability_threshold as usize;
        let (is_done, mean) = self.stopping.observe(&argmax, &entropies, threshold, confidence_threshold);
        (self.is_done, self.mean) = (is_done, mean.to_bits());
    }
}

#[test]
fn whole_runs_are_those_of_the_twin() {
    let mut random = Random::new(61);
    let mut stopped = 0;
    for stability_threshold in [0, 1, 3] {
        for holes in [&[1][..], &[2, 17, 64], &[255, 3], &[33, 5, 5, 5, 5]] {
            for renoise in [TestRenoise::Uniform, TestRenoise::Absorbing(4), TestRenoise::Tape] {
                let schedule = Schedule { stability_threshold, ..SCHEDULE };
                let case = Case { renoise, ..Case::new(&mut random, schedule, holes) };
                let seen = case.check();
                stopped += seen.iter().filter(|seen| seen.canvases.iter().all(|canvas| canvas.0)).count();
            }
        }
    }
    // Some of them must have stopped before their last step.
    assert!(stopped > 20, "{stopped}");
}

#[test]
fn a_run_goes_on_from_what_the_host_remembers() {
    let mut random = Random::new(66);
    for stability_threshold in [0, 1, 3] {
        for resumed_at in [1, 2, 4, 7] {
            // What is done would have left the canvases that the host brings back.
            let schedule = Schedule { stability_threshold, confidence_threshold: f32::NEG_INFINITY, ..SCHEDULE };
            let mut case = Case::new(&mut random, schedule, &[2, 17, 64]);
            case.resumed_at = Some(resumed_at);
            case.check();
        }
    }
    // A canvas that is stable only together with what is remembered of it stops at once.
    let schedule = Schedule { stability_threshold: 2, confidence_threshold: 9.0, ..SCHEDULE };
    let mut case = Case::new(&mut random, schedule, &[5]);
    for (step, outcomes) in case.outcomes.iter_mut().enumerate() {
        for (hole, outcome) in outcomes.iter_mut().enumerate() {
            (outcome.argmax, outcome.entropy) = (if step < 2 { step } else { hole + 7 } as u32, 0.1);
        }
    }
    case.resumed_at = Some(4);
    let done: Vec<bool> = case.check().iter().map(|seen| seen.canvases[0].0).collect();
    assert_eq!(done.iter().position(|done| *done), Some(4));
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
    assert_eq!((&last.ids, &last.rows, &last.canvases), (&before.ids, &before.rows, &before.canvases));
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
    case.canvases[0].holes = 0;
    refused(&case);
    let mut case = good();
    case.canvases[0].holes = 2;
    refused(&case);
    let mut case = good();
    case.resumed_at = Some(SCHEDULE.step_limit as usize);
    let more = case.outcomes[0].clone();
    case.outcomes.push(more);
    refused(&case);
    refused(&Case::new(&mut random, SCHEDULE, &[CANVAS_HOLES_MAX + 1]));
}
