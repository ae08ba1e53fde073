use std::fs;
use std::path::Path;

use half::bf16;
use safetensors::Dtype as Stored;
use serde_json::json;

use super::{EMBEDDING, folder, message, open, weights_refusal};
use crate::checkpoint::sample::{self, config, serialise, tensors};
use crate::checkpoint::{Checkpoint, Dtype, WeightData};

#[test]
fn opens_a_folder() {
    let folder = folder();
    sample::write_folder(folder.path(), &config());
    let checkpoint = Checkpoint::open_folder(folder.path()).unwrap();
    let view = checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
    assert_eq!(view.shape, [24, 8]);
    let WeightData::Bf16(values) = view.data else { panic!("{:?}", view.data) };
    assert_eq!(values.len(), 24 * 8);
    assert_eq!(values[1], bf16::from_f32(37.0 / 101.0 - 0.5));
    assert_eq!(view.to_f32()[1], values[1].to_f32());
    let stored: usize = tensors(&config()).values().map(|(_, shape, _)| shape.iter().product::<usize>()).sum();
    assert_eq!(checkpoint.parameters(), stored as u64);
    assert_eq!(checkpoint.embedding_scale(), 2.828125);
}

#[test]
fn a_tensor_must_have_the_shape_that_is_asked_for() {
    let checkpoint = open(&config(), &serialise(&tensors(&config()))).unwrap();
    let error = message(checkpoint.tensor(EMBEDDING, &[8, 24]), Path::new("elsewhere"));
    assert!(error.ends_with("tensor `model.decoder.embed_tokens.weight` has shape [24, 8], not [8, 24]"), "{error}");
    let error = message(checkpoint.tensor("model.decoder.norm", &[8]), Path::new("elsewhere"));
    assert!(error.ends_with("has no tensor `model.decoder.norm`"), "{error}");
}

#[test]
fn the_embedding_scale_is_rounded_to_the_stored_format() {
    let mut config = config();
    for (dtype, scale) in [("float32", 2.828_427), ("bfloat16", 2.828_125), ("float16", 2.828_125)] {
        config["dtype"] = json!(dtype);
        let checkpoint = open(&config, &serialise(&tensors(&config))).unwrap();
        assert_eq!(checkpoint.embedding_scale(), scale, "{dtype}");
    }
    config["dtype"] = json!(null);
    let mut stored = tensors(&config);
    let (dtype, _, bytes) = stored.get_mut(EMBEDDING).unwrap();
    *dtype = Stored::F32;
    bytes.resize(24 * 8 * 4, 0);
    let checkpoint = open(&config, &serialise(&stored)).unwrap();
    assert_eq!(checkpoint.embedding_scale(), 2.828_427);
    assert_eq!(Dtype::F16.round(40f64.sqrt()), 6.324_218_8);
    assert_eq!(Dtype::Bf16.round(40f64.sqrt()), 6.3125);
}

#[test]
fn weights_that_the_file_does_not_align_are_copied() {
    let aligned = serialise(&tensors(&config()));
    let length = u64::from_le_bytes(*aligned.first_chunk().unwrap());
    for padding in 1..8 {
        let mut moved = (length + padding).to_le_bytes().to_vec();
        moved.extend(&aligned[8..8 + length as usize]);
        moved.extend(vec![b' '; padding as usize]);
        moved.extend(&aligned[8 + length as usize..]);
        let checkpoint = open(&config(), &moved).unwrap();
        let view = checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
        assert_eq!(view.to_f32()[1], bf16::from_f32(37.0 / 101.0 - 0.5).to_f32(), "{padding}");
        // The copy is made once.
        assert_eq!(checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap(), view);
    }
}

#[test]
fn reads_all_three_formats() {
    let mut stored = tensors(&config());
    let name = "model.decoder.norm.weight";
    for (dtype, bytes) in [
        (Stored::F32, [1.5f32, -0.25, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0].map(f32::to_le_bytes).concat()),
        (
            Stored::F16,
            [0x3e00u16, 0xb400, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800].map(u16::to_le_bytes).concat(),
        ),
        (
            Stored::BF16,
            [0x3fc0u16, 0xbe80, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0x4100].map(u16::to_le_bytes).concat(),
        ),
    ] {
        stored.insert(name.to_owned(), (dtype, vec![8], bytes));
        let checkpoint = open(&config(), &serialise(&stored)).unwrap();
        let values = checkpoint.tensor(name, &[8]).unwrap().to_f32();
        assert_eq!(values, [1.5, -0.25, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "{dtype:?}");
    }
}

#[test]
fn values_that_are_not_finite_are_refused_by_name() {
    let name = "model.decoder.layers.1.mlp.up_proj.weight";
    for bits in [0x7f80u16, 0xff80, 0x7fc0] {
        let mut stored = tensors(&config());
        let (_, _, bytes) = stored.get_mut(name).unwrap();
        bytes[50..52].copy_from_slice(&bits.to_le_bytes());
        let checkpoint = open(&config(), &serialise(&stored)).unwrap();
        let error = message(checkpoint.tensor(name, &[12, 8]), Path::new("elsewhere"));
        assert!(error.ends_with(&format!("tensor `{name}` holds a value that is not finite")), "{error}");
        checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
    }
}

#[test]
fn the_tensors_must_be_the_models() {
    let mut stored = tensors(&config());
    let scalar = "model.encoder.language_model.layers.2.layer_scalar";
    let removed = stored.remove(scalar).unwrap();
    assert_eq!(weights_refusal(&serialise(&stored)), format!("FOLDER: has no tensor `{scalar}`"));
    stored.insert(scalar.to_owned(), removed);

    let surplus = (Stored::BF16, vec![1], vec![0; 2]);
    stored.insert("model.decoder.layers.2.self_attn.v_proj.weight".to_owned(), surplus.clone());
    assert_eq!(
        weights_refusal(&serialise(&stored)),
        "FOLDER/model.safetensors: tensor `model.decoder.layers.2.self_attn.v_proj.weight` is none of this model's"
    );
    stored.remove("model.decoder.layers.2.self_attn.v_proj.weight");

    stored.insert("model.encoder.vision_tower.std_bias".to_owned(), (Stored::I64, vec![1], vec![0; 8]));
    stored.insert("model.encoder.embed_vision.embedding_projection.weight".to_owned(), surplus);
    open(&config(), &serialise(&stored)).unwrap();

    let (_, shape, _) = &stored[EMBEDDING];
    let wrong = (Stored::BF16, vec![shape[1], shape[0]], vec![0; 24 * 8 * 2]);
    stored.insert(EMBEDDING.to_owned(), wrong);
    assert_eq!(
        weights_refusal(&serialise(&stored)),
        format!("FOLDER/model.safetensors: tensor `{EMBEDDING}` has shape [8, 24], not [24, 8]")
    );
}

#[test]
fn quantised_weights_are_refused_by_format_and_name() {
    let mut stored = tensors(&config());
    let experts = stored.remove("model.decoder.layers.0.experts.down_proj").unwrap();
    let split = "model.decoder.layers.0.experts.0.down_proj.weight";
    let elements = experts.1.iter().product::<usize>();
    stored.insert(split.to_owned(), (Stored::F8_E4M3, vec![elements], vec![0; elements]));
    assert_eq!(
        weights_refusal(&serialise(&stored)),
        format!("FOLDER/model.safetensors: not supported: tensor `{split}` is stored as F8_E4M3")
    );
}

#[test]
fn tied_weights_may_stand_under_another_name_or_twice() {
    let mut stored = tensors(&config());
    let embedding = stored[EMBEDDING].clone();
    stored.insert("lm_head.weight".to_owned(), embedding.clone());
    open(&config(), &serialise(&stored)).unwrap();

    let mut other = embedding.clone();
    other.2[0] ^= 1;
    stored.insert("lm_head.weight".to_owned(), other);
    assert_eq!(
        weights_refusal(&serialise(&stored)),
        format!(
            "FOLDER/model.safetensors: not supported: untied weights: `lm_head.weight` is not the same as `{EMBEDDING}`"
        )
    );
    stored.remove("lm_head.weight");

    let moved = stored.remove(EMBEDDING).unwrap();
    stored.insert("model.encoder.language_model.embed_tokens.weight".to_owned(), moved);
    let checkpoint = open(&config(), &serialise(&stored)).unwrap();
    checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
}

#[test]
fn a_tokenizer_is_needed_only_when_asked_for() {
    let folder = folder();
    sample::write_folder(folder.path(), &config());
    let checkpoint = Checkpoint::open_folder(folder.path()).unwrap();
    assert_eq!(message(checkpoint.tokenizer(), folder.path()), "FOLDER: has no tokenizer.json");
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = message(checkpoint.tokenizer(), folder.path());
    assert!(error.starts_with("FOLDER/tokenizer.json: cannot be read as a tokenizer: "), "{error}");
}
