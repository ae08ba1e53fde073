use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use proptest::prelude::{ProptestConfig, any, prop, prop_assert, proptest};
use safetensors::Dtype;
use serde_json::{Value, json};

use crate::Error;
use crate::checkpoint::mutation::{change, mutate};
use crate::checkpoint::quantised::{Fp8Matrix, Nvfp4Matrix, StoredMatrix};
use crate::checkpoint::sample::{self, serialise};
use crate::checkpoint::{Checkpoint, ExpertPart};

type Tensors = BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>;

/// The sample with inputs that NVFP4 can group.
fn config() -> Value {
    let mut config = sample::config();
    config["text_config"]["hidden_size"] = json!(16);
    config["text_config"]["moe_intermediate_size"] = json!(32);
    config
}

/// Takes out the fused experts and puts in what `write` makes of each one's matrix.
fn split(tensors: &mut Tensors, mut write: impl FnMut(&mut Tensors, String, [usize; 2])) {
    for layer in 0..3 {
        let prefix = format!("model.decoder.layers.{layer}.experts.");
        for fused in ["gate_up_proj", "down_proj"] {
            tensors.remove(&format!("{prefix}{fused}")).expect("the sample is fused");
        }
        for expert in 0..4 {
            for (part, shape) in [("gate_proj", [32, 16]), ("up_proj", [32, 16]), ("down_proj", [16, 32])] {
                write(tensors, format!("{prefix}{expert}.{part}"), shape);
            }
        }
    }
}

fn f32s(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn fp8() -> (Value, Tensors) {
    let mut config = config();
    let arguments = |strategy: &str, dynamic: bool| json!({"num_bits": 8, "type": "float", "strategy": strategy, "dynamic": dynamic});
    config["quantization_config"] = json!({
        "quant_method": "compressed-tensors", "format": "float-quantized", "quantization_status": "compressed",
        "config_groups": {"group_0": {
            "targets": ["Linear"], "weights": arguments("channel", false), "input_activations": arguments("token", true)
        }},
        "ignore": ["lm_head", "re:.*self_attn.*", "re:.*mlp.*", "re:.*router.*", "re:.*self_conditioning.*"]
    });
    let mut tensors = sample::tensors(&config);
    split(&mut tensors, |tensors, module, [outputs, inputs]| {
        let bytes = (0..outputs * inputs).map(|index| (index % 0x7f) as u8).collect();
        tensors.insert(format!("{module}.weight"), (Dtype::F8_E4M3, vec![outputs, inputs], bytes));
        let scales: Vec<f32> = (0..outputs).map(|index| index as f32 / 8.0).collect();
        tensors.insert(format!("{module}.weight_scale"), (Dtype::F32, vec![outputs, 1], f32s(&scales)));
    });
    (config, tensors)
}

fn nvfp4(modelopt: bool) -> (Value, Tensors) {
    let mut config = config();
    let ignored = json!(["lm_head", "re:.*self_attn.*", "re:.*mlp.*", "re:.*router.*", "re:.*self_conditioning.*"]);
    let arguments =
        json!({"num_bits": 4, "type": "float", "strategy": "tensor_group", "group_size": 16, "dynamic": false});
    config["quantization_config"] = if modelopt {
        json!({"quant_method": "modelopt", "quant_algo": "NVFP4", "group_size": 16, "exclude_modules": [
            "lm_head", "*self_attn*", "*.mlp.*", "*router*", "model.decoder.self_conditioning"
        ]})
    } else {
        json!({
            "quant_method": "compressed-tensors", "format": "nvfp4-pack-quantized", "ignore": ignored,
            "config_groups": {"group_0": {"targets": ["re:.*_proj"], "weights": arguments}}
        })
    };
    let mut tensors = sample::tensors(&config);
    let (packed, global, input) = if modelopt {
        ("weight", "weight_scale_2", "input_scale")
    } else {
        ("weight_packed", "weight_global_scale", "input_global_scale")
    };
    split(&mut tensors, |tensors, module, [outputs, inputs]| {
        let bytes = (0..outputs * inputs / 2).map(|index| index as u8).collect();
        tensors.insert(format!("{module}.{packed}"), (Dtype::U8, vec![outputs, inputs / 2], bytes));
        let scales = (0..outputs * inputs / 16).map(|index| (index % 0x7f) as u8).collect();
        tensors.insert(format!("{module}.weight_scale"), (Dtype::F8_E4M3, vec![outputs, inputs / 16], scales));
        let shape = if modelopt { vec![] } else { vec![1] };
        tensors.insert(format!("{module}.{global}"), (Dtype::F32, shape, f32s(&[4.0])));
        tensors.insert(format!("{module}.{input}"), (Dtype::F32, vec![], f32s(&[0.5])));
    });
    (config, tensors)
}

fn open(config: &Value, tensors: &Tensors) -> Result<Checkpoint, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("config.json"), config.to_string()).expect("the folder is writable");
    fs::write(folder.path().join("model.safetensors"), serialise(tensors)).expect("the folder is writable");
    Checkpoint::open_folder(folder.path())
}

fn expert(checkpoint: &Checkpoint) -> Result<StoredMatrix<'_>, Error> {
    checkpoint.expert(1, 2, ExpertPart::Up)
}

/// What opening and reading one expert is refused with, from the tensor's name on.
fn refusal((config, tensors): &(Value, Tensors)) -> String {
    let opened = open(config, tensors);
    let refused = match &opened {
        Ok(checkpoint) => expert(checkpoint).err(),
        Err(_) => opened.err(),
    };
    let line = refused.expect("there should have been an error").to_string();
    assert!(!line.contains('\n'), "{line:?}");
    line.split_once(": ").expect("the file is named").1.to_owned()
}

const EXPERT: &str = "model.decoder.layers.1.experts.2.up_proj";

#[test]
fn fp8_is_borrowed_as_it_lies() {
    let (config, tensors) = fp8();
    let checkpoint = open(&config, &tensors).unwrap();
    let StoredMatrix::Fp8(Fp8Matrix { weights, scales, rounds_inputs }) = expert(&checkpoint).unwrap() else {
        panic!("not FP8")
    };
    assert_eq!(weights, &tensors[&format!("{EXPERT}.weight")].2[..]);
    assert_eq!(scales[..3], [0.0, 0.125, 0.25]);
    assert!(rounds_inputs);
    let query = checkpoint.matrix("model.decoder.layers.0.self_attn.q_proj", 16, 16).unwrap();
    assert!(matches!(query, StoredMatrix::Plain(data) if data.len() == 256));
}

#[test]
fn nvfp4_is_borrowed_with_scales_to_multiply_by() {
    for (modelopt, global, input) in [(true, 4.0, 0.5), (false, 0.25, 2.0)] {
        let (config, tensors) = nvfp4(modelopt);
        let checkpoint = open(&config, &tensors).unwrap();
        let StoredMatrix::Nvfp4(Nvfp4Matrix { packed, scales, global_scale, input_scale }) =
            expert(&checkpoint).unwrap()
        else {
            panic!("not NVFP4")
        };
        let name = if modelopt { "weight" } else { "weight_packed" };
        assert_eq!(packed, &tensors[&format!("{EXPERT}.{name}")].2[..]);
        assert_eq!(scales, &tensors[&format!("{EXPERT}.weight_scale")].2[..]);
        assert_eq!((global_scale, input_scale), (global, Some(input)));
    }
}

#[test]
fn the_scale_of_inputs_may_be_missing_and_may_differ_between_the_stacks() {
    let (config, mut tensors) = nvfp4(true);
    let name = format!("{EXPERT}.input_scale");
    let moved = tensors.remove(&name).unwrap();
    let checkpoint = open(&config, &tensors).unwrap();
    assert!(matches!(expert(&checkpoint).unwrap(), StoredMatrix::Nvfp4(Nvfp4Matrix { input_scale: None, .. })));
    tensors.insert(name.clone(), moved);
    let other = name.replace("model.decoder.", "model.encoder.language_model.");
    tensors.insert(other, (Dtype::F32, vec![], f32s(&[3.0])));
    let checkpoint = open(&config, &tensors).unwrap();
    assert!(matches!(expert(&checkpoint).unwrap(), StoredMatrix::Nvfp4(Nvfp4Matrix { input_scale: Some(0.5), .. })));
}

#[test]
fn fused_and_split_plain_experts_are_the_same() {
    let plain = config();
    let fused = sample::tensors(&plain);
    let mut apart = fused.clone();
    let row = |name: &str, start: usize, len: usize| fused[name].2[start * 2..(start + len) * 2].to_vec();
    split(&mut apart, |tensors, module, [outputs, inputs]| {
        let (prefix, rest) = module.split_once(".experts.").unwrap();
        let (expert, part) = rest.split_once('.').unwrap();
        let expert: usize = expert.parse().unwrap();
        let (name, start) = match part {
            "gate_proj" => ("gate_up_proj", expert * 64 * 16),
            "up_proj" => ("gate_up_proj", (expert * 64 + 32) * 16),
            _ => ("down_proj", expert * 16 * 32),
        };
        let bytes = row(&format!("{prefix}.experts.{name}"), start, outputs * inputs);
        tensors.insert(format!("{module}.weight"), (Dtype::BF16, vec![outputs, inputs], bytes));
    });
    let (fused, apart) = (open(&plain, &fused).unwrap(), open(&plain, &apart).unwrap());
    for part in [ExpertPart::Gate, ExpertPart::Up, ExpertPart::Down] {
        for expert in 0..4 {
            assert_eq!(fused.expert(1, expert, part).unwrap(), apart.expert(1, expert, part).unwrap());
        }
    }
}

#[test]
fn damage_to_scales_is_told_by_name_and_shape() {
    let scale = format!("{EXPERT}.weight_scale");
    let changed = |mut checkpoint: (Value, Tensors), name: &str, dtype, shape: &[usize], bytes: Vec<u8>| {
        checkpoint.1.insert(name.to_owned(), (dtype, shape.to_vec(), bytes));
        refusal(&checkpoint)
    };
    let mut missing = fp8();
    missing.1.remove(&scale);
    assert_eq!(refusal(&missing), format!("has no tensor `{scale}`"));
    assert_eq!(
        changed(fp8(), &scale, Dtype::F32, &[16, 1], vec![0; 64]),
        format!("tensor `{scale}` has shape [16, 1], not [32, 1] or [32]")
    );
    assert_eq!(
        changed(nvfp4(true), &scale, Dtype::F8_E4M3, &[32, 2], vec![0; 64]),
        format!("tensor `{scale}` has shape [32, 2], not [32, 1]")
    );
    for bad in [f32::NAN, -1.0, f32::INFINITY] {
        let mut scales = vec![1.0; 32];
        scales[7] = bad;
        assert_eq!(
            changed(fp8(), &scale, Dtype::F32, &[32], f32s(&scales)),
            format!("tensor `{scale}` holds the scale {bad}, which scales nothing")
        );
    }
    let global = format!("{EXPERT}.weight_scale_2");
    for bad in [0.0, -1.0, f32::NAN] {
        assert_eq!(
            changed(nvfp4(true), &global, Dtype::F32, &[], f32s(&[bad])),
            format!("tensor `{global}` holds the scale {bad}, which scales nothing")
        );
    }
    let group = |byte: u8| {
        let mut scales = vec![0x38; 32];
        scales[31] = byte;
        changed(nvfp4(false), &scale, Dtype::F8_E4M3, &[32, 1], scales)
    };
    assert_eq!(group(0x7f), format!("tensor `{scale}` holds a value that is not a number"));
    assert_eq!(group(0xb8), format!("tensor `{scale}` holds the scale -1, which scales nothing"));
    let weight = format!("{EXPERT}.weight");
    assert_eq!(
        changed(fp8(), &weight, Dtype::F8_E4M3, &[32, 16], vec![0xff; 512]),
        format!("tensor `{weight}` holds a value that is not a number")
    );
    assert_eq!(
        changed(fp8(), &weight, Dtype::U8, &[32, 16], vec![0; 512]),
        format!("not supported: tensor `{weight}` is stored as U8, not F8_E4M3")
    );
}

#[test]
fn what_the_configuration_does_not_account_for_is_refused() {
    let (mut config, tensors) = fp8();
    config["quantization_config"]["ignore"] = json!(["re:.*"]);
    let line = refusal(&(config, tensors));
    assert!(line.ends_with("is stored as F8_E4M3, which the configuration does not account for"), "{line}");

    let (config, mut tensors) = nvfp4(true);
    let name = "model.decoder.layers.0.self_attn.k_proj.k_scale";
    tensors.insert(name.to_owned(), (Dtype::F32, vec![], f32s(&[1.0])));
    open(&config, &tensors).unwrap();
    let name = "model.decoder.layers.0.self_attn.k_proj.surprise";
    tensors.insert(name.to_owned(), (Dtype::F32, vec![], f32s(&[1.0])));
    assert_eq!(refusal(&(config, tensors)), format!("tensor `{name}` is none of this model's"));
}

#[test]
fn inputs_that_cannot_be_grouped_are_told_by_name() {
    let (mut config, _) = nvfp4(true);
    config["text_config"]["moe_intermediate_size"] = json!(24);
    let mut tensors = sample::tensors(&config);
    for layer in 0..3 {
        let prefix = format!("model.decoder.layers.{layer}.experts.");
        tensors.remove(&format!("{prefix}down_proj"));
        for expert in 0..4 {
            tensors.insert(format!("{prefix}{expert}.down_proj.weight"), (Dtype::U8, vec![16, 12], vec![0; 192]));
        }
    }
    assert_eq!(
        refusal(&(config, tensors)),
        "`model.decoder.layers.0.experts.0.down_proj` has 24 inputs, which NVFP4 cannot group by 16; it has to be left \
         unquantised"
    );
}

#[test]
fn the_file_of_its_own_is_read_where_the_configuration_is_silent() {
    let (mut config, tensors) = nvfp4(true);
    let mut inner = config.as_object_mut().unwrap().remove("quantization_config").unwrap();
    inner.as_object_mut().unwrap().remove("quant_method");
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
    fs::write(folder.path().join("model.safetensors"), serialise(&tensors)).unwrap();
    let open = |folder: &Path| Checkpoint::open_folder(folder);
    assert!(open(folder.path()).is_err());
    let file = json!({"producer": {"name": "modelopt"}, "quantization": inner});
    fs::write(folder.path().join("hf_quant_config.json"), file.to_string()).unwrap();
    assert!(matches!(expert(&open(folder.path()).unwrap()).unwrap(), StoredMatrix::Nvfp4(_)));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(128) })]

    #[test]
    fn damaged_files_get_an_answer(
        kind in 0..3, weights in any::<bool>(), changes in prop::collection::vec(change(), 1..4),
    ) {
        let (config, tensors) = match kind {
            0 => fp8(),
            1 => nvfp4(false),
            _ => nvfp4(true),
        };
        let (mut config, mut tensors) = (config.to_string().into_bytes(), serialise(&tensors));
        if weights {
            let header = 8 + u64::from_le_bytes(*tensors.first_chunk().expect("a length")) as usize;
            mutate(&mut tensors, 0..header, &changes);
        } else {
            let whole = 0..config.len();
            mutate(&mut config, whole, &changes);
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        fs::write(folder.path().join("config.json"), config).expect("the folder is writable");
        fs::write(folder.path().join("model.safetensors"), tensors).expect("the folder is writable");
        let answer = Checkpoint::open_folder(folder.path()).and_then(|checkpoint| {
            let layers = checkpoint.config.layers.len();
            for (layer, expert) in (0..layers).flat_map(|layer| (0..checkpoint.config.experts).map(move |expert| (layer, expert))) {
                for part in [ExpertPart::Gate, ExpertPart::Up, ExpertPart::Down] {
                    checkpoint.expert(layer, expert, part)?;
                }
            }
            Ok(())
        });
        if let Err(error) = answer {
            let line = error.to_string();
            prop_assert!(!line.trim().is_empty() && !line.contains(['\n', '\r']), "{line:?}");
        }
    }
}
