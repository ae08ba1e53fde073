//! What holds on a card whatever the model: on the first card where this program can use one, else on the emulator.

use std::sync::OnceLock;

use half::bf16;
use lacuna_kernels::{Device, EmulatorOptions};

use super::synthetic::Synthetic;
use super::{Activation, Cache, CudaBackend, Source};
use crate::backend::{Backend, Segment, denoise, encode};
use crate::bench::{SyntheticDtype, SyntheticOptions};
use crate::checkpoint::{Checkpoint, Dtype, ModelConfig, sample};
use crate::{Cancel, Error};

/// Relative L2 distance of logits in exact f32. The order of sums depends on what is packed together, and nothing else does.
const EXACT_TOLERANCE: f64 = 1e-5;
/// Of bf16 to f32.
const BF16_TOLERANCE: f64 = 0.05;

/// Where the CUDA backend is tested. A card that is there and cannot be used fails.
pub(crate) fn device() -> Device {
    if is_card() { Device::cuda(0).unwrap_or_else(|error| panic!("{error}")) } else { Device::emulator() }
}

/// The card, or one emulator for each kind of card that has kernels of its own for products; with a name to print.
pub(crate) fn device_kinds() -> Vec<(&'static str, Device)> {
    if is_card() {
        return vec![("card", device())];
    }
    vec![("emulator", Device::emulator()), ("hopper emulator", Device::emulator_with(EmulatorOptions::hopper()))]
}

fn is_card() -> bool {
    static IS_CARD: OnceLock<bool> = OnceLock::new();
    *IS_CARD.get_or_init(|| {
        let cards = crate::cuda_devices().unwrap_or_default();
        if cards.is_empty() {
            println!("there is no card that this build can use: the CUDA backend is tested on the emulator");
        }
        !cards.is_empty()
    })
}

/// The same where it multiplies NVFP4 by NVFP4, else an emulator that does.
pub(crate) fn device_with_fp4() -> Device {
    let device = device();
    if device.multiplies_fp4() { device } else { Device::emulator_with(EmulatorOptions::blackwell()) }
}

/// The same where it widens NVFP4, else an emulator that does.
pub(crate) fn device_without_fp4() -> Device {
    let device = device();
    if device.multiplies_fp4() { Device::emulator() } else { device }
}

pub(crate) struct Bench<T> {
    pub(crate) backend: CudaBackend<T>,
    pub(crate) layers: usize,
    pub(crate) vocabulary: usize,
}

impl<T: Activation> Bench<T> {
    pub(crate) fn new() -> Self {
        Self::of(&crate::embedded::open().unwrap())
    }

    fn of(checkpoint: &Checkpoint) -> Self {
        Self::with(&checkpoint.config, checkpoint)
    }

    /// A small model of random weights.
    pub(crate) fn random() -> Self {
        let config = ModelConfig::parse(std::path::Path::new("config.json"), &sample::config().to_string()).unwrap();
        Self::with(&config, &Synthetic { dtype: SyntheticDtype::Bf16, hidden: config.hidden })
    }

    fn with(config: &ModelConfig, source: &dyn Source) -> Self {
        Self {
            backend: CudaBackend::new(&device(), config, source, &mut |_| {}).unwrap(),
            layers: config.layers.len(),
            vocabulary: config.vocab_size,
        }
    }

    pub(crate) fn ids(&self, count: usize) -> Vec<u32> {
        (0..count).map(|index| ((index * 7919 + index * index * 31) % self.vocabulary) as u32).collect()
    }

    /// A cache with these parts encoded one after the other.
    pub(crate) fn cache(&self, parts: &[&[u32]]) -> Cache<T> {
        let mut cache = self.backend.new_cache();
        for part in parts {
            self.extend(&mut cache, part).unwrap();
        }
        cache
    }

    pub(crate) fn extend(&self, cache: &mut Cache<T>, ids: &[u32]) -> Result<(), Error> {
        let mut workspace = self.backend.new_workspace(ids.len()).unwrap();
        encode(&self.backend, self.layers, ids, cache, &mut workspace, &Cancel::new())
    }

    /// The logits of canvases packed together, each over the cache that stands at its place.
    fn logits(&self, canvases: &[Vec<u32>], caches: &[&Cache<T>]) -> Vec<f32> {
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

#[track_caller]
pub(crate) fn assert_near(got: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(got.len(), expected.len());
    assert!(expected.iter().chain(got).all(|value| value.is_finite()));
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = square(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    let distance = (difference / square(&mut expected.iter().map(|value| f64::from(*value)))).sqrt();
    assert!(distance < tolerance, "{distance:.2e}");
}

#[test]
fn a_prompt_encoded_in_parts_is_the_prompt_encoded_whole() {
    let bench = Bench::<f32>::new();
    let prompt = bench.ids(290);
    let canvas = [bench.ids(6)];
    let whole = bench.logits(&canvas, &[&bench.cache(&[&prompt])]);
    // The second part does not fit the first buffers of keys.
    let parts = bench.cache(&[&prompt[..50], &prompt[50..51], &prompt[51..]]);
    assert_eq!(bench.backend.cached_tokens(&parts), 290);
    assert_near(&bench.logits(&canvas, &[&parts]), &whole, EXACT_TOLERANCE);
}

#[test]
fn a_truncated_prompt_is_the_shorter_prompt() {
    let bench = Bench::<f32>::new();
    let prompt = bench.ids(90);
    let canvas = [bench.ids(5)];
    let mut cache = bench.cache(&[&prompt]);
    for kept in [70, 1, 0] {
        bench.backend.truncate(&mut cache, kept);
        assert_eq!(bench.backend.cached_tokens(&cache), kept);
        bench.extend(&mut cache, &[5, 6, 7]).unwrap();
        let fresh = bench.cache(&[&[&prompt[..kept], &[5, 6, 7]].concat()]);
        assert_near(&bench.logits(&canvas, &[&cache]), &bench.logits(&canvas, &[&fresh]), EXACT_TOLERANCE);
    }
}

#[test]
fn canvases_packed_together_do_not_see_each_other() {
    let bench = Bench::<f32>::new();
    // The second stands over no prompt at all.
    let caches = [bench.cache(&[&bench.ids(40)]), bench.backend.new_cache()];
    let canvases = [bench.ids(33), bench.ids(17)];
    let together = bench.logits(&canvases, &[&caches[0], &caches[1]]);
    let apart = [0, 1].map(|index| bench.logits(&canvases[index..=index], &[&caches[index]])).concat();
    assert_near(&together, &apart, EXACT_TOLERANCE);
}

#[test]
fn a_cancelled_encoding_leaves_the_cache_as_it_was() {
    let bench = Bench::<f32>::new();
    let mut cache = bench.cache(&[&bench.ids(30)]);
    let cancel = Cancel::at_look(5);
    let mut workspace = bench.backend.new_workspace(50).unwrap();
    let result = encode(&bench.backend, bench.layers, &bench.ids(50), &mut cache, &mut workspace, &cancel);
    assert!(matches!(result, Err(Error::Cancelled)));
    let canvas = [bench.ids(5)];
    let fresh = bench.cache(&[&bench.ids(30)]);
    assert_eq!(bench.logits(&canvas, &[&cache]), bench.logits(&canvas, &[&fresh]));
}

#[test]
fn the_same_pass_gives_the_same_bits() {
    let bench = Bench::<bf16>::new();
    let cache = bench.cache(&[&bench.ids(40)]);
    let canvas = [bench.ids(20)];
    assert_eq!(bench.logits(&canvas, &[&cache]), bench.logits(&canvas, &[&cache]));
}

#[test]
fn bf16_products_stay_near_exact_ones() {
    let (narrow, exact) = (Bench::<bf16>::new(), Bench::<f32>::new());
    let (prompt, canvas) = (exact.ids(60), [exact.ids(20)]);
    let expected = exact.logits(&canvas, &[&exact.cache(&[&prompt])]);
    assert_near(&narrow.logits(&canvas, &[&narrow.cache(&[&prompt])]), &expected, BF16_TOLERANCE);
}

#[test]
fn two_segments_of_one_prompt_are_refused() {
    let bench = Bench::<f32>::new();
    let mut cache = bench.backend.new_cache();
    let mut workspace = bench.backend.new_workspace(2).unwrap();
    bench.backend.embed(&mut workspace, &[1, 2]).unwrap();
    let segments = [Segment { rows: 1, prompt: 0 }; 2];
    let error = bench.backend.attend_prompt(&mut workspace, 0, &segments, &mut [&mut cache], false).unwrap_err();
    assert!(error.to_string().contains("the same prompt"), "{error}");
}

#[test]
fn a_model_that_does_not_fit_is_refused_with_the_sizes() {
    let checkpoint = crate::embedded::open().unwrap();
    let small = Device::emulator_with(EmulatorOptions { memory_bytes: 1 << 20, ..EmulatorOptions::default() });
    let mut told = Vec::new();
    let opened = CudaBackend::<f32>::new(&small, &checkpoint.config, &checkpoint, &mut |progress| told.push(progress));
    let error = opened.err().unwrap();
    assert!(matches!(&error, Error::Device { device, .. } if device == "cuda:0"), "{error}");
    assert!(error.to_string().contains("no room for"), "{error}");
}

#[test]
fn quantised_weights_are_refused_where_products_are_in_f32() {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden");
    for name in ["fp8-dynamic-bf16", "nvfp4-modelopt-bf16", "fp8-dynamic-sharded-f32"] {
        let checkpoint = Checkpoint::open_folder(&golden.join(name)).unwrap();
        let is_bf16 = name.ends_with("bf16");
        assert_eq!(checkpoint.matrix_dtype(), if is_bf16 { Dtype::Bf16 } else { Dtype::F32 }, "{name}");
        let opened = CudaBackend::<f32>::new(&device(), &checkpoint.config, &checkpoint, &mut |_| {});
        let error = opened.err().unwrap().to_string();
        assert!(error.contains("quantised weights are multiplied by bf16 on a card"), "{error}");
    }
}

#[test]
fn a_model_of_random_weights_is_measured() {
    let mut config = sample::config();
    // Groups of 16 have to fit the experts' matrices.
    for (key, size) in [("hidden_size", 32), ("intermediate_size", 24), ("moe_intermediate_size", 16)] {
        config["text_config"][key] = size.into();
    }
    let config = ModelConfig::parse(std::path::Path::new("config.json"), &config.to_string()).unwrap();
    for (dtype, device) in [
        (SyntheticDtype::Bf16, device()),
        (SyntheticDtype::Fp8, device()),
        (SyntheticDtype::Nvfp4, device_without_fp4()),
        (SyntheticDtype::Nvfp4, device_with_fp4()),
        (SyntheticDtype::F32, device()),
    ] {
        let options = SyntheticOptions {
            shape: "sample".to_owned(),
            dtype,
            device: crate::Device::Cuda(0),
            rows: vec![1, 5],
            prompts: vec![0, 9],
            repeats: 2,
        };
        let report = match dtype {
            SyntheticDtype::F32 => super::measure_synthetic::<f32>(&device, &options, &config, &mut |_| {}),
            _ => super::measure_synthetic::<bf16>(&device, &options, &config, &mut |_| {}),
        };
        let report = report.unwrap();
        let measured: Vec<_> = report.steps.iter().map(|step| (step.prompt, step.rows)).collect();
        assert_eq!(measured, [(0, 1), (0, 5), (9, 1), (9, 5)]);
        assert!(report.steps.iter().all(|step| step.median_ms > 0.0 && step.gb > 0.0 && step.share_of_copy > 0.0));
        assert!(report.steps.iter().all(|step| step.device_ms > 0.0 && step.launched_ms > 0.0));
        for step in &report.steps {
            let attention = step.kernels.iter().find(|kernel| kernel.name.starts_with("attend")).unwrap();
            assert!(attention.launches == config.layers.len() && attention.ms > 0.0);
            assert!(step.kernels.iter().any(|kernel| kernel.name == "advance_canvases"));
            // Products widen it where nothing multiplies it.
            let is_rounded = dtype == SyntheticDtype::Nvfp4 && device.multiplies_fp4();
            assert_eq!(step.kernels.iter().any(|kernel| kernel.name == "quantise_groups_bf16"), is_rounded);
            assert_eq!(
                step.kernels.iter().any(|kernel| kernel.name.contains("_nvfp4_32")),
                dtype == SyntheticDtype::Nvfp4
            );
            let widens = step.kernels.iter().any(|kernel| kernel.name.contains("bf16_nvfp4"));
            assert_eq!(widens, dtype == SyntheticDtype::Nvfp4 && !is_rounded);
            for (format, word) in [(SyntheticDtype::Fp8, "fp8"), (SyntheticDtype::Nvfp4, "fp4")] {
                assert_eq!(step.kernels.iter().any(|kernel| kernel.name.contains(word)), dtype == format, "{dtype:?}");
            }
        }
        assert_eq!(report.prefill.iter().map(|prefill| prefill.prompt).collect::<Vec<_>>(), [9]);
        assert!(report.prefill[0].tokens_per_s > 0.0 && report.device_memory_gb > 0.0);
    }
}

#[test]
fn progress_is_told_until_everything_is_there() {
    let checkpoint = crate::embedded::open().unwrap();
    let mut told = Vec::new();
    CudaBackend::<bf16>::new(&device(), &checkpoint.config, &checkpoint, &mut |progress| told.push(progress)).unwrap();
    assert!(told.len() > 20 && told.is_sorted_by_key(|progress| progress.done_bytes));
    let last = told.last().unwrap();
    // Norms are too small to be told of.
    assert!(last.done_bytes <= last.total_bytes && last.done_bytes > last.total_bytes / 100 * 97, "{last:?}");
}

#[test]
fn a_workspace_takes_no_more_than_was_predicted() {
    let bench = Bench::<bf16>::new();
    let config = crate::embedded::open().unwrap().config;
    let predicted = crate::fit::workspace_bytes(&config);
    let free = || bench.backend.device.memory().unwrap().0;
    let before = free();
    let _workspace = bench.backend.new_workspace(bench.backend.encode_rows()).unwrap();
    let taken = before - free();
    // On a small model hardly anything of what is fixed is taken; the rest is no more than it has to be.
    let growing = predicted - crate::fit::FIXED_BYTES;
    assert!(taken <= predicted && taken > growing * 3 / 4, "{taken} bytes, and {growing} of {predicted} grow with it");
}
