//! The small model inside the program, unless it was built without.

use std::path::Path;

use crate::Error;
use crate::checkpoint::Checkpoint;

/// Opens the embedded model.
pub(crate) fn open() -> Result<Checkpoint, Error> {
    let Some(files) = EMBEDDED else {
        let reason = "this program was built without it; give a checkpoint folder";
        return Err(Error::checkpoint(Path::new("embedded model"), reason));
    };
    Checkpoint::from_static(files.config, files.generation, files.tokenizer, files.tensors)
}

/// The contents of a checkpoint folder.
struct Files {
    config: &'static str,
    generation: &'static str,
    tokenizer: &'static [u8],
    tensors: &'static [u8],
}

#[cfg(not(lacuna_embedded_model))]
const EMBEDDED: Option<Files> = None;

#[cfg(lacuna_embedded_model)]
const EMBEDDED: Option<Files> = {
    macro_rules! path {
        ($name:literal) => {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/nano/", $name)
        };
    }

    /// Puts the weights on a cache line, so that they are read in place; bytes alone lie anywhere.
    #[repr(C, align(64))]
    struct Aligned<T: ?Sized>(T);

    static TENSORS: &Aligned<[u8]> = &Aligned(*include_bytes!(path!("model.safetensors")));

    Some(Files {
        config: include_str!(path!("config.json")),
        generation: include_str!(path!("generation_config.json")),
        tokenizer: include_bytes!(path!("tokenizer.json")),
        tensors: &TENSORS.0,
    })
};

#[cfg(test)]
mod tests;
