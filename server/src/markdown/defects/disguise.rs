//! Paragraphs that are lists in disguise.

use std::ops::Range;

use super::blocks::{Blocks, lines_in};
use super::{Decision, Place};

/// Signs that are typed for bullets and mean nothing else at the beginning of a line.
const BULLETS: &[char] = &['•', '◦', '‣', '⁃', '●', '▪', '■', '○'];
/// Signs that are bullets as well as punctuation, so that only an engine that is sure makes a list of them.
const DASHES: &[char] = &['–', '—', '·'];

/// Paragraphs whose last lines, two or more, all begin with the same bullet that Markdown doesn't know, with numbers
/// that it doesn't, or with its own marks and no space behind them.
pub(super) fn lists(text: &str, blocks: &Blocks) -> Vec<Decision> {
    blocks.paragraphs.iter().filter_map(|paragraph| list(text, paragraph)).collect()
}

/// A line that could be an item: what stands for its mark, what should, and how sure that is.
struct Item {
    mark: Range<usize>,
    replacement: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Bullet(char),
    Dash(char),
    Hyphen,
    Number(u32),
}

fn list(text: &str, paragraph: &Range<usize>) -> Option<Decision> {
    let lines: Vec<_> = lines_in(text, paragraph.clone()).collect();
    let mut items: Vec<Item> = Vec::new();
    for (start, line) in lines.iter().rev() {
        let Some(item) = item(*start, line) else { break };
        if items.last().is_some_and(|below| !goes_before(item.kind, below.kind)) {
            break;
        }
        items.push(item);
    }
    items.reverse();
    let first = items.first()?;
    let prior = match first.kind {
        Kind::Bullet(_) | Kind::Number(1) => 1,
        Kind::Dash(_) => 0,
        // A line of options, or a signature.
        Kind::Hyphen if items.len() < lines.len() => return None,
        Kind::Hyphen => usize::from(items.len() > 2),
        Kind::Number(_) => return None,
    };
    if items.len() < 2 {
        return None;
    }
    Some(Decision {
        what: "a list is written as a paragraph",
        holes: items.into_iter().map(|item| Place::replacement(text, item.mark, item.replacement)).collect(),
        prior,
        spared: Some(paragraph.clone()),
    })
}

fn goes_before(kind: Kind, below: Kind) -> bool {
    match (kind, below) {
        (Kind::Number(number), Kind::Number(next)) => number + 1 == next,
        _ => kind == below,
    }
}

fn item(start: usize, line: &str) -> Option<Item> {
    let content = line.trim_start_matches([' ', '\t']);
    let start = start + line.len() - content.len();
    let first = content.chars().next()?;
    let after = &content[first.len_utf8()..];
    let is_spaced = |text: &str| text.starts_with([' ', '\t', '\u{a0}']) && !text.trim().is_empty();
    if (BULLETS.contains(&first) || DASHES.contains(&first)) && is_spaced(after) {
        let blank = after.chars().next()?.len_utf8();
        let kind = if BULLETS.contains(&first) { Kind::Bullet(first) } else { Kind::Dash(first) };
        return Some(Item { mark: start..start + first.len_utf8() + blank, replacement: "- ".to_owned(), kind });
    }
    if first == '-' && after.starts_with(char::is_uppercase) && after.contains(' ') {
        return Some(Item { mark: start..start + 1, replacement: "- ".to_owned(), kind: Kind::Hyphen });
    }
    let opened = content.strip_prefix('(');
    let digits = opened.unwrap_or(content);
    let length = digits.bytes().take_while(u8::is_ascii_digit).count();
    let number = digits[..length].parse::<u32>().ok().filter(|_| length < 4)?;
    let mark = digits[length..].chars().next().filter(|mark| matches!(mark, '.' | ')'))?;
    let rest = &digits[length + 1..];
    let is_item = match opened {
        Some(_) => mark == ')' && is_spaced(rest),
        // Without a letter behind it, it is a number of another kind.
        None => rest.starts_with(char::is_alphabetic) && rest.contains(' '),
    };
    let blank = if opened.is_some() { rest.chars().next()?.len_utf8() } else { 0 };
    let width = content.len() - rest.len() + blank;
    is_item.then(|| Item {
        mark: start..start + width,
        replacement: format!("{number}{} ", if opened.is_some() { '.' } else { mark }),
        kind: Kind::Number(number),
    })
}
