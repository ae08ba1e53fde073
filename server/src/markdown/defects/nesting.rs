//! Lists whose marks don't nest.

use super::blocks::{Blocks, List, lines_in};
use super::{Decision, Place};

/// Bullets below a numbered item that are set in, but not so far that they belong to it, so that the numbered list
/// ends there. That it goes on behind them says that it was not meant to.
pub(super) fn unnested(text: &str, blocks: &Blocks) -> Vec<Decision> {
    let decision = |(index, pair): (usize, &[List])| {
        let [outer, inner] = pair else { return None };
        let first = outer.first?;
        let last_number = first + outer.items.checked_sub(1)?;
        let is_next = text[outer.byte_range.end.min(inner.byte_range.start)..inner.byte_range.start].trim().is_empty();
        if inner.first.is_some() || !is_next {
            return None;
        }
        // The mark and the space behind it.
        let depth = last_number.to_string().len() + 2;
        let lines: Vec<_> =
            lines_in(text, inner.byte_range.clone()).filter(|(_, line)| !line.trim().is_empty()).collect();
        let indentation = |line: &str| line.len() - line.trim_start_matches(' ').len();
        let set_in = indentation(lines.first()?.1);
        if !(1..depth).contains(&set_in) || lines.iter().any(|(_, line)| indentation(line) < set_in) {
            return None;
        }
        let goes_on = blocks.lists.get(index + 2).is_some_and(|next| {
            next.first == Some(last_number + 1)
                && text[inner.byte_range.end.min(next.byte_range.start)..next.byte_range.start].trim().is_empty()
        });
        let holes = lines.iter().map(|(start, line)| {
            let blanks = indentation(line);
            Place::replacement(text, *start..start + blanks, " ".repeat(blanks + depth - set_in))
        });
        Some(Decision {
            what: "bullets are not set in far enough to belong to the item above",
            holes: holes.collect(),
            prior: usize::from(goes_on),
            spared: Some(inner.byte_range.clone()),
        })
    };
    blocks.lists.windows(2).enumerate().filter_map(decision).collect()
}
