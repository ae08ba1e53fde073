//! The cache: however a prompt came to be in it, what the model makes of a canvas is the same to the last bit.

use super::{CpuBackend, ENCODE_ROWS, Nvfp4Inputs};
use crate::backend::{
    Backend, RowOutcome, SampleNoise, SampleRow, SampleSettings, ScoredToken, Segment, denoise, encode,
};
use crate::philox::Place;
use crate::{Cancel, Error};

struct Bench {
    backend: CpuBackend,
    layers: usize,
    vocabulary: usize,
}

impl Bench {
    fn new() -> Self {
        let checkpoint = crate::embedded::open().unwrap();
        Self {
            backend: CpuBackend::new(&checkpoint, Some(2), Nvfp4Inputs::default()).unwrap(),
            layers: checkpoint.config.layers.len(),
            vocabulary: checkpoint.config.vocab_size,
        }
    }

    fn ids(&self, count: usize) -> Vec<u32> {
        (0..count).map(|index| ((index * 7919 + index * index * 31) % self.vocabulary) as u32).collect()
    }

    /// A cache with these parts encoded one after the other.
    fn cache(&self, parts: &[&[u32]]) -> super::Cache {
        let mut cache = self.backend.new_cache();
        for part in parts {
            self.extend(&mut cache, part).unwrap();
        }
        cache
    }

    fn extend(&self, cache: &mut super::Cache, ids: &[u32]) -> Result<(), Error> {
        let mut workspace = self.backend.new_workspace(ENCODE_ROWS).unwrap();
        encode(&self.backend, self.layers, ids, cache, &mut workspace, &Cancel::new())
    }

    /// The logits of canvases packed together, each over the cache that stands at its place.
    fn logits(&self, canvases: &[Vec<u32>], caches: &[&super::Cache]) -> Vec<f32> {
        let ids: Vec<u32> = canvases.concat();
        let segments: Vec<Segment> =
            canvases.iter().enumerate().map(|(prompt, ids)| Segment { rows: ids.len(), prompt }).collect();
        let mut workspace = self.backend.new_workspace(ids.len()).unwrap();
        denoise(&self.backend, self.layers, &ids, &segments, caches, &[], None, &mut workspace).unwrap();
        let mut logits = vec![0.0; ids.len() * self.vocabulary];
        self.backend.logits(&mut workspace, &mut logits).unwrap();
        logits
    }
}

#[test]
fn a_prompt_encoded_in_parts_is_the_prompt_encoded_whole() {
    let bench = Bench::new();
    let prompt = bench.ids(300);
    let canvas = [bench.ids(20)];
    let whole = bench.logits(&canvas, &[&bench.cache(&[&prompt])]);
    assert!(whole.iter().all(|logit| logit.is_finite()));
    for cuts in [vec![299], vec![1], vec![127, 129], vec![50, 51, 180]] {
        let mut parts = Vec::new();
        let mut start = 0;
        for cut in cuts.iter().copied().chain([300]) {
            parts.push(&prompt[start..cut]);
            start = cut;
        }
        assert!(bench.logits(&canvas, &[&bench.cache(&parts)]) == whole, "cut at {cuts:?}");
    }
}

#[test]
fn a_truncated_prompt_is_the_shorter_prompt() {
    let bench = Bench::new();
    let prompt = bench.ids(260);
    let canvas = [bench.ids(9)];
    for kept in [0, 1, 100, 128, 259] {
        let mut cache = bench.cache(&[&prompt]);
        bench.backend.truncate(&mut cache, kept);
        assert_eq!(bench.backend.cached_tokens(&cache), kept);
        bench.extend(&mut cache, &[5, 6, 7]).unwrap();
        let fresh = bench.cache(&[&[&prompt[..kept], &[5, 6, 7]].concat()]);
        assert!(bench.logits(&canvas, &[&cache]) == bench.logits(&canvas, &[&fresh]), "{kept} tokens kept");
    }
}

#[test]
fn canvases_packed_together_do_not_see_each_other() {
    let bench = Bench::new();
    let caches = [bench.cache(&[&bench.ids(40)]), bench.cache(&[&bench.ids(210)])];
    let canvases = [bench.ids(33), bench.ids(70)];
    let together = bench.logits(&canvases, &[&caches[0], &caches[1]]);
    let apart = [0, 1].map(|index| bench.logits(&canvases[index..=index], &[&caches[index]])).concat();
    assert!(together == apart);
}

#[test]
fn a_cancelled_encoding_leaves_the_cache_as_it_was() {
    let bench = Bench::new();
    let mut cache = bench.cache(&[&bench.ids(30)]);
    let cancel = Cancel::new();
    cancel.cancel();
    let mut workspace = bench.backend.new_workspace(ENCODE_ROWS).unwrap();
    let result = encode(&bench.backend, bench.layers, &bench.ids(50), &mut cache, &mut workspace, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
    let canvas = [bench.ids(5)];
    assert!(bench.logits(&canvas, &[&cache]) == bench.logits(&canvas, &[&bench.cache(&[&bench.ids(30)])]));
}

#[test]
fn rows_that_nobody_reads_make_no_difference_to_those_that_somebody_does() {
    let bench = Bench::new();
    let caches = [bench.cache(&[&bench.ids(40)]), bench.cache(&[&bench.ids(210)])];
    let canvases = [bench.ids(33), bench.ids(100)];
    let all = bench.logits(&canvases, &[&caches[0], &caches[1]]);
    let segments = [Segment { rows: 33, prompt: 0 }, Segment { rows: 100, prompt: 1 }];
    for read in [vec![0], vec![5, 6, 7, 32], vec![3, 33, 34, 132], (33..133).collect(), (0..133).collect()] {
        let mut workspace = bench.backend.new_workspace(133).unwrap();
        let (ids, caches) = (canvases.concat(), [&caches[0], &caches[1]]);
        denoise(&bench.backend, bench.layers, &ids, &segments, &caches, &[], Some(&read), &mut workspace).unwrap();
        let mut logits = vec![0.0; all.len()];
        bench.backend.logits(&mut workspace, &mut logits).unwrap();
        for row in read.iter().map(|row| row * bench.vocabulary..(row + 1) * bench.vocabulary) {
            assert!(logits[row.clone()] == all[row], "{read:?}");
        }
    }
}

#[test]
fn soft_embeddings_are_the_same_however_late_they_are_made() {
    let bench = Bench::new();
    let cache = bench.cache(&[&bench.ids(40)]);
    let ids = bench.ids(12);
    let rows: Vec<SampleRow> = (2..9)
        .map(|row| SampleRow { row, allowed: None, place: Place { seed: 1, candidate: 0, step: 0, row: row as u32 } })
        .collect();
    let settings = SampleSettings {
        temperature: 0.7,
        sets: &[],
        noise: SampleNoise::Philox,
        votes: &[],
        own_probabilities: false,
        keep_soft: true,
    };
    // Two rows have gone, and those behind them have moved up.
    let targets = [Some(2), None, Some(3), Some(4), None, Some(5), Some(6)];
    let second_pass = |at_once: bool| {
        let mut workspace = bench.backend.new_workspace(12).unwrap();
        let pass = |ids: &[u32], targets: &[Option<usize>], workspace: &mut _| {
            let segments = [Segment { rows: ids.len(), prompt: 0 }];
            denoise(&bench.backend, bench.layers, ids, &segments, &[&cache], targets, None, workspace).unwrap();
        };
        pass(&ids, &[], &mut workspace);
        bench.backend.sample(&mut workspace, &rows, settings, &mut [RowOutcome::default(); 7]).unwrap();
        if at_once {
            // What needs the room makes them at once, and all of them.
            let token = ScoredToken { row: 0, token: 0 };
            bench.backend.log_probabilities(&mut workspace, &[token], &mut [0.0]).unwrap();
        }
        pass(&ids[..10], &targets, &mut workspace);
        let mut logits = vec![0.0; 10 * bench.vocabulary];
        bench.backend.logits(&mut workspace, &mut logits).unwrap();
        logits
    };
    let late = second_pass(false);
    assert!(late == second_pass(true));
    assert!(late != bench.logits(&[ids[..10].to_vec()], &[&cache]), "they make a difference");
}
