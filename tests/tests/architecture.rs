//! Who may import whom, and where what is dangerous may stand.

#![allow(clippy::unwrap_used, reason = "a test that cannot set itself up fails")]

use std::path::{Path, PathBuf};
use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The file names of all Rust sources of a member, relative to the workspace, with their tokens in one flat list.
fn sources(member: &str) -> Vec<(String, Vec<String>)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(member)];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                if !path.ends_with("target") {
                    folders.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                let text = std::fs::read_to_string(&path).unwrap();
                let mut tokens = Vec::new();
                flatten(TokenStream::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}")), &mut tokens);
                found.push((name, tokens));
            }
        }
    }
    assert!(!found.is_empty(), "{member} has no sources");
    found
}

fn flatten(stream: TokenStream, tokens: &mut Vec<String>) {
    for tree in stream {
        match tree {
            TokenTree::Group(group) => flatten(group.stream(), tokens),
            other => tokens.push(other.to_string()),
        }
    }
}

/// The sources of a member that have `word` as a token of its own.
fn files_with(member: &str, word: &str) -> Vec<String> {
    let has_word = |(name, tokens): (String, Vec<String>)| tokens.iter().any(|token| token == word).then_some(name);
    sources(member).into_iter().filter_map(has_word).collect()
}

fn manifest(member: &str) -> toml::Table {
    std::fs::read_to_string(root().join(member).join("Cargo.toml")).unwrap().parse().unwrap()
}

/// The names under a table of a manifest, none where there is no such table.
fn dependencies(member: &str, table: &str) -> Vec<String> {
    let manifest = manifest(member);
    manifest.get(table).and_then(toml::Value::as_table).map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

#[test]
fn members_depend_in_one_direction() {
    let lacuna = |member: &str| -> Vec<String> {
        dependencies(member, "dependencies").into_iter().filter(|name| name.starts_with("lacuna-")).collect()
    };
    assert_eq!(lacuna("server"), ["lacuna-engine"]);
    assert_eq!(lacuna("engine"), ["lacuna-kernels"]);
    assert!(lacuna("kernels").is_empty());
    assert!(lacuna("tests").is_empty(), "end-to-end tests know the binary alone");
}

#[test]
fn kernels_come_only_with_the_cuda_feature() {
    let engine = manifest("engine");
    assert_eq!(engine["dependencies"]["lacuna-kernels"]["optional"].as_bool(), Some(true));
    let features = engine["features"].as_table().unwrap();
    let with_kernels: Vec<&String> =
        features.iter().filter(|(_, enables)| enables.to_string().contains("kernels")).map(|(name, _)| name).collect();
    assert_eq!(with_kernels, ["cuda"]);
    assert!(!features.contains_key("default"), "the CUDA backend is asked for, never a default");
}

#[test]
fn the_protocol_stays_in_the_server() {
    for member in ["engine", "kernels"] {
        for word in ["tower_lsp", "lsp_types", "ls_types", "ropey", "tokio"] {
            assert!(files_with(member, word).is_empty(), "{word} in {member}");
        }
    }
    for (file, tokens) in sources("server") {
        let knows = tokens.iter().any(|token| token == "tower_lsp");
        assert!(
            !knows || file.starts_with("server/src/lsp") || file.starts_with("server/tests/"),
            "tower_lsp in {file}"
        );
    }
}

#[test]
fn cudarc_stays_in_the_kernels_and_the_cuda_backend() {
    for member in ["engine", "server", "tests"] {
        for file in files_with(member, "cudarc") {
            assert!(file.starts_with("engine/src/backend/cuda"), "cudarc in {file}");
        }
        assert!(!dependencies(member, "dependencies").contains(&"cudarc".to_owned()), "cudarc in {member}");
    }
}

#[test]
fn unsafe_stays_in_the_kernels_and_the_file_that_maps_weights() {
    for member in ["engine", "server", "tests"] {
        for file in files_with(member, "unsafe") {
            assert_eq!(file, "engine/src/checkpoint/mapped.rs");
        }
    }
    for file in files_with("engine", "unsafe_code") {
        assert!(file.starts_with("engine/src/checkpoint"), "{file} lifts the ban on unsafe code");
    }
}

#[test]
fn the_cuda_feature_is_asked_for_in_few_places() {
    let allowed = ["engine/src/lib.rs", "engine/src/backend.rs", "engine/src/local.rs", "engine/src/local/device.rs"];
    for member in ["engine", "server"] {
        for (file, tokens) in sources(member) {
            let asks = tokens.windows(3).any(|three| three == ["feature", "=", "\"cuda\""]);
            assert!(!asks || allowed.contains(&file.as_str()), "feature = \"cuda\" in {file}");
        }
    }
}

#[test]
fn no_module_is_called_mod_rs() {
    for member in ["engine", "kernels", "server", "tests"] {
        for (file, _) in sources(member) {
            assert!(!file.ends_with("/mod.rs"), "{file}");
        }
    }
}
