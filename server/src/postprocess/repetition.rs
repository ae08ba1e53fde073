//! Ends a fill where it begins to say the same again and again.

use super::{Surroundings, brackets};

/// The longest phrase that is looked for, in bytes, and how much of a fill is searched.
const LONGEST: usize = 240;
const SEARCHED: usize = 16 * 1024;

/// Cuts after the first time of whole lines that stand there three times in a row, or of a phrase that does five times.
pub(super) fn cut(fill: &str, _: &Surroundings<'_>) -> Option<(usize, String)> {
    let searched = &fill[..fill.floor_char_boundary(SEARCHED)];
    // The last time may lack the blank that the others end with.
    let ends = ["\n", " "].map(|end| format!("{}{end}", searched.trim_end()));
    let kept = ends.iter().filter_map(|text| first_repeat(text)).min()?.min(fill.len());
    let kept = fill[..kept].trim_end().len();
    (kept < fill.trim_end().len() && !brackets::are_opened_by_cutting(fill, kept))
        .then(|| (kept, "The fill says the same again and again.".to_owned()))
}

/// Where the first of several equal pieces in a row ends.
fn first_repeat(text: &str) -> Option<usize> {
    (1..=LONGEST.min(text.len() / 3)).filter_map(|period| repeat_of(text, period)).min()
}

fn repeat_of(text: &str, period: usize) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut start = 0;
    while start + period < bytes.len() {
        let run = bytes[start..].iter().zip(&bytes[start + period..]).take_while(|(a, b)| a == b).count();
        // Whole lines, or else words, from the first place in the run where such begin.
        let begins_line = |at: &usize| *at == 0 || bytes[at - 1] == b'\n';
        let begins_word = |at: &usize| *at == 0 || bytes[at - 1].is_ascii_whitespace();
        let end = start + run;
        let found = |times: usize, begins: &dyn Fn(&usize) -> bool| {
            let last = end.checked_sub((times - 1) * period)?;
            let at = (start..=last).find(begins)?;
            let piece = text.get(at..at + period)?;
            (says_something(piece) && (times > 3 || piece.ends_with('\n'))).then_some(at + period)
        };
        if let Some(kept) = found(3, &begins_line).or_else(|| found(5, &begins_word)) {
            return Some(kept);
        }
        start = end + 1;
    }
    None
}

/// Tables of numbers and rulers of dashes repeat themselves with good reason.
fn says_something(piece: &str) -> bool {
    let mut letters: Vec<char> = piece.chars().filter(|c| c.is_alphabetic()).collect();
    let count = letters.len();
    letters.sort_unstable();
    letters.dedup();
    count >= 4 && letters.len() >= 3
}
