//! Every golden checkpoint, against what the reference implementation made of it.
//!
//! `fixtures/golden/README.md` says how the files came about. The cases' margins are wide enough that rounding cannot
//! turn an argmax, a sample, an acceptance, a choice of experts or a stop.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[path = "support/recorded.rs"]
mod recorded;

use std::path::PathBuf;

use recorded::{fixtures, floats, relative_distance, run};
use safetensors::SafeTensors;

/// Relative L2 distance of logits. Summation order alone makes about 1e-6.
const LOGITS_TOLERANCE: f64 = 1e-4;
/// Nats. The first step differs by about 3e-6; each further one feeds on the last, and the most chaotic case here
/// multiplies the difference by three every step, to 4e-4 after five.
const ENTROPY_TOLERANCE: f32 = 2e-3;

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
        let pairs = floats(&got, "entropy").into_iter().zip(floats(&expected, "entropy"));
        let worst = pairs.map(|(got, expected)| (got - expected).abs()).fold(0.0, f32::max);
        println!("{worst:.2e} nats {}", input.display());
        assert!(worst < ENTROPY_TOLERANCE, "{worst:.2e} nats {}", input.display());
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
