mod config;
mod damaged;
mod fuzz;
mod generation;
mod layers;
mod loading;
mod sharded;

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::sample::config as sample_config;
use super::{Checkpoint, ModelConfig};
use crate::Error;

const EMBEDDING: &str = "model.decoder.embed_tokens.weight";

/// Opens a folder of these files.
fn open(config: &Value, weights: &[u8]) -> Result<Checkpoint, Error> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    fs::write(folder.path().join("config.json"), config.to_string()).expect("the folder is writable");
    fs::write(folder.path().join("model.safetensors"), weights).expect("the folder is writable");
    Checkpoint::open_folder(folder.path())
}

/// The message of a failure, on one line and without the folder's name.
fn message<T>(result: Result<T, Error>, folder: &Path) -> String {
    let error = result.err().expect("there should have been an error");
    let line = error.to_string().replace(&folder.display().to_string(), "FOLDER");
    assert!(!line.is_empty() && !line.contains('\n'), "not one line: {line:?}");
    line
}

/// Reads a configuration that is valid.
fn parse_config(config: &Value) -> ModelConfig {
    ModelConfig::parse(Path::new("config.json"), &config.to_string()).expect("valid")
}

/// What a configuration is refused with, without the file's name.
fn config_refusal(config: &Value) -> String {
    let result = ModelConfig::parse(Path::new("config.json"), &config.to_string());
    message(result, Path::new("elsewhere")).strip_prefix("config.json: ").expect("the file is named").to_owned()
}

/// The sample with one key of its text_config changed.
fn with(key: &str, value: Value) -> Value {
    let mut config = sample_config();
    config["text_config"][key] = value;
    config
}

/// A configuration with one key of its text_config removed.
fn without(mut config: Value, key: &str) -> Value {
    config["text_config"].as_object_mut().expect("an object").remove(key).expect("the key was there");
    config
}

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
    fs::write(folder.path().join("config.json"), sample_config().to_string()).unwrap();
    fs::write(folder.path().join("model.safetensors"), weights).unwrap();
    refusal(folder.path())
}
