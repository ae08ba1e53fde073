//! Code that stands in a paragraph.

use std::ops::Range;

use super::blocks::{Blocks, lines_in};
use super::language::{is_command, languages_of};
use super::{Decision, Place};

/// Paragraphs that are plainly code of one language or a shell session.
pub(super) fn without_fence(text: &str, blocks: &Blocks) -> Vec<Decision> {
    let decision = |paragraph: &Range<usize>| {
        let source = &text[paragraph.clone()];
        let code = source.trim_end();
        // Marks of prose, and what would end a fence.
        if code.contains('`') || code.contains("](") {
            return None;
        }
        let languages = languages_of(source);
        let &[language] = languages.as_slice() else { return None };
        let lines: Vec<_> =
            lines_in(text, paragraph.start..paragraph.start + code.len()).map(|(_, line)| line).collect();
        let is_plain = match language {
            // One such line could be a price, or a sentence's beginning.
            "console" => lines.len() > 1 || is_command(lines[0].trim().trim_start_matches("$ ")),
            "sh" => lines.len() > 1 && lines.iter().all(|line| !reads_as_sentence(line)),
            _ => lines.len() > 1 && lines.iter().all(|line| ends_as_code(line)),
        };
        let opening = format!("```{language}\n");
        is_plain.then(|| Decision {
            what: "code has no fence",
            holes: vec![
                Place::insertion(paragraph.start, &[&opening]),
                Place::insertion(paragraph.start + code.len(), &["\n```"]),
            ],
            prior: 1,
            spared: Some(paragraph.clone()),
        })
    };
    blocks.paragraphs.iter().filter_map(decision).collect()
}

fn reads_as_sentence(line: &str) -> bool {
    line.trim_end().ends_with(['.', ':', ',', '?', '!']) && is_command(line.trim())
}

/// Whether a line ends as lines of code do and those of prose seldom.
fn ends_as_code(line: &str) -> bool {
    let line = line.trim();
    line.ends_with(['{', '}', ';', '(', ')', ':', ',', ']', '[', '"', '\'', '='])
        || line.starts_with("#include")
        || ["import ", "from ", "package ", "return ", "//", "# "].iter().any(|start| line.starts_with(start))
        || line.contains(" = ")
}
