//! Every golden checkpoint, against what the reference implementation made of it.
//!
//! `fixtures/golden/README.md` says how the files came about. The cases' margins are wide enough that rounding cannot
//! turn an argmax, a sample, an acceptance, a choice of experts or a stop.

use std::path::{Path, PathBuf};

use lacuna_engine::conformance::{ForwardOptions, forward};
use lacuna_engine::{Device, ModelSource};
use safetensors::{Dtype, SafeTensors};

/// Relative L2 distance of logits. Summation order alone makes about 1e-6.
const LOGITS_TOLERANCE: f64 = 1e-4;
/// Nats. Entropies follow the logits, amplified by the temperature.
const ENTROPY_TOLERANCE: f32 = 2e-4;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// The runs of all golden checkpoints whose names begin with `prefix`: checkpoint folder, input, expected output.
fn runs(prefix: &str) -> Vec<(PathBuf, PathBuf, PathBuf)> {
    let mut runs = Vec::new();
    for case in std::fs::read_dir(fixtures().join("golden")).unwrap() {
        let case = case.unwrap().path();
        if !case.join("config.json").is_file() {
            continue;
        }
        for file in std::fs::read_dir(&case).unwrap() {
            let file = file.unwrap().file_name().into_string().unwrap();
            if let Some(name) = file.strip_suffix(".in.safetensors")
                && name.starts_with(prefix)
            {
                runs.push((case.clone(), case.join(&file), case.join(format!("{name}.out.safetensors"))));
            }
        }
    }
    runs.sort();
    runs
}

fn run(model: &Path, input: &Path, denoise: bool, threads: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.safetensors");
    forward(&ForwardOptions {
        model: ModelSource::Folder(model.to_path_buf()),
        device: Device::Cpu,
        threads: Some(threads),
        input: input.to_path_buf(),
        output: output.clone(),
        denoise,
    })
    .unwrap_or_else(|error| panic!("{}: {error}", input.display()));
    std::fs::read(output).unwrap()
}

fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32);
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

fn relative_distance(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = square(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / square(&mut expected.iter().map(|value| f64::from(*value)))).sqrt()
}

#[test]
fn logits_are_those_of_the_reference() {
    let runs = runs("forward");
    assert!(runs.len() >= 15, "only {} golden passes", runs.len());
    for (model, input, expected) in runs {
        let got = run(&model, &input, false, 2);
        let expected = std::fs::read(expected).unwrap();
        let (got, expected) = (SafeTensors::deserialize(&got).unwrap(), SafeTensors::deserialize(&expected).unwrap());
        assert_eq!(got.tensor("logits").unwrap().shape(), expected.tensor("logits").unwrap().shape());
        let distance = relative_distance(&floats(&got, "logits"), &floats(&expected, "logits"));
        println!("{distance:.2e} {}", input.display());
        assert!(distance < LOGITS_TOLERANCE, "{distance:.2e} {}", input.display());
    }
}

#[test]
fn denoising_goes_step_by_step_as_in_the_reference() {
    let runs = runs("denoise");
    assert!(runs.len() >= 10, "only {} golden denoising runs", runs.len());
    for (model, input, expected) in runs {
        let got = run(&model, &input, true, 2);
        let expected = std::fs::read(expected).unwrap();
        let (got, expected) = (SafeTensors::deserialize(&got).unwrap(), SafeTensors::deserialize(&expected).unwrap());
        for name in ["steps", "argmax", "accepted", "canvas"] {
            let (got, expected) = (got.tensor(name).unwrap(), expected.tensor(name).unwrap());
            assert_eq!(got.shape(), expected.shape(), "{name} of {}", input.display());
            assert_eq!(got.dtype(), expected.dtype(), "{name} of {}", input.display());
            assert_eq!(got.data(), expected.data(), "{name} of {}", input.display());
        }
        for (got, expected) in floats(&got, "entropy").iter().zip(floats(&expected, "entropy")) {
            assert!((got - expected).abs() < ENTROPY_TOLERANCE, "{got} {expected} {}", input.display());
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for denoise in [false, true] {
        let (model, input, _) = runs(if denoise { "denoise" } else { "forward" }).pop().unwrap();
        let one = run(&model, &input, denoise, 1);
        assert_eq!(one, run(&model, &input, denoise, 3));
    }
}
