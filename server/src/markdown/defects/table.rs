//! Tables that don't parse, or not as they were meant.

use std::ops::Range;

use super::blocks::{Blocks, lines_in};
use super::{Decision, Place};

/// Tables without a delimiter row or with one of the wrong length, and rows cut by a `|` in code.
pub(super) fn without_shape(text: &str, blocks: &Blocks) -> Vec<Decision> {
    let broken = blocks.paragraphs.iter().filter_map(|paragraph| broken_table(text, paragraph));
    let cut = blocks.tables.iter().flat_map(|(columns, table)| cut_rows(text, *columns, table));
    broken.chain(cut).collect()
}

fn broken_table(text: &str, paragraph: &Range<usize>) -> Option<Decision> {
    let lines: Vec<_> = lines_in(text, paragraph.clone()).collect();
    let [(start, header), (second_start, second), rows @ ..] = lines.as_slice() else { return None };
    let is_row = |line: &str| line.trim().starts_with('|') && line.trim_end().ends_with('|') && pipes(line).len() > 2;
    let columns = pipes(header).len().checked_sub(1)?;
    if !is_row(header) || !rows.iter().all(|(_, row)| is_row(row)) {
        return None;
    }
    let is_of_header = |(_, row): &(usize, &str)| pipes(row).len() == columns + 1;
    let spared = Some(paragraph.clone());
    if let Some(delimiters) = delimiter_cells(second) {
        // Were there as many as columns, it would be a table.
        let cells = delimiters.into_iter().chain(std::iter::repeat("---")).take(columns);
        let delimiter_row = format!("| {} |", cells.collect::<Vec<_>>().join(" | "));
        return Some(Decision {
            what: "a table's delimiter row has the wrong number of cells",
            holes: vec![Place::replacement(text, *second_start..second_start + second.len(), delimiter_row)],
            prior: usize::from(rows.iter().all(is_of_header)),
            spared,
        });
    }
    let all_agree = is_row(second) && lines[1..].iter().all(is_of_header);
    let delimiter_row = format!("\n|{}", " --- |".repeat(columns));
    all_agree.then(|| Decision {
        what: "a table has no delimiter row",
        holes: vec![Place::insertion(start + header.len(), &[&delimiter_row])],
        prior: 1,
        spared,
    })
}

/// Rows with more cells than the table has columns, because of a `|` in code that nothing escapes.
fn cut_rows(text: &str, columns: usize, table: &Range<usize>) -> Vec<Decision> {
    let decision = |(start, line): (usize, &str)| {
        let in_code = pipes_in_code(line);
        let bare = line.trim();
        let outer = usize::from(bare.starts_with('|')) + usize::from(bare.ends_with('|'));
        let all = pipes(line).len();
        let cells = (all + 1).checked_sub(outer)?;
        (!in_code.is_empty() && cells > columns && cells - in_code.len() == columns).then(|| Decision {
            what: "a | in code cuts a table's cell",
            holes: in_code.iter().map(|at| Place::insertion(start + at, &["\\"])).collect(),
            prior: 1,
            spared: Some(start..start + line.len()),
        })
    };
    lines_in(text, table.clone()).filter_map(decision).collect()
}

/// Where the `|` stand that nothing escapes. They part cells even within code.
fn pipes(line: &str) -> Vec<usize> {
    let is_free = |at: &usize| line[..*at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 0;
    line.match_indices('|').map(|(at, _)| at).filter(is_free).collect()
}

/// Those between two equal runs of backticks.
fn pipes_in_code(line: &str) -> Vec<usize> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, _) in line.match_indices('`') {
        match runs.last_mut() {
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    let mut inside = Vec::new();
    let mut rest = runs.as_slice();
    while let Some((opening, after)) = rest.split_first() {
        let Some(closing) = after.iter().position(|run| run.len() == opening.len()) else {
            rest = after;
            continue;
        };
        let span = opening.end..after[closing].start;
        inside.extend(pipes(line).into_iter().filter(|at| span.contains(at)));
        rest = &after[closing + 1..];
    }
    inside
}

/// The cells of a delimiter row; `None` if the line is none.
fn delimiter_cells(line: &str) -> Option<Vec<&str>> {
    let line = line.trim();
    let inner = line.strip_prefix('|').unwrap_or(line);
    let inner = inner.strip_suffix('|').unwrap_or(inner);
    let cells: Vec<_> = inner.split('|').map(str::trim).collect();
    let is_delimiter = |cell: &&str| {
        let dashes = cell.strip_prefix(':').unwrap_or(cell);
        let dashes = dashes.strip_suffix(':').unwrap_or(dashes);
        !dashes.is_empty() && dashes.bytes().all(|byte| byte == b'-')
    };
    (line.contains('|') && cells.iter().all(is_delimiter)).then_some(cells)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_and_where_they_stand() {
        assert_eq!(pipes(r"| a \| b | `c|d` |"), [0, 9, 13, 17]);
        assert_eq!(pipes_in_code(r"| a \| b | `c|d` |"), [13]);
        assert_eq!(pipes_in_code("``a`|`` | `b"), [4]);
        assert_eq!(delimiter_cells("| :-- | --: |"), Some(vec![":--", "--:"]));
        assert_eq!(delimiter_cells("---"), None);
        assert_eq!(delimiter_cells("| a | - |"), None);
    }
}
