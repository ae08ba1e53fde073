//! Ends a fill where the block ends that its hole is in.

use lacuna_engine::{Extent, Language};

use super::Surroundings;
use crate::syntax::lines::{indentation, is_blank, lines};

/// Cuts before the first line that belongs to something further out.
///
/// On a blank line, the block is what has at least the indentation of the fill's first line. Behind something that
/// opens a block, it is what has more than that line's indentation, and the one line that closes it.
pub(super) fn cut(fill: &str, around: &Surroundings<'_>) -> Option<(usize, String)> {
    // In prose, indentation says little.
    if around.extent == Extent::Line || !matches!(around.language, Language::Rust | Language::Python) {
        return None;
    }
    let line_before = around.line_before();
    let opens = line_before.trim_end().ends_with(['{', '(', '[', ':']);
    let enclosing = if is_blank(line_before) {
        let first = lines(fill).find(|line| !is_blank(line))?;
        let same_line = fill.starts_with(first);
        columns(if same_line { line_before } else { "" }) + columns(indentation(first))
    } else {
        columns(indentation(line_before))
    };
    let mut length = 0;
    let mut closed = false;
    for (number, line) in lines(fill).enumerate() {
        let column = columns(indentation(line));
        let at_end = column < enclosing || (opens && column == enclosing && (closed || !continues(line)));
        if number > 0 && !is_blank(line) && at_end && !is_inside_string(&fill[..length], around.language) {
            let kept = if around.ends_line() { fill[..length].trim_end().len() } else { length };
            let first_words: String = line.trim().chars().take(30).collect();
            return Some((kept, format!("The block that the hole is in ends before `{first_words}`.")));
        }
        closed |=
            number > 0 && opens && column == enclosing && !is_blank(line) && !line.trim_end().ends_with(['{', ':']);
        length += line.len();
    }
    None
}

fn columns(blanks: &str) -> usize {
    blanks.chars().map(|blank| if blank == '\t' { 4 } else { 1 }).sum()
}

/// Whether a line as far left as the one that opened a block can still belong to it.
fn continues(line: &str) -> bool {
    let line = line.trim_start();
    let first_word = line.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
    line.starts_with(['}', ')', ']']) || matches!(first_word, "else" | "elif" | "except" | "finally")
}

/// Whether a string of several lines is open at the end of this text: its lines begin anywhere.
fn is_inside_string(text: &str, language: Language) -> bool {
    let is_odd = |quote: &str| text.matches(quote).count() % 2 == 1;
    if language == Language::Python { is_odd("\"\"\"") || is_odd("'''") } else { is_odd("\"") }
}
