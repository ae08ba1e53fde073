//! Fenced code without its language.

use super::blocks::Blocks;
use super::language::languages_of;
use super::{Decision, Place};

/// Fences that name no language, round code that looks like one, or like few.
pub(super) fn without_language(text: &str, blocks: &Blocks) -> Vec<Decision> {
    let nameless = blocks.fences.iter().filter(|fence| fence.information.trim().is_empty());
    let decision = |fence: &super::blocks::Fence| {
        let languages = languages_of(&fence.code);
        if languages.is_empty() {
            return None;
        }
        let source = &text[fence.byte_range.clone()];
        let mark = source.chars().next()?;
        let after_marks = fence.byte_range.start + source.len() - source.trim_start_matches(mark).len();
        Some(Decision {
            what: "a fence has no language",
            holes: vec![Place::insertion(after_marks, &languages)],
            prior: usize::from(languages.len() == 1),
            spared: None,
        })
    };
    nameless.filter_map(decision).collect()
}
