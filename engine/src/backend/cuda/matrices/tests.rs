use std::path::Path;

use lacuna_kernels::EmulatorOptions;

use super::*;
use crate::backend::cpu::{Nvfp4Inputs, PackedMatrix, matmul};
use crate::backend::cuda::source::Source;
use crate::backend::cuda::tests::{assert_near, device_with_fp4, device_without_fp4};
use crate::backend::cuda::weights::Weights;
use crate::checkpoint::{Checkpoint, ModelConfig, SHARED};

/// Relative L2 distance of products over the same rounded numbers: sums in f32 in another order.
const SUM_TOLERANCE: f64 = 1e-6;

fn golden(name: &str) -> Checkpoint {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/golden").join(name);
    Checkpoint::open_folder(&folder).unwrap()
}

fn load(device: &Device, config: &ModelConfig, source: &dyn Source) -> Weights<bf16> {
    Weights::load(device, config, source, &mut |_| {}).unwrap()
}

/// Rows of groups of very different magnitudes, some of them zero, and some too small or too great for their scales.
fn rows(count: usize, width: usize) -> Vec<bf16> {
    let number = |index: usize| {
        let magnitude = [1.0, 0.01, 3.0, 0.0, 1e-6, 100.0, 0.3][index / NVFP4_GROUP % 7];
        bf16::from_f32(((index * 7919 + index * index % 1013) % 2001) as f32 / 1000.0 * magnitude - magnitude)
    };
    (0..count * width).map(number).collect()
}

/// Multiplies the same rows on the device and on the processor.
fn check(device: &Device, checkpoint: &Checkpoint, matrix: &WeightMatrix, modules: &[(String, usize)]) {
    let (count, width) = (7, matrix.inputs);
    assert!(matches!(matrix.rounding(), Rounding::Groups { .. }), "{modules:?}");
    let input = rows(count, width);
    let roundings = Roundings { rows: false, groups: true };
    let mut rows = ProductRows::<bf16>::new(device, count, width, roundings).unwrap();
    rows.plain_mut(input.len()).write(&input).unwrap();
    rows.round_for(matrix, count).unwrap();
    let mut output = device.allocate::<f32>(count * matrix.outputs).unwrap();
    rows.linear(count, matrix, &mut LinearScratch::new(device).unwrap(), output.as_mut()).unwrap();

    let stored = |(module, outputs): &(String, usize)| {
        (checkpoint.matrix(&format!("{SHARED}{module}"), *outputs, width).unwrap(), *outputs)
    };
    let stored = modules.iter().map(stored).collect();
    let packed = PackedMatrix::pack_stored(stored, width, Nvfp4Inputs::Rounded).unwrap();
    let input: Vec<f32> = input.iter().map(|number| number.to_f32()).collect();
    let mut expected = vec![f32::NAN; count * matrix.outputs];
    matmul(&input, &packed, &mut expected);
    assert_near(&output.as_slice().read().unwrap(), &expected, SUM_TOLERANCE);
}

#[test]
fn products_with_rounded_inputs_are_those_of_the_processor() {
    let device = device_with_fp4();
    for name in ["nvfp4-compressed-tensors-bf16", "nvfp4-modelopt-bf16"] {
        let checkpoint = golden(name);
        let config = &checkpoint.config;
        let weights = load(&device, config, &checkpoint);
        for (index, layer) in weights.layers.iter().enumerate() {
            let of_experts = |part: &str, outputs: usize| -> Vec<(String, usize)> {
                let module = |expert| format!("layers.{index}.experts.{expert}.{part}_proj");
                (0..config.experts).map(|expert| (module(expert), outputs)).collect()
            };
            check(&device, &checkpoint, &layer.expert_down, &of_experts("down", config.hidden));
            let (gate, up) =
                (of_experts("gate", config.expert_intermediate), of_experts("up", config.expert_intermediate));
            let alternating: Vec<_> = gate.into_iter().zip(up).flat_map(|(gate, up)| [gate, up]).collect();
            check(&device, &checkpoint, &layer.expert_gate_up, &alternating);
            if name.contains("compressed") {
                let module = |part: &str, outputs| (format!("layers.{index}.mlp.{part}_proj"), outputs);
                check(&device, &checkpoint, &layer.down, &[module("down", config.hidden)]);
                let width = config.mlp_intermediate;
                check(&device, &checkpoint, &layer.gate_up, &[module("gate", width), module("up", width)]);
            }
        }
    }
}

/// A checkpoint with other scales for inputs.
struct WithScales<'a> {
    checkpoint: &'a Checkpoint,
    scale: fn(&str) -> Option<f32>,
}

impl Source for WithScales<'_> {
    fn scheme(&self, name: &str) -> Option<Scheme> {
        Source::scheme(self.checkpoint, name)
    }
    fn has_split(&self, fused: &str) -> bool {
        Source::has_split(self.checkpoint, fused)
    }
    fn mixed(&self, names: &str) -> crate::Error {
        Source::mixed(self.checkpoint, names)
    }
    fn matrix_dtype(&self) -> Dtype {
        self.checkpoint.matrix_dtype()
    }
    fn embedding_scale(&self) -> f32 {
        Source::embedding_scale(self.checkpoint)
    }
    fn input_scale(&self, name: &str) -> Result<Option<f32>, crate::Error> {
        Ok((self.scale)(name))
    }
    fn fill(
        &self,
        device: &Device,
        name: &str,
        shape: &[usize],
        target: Target<'_>,
        copied: &mut dyn FnMut(u64),
    ) -> Result<(), crate::Error> {
        self.checkpoint.fill(device, name, shape, target, copied)
    }
    fn vector(&self, name: &str, shape: &[usize]) -> Result<Vec<f32>, crate::Error> {
        self.checkpoint.vector(name, shape)
    }
}

#[test]
fn one_scale_serves_all_that_a_product_takes_together_and_without_it_inputs_stay_as_they_are() {
    let checkpoint = golden("nvfp4-compressed-tensors-bf16");
    let device = Device::emulator_with(EmulatorOptions::blackwell());
    // Of the experts the third's gate has the largest; a dense matrix has none.
    let scale = |name: &str| match name {
        name if name.contains("mlp.up_proj") => None,
        name if name.contains("experts.2.gate_proj") => Some(0.5),
        name if name.contains("experts.1.down_proj") => Some(0.25),
        _ => Some(0.125),
    };
    let source = WithScales { checkpoint: &checkpoint, scale };
    let weights = load(&device, &checkpoint.config, &source);
    assert_eq!(weights.roundings(), Roundings { rows: false, groups: true });
    for layer in &weights.layers {
        assert_eq!(layer.expert_gate_up.rounding(), Rounding::Groups { scale: 0.5 });
        assert_eq!(layer.expert_down.rounding(), Rounding::Groups { scale: 0.25 });
        assert_eq!(layer.down.rounding(), Rounding::Groups { scale: 0.125 });
        assert_eq!(layer.gate_up.rounding(), Rounding::None);
        // Nothing but NVFP4 is asked for a scale.
        assert_eq!(layer.qkv.rounding(), Rounding::None);
    }
    // Where nothing multiplies it, it is widened.
    let weights = load(&device_without_fp4(), &checkpoint.config, &checkpoint);
    assert_eq!(weights.roundings(), Roundings::default());
}
