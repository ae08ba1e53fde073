use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::{EMBEDDING, folder, open, refusal};
use crate::checkpoint::Checkpoint;
use crate::checkpoint::sample::{config, serialise, tensors};

/// Writes every other tensor to a second file, and an index that `change` may spoil.
fn write(folder: &Path, change: impl FnOnce(&mut serde_json::Value)) {
    fs::write(folder.join("config.json"), config().to_string()).unwrap();
    let mut shards = [BTreeMap::new(), BTreeMap::new()];
    let mut map = serde_json::Map::new();
    for (number, (name, tensor)) in tensors(&config()).into_iter().enumerate() {
        map.insert(name.clone(), json!(format!("part-{}.safetensors", number % 2)));
        shards[number % 2].insert(name, tensor);
    }
    for (number, shard) in shards.iter().enumerate() {
        fs::write(folder.join(format!("part-{number}.safetensors")), serialise(shard)).unwrap();
    }
    let mut index = json!({"metadata": {"total_size": 1}, "weight_map": map});
    change(&mut index);
    fs::write(folder.join("model.safetensors.index.json"), index.to_string()).unwrap();
}

#[test]
fn all_files_together_are_one_checkpoint() {
    let folder = folder();
    write(folder.path(), |_| ());
    let sharded = Checkpoint::open_folder(folder.path()).unwrap();
    let single = open(&config(), &serialise(&tensors(&config()))).unwrap();
    for (name, (_, shape, _)) in tensors(&config()) {
        assert_eq!(sharded.tensor(&name, &shape).unwrap(), single.tensor(&name, &shape).unwrap());
    }
}

#[test]
fn an_index_must_agree_with_its_files() {
    let folder = folder();
    let index = "FOLDER/model.safetensors.index.json";
    write(folder.path(), |index| index["weight_map"] = json!(null));
    assert_eq!(refusal(folder.path()), format!("{index}: weight_map is missing or null"));

    write(folder.path(), |index| index["weight_map"]["phantom"] = json!("part-1.safetensors"));
    assert_eq!(refusal(folder.path()), "FOLDER/part-1.safetensors: has no tensor `phantom`, though the index says so");

    write(folder.path(), |index| index["weight_map"][EMBEDDING] = json!("part-1.safetensors"));
    assert_eq!(
        refusal(folder.path()),
        format!("FOLDER/part-0.safetensors: has a tensor `{EMBEDDING}` that the index does not place there")
    );

    write(folder.path(), |index| index["weight_map"][EMBEDDING] = json!("part-9.safetensors"));
    assert_eq!(refusal(folder.path()), "FOLDER/part-9.safetensors: No such file or directory (os error 2)");
}

#[test]
fn an_index_leads_nowhere_outside_its_folder() {
    for name in ["../part-0.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "c:x", "a/", "./a"] {
        let folder = folder();
        write(folder.path(), |index| index["weight_map"][EMBEDDING] = json!(name));
        let expected = format!(
            "FOLDER/model.safetensors.index.json: {} is not the plain name of a file in this folder",
            json!(name)
        );
        assert_eq!(refusal(folder.path()), expected);
    }
}
