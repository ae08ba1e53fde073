use std::fs;

use serde_json::json;

use super::{folder, refusal, weights_refusal};
use crate::checkpoint::sample::{config, serialise, tensors, write_folder};

#[test]
fn a_missing_or_misplaced_file_is_named() {
    let folder = folder();
    let path = folder.path();
    assert_eq!(refusal(&path.join("absent")), "FOLDER: No such file or directory (os error 2)");
    assert_eq!(refusal(path), "FOLDER: has no config.json");
    fs::write(path.join("config.json"), "").unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is empty");
    assert_eq!(refusal(&path.join("config.json")), "FOLDER: is not a folder; name the one that holds config.json");
    fs::write(path.join("config.json"), [0xff, 0xfe]).unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is not UTF-8 text");
    fs::write(path.join("config.json"), "[]").unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is not a JSON object");
    fs::write(path.join("config.json"), "{\n\"a\": }").unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is not valid JSON: expected value at line 2 column 6");
    fs::write(path.join("config.json"), config().to_string()).unwrap();
    assert_eq!(refusal(path), "FOLDER: has neither model.safetensors nor model.safetensors.index.json");
    fs::create_dir(path.join("model.safetensors")).unwrap();
    assert_eq!(refusal(path), "FOLDER/model.safetensors: is a folder, not a file");
    fs::remove_dir(path.join("model.safetensors")).unwrap();
    fs::write(path.join("model.safetensors"), "").unwrap();
    assert_eq!(refusal(path), "FOLDER/model.safetensors: is empty");
    fs::remove_file(path.join("config.json")).unwrap();
    fs::create_dir(path.join("config.json")).unwrap();
    assert_eq!(refusal(path), "FOLDER/config.json: is a folder, not a file");
}

/// Reading a device or a pipe might never end.
#[cfg(unix)]
#[test]
fn only_regular_files_are_read() {
    for name in ["config.json", "generation_config.json", "model.safetensors"] {
        let folder = folder();
        write_folder(folder.path(), &config());
        let path = folder.path().join(name);
        if path.exists() {
            fs::remove_file(&path).unwrap();
        }
        std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        assert_eq!(refusal(folder.path()), format!("FOLDER/{name}: is not a regular file"));
    }
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
    assert_eq!(weights_refusal(b"short"), format!("{name}is too short for a safetensors file"));
    let error = weights_refusal(&whole[..100]);
    assert!(error.starts_with(&format!("{name}is cut short or not a safetensors file: ")), "{error}");
    let error = weights_refusal(&whole[..whole.len() - 1]);
    assert!(error.starts_with(&format!("{name}does not match its header: ")), "{error}");
    let error = weights_refusal(&[&whole[..], b"x"].concat());
    assert!(error.starts_with(&format!("{name}does not match its header: ")), "{error}");
    let error = weights_refusal(&[&[255; 8], &whole[8..]].concat());
    assert!(error.starts_with(&format!("{name}is cut short or not a safetensors file: ")), "{error}");
    let error = weights_refusal(&[&whole[..8], b"x", &whole[9..]].concat());
    assert!(error.starts_with(&format!("{name}has a damaged header: ")), "{error}");
}

/// Each tensor's end fits in 64 bits, and the file's does not: without a check this would wrap around.
#[test]
fn lengths_that_add_up_to_more_than_memory_are_refused() {
    let quarter = 1u64 << 61;
    let mut header = serde_json::Map::new();
    for index in 0..7u64 {
        let offsets = [index * quarter, (index + 1) * quarter];
        header.insert(format!("t{index}"), json!({"dtype": "U8", "shape": [quarter], "data_offsets": offsets}));
    }
    let rest = u64::MAX - 7 * quarter;
    header.insert("t7".to_owned(), json!({"dtype": "U8", "shape": [rest], "data_offsets": [7 * quarter, u64::MAX]}));
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    let error = weights_refusal(&file);
    assert!(error.contains("does not match its header") || error.contains("damaged header"), "{error}");
}
