//! Decides whether the small model is put into the program.
//!
//! It is, unless the environment variable `LACUNA_NO_EMBEDDED_MODEL` is set while building.

use std::path::Path;

const VARIABLE: &str = "LACUNA_NO_EMBEDDED_MODEL";
const FOLDER: &str = "../fixtures/nano";
const FILES: [&str; 4] = ["config.json", "generation_config.json", "tokenizer.json", "model.safetensors"];

fn main() {
    println!("cargo::rustc-check-cfg=cfg(lacuna_embedded_model)");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    if std::env::var_os(VARIABLE).is_some() {
        return;
    }
    for name in FILES {
        let path = Path::new(FOLDER).join(name);
        println!("cargo::rerun-if-changed={}", path.display());
        if !path.is_file() {
            println!(
                "cargo::error=the embedded model's {} is missing; restore it, or set {VARIABLE}=1 to build without",
                path.display()
            );
        }
    }
    println!("cargo::rustc-cfg=lacuna_embedded_model");
}
