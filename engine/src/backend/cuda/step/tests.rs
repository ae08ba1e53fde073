//! Steps of the device against the same steps with the sampler on the host, to the bit, whether launched one by one or as a graph.

use half::bf16;

use super::super::tests::Bench;
use super::super::{Activation, Cache, Workspace};
use crate::Error;
use crate::backend::step::on_host;
use crate::backend::{Backend, CanvasHoles, RowVote, SampleRow, Segment, StepInput, StepOutcome};
use crate::canvas::TokenSet;
use crate::noise::{Noise, NoiseKind, SeededNoise};
use crate::philox::Place;
use crate::sampler::{History, Schedule};

/// What a step leaves: tokens, whether accepted, entropies' and own probabilities' bits, and which canvases are done.
type Seen = (Vec<u32>, Vec<bool>, Vec<(u32, u32)>, Vec<bool>);

struct Scene {
    schedule: Schedule,
    kind: NoiseKind,
    has_votes: bool,
    /// Before this step the second canvas loses its last row.
    shrinks_at: Option<usize>,
}

const SCENE: Scene = Scene {
    schedule: Schedule {
        step_limit: 4,
        entropy_bound: 4.0,
        t_min: 0.4,
        t_max: 0.8,
        stability_threshold: 1,
        confidence_threshold: f32::NEG_INFINITY,
    },
    kind: NoiseKind::Uniform,
    has_votes: false,
    shrinks_at: None,
};

impl Scene {
    /// Two canvases over one prompt, of which rows 1, 4 and 5 are pinned.
    fn run<T: Activation>(
        &self,
        bench: &Bench<T>,
        cache: &Cache<T>,
        mut take: impl FnMut(StepInput<'_>, &[&Cache<T>], &mut StepOutcome) -> Result<(), Error>,
    ) -> Vec<Seen> {
        let is_hole = |row: usize| ![1, 4, 5].contains(&row);
        let mut canvases = [bench.ids(9), bench.ids(13)];
        let sets = [3, 7].map(|divisor| TokenSet::from_predicate(bench.vocabulary, |id| id % divisor == 0));
        let seeded = SeededNoise { kind: self.kind, vocabulary: bench.vocabulary as u32 };
        let mut histories = [History::new(&self.schedule), History::new(&self.schedule)];
        let mut soft_targets = Vec::new();
        let mut outcome = StepOutcome::default();
        let mut seen = Vec::new();
        for step in 0..self.schedule.step_limit {
            if self.shrinks_at == Some(step) {
                canvases[1].pop();
                histories[1].clear();
                soft_targets.pop();
            }
            let mut rows = Vec::new();
            let mut holes = Vec::new();
            let mut first = 0;
            for (candidate, ids) in canvases.iter().enumerate() {
                let before = rows.len();
                for row in (0..ids.len()).filter(|row| is_hole(*row)) {
                    let place = Place { seed: 5, candidate: candidate as u32, step: step as u32, row: row as u32 };
                    rows.push(SampleRow { row: first + row, allowed: [None, Some(0), Some(1)][row % 3], place });
                }
                holes.push(CanvasHoles { holes: rows.len() - before, remembered: histories[candidate].len() });
                first += ids.len();
            }
            let votes: Vec<RowVote> = (rows.iter().step_by(2).filter(|_| self.has_votes))
                .map(|row| RowVote { row: row.row, token: 21, probability: 0.2 + 0.1 * (step % 3) as f32 })
                .collect();
            let history: Vec<u32> = histories.iter().flat_map(|history| history.iter().flatten().copied()).collect();
            let input = StepInput {
                step,
                schedule: &self.schedule,
                noise: Noise::Seeded(seeded),
                ids: &canvases.concat(),
                segments: &canvases.each_ref().map(|ids| Segment { rows: ids.len(), prompt: 0 }),
                soft_targets: &soft_targets,
                rows: &rows,
                canvases: &holes,
                history: &history,
                sets: &sets,
                votes: &votes,
                own_probabilities: self.has_votes,
            };
            take(input, &[cache], &mut outcome).unwrap();
            soft_targets = rows.iter().map(|row| Some(row.row)).collect();
            let mut first = 0;
            let offsets = [0, canvases[0].len()];
            for (index, CanvasHoles { holes, .. }) in holes.iter().enumerate() {
                let range = first..first + holes;
                histories[index].push(outcome.outcomes[range.clone()].iter().map(|outcome| outcome.argmax));
                for (row, token) in rows[range.clone()].iter().zip(&outcome.tokens[range]) {
                    canvases[index][row.row - offsets[index]] = *token;
                }
                first += holes;
            }
            let found =
                outcome.outcomes.iter().map(|row| (row.entropy.to_bits(), row.own_probability.to_bits())).collect();
            seen.push((outcome.tokens.clone(), outcome.accepted.clone(), found, outcome.done.clone()));
        }
        seen
    }

    /// The run with the host's sampler.
    fn expected<T: Activation>(&self, bench: &Bench<T>, cache: &Cache<T>) -> Vec<Seen> {
        let mut workspace = bench.backend.new_workspace(22).unwrap();
        self.run(bench, cache, |input, caches, outcome| {
            on_host(&bench.backend, bench.layers, input, caches, &mut workspace, outcome)
        })
    }

    fn found<T: Activation>(&self, bench: &Bench<T>, cache: &Cache<T>, workspace: &mut Workspace<T>) -> Vec<Seen> {
        self.run(bench, cache, |input, caches, outcome| {
            bench.backend.step(bench.layers, input, caches, workspace, outcome)
        })
    }
}

/// Runs the scenes twice each, and the first then over a longer prompt.
fn follows_the_host<T: Activation>(scenes: &[Scene]) {
    let bench = Bench::<T>::random();
    let prompts = [70, 100].map(|count| bench.cache(&[&bench.ids(count)]));
    for (index, scene) in scenes.iter().enumerate() {
        let mut workspace = bench.backend.new_workspace(22).unwrap();
        let expected = scene.expected(&bench, &prompts[0]);
        assert_eq!(scene.found(&bench, &prompts[0], &mut workspace), expected);
        assert_eq!(scene.found(&bench, &prompts[0], &mut workspace), expected);
        // The first step, the last, and those between; where rows go, those between are of two kinds.
        let graphs = workspace.run.graphs.count();
        assert!(graphs >= 3, "{graphs}");
        if index == 0 {
            let longer = scene.expected(&bench, &prompts[1]);
            assert_ne!(longer, expected);
            assert_eq!(scene.found(&bench, &prompts[1], &mut workspace), longer);
            assert_eq!(workspace.run.graphs.count(), graphs, "the same graphs serve the longer prompt");
        }
    }
}

#[test]
fn exact_steps_are_those_of_the_hosts_sampler() {
    let schedule = SCENE.schedule;
    follows_the_host::<f32>(&[
        SCENE,
        Scene { shrinks_at: Some(2), schedule: Schedule { stability_threshold: 3, ..schedule }, ..SCENE },
        // A canvas stops when it has been the same for a step.
        Scene { schedule: Schedule { confidence_threshold: f32::INFINITY, ..schedule }, ..SCENE },
    ]);
}

#[test]
fn bf16_steps_are_those_of_the_hosts_sampler() {
    follows_the_host::<bf16>(&[Scene { kind: NoiseKind::Absorbing(3), has_votes: true, ..SCENE }]);
}

#[test]
fn steps_go_on_after_the_prompt_has_grown_and_buffers_have_moved() {
    let bench = Bench::<f32>::random();
    let mut cache = bench.cache(&[&bench.ids(200)]);
    let mut workspace = bench.backend.new_workspace(22).unwrap();
    for _ in 0..2 {
        assert_eq!(SCENE.found(&bench, &cache, &mut workspace), SCENE.expected(&bench, &cache));
        // Each time the keys need other buffers.
        bench.extend(&mut cache, &bench.ids(200)).unwrap();
    }
}

#[test]
fn what_else_is_done_in_a_workspace_does_not_disturb_a_run() {
    let bench = Bench::<f32>::random();
    let cache = bench.cache(&[&bench.ids(40)]);
    let mut workspace = bench.backend.new_workspace(22).unwrap();
    let expected = SCENE.expected(&bench, &cache);
    let found = SCENE.run(&bench, &cache, |input, caches, outcome| {
        bench.backend.embed(&mut workspace, &[1, 2, 3])?;
        bench.backend.step(bench.layers, input, caches, &mut workspace, outcome)
    });
    assert_eq!(found, expected);
}
