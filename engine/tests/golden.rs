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

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for denoise in [false, true] {
        let (model, input, _) = runs(if denoise { "denoise" } else { "forward" }).pop().unwrap();
        let one = run(&model, &input, denoise, 1);
        assert_eq!(one, run(&model, &input, denoise, 3));
    }
}
