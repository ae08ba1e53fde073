//! What the embedded model's card says that it can do.

/// The card.
const CARD: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/nano/MODEL_CARD.md"));

/// What can be expected, in paragraphs; `None` if the card lacks one of the figures.
pub(super) fn facts() -> Option<Vec<String>> {
    let exact = |task| cell(task, 2);
    let tasks = cell("all", 1)?;
    let [shown, right, surely_right] = [cell("0.1", 1)?, cell("0.1", 2)?, cell("0.5", 2)?];
    Some(vec![
        "What it can: go on with what the file does elsewhere. What it can't: write a line that is like no other.".to_owned(),
        format!(
            "Of {tasks} held-out holes, whose length it was not told, it fills {} exactly as they were: {} of the rests of \
             lines in Rust and {} in Python, {} and {} of the holes of several lines, and {} of Markdown's marks.",
            exact("all")?,
            exact("Rust, rest of line")?,
            exact("Python, rest of line")?,
            exact("Rust, multi-line")?,
            exact("Python, multi-line")?,
            exact("Markdown, markup")?,
        ),
        format!(
            "It says how sure it is. Of those {tasks} fills an editor would have shown {shown} by itself, from a confidence \
             of 0.1 on, and {right} of these are exactly right; from 0.5 on, {surely_right} are. So read what you accept.",
        ),
        "Its card, `fixtures/nano/MODEL_CARD.md`, has the data and how all this was measured. A larger model, in a folder, \
         takes its place by `--model` or by the setting `model`."
            .to_owned(),
    ])
}

/// A cell of the first row with this name in its first cell, counted from 0.
fn cell(row: &str, column: usize) -> Option<&'static str> {
    let cells =
        |line: &'static str| line.strip_prefix('|')?.strip_suffix('|').map(|line| line.split('|').map(str::trim));
    let mut row = CARD.lines().filter_map(cells).find(|cells| cells.clone().next() == Some(row))?;
    row.nth(column)
}

#[cfg(test)]
mod tests {
    use super::{cell, facts};

    #[test]
    fn the_card_has_every_figure() {
        let facts = facts().expect("the figures").join(" ");
        let percentages = facts.split_whitespace().filter(|word| word.trim_end_matches([',', ';', '.']).ends_with('%'));
        assert_eq!(percentages.count(), 8, "{facts}");
        assert!(cell("all", 1).is_some_and(|tasks| tasks.parse::<u32>().is_ok()), "{facts}");
        assert_eq!(cell("no such row", 1), None);
    }
}
