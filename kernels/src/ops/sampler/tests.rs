use super::*;
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
    /// One list a step.
    outcomes: Vec<Vec<RowOutcome>>,
}

const TAPE_ROWS: usize = 600;

/// What the host sees after a step.
#[derive(Debug, PartialEq)]
struct Seen {
    ids: Vec<u32>,
    accepted: Vec<u32>,
    /// Bits of entropies, of what was last found.
    results: Vec<(u32, u32, u32)>,
    canvases: Vec<(bool, u32, u32)>,
    progress: (u32, u32, u32),
    temperature: u32,
}

impl crate::testing::Bits for Vec<Seen> {
    fn bits(&self) -> Vec<u64> {
        format!("{self:?}").bytes().map(u64::from).collect()
    }
}

impl Case {
    /// Every second row of a canvas is a hole; argmax and entropies change now and then.
    fn new(random: &mut Random, schedule: Schedule, holes: &[usize]) -> Self {
        let canvases: Vec<CanvasSize> =
            holes.iter().map(|holes| CanvasSize { rows: 2 * holes + 1, holes: *holes }).collect();
        let mut rows = Vec::new();
        let mut first = 0;
        for (index, canvas) in canvases.iter().enumerate() {
            for hole in 0..canvas.holes {
                let set = [None, Some(0), Some(1), Some(2)][random.below(4)];
                rows.push(SampleRow {
                    row: first + 2 * hole + 1,
                    set,
                    seed: 77,
                    candidate: index as u32,
                    canvas_row: 2 * hole as u32 + 1,
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
        }
    }

    fn packed_rows(&self) -> usize {
        self.canvases.iter().map(|canvas| canvas.rows).sum()
    }

    fn start(&self) -> Vec<u32> {
        (0..self.packed_rows() as u32).map(|row| 1000 + row).collect()
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
        let mut seen = Vec::new();
        for outcomes in &self.outcomes {
            let outcomes = device.upload(outcomes)?;
            let input = AdvanceInput {
                rows: &rows,
                outcomes: outcomes.as_slice(),
                sets: Some(&sets),
                renoise: match self.renoise {
                    TestRenoise::Uniform => Renoise::Uniform,
                    TestRenoise::Absorbing(mask) => Renoise::Absorbing(mask),
                    TestRenoise::Tape => Renoise::Tape { tokens: tape.as_slice(), canvas_rows: TAPE_ROWS },
                },
                vocabulary: VOCABULARY,
            };
            advance(&mut run, input, ids.as_mut())?;
            let results = run.results().read()?;
            let progress = run.progress().read()?[0];
            seen.push(Seen {
                ids: ids.as_slice().read()?,
                accepted: run.accepted().read()?,
                results: results.iter().map(|found| (found.argmax, found.sample, found.entropy.to_bits())).collect(),
                canvases: (run.canvases()?.iter())
                    .map(|canvas| (canvas.is_done, canvas.steps, canvas.mean_entropy.to_bits()))
                    .collect(),
                progress: (progress.live_canvases, progress.live_rows, progress.next_step),
                temperature: run.step().read()?[0].temperature.to_bits(),
            });
        }
        Ok(seen)
    }

    fn expected(&self) -> Vec<Seen> {
        let holes = self.rows.len();
        let mut ids = self.start();
        let mut accepted = vec![0; holes];
        let mut results = vec![(0, 0, 0); holes];
        let mut canvases: Vec<(bool, u32, u32)> =
            self.canvases.iter().map(|canvas| (canvas.holes == 0, 0, 0)).collect();
        let mut stopping = vec![Stopping::default(); canvases.len()];
        let mut seen = Vec::new();
        for (step, outcomes) in self.outcomes.iter().enumerate() {
            let mut first = 0;
            for (index, canvas) in self.canvases.iter().enumerate() {
                let range = first..first + canvas.holes;
                first = range.end;
                if canvases[index].0 {
                    continue;
                }
                let found = &outcomes[range.clone()];
                let entropies: Vec<f32> = found.iter().map(|outcome| outcome.entropy).collect();
                let chosen = reference::accept(&entropies, self.schedule.entropy_bound);
                for (hole, (outcome, is_chosen)) in range.zip(found.iter().zip(chosen)) {
                    accepted[hole] = is_chosen.into();
                    results[hole] = (outcome.argmax, outcome.sample, outcome.entropy.to_bits());
                    ids[self.rows[hole].row] =
                        if is_chosen { outcome.sample } else { self.noise(step as u32, &self.rows[hole]) };
                }
                let argmax: Vec<u32> = found.iter().map(|outcome| outcome.argmax).collect();
                let Schedule { stability_threshold, confidence_threshold, .. } = self.schedule;
                let (is_done, mean) =
                    stopping[index].observe(&argmax, &entropies, stability_threshold as usize, confidence_threshold);
                canvases[index] = (is_done, step as u32 + 1, mean.to_bits());
            }
            let is_over = step as u32 + 1 == self.schedule.step_limit;
            let live: Vec<u32> = (self.canvases.iter().zip(&canvases))
                .filter(|(_, (is_done, ..))| !is_done && !is_over)
                .map(|(canvas, _)| canvas.rows as u32)
                .collect();
            seen.push(Seen {
                ids: ids.clone(),
                accepted: accepted.clone(),
                results: results.clone(),
                canvases: canvases.clone(),
                progress: (live.len() as u32, live.iter().sum(), step as u32 + 1),
                temperature: self.schedule.temperature(step as u32 + 1).to_bits(),
            });
        }
        seen
    }

    fn noise(&self, step: u32, row: &SampleRow) -> u32 {
        match self.renoise {
            TestRenoise::Uniform => {
                let place = Place { seed: row.seed, candidate: row.candidate, step, row: row.canvas_row };
                reference::uniform_token(place, row.set.map(|set| &self.sets[set][..]), VOCABULARY as u32)
            }
            TestRenoise::Absorbing(mask) => mask,
            TestRenoise::Tape => self.tape[step as usize * TAPE_ROWS + row.canvas_row as usize],
        }
    }

    fn check(&self) -> Vec<Seen> {
        let found = on_devices(|device| self.run(device));
        assert_eq!(found, self.expected());
        found
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
    assert_eq!((last.progress.0, last.progress.2), (0, 10));
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
    refused(&Case::new(&mut random, SCHEDULE, &[CANVAS_HOLES_MAX + 1]));
}
