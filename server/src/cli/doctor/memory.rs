//! What models need of a card, and which larger ones can be had.

use lacuna_engine::fit::{Needs, PUBLISHED, Published};
use serde::Serialize;

/// A published checkpoint that works.
#[derive(Serialize)]
pub(super) struct Downloadable {
    repository: &'static str,
    storage: &'static str,
    /// 10^9 bytes to download.
    disk_gb: f64,
    /// 10^9 bytes of a card's memory that it needs.
    card_gb: f64,
    /// What fetches it, with a folder to name.
    command: String,
}

/// The published checkpoints that work.
pub(super) fn downloadable() -> Vec<Downloadable> {
    let describe = |published: &Published| {
        Some(Downloadable {
            repository: published.repository,
            storage: published.storage.name(),
            disk_gb: published.disk_gb,
            card_gb: gigabytes(published.need().ok()?.total_bytes()),
            command: format!("hf download {} --local-dir DIR", published.repository),
        })
    };
    PUBLISHED.iter().filter_map(describe).collect()
}

impl Downloadable {
    pub(super) fn line(&self) -> String {
        let Self { command, disk_gb, storage, card_gb, .. } = self;
        format!("{command} ({disk_gb:.1} GB, {storage}, {card_gb:.0} GB of a card's memory), then --model DIR")
    }
}

/// What a checkpoint needs as it is, and as it could be.
pub(super) fn memory_line(needs: &Needs) -> String {
    let need = needs.as_stored;
    let [weights, cache, workspace] = [need.weights_bytes, need.cache_bytes, need.workspace_bytes].map(gigabytes);
    let total = gigabytes(need.total_bytes());
    let otherwise: Vec<String> = needs
        .stored_otherwise
        .iter()
        .map(|(storage, need)| format!("{} {:.1} GB", storage.name(), gigabytes(need.total_bytes())))
        .collect();
    format!(
        "{total:.1} GB of a card (weights {weights:.1}, a prompt of {} tokens {cache:.1}, workspace {workspace:.1}); stored as {}",
        needs.prompt_tokens,
        otherwise.join(", ")
    )
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

#[cfg(test)]
mod tests {
    use lacuna_engine::ModelSource;
    use lacuna_engine::fit::needs;

    use super::*;

    #[test]
    fn every_published_checkpoint_has_its_command_and_its_card() {
        let lines: Vec<String> = downloadable().iter().map(Downloadable::line).collect();
        assert_eq!(lines.len(), PUBLISHED.len());
        assert!(
            lines[2].starts_with("hf download nvidia/diffusiongemma-26B-A4B-it-NVFP4 --local-dir DIR (18.8 GB, nvfp4"),
            "{}",
            lines[2]
        );
    }

    #[test]
    fn memory_is_told_in_all_ways_of_storing() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/nano");
        let line = memory_line(&needs(&ModelSource::Folder(folder)).unwrap());
        assert!(line.starts_with("0.") && line.contains("a prompt of 2048 tokens"), "{line}");
        assert!(line.contains("stored as bf16 0.") && line.contains(", fp8 0."), "{line}");
    }
}
