//! Golden checkpoints from file to file. What is in the files is held against the reference implementation where the backends are.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

#[path = "support/recorded.rs"]
mod recorded;

use std::path::PathBuf;

use recorded::{fixtures, floats, relative_distance, run};
use safetensors::SafeTensors;

/// Relative L2 distance. Every backend is held to less where it is tested.
const TOLERANCE: f64 = 1e-2;

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
fn what_is_written_has_the_form_of_what_the_reference_wrote() {
    for denoise in [false, true] {
        for (model, input, expected) in runs(if denoise { "denoise" } else { "forward" }) {
            let (got, expected) = (run(&model, &input, denoise, 2), std::fs::read(expected).unwrap());
            let got = SafeTensors::deserialize(&got).unwrap();
            let expected = SafeTensors::deserialize(&expected).unwrap();
            for (name, tensor) in expected.tensors() {
                let written = got.tensor(&name).unwrap();
                assert_eq!(written.shape(), tensor.shape(), "{name} of {}", input.display());
                assert_eq!(written.dtype(), tensor.dtype(), "{name} of {}", input.display());
            }
            let name = if denoise { "entropy" } else { "logits" };
            let (got, expected) = (floats(&got, name), floats(&expected, name));
            // A run in which everything is pinned takes no step.
            let distance = if expected.is_empty() { 0.0 } else { relative_distance(&got, &expected) };
            assert!(distance < TOLERANCE, "{distance:.2e} {}", input.display());
        }
    }
}

/// Relative L2 distance of logits over quantised weights. Summation order alone makes about 4e-7.
const QUANTISED_TOLERANCE: f64 = 1e-5;

#[test]
fn quantised_checkpoints_are_what_their_library_makes_of_them() {
    let mut worst: f64 = 0.0;
    let mut count = 0;
    for (model, input, expected) in runs("forward") {
        let name = model.file_name().unwrap().to_string_lossy().into_owned();
        if !name.starts_with("fp8") && !name.starts_with("nvfp4") {
            continue;
        }
        let (got, expected) = (run(&model, &input, false, 2), std::fs::read(expected).unwrap());
        let logits = |bytes: &[u8]| floats(&SafeTensors::deserialize(bytes).unwrap(), "logits");
        let distance = relative_distance(&logits(&got), &logits(&expected));
        println!("{distance:.2e} {}", input.display());
        worst = worst.max(distance);
        count += 1;
    }
    assert!(count >= 6, "only {count} golden passes");
    assert!(worst < QUANTISED_TOLERANCE, "{worst:.2e}");
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for denoise in [false, true] {
        let (model, input, _) = runs(if denoise { "denoise" } else { "forward" }).pop().unwrap();
        let one = run(&model, &input, denoise, 1);
        assert_eq!(one, run(&model, &input, denoise, 3));
    }
}
