//! Headings: marks without a space behind them, and levels that jump.

use super::blocks::{Blocks, lines_in};
use super::{Decision, Place};

/// `##Title`, which is a paragraph. One mark alone could be a tag or a number, so it has to be all of the paragraph
/// and the first such thing in a text without a title.
pub(super) fn marks_without_space(text: &str, blocks: &Blocks) -> Vec<Decision> {
    let has_title = blocks.headings.iter().any(|(level, _)| *level == 1);
    let mut decisions = Vec::new();
    for paragraph in &blocks.paragraphs {
        let lines: Vec<_> = lines_in(text, paragraph.clone()).collect();
        for (start, line) in &lines {
            let content = line.trim_start_matches(' ');
            let title = content.trim_start_matches('#');
            let marks = content.len() - title.len();
            let is_title = match marks {
                1 => !has_title && decisions.is_empty() && lines.len() == 1 && title.starts_with(char::is_uppercase),
                2..=6 => title.starts_with(char::is_alphanumeric),
                _ => false,
            };
            if is_title && !title.trim_end_matches('#').contains('#') {
                decisions.push(Decision {
                    what: "a heading's marks have no space behind them",
                    holes: vec![Place::insertion(start + line.len() - title.len(), &[" "])],
                    prior: 1,
                    spared: Some(*start..start + line.len()),
                });
            }
        }
    }
    decisions
}

/// A heading two or more levels below the one before it, in a text that has headings of the level between: where
/// there are none, it is a habit. Its section rises with it. No evidence says whether that was meant, so only an
/// engine that is sure changes it.
pub(super) fn jumps(text: &str, blocks: &Blocks) -> Vec<Decision> {
    let mut decisions = Vec::new();
    for (index, pair) in blocks.headings.windows(2).enumerate() {
        let [(before, _), (level, _)] = pair else { continue };
        let is_known = |between: usize| blocks.headings.iter().any(|(level, _)| *level == between);
        if *level <= before + 1 || !(before + 1..*level).all(is_known) {
            continue;
        }
        let section = blocks.headings[index + 1..].iter().take_while(|(deeper, _)| deeper >= level);
        let surplus = level - before - 1;
        let holes: Vec<_> = section
            .filter(|(_, range)| text[range.start..].starts_with('#'))
            .map(|(level, range)| {
                Place::replacement(text, range.start..range.start + level, "#".repeat(level - surplus))
            })
            .collect();
        if !holes.is_empty() {
            decisions.push(Decision { what: "a heading's level jumps", holes, prior: 0, spared: None });
        }
    }
    decisions
}
