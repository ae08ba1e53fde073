//! Whole runs over a backend that draws its outcomes at random.

use std::ops::Range;

use proptest::prelude::{Strategy, any, prop};
use proptest::{prop_assert, prop_assert_eq, proptest};

use super::{CanvasJob, Denoised, Run, StepReport};
use crate::backend::{Backend, RowOutcome, SampleRow, SampleSettings, ScoredToken, Segment, Stack};
use crate::canvas::{Canvas, Row, TokenSet};
use crate::noise::{Noise, NoiseKind, SeededNoise};
use crate::philox::{self, Place, Purpose};
use crate::prior::Votes;
use crate::sampler::Schedule;
use crate::{Cancel, Error};

const VOCABULARY: u32 = 50;
const DELETE: u32 = 20;
/// Rows that a hole may grow by.
const GROWTH: usize = 9;

/// Outcomes follow from the row's place alone; one row in three is very certain.
struct Dice;

impl Backend for Dice {
    type Cache = ();
    type Workspace = Seen;

    fn run<R: Send>(&self, work: impl FnOnce() -> R + Send) -> R {
        work()
    }
    fn encode_rows(&self) -> usize {
        1
    }
    fn shared_rows(&self) -> usize {
        0
    }
    fn matrix_rate(&self) -> Result<f64, Error> {
        Ok(0.0)
    }
    fn new_cache(&self) {}
    fn cached_tokens(&self, (): &()) -> usize {
        0
    }
    fn truncate(&self, (): &mut (), _tokens: usize) {}
    fn new_workspace(&self, _rows: usize) -> Result<Seen, Error> {
        Ok(Seen::default())
    }
    fn embed(&self, seen: &mut Seen, ids: &[u32]) -> Result<(), Error> {
        seen.packed_rows = ids.len();
        Ok(())
    }
    fn self_condition(&self, seen: &mut Seen, targets: &[Option<usize>]) -> Result<(), Error> {
        assert!(targets.len() <= seen.kept, "soft embeddings that nobody kept");
        assert!(targets.iter().flatten().all(|row| *row < seen.packed_rows));
        Ok(())
    }
    fn soften(&self, _seen: &mut Seen, _logits: &[f32]) -> Result<(), Error> {
        Ok(())
    }
    fn attend_prompt(&self, _: &mut Seen, _: usize, _: &[Segment], _: &mut [&mut ()], _: bool) -> Result<(), Error> {
        Ok(())
    }
    fn attend_canvas(&self, seen: &mut Seen, _: usize, segments: &[Segment], _: &[&()]) -> Result<(), Error> {
        assert_eq!(segments.iter().map(|segment| segment.rows).sum::<usize>(), seen.packed_rows);
        Ok(())
    }
    fn feed_forward(&self, _seen: &mut Seen, _layer: usize, _stack: Stack) -> Result<(), Error> {
        Ok(())
    }
    fn logits(&self, _seen: &mut Seen, _out: &mut [f32]) -> Result<(), Error> {
        Ok(())
    }
    fn log_probabilities(&self, _: &mut Seen, _: &[ScoredToken], _: &mut [f32]) -> Result<(), Error> {
        Ok(())
    }
    fn sample(
        &self,
        seen: &mut Seen,
        rows: &[SampleRow],
        settings: SampleSettings<'_>,
        outcomes: &mut [RowOutcome],
    ) -> Result<(), Error> {
        seen.kept = if settings.keep_soft { rows.len() } else { 0 };
        for (row, outcome) in rows.iter().zip(outcomes) {
            let draw = philox::words(row.place, Purpose::Sample, 0);
            let token = |word: u32| match row.allowed {
                None if word.is_multiple_of(2) => DELETE,
                None => word % VOCABULARY,
                Some(set) => settings.sets[set].nth(word as usize % settings.sets[set].len()).unwrap(),
            };
            let certain = draw[2].is_multiple_of(3);
            *outcome = RowOutcome {
                argmax: token(draw[0]),
                sample: token(draw[if certain { 0 } else { 1 }]),
                entropy: if certain { 1e-4 } else { draw[2] as f32 / u32::MAX as f32 },
                probability: 0.5,
                own_probability: 1.0,
            };
        }
        Ok(())
    }
}

#[derive(Default)]
struct Seen {
    packed_rows: usize,
    kept: usize,
}

const SCHEDULE: Schedule = Schedule {
    step_limit: 6,
    entropy_bound: 0.5,
    t_min: 0.4,
    t_max: 0.8,
    stability_threshold: 0,
    confidence_threshold: 0.3,
};

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = proptest::prop_oneof![
        (0..VOCABULARY).prop_map(Row::Pinned),
        prop::option::of(0..2_usize).prop_map(|allowed| Row::Hole { allowed }),
    ];
    prop::collection::vec(row, 1..30)
}

fn noise() -> impl Strategy<Value = NoiseKind> {
    proptest::prop_oneof![proptest::prelude::Just(NoiseKind::Uniform), (0..VOCABULARY).prop_map(NoiseKind::Absorbing)]
}

fn sets() -> [TokenSet; 2] {
    [3, 7].map(|divisor| TokenSet::from_predicate(VOCABULARY as usize, |id| id % divisor == 0))
}

/// The runs of rows that are not pinned.
fn holes(rows: &[Row]) -> Vec<Range<usize>> {
    let mut holes: Vec<Range<usize>> = Vec::new();
    for (index, _) in rows.iter().enumerate().filter(|(_, row)| matches!(row, Row::Hole { .. })) {
        match holes.last_mut() {
            Some(hole) if hole.end == index => hole.end += 1,
            _ => holes.push(index..index + 1),
        }
    }
    holes
}

/// The pinned tokens of a canvas, and which rows they are in.
fn pinned(rows: &[Row]) -> Vec<u32> {
    rows.iter().filter_map(|row| if let Row::Pinned(token) = row { Some(*token) } else { None }).collect()
}

/// Runs all canvases together, checking every step on the way.
fn run(canvases: &[Vec<Row>], kind: NoiseKind, delete: Option<u32>, seed: u64) -> Vec<Denoised> {
    run_growing(canvases, kind, delete, None, seed)
}

/// The same with holes that may grow by [`GROWTH`] rows each.
fn run_growing(
    canvases: &[Vec<Row>],
    kind: NoiseKind,
    delete: Option<u32>,
    grow_to: Option<usize>,
    seed: u64,
) -> Vec<Denoised> {
    let noise = SeededNoise { kind, vocabulary: VOCABULARY };
    let sets = sets();
    let job = |(candidate, rows): (usize, &Vec<Row>)| {
        let candidate = candidate as u32;
        let start = |row| noise.start(Place { seed, candidate, step: 0, row: row as u32 }, None);
        let canvas = Canvas::new(rows.clone(), start);
        CanvasJob {
            canvas,
            holes: holes(rows),
            limits: holes(rows).iter().map(|hole| hole.len() + GROWTH).collect(),
            prompt: 0,
            seed,
            candidate,
            votes: Votes::default(),
        }
    };
    let run = Run {
        backend: &Dice,
        layers: 2,
        prompts: &[&()],
        cancels: &[&Cancel::new()],
        schedule: &SCHEDULE,
        noise: Noise::Seeded(noise),
        sets: &sets,
        delete,
        grow_to,
        own_probabilities: false,
        first_soft: None,
    };
    run.run(canvases.iter().enumerate().map(job).collect(), &mut Seen::default(), &mut |report| {
        let mut before = 0.0;
        let mut accepted: Vec<f32> = Vec::new();
        for (outcome, yes) in report.outcomes.iter().zip(report.accepted) {
            if *yes {
                accepted.push(outcome.entropy);
            }
        }
        accepted.sort_by(f32::total_cmp);
        for entropy in &accepted[..accepted.len() - 1] {
            before += entropy;
        }
        assert!(before <= SCHEDULE.entropy_bound, "accepted entropies before the last sum to {before}");
        let rows: Vec<Row> = (0..report.canvas.len()).map(|row| report.canvas.row(row)).collect();
        assert_eq!(pinned(&rows), pinned(&canvases[report.job]), "a pinned token changed");
        assert_eq!(report.holes, holes(&rows));
        assert!(report.hole_rows.iter().copied().eq(report.holes.iter().cloned().flatten()));
    })
    .unwrap()
}

proptest! {
    #[test]
    fn pinned_tokens_stay_and_holes_hold_what_they_may(
        canvases in prop::collection::vec(rows(), 1..4),
        kind in noise(),
        seed in any::<u64>(),
    ) {
        let sets = sets();
        for (rows, denoised) in canvases.iter().zip(run(&canvases, kind, None, seed)) {
            let holes = rows.iter().filter(|row| matches!(row, Row::Hole { .. })).count();
            prop_assert_eq!(denoised.steps == 0, holes == 0);
            for ((row, token), probability) in rows.iter().zip(&denoised.tokens).zip(&denoised.probabilities) {
                match row {
                    Row::Pinned(pinned) => prop_assert!(pinned == token && *probability == 1.0),
                    Row::Hole { allowed: Some(set) } => prop_assert!(sets[*set].contains(*token)),
                    Row::Hole { allowed: None } => prop_assert!(*token < VOCABULARY),
                }
            }
        }
    }

    #[test]
    fn a_canvas_has_the_same_result_alone_and_among_others(
        canvases in prop::collection::vec(rows(), 2..4),
        kind in noise(),
        seed in any::<u64>(),
    ) {
        for delete in [None, Some(DELETE)] {
            let together = run(&canvases, kind, delete, seed);
            prop_assert_eq!(&run(&canvases, kind, delete, seed), &together);
            prop_assert_eq!(&run(&canvases[..1], kind, delete, seed), &together[..1]);
        }
    }

    #[test]
    fn holes_grow_within_their_limits_and_the_pinned_rows_stay(
        canvases in prop::collection::vec(rows(), 1..4),
        kind in noise(),
        grow_to in 10..60_usize,
        seed in any::<u64>(),
    ) {
        let denoised = run_growing(&canvases, kind, Some(DELETE), Some(grow_to), seed);
        prop_assert_eq!(&run_growing(&canvases[..1], kind, Some(DELETE), Some(grow_to), seed), &denoised[..1]);
        for (rows, denoised) in canvases.iter().zip(denoised) {
            prop_assert!(denoised.tokens.len() <= rows.len().max(grow_to));
            for (before, after) in holes(rows).iter().zip(&denoised.holes) {
                prop_assert!((1..=before.len() + GROWTH).contains(&after.len()));
            }
            let is_hole = |row: &usize| denoised.holes.iter().any(|hole| hole.contains(row));
            let left: Vec<u32> =
                (0..denoised.tokens.len()).filter(|row| !is_hole(row)).map(|row| denoised.tokens[row]).collect();
            prop_assert_eq!(left, pinned(rows));
            prop_assert!(denoised.holes.iter().flat_map(Clone::clone).all(|row| denoised.probabilities[row] < 1.0));
        }
    }

    #[test]
    fn what_is_left_over_goes_and_the_pinned_rows_stay(
        canvases in prop::collection::vec(rows(), 1..4),
        kind in noise(),
        seed in any::<u64>(),
    ) {
        for (rows, denoised) in canvases.iter().zip(run(&canvases, kind, Some(DELETE), seed)) {
            prop_assert_eq!(denoised.holes.len(), holes(rows).len());
            let gone: usize = holes(rows).iter().zip(&denoised.holes).map(|(before, after)| before.len() - after.len()).sum();
            prop_assert_eq!(denoised.tokens.len() + gone, rows.len());
            prop_assert!(denoised.holes.iter().all(|hole| !hole.is_empty()));
            let is_hole = |row: &usize| denoised.holes.iter().any(|hole| hole.contains(row));
            let left: Vec<u32> =
                (0..denoised.tokens.len()).filter(|row| !is_hole(row)).map(|row| denoised.tokens[row]).collect();
            prop_assert_eq!(left, pinned(rows));
        }
    }
}

#[test]
fn rows_are_left_over_in_some_of_these_runs() {
    let canvas = [vec![Row::Hole { allowed: None }; 12], vec![Row::Pinned(3)]].concat();
    let lengths = (0..200)
        .map(|seed| run(std::slice::from_ref(&canvas), NoiseKind::Absorbing(4), Some(DELETE), seed)[0].tokens.len());
    assert!(lengths.filter(|length| *length < 13).count() > 5);
}

#[test]
fn holes_without_a_row_left_over_grow() {
    let set = 0;
    assert!(!sets()[set].contains(DELETE));
    let canvas =
        vec![Row::Pinned(3), Row::Hole { allowed: Some(set) }, Row::Hole { allowed: Some(set) }, Row::Pinned(4)];
    let denoised = run_growing(&[canvas], NoiseKind::Absorbing(4), Some(DELETE), Some(64), 0);
    assert_eq!((denoised[0].holes[0].clone(), denoised[0].tokens[12]), (1..12, 4));
}

/// Denoises canvases of three hole rows over prompts of their own, none of which ever stops by itself.
fn run_endlessly(
    prompts: &[usize],
    cancels: &[&Cancel],
    on_step: &mut dyn FnMut(StepReport<'_>),
) -> Result<Vec<Denoised>, Error> {
    let job = |&prompt: &usize| CanvasJob {
        canvas: Canvas::new(vec![Row::Hole { allowed: None }; 3], |_| 4),
        holes: Vec::new(),
        limits: Vec::new(),
        prompt,
        seed: prompt as u64,
        candidate: 0,
        votes: Votes::default(),
    };
    let run = Run {
        backend: &Dice,
        layers: 1,
        prompts: &[&(), &()],
        cancels,
        schedule: &Schedule { confidence_threshold: 0.0, ..SCHEDULE },
        noise: Noise::Seeded(SeededNoise { kind: NoiseKind::Absorbing(4), vocabulary: VOCABULARY }),
        sets: &[],
        delete: None,
        grow_to: None,
        own_probabilities: false,
        first_soft: None,
    };
    run.run(prompts.iter().map(job).collect(), &mut Seen::default(), on_step)
}

#[test]
fn a_cancelled_run_ends_before_the_next_step() {
    let cancel = Cancel::new();
    let mut steps = 0;
    let result = run_endlessly(&[0], &[&cancel], &mut |_| {
        steps += 1;
        if steps == 2 {
            cancel.cancel();
        }
    });
    assert!(matches!(result, Err(Error::Cancelled)));
    assert_eq!(steps, 2);
}

#[test]
fn a_canvas_that_is_not_wanted_stops_and_the_others_go_on_as_if_alone() {
    let (wanted, cancel) = (Cancel::new(), Cancel::new());
    let mut steps = [0, 0];
    let together = run_endlessly(&[0, 1], &[&cancel, &wanted], &mut |report| {
        steps[report.job] += 1;
        if report.step == 1 {
            cancel.cancel();
        }
    });
    let together = together.unwrap();
    assert_eq!(steps[0], 2);
    assert!(steps[1] > 2, "{steps:?}");
    let alone = run_endlessly(&[1], &[&wanted, &wanted], &mut |_| ()).unwrap();
    assert_eq!((&together[1].tokens, together[1].steps), (&alone[0].tokens, steps[1]));
}
