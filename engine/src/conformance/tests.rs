//! Every golden checkpoint on every backend, against what the reference implementation made of it.
//!
//! `fixtures/golden/README.md` says how the files came about. The cases' margins are wide enough that rounding cannot
//! turn an argmax, a sample, an acceptance, a choice of experts or a stop.

use std::path::{Path, PathBuf};

use half::bf16;
use safetensors::SafeTensors;

use super::{Forward, Input, Output};
use crate::Error;
use crate::backend::cpu::{CpuBackend, Nvfp4Inputs};
use crate::backend::cuda::CudaBackend;
use crate::backend::cuda::tests::{device, device_kinds, device_with_fp4, device_without_fp4};
use crate::checkpoint::quantised::Scheme;
use crate::checkpoint::{Checkpoint, Dtype};
use crate::local::OnBackend;

/// Relative L2 distance of logits. Summation order alone makes about 1e-6.
const LOGITS_TOLERANCE: f64 = 1e-4;
/// Nats. The first step differs by about 3e-6; each further one feeds on the last, and the most chaotic case here
/// multiplies the difference by three every step, to 4e-4 after five.
const ENTROPY_TOLERANCE: f32 = 2e-3;
/// Relative L2 distance of logits where products multiply bf16: each factor is off by up to 2^-9, some twenty products follow each other,
/// and now and then a row goes through another expert. The deepest checkpoint is off by 0.023.
const BF16_TOLERANCE: f64 = 0.05;
/// The same where inputs are rounded to E4M3: what differs by a bit of bf16 now and then falls to the other side, a sixteenth of it away. The
/// worst pass is off by 0.049.
const ROUNDED_TOLERANCE: f64 = 0.08;

/// The same where inputs are rounded to E2M1, whose neighbours are a quarter to a half apart, and what a gated product gives is BF16 before it is
/// rounded: a bit of it moves some numbers to their neighbours. The worst pass is off by 0.052.
const FOUR_BITS_TOLERANCE: f64 = 0.08;

/// Runs a checkpoint on one backend, all arithmetic f32.
type RunOn = fn(&Checkpoint, Forward<'_>) -> Result<Output, Error>;

const BACKENDS: [(&str, RunOn); 2] = [("cpu", on_cpu), ("cuda", on_cuda)];

fn on_cpu(checkpoint: &Checkpoint, work: Forward<'_>) -> Result<Output, Error> {
    work.run(CpuBackend::new(checkpoint, Some(2), Nvfp4Inputs::AsTheyAre)?, String::new())
}

fn on_cpu_with_inputs_rounded(checkpoint: &Checkpoint, work: Forward<'_>) -> Result<Output, Error> {
    work.run(CpuBackend::new(checkpoint, Some(2), Nvfp4Inputs::Rounded)?, String::new())
}

fn on_cuda(checkpoint: &Checkpoint, work: Forward<'_>) -> Result<Output, Error> {
    work.run(CudaBackend::<f32>::new(&device(), &checkpoint.config, checkpoint, &mut |_| {})?, String::new())
}

fn on_cuda_in_bf16(
    device: &lacuna_kernels::Device,
    checkpoint: &Checkpoint,
    work: Forward<'_>,
) -> Result<Output, Error> {
    work.run(CudaBackend::<bf16>::new(device, &checkpoint.config, checkpoint, &mut |_| {})?, String::new())
}

/// A recorded run.
struct Recorded {
    checkpoint: PathBuf,
    input: PathBuf,
    expected: PathBuf,
}

/// The runs of all golden checkpoints whose names begin with `prefix`.
fn recorded(prefix: &str) -> Vec<Recorded> {
    let mut runs = Vec::new();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden");
    for case in std::fs::read_dir(golden).unwrap() {
        let checkpoint = case.unwrap().path();
        if !checkpoint.join("config.json").is_file() {
            continue;
        }
        for file in std::fs::read_dir(&checkpoint).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            if let Some(name) = file.strip_suffix(".in.safetensors")
                && name.starts_with(prefix)
            {
                let (input, expected) = (checkpoint.join(&file), checkpoint.join(format!("{name}.out.safetensors")));
                runs.push(Recorded { checkpoint: checkpoint.clone(), input, expected });
            }
        }
    }
    runs.sort_by(|a, b| a.input.cmp(&b.input));
    runs
}

impl Recorded {
    fn run(&self, denoise: bool, run_on: impl Fn(&Checkpoint, Forward<'_>) -> Result<Output, Error>) -> Output {
        let checkpoint = Checkpoint::open_folder(&self.checkpoint).unwrap();
        let input = Input::read(&self.input, checkpoint.config.vocab_size, denoise).unwrap();
        let work = Forward { checkpoint: &checkpoint, input: &input, denoise };
        run_on(&checkpoint, work).unwrap_or_else(|error| panic!("{}: {error}", self.input.display()))
    }

    /// The card multiplies quantised weights by bf16 alone.
    fn runs_in_f32_on(&self, backend: &str) -> bool {
        backend == "cpu" || Checkpoint::open_folder(&self.checkpoint).unwrap().schemes().is_empty()
    }

    /// The relative L2 distance of the logits from the recorded ones.
    fn distance(&self, run_on: impl Fn(&Checkpoint, Forward<'_>) -> Result<Output, Error>) -> f64 {
        let expected = std::fs::read(&self.expected).unwrap();
        let expected = floats(&SafeTensors::deserialize(&expected).unwrap(), "logits");
        relative_distance(&logits(self.run(false, run_on)), &expected)
    }

    fn check_logits(&self, backend: &str, run_on: RunOn) {
        let distance = self.distance(run_on);
        println!("{backend} {distance:.2e} {}", self.name());
        assert!(distance < LOGITS_TOLERANCE, "{backend} {distance:.2e} {}", self.name());
    }

    /// Which checkpoint and case.
    fn name(&self) -> String {
        let last_two: Vec<_> = self.input.iter().rev().take(2).map(|part| part.to_string_lossy()).collect();
        format!("{}/{}", last_two[1], last_two[0])
    }
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), safetensors::Dtype::F32);
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn ids(tensors: &SafeTensors<'_>, name: &str) -> Vec<i64> {
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), safetensors::Dtype::I64);
    tensor.data().chunks_exact(8).map(|bytes| i64::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn relative_distance(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = square(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / square(&mut expected.iter().map(|value| f64::from(*value)))).sqrt()
}

fn logits(output: Output) -> Vec<f32> {
    match output {
        Output::Logits { logits, .. } => logits,
        Output::Trace(..) => panic!("a run where a pass was asked for"),
    }
}

#[test]
fn logits_are_those_of_the_reference() {
    let runs = recorded("forward");
    assert!(runs.len() >= 15, "only {} golden passes", runs.len());
    for (backend, run_on) in BACKENDS {
        for run in runs.iter().filter(|run| run.runs_in_f32_on(backend)) {
            run.check_logits(backend, run_on);
        }
    }
}

#[test]
fn inputs_are_rounded_to_nvfp4_as_in_the_reference() {
    let runs = recorded("rounded");
    assert_eq!(runs.len(), 2, "golden passes");
    for run in &runs {
        run.check_logits("cpu", on_cpu_with_inputs_rounded);
        // The inputs as they are make another result, or this would show nothing.
        assert!(run.distance(on_cpu) > 100.0 * LOGITS_TOLERANCE, "{}", run.name());
    }
}

#[test]
fn denoising_goes_step_by_step_as_in_the_reference() {
    let runs = recorded("denoise");
    assert!(runs.len() >= 10, "only {} golden denoising runs", runs.len());
    for (backend, run_on) in BACKENDS {
        for run in &runs {
            let Output::Trace(trace, steps) = run.run(true, run_on) else { panic!("a pass where a run was asked for") };
            let expected = std::fs::read(&run.expected).unwrap();
            let expected = SafeTensors::deserialize(&expected).unwrap();
            let name = run.name();
            assert_eq!(vec![steps as i64], ids(&expected, "steps"), "{backend}: steps of {name}");
            assert_eq!(trace.argmax, ids(&expected, "argmax"), "{backend}: argmax of {name}");
            assert_eq!(trace.accepted, expected.tensor("accepted").unwrap().data(), "{backend}: accepted of {name}");
            assert_eq!(trace.canvas, ids(&expected, "canvas"), "{backend}: canvas of {name}");
            let entropy = floats(&expected, "entropy");
            assert_eq!(trace.entropy.len(), entropy.len());
            let worst = trace.entropy.iter().zip(entropy).map(|(got, expected)| (got - expected).abs());
            let worst = worst.fold(0.0, f32::max);
            println!("{backend} {worst:.2e} nats {name}");
            assert!(worst < ENTROPY_TOLERANCE, "{backend} {worst:.2e} nats {name}");
        }
    }
}

#[test]
fn bf16_products_stay_near_the_reference() {
    let (mut checkpoints, mut quantised) = (0, 0);
    for run in recorded("forward") {
        let checkpoint = Checkpoint::open_folder(&run.checkpoint).unwrap();
        if checkpoint.config.dtype != Some(Dtype::Bf16) {
            continue;
        }
        checkpoints += 1;
        let schemes = checkpoint.schemes();
        quantised += usize::from(!schemes.is_empty());
        let tolerance = if schemes.contains(&Scheme::Fp8) { ROUNDED_TOLERANCE } else { BF16_TOLERANCE };
        for (kind, device) in device_kinds() {
            // What multiplies NVFP4 by NVFP4 rounds inputs, which these passes do not.
            let is_rounded = schemes.iter().any(|scheme| matches!(scheme, Scheme::Nvfp4(_))) && device.multiplies_fp4();
            let device = if is_rounded { device_without_fp4() } else { device };
            let distance = run.distance(|checkpoint, work| on_cuda_in_bf16(&device, checkpoint, work));
            println!("{kind} bf16 {distance:.2e} {}", run.name());
            assert!(distance < tolerance, "{kind} {distance:.2e} {}", run.name());
        }
    }
    assert!(checkpoints > 0, "no golden checkpoint is stored as bf16");
    assert!(quantised >= 4, "only {quantised} passes of quantised checkpoints");
}

#[test]
fn products_of_nvfp4_by_nvfp4_stay_near_the_reference_with_rounded_inputs() {
    let runs = recorded("rounded");
    assert_eq!(runs.len(), 2, "golden passes");
    for run in &runs {
        let native = run.distance(|checkpoint, work| on_cuda_in_bf16(&device_with_fp4(), checkpoint, work));
        let widened = run.distance(|checkpoint, work| on_cuda_in_bf16(&device_without_fp4(), checkpoint, work));
        println!("nvfp4 {native:.2e}, widened {widened:.2e} {}", run.name());
        assert!(native < FOUR_BITS_TOLERANCE && native < widened, "{native:.2e}, {widened:.2e} {}", run.name());
    }
}
