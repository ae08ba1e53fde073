//! What tests against recorded tensors share.

use std::path::{Path, PathBuf};

use lacuna_engine::conformance::{ForwardOptions, Nvfp4Inputs, forward};
use lacuna_engine::{Device, ModelSource};
use safetensors::{Dtype, SafeTensors};

pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures")
}

/// What `forward` writes.
pub(crate) fn run(model: &Path, input: &Path, denoise: bool, threads: usize) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let output = folder.path().join("out.safetensors");
    forward(&ForwardOptions {
        model: ModelSource::Folder(model.to_path_buf()),
        device: Device::Cpu,
        threads: Some(threads),
        input: input.to_path_buf(),
        output: output.clone(),
        nvfp4_inputs: Nvfp4Inputs::AsTheyAre,
        denoise,
    })
    .unwrap_or_else(|error| panic!("{}: {error}", input.display()));
    std::fs::read(output).unwrap()
}

pub(crate) fn floats(tensors: &SafeTensors<'_>, name: &str) -> Vec<f32> {
    let tensor = tensors.tensor(name).unwrap();
    assert_eq!(tensor.dtype(), Dtype::F32);
    tensor.data().chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

pub(crate) fn relative_distance(got: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(got.len(), expected.len());
    let square = |values: &mut dyn Iterator<Item = f64>| values.map(|value| value * value).sum::<f64>();
    let difference = square(&mut got.iter().zip(expected).map(|(a, b)| f64::from(*a) - f64::from(*b)));
    (difference / square(&mut expected.iter().map(|value| f64::from(*value)))).sqrt()
}
