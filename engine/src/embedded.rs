//! The small model inside the program, unless it was built without.

use crate::Error;
use crate::checkpoint::Checkpoint;

/// Opens the embedded model.
#[cfg(lacuna_embedded_model)]
pub(crate) fn open() -> Result<Checkpoint, Error> {
    Checkpoint::from_static(
        files::CONFIG,
        files::GENERATION,
        files::TOKENIZER,
        files::TENSORS,
    )
}

/// Says that there is none.
#[cfg(not(lacuna_embedded_model))]
pub(crate) fn open() -> Result<Checkpoint, Error> {
    let reason = "this program was built without it; give a checkpoint folder";
    Err(Error::checkpoint(
        std::path::Path::new("embedded model"),
        reason,
    ))
}

#[cfg(lacuna_embedded_model)]
mod files {
    macro_rules! path {
        ($name:literal) => {
            concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/nano/", $name)
        };
    }

    pub(super) const CONFIG: &str = include_str!(path!("config.json"));
    pub(super) const GENERATION: &str = include_str!(path!("generation_config.json"));
    pub(super) const TOKENIZER: &[u8] = include_bytes!(path!("tokenizer.json"));
    pub(super) const TENSORS: &[u8] = &ALIGNED.0;

    /// Puts the weights on a cache line, so that they are read in place; bytes alone lie anywhere.
    #[repr(C, align(64))]
    struct Aligned<T: ?Sized>(T);

    static ALIGNED: &Aligned<[u8]> = &Aligned(*include_bytes!(path!("model.safetensors")));
}

#[cfg(test)]
mod tests;
