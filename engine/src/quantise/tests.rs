use std::fs;
use std::path::{Path, PathBuf};

use super::{QuantiseOptions, QuantiseReport, QuantiseScheme, quantise};
use crate::checkpoint::quantised::formats::{E2M1, E4M3};
use crate::checkpoint::quantised::{NVFP4_GROUP, Nvfp4Layout, Scheme, StoredMatrix};
use crate::checkpoint::{Checkpoint, ExpertPart};
use crate::{Cancel, Error};

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn make(input: &Path, output: &Path, scheme: QuantiseScheme) -> Result<QuantiseReport, Error> {
    let options = QuantiseOptions { input: input.to_path_buf(), output: output.to_path_buf(), scheme };
    let mut last = 0;
    let mut total = 0;
    let report = quantise(&options, &Cancel::new(), &mut |progress| {
        assert!(progress.done_bytes > last && progress.done_bytes <= progress.total_bytes);
        (last, total) = (progress.done_bytes, progress.total_bytes);
    })?;
    assert_eq!((last, report.input_bytes), (total, total));
    Ok(report)
}

/// What a stored matrix stands for.
fn numbers(matrix: &StoredMatrix<'_>, inputs: usize) -> Vec<f32> {
    match matrix {
        StoredMatrix::Plain(data) => data.to_f32(),
        StoredMatrix::Fp8(matrix) => {
            let number = |(index, byte): (usize, &u8)| E4M3[usize::from(*byte)] * matrix.scales[index / inputs];
            matrix.weights.iter().enumerate().map(number).collect()
        }
        StoredMatrix::Nvfp4(matrix) => (0..2 * matrix.packed.len())
            .map(|index| {
                let bits = matrix.packed[index / 2] >> (4 * (index % 2)) & 0xf;
                let scale = E4M3[usize::from(matrix.scales[index / NVFP4_GROUP])];
                E2M1[usize::from(bits)] * scale * matrix.global_scale
            })
            .collect(),
    }
}

fn relative_l2(numbers: &[f32], stored: &[f32]) -> f64 {
    let square = |value: f64| value * value;
    let sum: f64 = numbers.iter().zip(stored).map(|(a, b)| square(f64::from(*a) - f64::from(*b))).sum();
    (sum / numbers.iter().map(|value| square(f64::from(*value))).sum::<f64>()).sqrt()
}

#[test]
fn the_embedded_model_is_stored_as_told_with_the_error_that_is_told() {
    // Rounding to four significant bits is off by a third of half a unit on average, to two bits by four times as much and more.
    for (scheme, stored, largest) in [
        (QuantiseScheme::Fp8, Scheme::Fp8, 0.03),
        (QuantiseScheme::Nvfp4, Scheme::Nvfp4(Nvfp4Layout::CompressedTensors), 0.12),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let output = folder.path().join("small");
        let report = make(&fixture("nano"), &output, scheme).unwrap();
        let (plain, made) =
            (Checkpoint::open_folder(&fixture("nano")).unwrap(), Checkpoint::open_folder(&output).unwrap());
        assert_eq!(made.schemes(), [stored]);
        assert!(report.left.is_empty());
        assert!(report.output_bytes < report.input_bytes);
        let attention = if scheme == QuantiseScheme::Fp8 { 4 * 4 - 2 } else { 0 };
        assert_eq!(report.matrices.len(), 4 * (3 + 4 * 3) + attention);
        assert!(report.matrices.is_sorted_by(|a, b| a.relative_l2 >= b.relative_l2));
        assert!(report.matrices[0].relative_l2 < largest, "{:?}", report.matrices[0]);
        for (part, inputs) in [(ExpertPart::Up, 256), (ExpertPart::Down, 128)] {
            let before = numbers(&plain.expert(2, 3, part).unwrap(), inputs);
            let after = numbers(&made.expert(2, 3, part).unwrap(), inputs);
            let name = if part == ExpertPart::Up { "up_proj" } else { "down_proj" };
            let name = format!("model.decoder.layers.2.experts.3.{name}");
            let told = report.matrices.iter().find(|matrix| matrix.name == name).unwrap();
            assert!((relative_l2(&before, &after) - told.relative_l2).abs() < 1e-6, "{told:?}");
        }
        assert_eq!(fs::read(output.join("tokenizer.json")).unwrap(), fs::read(fixture("nano/tokenizer.json")).unwrap());
        assert_eq!(made.config.lacuna, plain.config.lacuna);
        assert_eq!(made.generation, plain.generation);
        let leftovers: Vec<_> = fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(leftovers.len(), 1, "{leftovers:?}");
    }
}

#[test]
fn shards_stay_shards_and_images_stay_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("small");
    let input = fixture("golden/deep-sharded-bf16");
    make(&input, &output, QuantiseScheme::Fp8).unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(output.join("model.safetensors.index.json")).unwrap()).unwrap();
    let map = index["weight_map"].as_object().unwrap();
    assert!(map.contains_key("model.decoder.layers.0.experts.5.gate_proj.weight_scale"));
    assert!(map.keys().any(|name| name.starts_with("model.encoder.vision_tower.")));
    let mut files: Vec<&str> = map.values().filter_map(|file| file.as_str()).collect();
    files.sort_unstable();
    files.dedup();
    assert!(files.len() > 1, "{files:?}");
    assert_eq!(Checkpoint::open_folder(&output).unwrap().schemes(), [Scheme::Fp8]);
}

#[test]
fn what_cannot_be_grouped_is_left_and_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("small");
    // 40 inputs of everything but the down projections, which have 28.
    let report = make(&fixture("golden/deep-sharded-bf16"), &output, QuantiseScheme::Nvfp4).unwrap();
    assert!(report.matrices.is_empty());
    assert!(report.left.contains(&"model.decoder.layers.0.mlp.down_proj".to_owned()));
    assert!(Checkpoint::open_folder(&output).unwrap().schemes().is_empty());

    // 48 inputs of gate and up, 46 of the dense down projection and 11 of the experts'.
    let output = folder.path().join("other");
    let report = make(&fixture("golden/denoise-no-config-bf16"), &output, QuantiseScheme::Nvfp4).unwrap();
    assert!(report.matrices.iter().all(|matrix| !matrix.name.ends_with("down_proj")));
    assert!(report.left.iter().all(|name| name.ends_with("down_proj")));
    let made = Checkpoint::open_folder(&output).unwrap();
    assert!(matches!(made.expert(0, 1, ExpertPart::Up).unwrap(), StoredMatrix::Nvfp4(_)));
    assert!(matches!(made.expert(0, 1, ExpertPart::Down).unwrap(), StoredMatrix::Plain(_)));
}

#[test]
fn nothing_is_left_of_what_is_cancelled_or_fails() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        QuantiseOptions { input: fixture("nano"), output: folder.path().join("small"), scheme: QuantiseScheme::Fp8 };
    for looks in [1, 20] {
        let cancel = Cancel::new();
        let mut seen = 0;
        let result = quantise(&options, &cancel, &mut |_| {
            seen += 1;
            if seen == looks {
                cancel.cancel();
            }
        });
        assert!(matches!(result, Err(Error::Cancelled)));
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
    let nowhere = folder.path().join("missing/small");
    assert!(matches!(make(&fixture("nano"), &nowhere, QuantiseScheme::Fp8), Err(Error::Io { .. })));
}

#[test]
fn what_stands_in_the_way_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let error = make(&fixture("nano"), folder.path(), QuantiseScheme::Fp8).unwrap_err().to_string();
    assert!(error.ends_with("exists already; name a folder that does not, and it is made"), "{error}");
    let output = folder.path().join("small");
    let error = make(&fixture("golden/fp8-dynamic-bf16"), &output, QuantiseScheme::Nvfp4).unwrap_err().to_string();
    assert!(error.contains("is quantised already"), "{error}");
}
