//! The cache: however a prompt came to be in it, what the model makes of a canvas is the same to the last bit.

use super::{CpuBackend, ENCODE_ROWS};
use crate::backend::{Backend, Segment, denoise, encode};
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
            backend: CpuBackend::new(&checkpoint, Some(2)).unwrap(),
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
        denoise(&self.backend, self.layers, &ids, &segments, caches, &[], &mut workspace).unwrap();
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
