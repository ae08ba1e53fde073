use std::fs;
use std::path::Path;

use half::bf16;
use safetensors::Dtype as Stored;
use serde_json::json;

use super::{message, open};
use crate::checkpoint::sample::{self, config, serialise, tensors};
use crate::checkpoint::{Checkpoint, Dtype, WeightData};

const EMBEDDING: &str = "model.decoder.embed_tokens.weight";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// What opening this folder is refused with.
fn refusal(folder: &Path) -> String {
    message(Checkpoint::open_folder(folder), folder)
}

/// What opening these weights is refused with.
fn weights_refusal(weights: &[u8]) -> String {
    let folder = folder();
    fs::write(folder.path().join("config.json"), config().to_string()).unwrap();
    fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    refusal(folder.path())
}

#[test]
fn opens_a_folder() {
    let folder = folder();
    sample::write_folder(folder.path(), &config());
    let checkpoint = Checkpoint::open_folder(folder.path()).unwrap();
    let view = checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
    assert_eq!(view.shape, [24, 8]);
    let WeightData::Bf16(values) = view.data else {
        panic!("{:?}", view.data)
    };
    assert_eq!(values.len(), 24 * 8);
    assert_eq!(values[1], bf16::from_f32(37.0 / 101.0 - 0.5));
    assert_eq!(view.to_f32()[1], values[1].to_f32());
    let stored: usize = tensors(&config())
        .values()
        .map(|(_, shape, _)| shape.iter().product::<usize>())
        .sum();
    assert_eq!(checkpoint.parameters(), stored as u64);
    assert_eq!(checkpoint.embedding_scale(), 2.828125);
}

#[test]
fn a_tensor_must_have_the_shape_that_is_asked_for() {
    let checkpoint = open(&config(), &serialise(&tensors(&config()))).unwrap();
    let error = message(
        checkpoint.tensor(EMBEDDING, &[8, 24]),
        Path::new("elsewhere"),
    );
    assert!(
        error
            .ends_with("tensor `model.decoder.embed_tokens.weight` has shape [24, 8], not [8, 24]"),
        "{error}"
    );
    let error = message(
        checkpoint.tensor("model.decoder.norm", &[8]),
        Path::new("elsewhere"),
    );
    assert!(
        error.ends_with("has no tensor `model.decoder.norm`"),
        "{error}"
    );
}

#[test]
fn the_embedding_scale_is_rounded_to_the_stored_format() {
    let mut config = config();
    for (dtype, scale) in [
        ("float32", 2.828_427),
        ("bfloat16", 2.828_125),
        ("float16", 2.828_125),
    ] {
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
        assert_eq!(
            view.to_f32()[1],
            bf16::from_f32(37.0 / 101.0 - 0.5).to_f32(),
            "{padding}"
        );
        // The copy is made once.
        assert_eq!(checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap(), view);
    }
}

#[test]
fn reads_all_three_formats() {
    let mut stored = tensors(&config());
    let name = "model.decoder.norm.weight";
    for (dtype, bytes) in [
        (
            Stored::F32,
            [1.5f32, -0.25, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
                .map(f32::to_le_bytes)
                .concat(),
        ),
        (
            Stored::F16,
            [
                0x3e00u16, 0xb400, 0x4200, 0x4400, 0x4500, 0x4600, 0x4700, 0x4800,
            ]
            .map(u16::to_le_bytes)
            .concat(),
        ),
        (
            Stored::BF16,
            [
                0x3fc0u16, 0xbe80, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0x4100,
            ]
            .map(u16::to_le_bytes)
            .concat(),
        ),
    ] {
        stored.insert(name.to_owned(), (dtype, vec![8], bytes));
        let checkpoint = open(&config(), &serialise(&stored)).unwrap();
        let values = checkpoint.tensor(name, &[8]).unwrap().to_f32();
        assert_eq!(
            values,
            [1.5, -0.25, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0],
            "{dtype:?}"
        );
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
        assert!(
            error.ends_with(&format!("tensor `{name}` holds a value that is not finite")),
            "{error}"
        );
        checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
    }
}

#[test]
fn a_missing_or_misplaced_file_is_named() {
    let folder = folder();
    let path = folder.path();
    assert_eq!(
        refusal(&path.join("absent")),
        "FOLDER: No such file or directory (os error 2)"
    );
    assert_eq!(refusal(path), "FOLDER: has no config.json");
    fs::write(path.join("config.json"), "").unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is empty");
    assert_eq!(
        refusal(&path.join("config.json")),
        "FOLDER: is not a folder; name the one that holds config.json"
    );
    fs::write(path.join("config.json"), [0xff, 0xfe]).unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is not UTF-8 text");
    fs::write(path.join("config.json"), "[]").unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is not a JSON object");
    fs::write(path.join("config.json"), "{\n\"a\": }").unwrap();
    assert_eq!(
        refusal(path),
        "FOLDER/config.json: is not valid JSON: expected value at line 2 column 6"
    );
    fs::write(path.join("config.json"), config().to_string()).unwrap();
    assert_eq!(
        refusal(path),
        "FOLDER: has neither model.safetensors nor model.safetensors.index.json"
    );
    fs::create_dir(path.join("model.safetensors")).unwrap();
    assert_eq!(
        refusal(path),
        "FOLDER/model.safetensors: is a folder, not a file"
    );
    fs::remove_dir(path.join("model.safetensors")).unwrap();
    fs::write(path.join("model.safetensors"), "").unwrap();
    assert_eq!(refusal(path), "FOLDER/model.safetensors: is empty");
    fs::remove_file(path.join("config.json")).unwrap();
    fs::create_dir(path.join("config.json")).unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is a folder, not a file");
}

#[test]
fn damaged_weights_are_described() {
    let whole = serialise(&tensors(&config()));
    let name = "FOLDER/model.safetensors: ";
    let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    assert_eq!(
        weights_refusal(pointer.as_bytes()),
        format!("{name}is a Git LFS pointer; fetch the file itself with `git lfs pull`")
    );
    assert_eq!(
        weights_refusal(b"short"),
        format!("{name}is too short for a safetensors file")
    );
    let error = weights_refusal(&whole[..100]);
    assert!(
        error.starts_with(&format!("{name}is cut short or not a safetensors file: ")),
        "{error}"
    );
    let error = weights_refusal(&whole[..whole.len() - 1]);
    assert!(
        error.starts_with(&format!("{name}does not match its header: ")),
        "{error}"
    );
    let error = weights_refusal(&[&whole[..], b"x"].concat());
    assert!(
        error.starts_with(&format!("{name}does not match its header: ")),
        "{error}"
    );
    let error = weights_refusal(&[&[255; 8], &whole[8..]].concat());
    assert!(
        error.starts_with(&format!("{name}is cut short or not a safetensors file: ")),
        "{error}"
    );
    let error = weights_refusal(&[&whole[..8], b"x", &whole[9..]].concat());
    assert!(
        error.starts_with(&format!("{name}has a damaged header: ")),
        "{error}"
    );
}

/// Each tensor's end fits in 64 bits, and the file's does not: without a check this would wrap around.
#[test]
fn lengths_that_add_up_to_more_than_memory_are_refused() {
    let quarter = 1u64 << 61;
    let mut header = serde_json::Map::new();
    for index in 0..7u64 {
        let offsets = [index * quarter, (index + 1) * quarter];
        header.insert(
            format!("t{index}"),
            json!({"dtype": "U8", "shape": [quarter], "data_offsets": offsets}),
        );
    }
    let rest = u64::MAX - 7 * quarter;
    header.insert(
        "t7".to_owned(),
        json!({"dtype": "U8", "shape": [rest], "data_offsets": [7 * quarter, u64::MAX]}),
    );
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    let error = weights_refusal(&file);
    assert!(
        error.contains("does not match its header") || error.contains("damaged header"),
        "{error}"
    );
}

#[test]
fn the_tensors_must_be_the_models() {
    let mut stored = tensors(&config());
    let scalar = "model.encoder.language_model.layers.2.layer_scalar";
    let removed = stored.remove(scalar).unwrap();
    assert_eq!(
        weights_refusal(&serialise(&stored)),
        format!("FOLDER: has no tensor `{scalar}`")
    );
    stored.insert(scalar.to_owned(), removed);

    let surplus = (Stored::BF16, vec![1], vec![0; 2]);
    stored.insert(
        "model.decoder.layers.2.self_attn.v_proj.weight".to_owned(),
        surplus.clone(),
    );
    assert_eq!(
        weights_refusal(&serialise(&stored)),
        "FOLDER/model.safetensors: tensor `model.decoder.layers.2.self_attn.v_proj.weight` is none of this model's"
    );
    stored.remove("model.decoder.layers.2.self_attn.v_proj.weight");

    stored.insert(
        "model.encoder.vision_tower.std_bias".to_owned(),
        (Stored::I64, vec![1], vec![0; 8]),
    );
    stored.insert(
        "model.encoder.embed_vision.embedding_projection.weight".to_owned(),
        surplus,
    );
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
    let experts = stored
        .remove("model.decoder.layers.0.experts.down_proj")
        .unwrap();
    let split = "model.decoder.layers.0.experts.0.down_proj.weight";
    let elements = experts.1.iter().product::<usize>();
    stored.insert(
        split.to_owned(),
        (Stored::F8_E4M3, vec![elements], vec![0; elements]),
    );
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
    stored.insert(
        "model.encoder.language_model.embed_tokens.weight".to_owned(),
        moved,
    );
    let checkpoint = open(&config(), &serialise(&stored)).unwrap();
    checkpoint.tensor(EMBEDDING, &[24, 8]).unwrap();
}

mod sharded {
    use std::collections::BTreeMap;

    use super::*;

    /// Writes every other tensor to a second file, and an index that `change` may spoil.
    fn write(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
        fs::write(folder.join("config.json"), config().to_string()).unwrap();
        let mut shards = [BTreeMap::new(), BTreeMap::new()];
        let mut map = serde_json::Map::new();
        for (number, (name, tensor)) in tensors(&config()).into_iter().enumerate() {
            map.insert(
                name.clone(),
                json!(format!("part-{}.safetensors", number % 2)),
            );
            shards[number % 2].insert(name, tensor);
        }
        for (number, shard) in shards.iter().enumerate() {
            fs::write(
                folder.join(format!("part-{number}.safetensors")),
                serialise(shard),
            )
            .unwrap();
        }
        let mut index = json!({"metadata": {"total_size": 1}, "weight_map": map});
        change(&mut index);
        fs::write(
            folder.join("model.safetensors.index.json"),
            index.to_string(),
        )
        .unwrap();
    }

    #[test]
    fn all_files_together_are_one_checkpoint() {
        let folder = folder();
        write(folder.path(), |_| ());
        let sharded = Checkpoint::open_folder(folder.path()).unwrap();
        let single = open(&config(), &serialise(&tensors(&config()))).unwrap();
        for (name, (_, shape, _)) in tensors(&config()) {
            assert_eq!(
                sharded.tensor(&name, &shape).unwrap(),
                single.tensor(&name, &shape).unwrap()
            );
        }
    }

    #[test]
    fn an_index_must_agree_with_its_files() {
        let folder = folder();
        let index = "FOLDER/model.safetensors.index.json";
        write(folder.path(), |index| index["weight_map"] = json!(null));
        assert_eq!(
            refusal(folder.path()),
            format!("{index}: weight_map is missing or null")
        );

        write(folder.path(), |index| {
            index["weight_map"]["phantom"] = json!("part-1.safetensors")
        });
        assert_eq!(
            refusal(folder.path()),
            "FOLDER/part-1.safetensors: has no tensor `phantom`, though the index says so"
        );

        write(folder.path(), |index| {
            index["weight_map"][EMBEDDING] = json!("part-1.safetensors")
        });
        assert_eq!(
            refusal(folder.path()),
            format!(
                "FOLDER/part-0.safetensors: has a tensor `{EMBEDDING}` that the index does not place there"
            )
        );

        write(folder.path(), |index| {
            index["weight_map"][EMBEDDING] = json!("part-9.safetensors")
        });
        assert_eq!(
            refusal(folder.path()),
            "FOLDER/part-9.safetensors: No such file or directory (os error 2)"
        );
    }

    #[test]
    fn an_index_leads_nowhere_outside_its_folder() {
        for name in [
            "../part-0.safetensors",
            "/etc/passwd",
            "a/b",
            "..",
            ".",
            "",
            "a\\b",
            "c:x",
            "a/",
            "./a",
        ] {
            let folder = folder();
            write(folder.path(), |index| {
                index["weight_map"][EMBEDDING] = json!(name)
            });
            let expected = format!(
                "FOLDER/model.safetensors.index.json: {} is not the plain name of a file in this folder",
                json!(name)
            );
            assert_eq!(refusal(folder.path()), expected);
        }
    }
}

#[test]
fn a_tokenizer_is_needed_only_when_asked_for() {
    let folder = folder();
    sample::write_folder(folder.path(), &config());
    let checkpoint = Checkpoint::open_folder(folder.path()).unwrap();
    assert_eq!(
        message(checkpoint.tokenizer(), folder.path()),
        "FOLDER: has no tokenizer.json"
    );
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = message(checkpoint.tokenizer(), folder.path());
    assert!(
        error.starts_with("FOLDER/tokenizer.json: cannot be read as a tokenizer: "),
        "{error}"
    );
}
