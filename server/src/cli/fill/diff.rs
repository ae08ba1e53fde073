//! The difference between two texts as a unified diff.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;
use std::time::{Duration, Instant};

use similar::{Algorithm, DiffOp, DiffTag, capture_diff_slices_deadline, group_diff_ops};

use crate::cli::terminal_text::in_one_line;

/// Lines around a change that are shown with it.
const CONTEXT_LINES: usize = 3;
/// After so long the difference found is one that is right, if not the shortest.
const BUDGET: Duration = Duration::from_secs(2);

/// What changes in the file, as `patch -p1` and `git apply` read it.
pub(super) fn unified(path: &Path, old: &str, new: &str) -> String {
    // Only a line feed ends a line there.
    let old: Vec<&str> = old.split_inclusive('\n').collect();
    let new: Vec<&str> = new.split_inclusive('\n').collect();
    let deadline = Some(Instant::now() + BUDGET);
    let operations = capture_diff_slices_deadline(Algorithm::Myers, &old, &new, deadline);
    let mut diff = String::new();
    if operations.iter().all(|operation| operation.tag() == DiffTag::Equal) {
        return diff;
    }
    let path = path.display().to_string();
    let path = in_one_line(&path);
    let (before, after) = if path.starts_with('/') { ("", "") } else { ("a/", "b/") };
    // Writing to a string never fails.
    let _ = writeln!(diff, "--- {before}{path}\n+++ {after}{path}");
    for group in group_diff_ops(operations, CONTEXT_LINES) {
        write_hunk(&mut diff, &group, &old, &new);
    }
    diff
}

fn write_hunk(diff: &mut String, group: &[DiffOp], old: &[&str], new: &[&str]) {
    let (Some(first), Some(last)) = (group.first(), group.last()) else { return };
    let old_lines = range(&(first.old_range().start..last.old_range().end));
    let new_lines = range(&(first.new_range().start..last.new_range().end));
    let _ = writeln!(diff, "@@ -{old_lines} +{new_lines} @@");
    for operation in group {
        match operation.tag() {
            DiffTag::Equal => write_lines(diff, ' ', &old[operation.old_range()]),
            _ => {
                write_lines(diff, '-', &old[operation.old_range()]);
                write_lines(diff, '+', &new[operation.new_range()]);
            }
        }
    }
}

fn write_lines(diff: &mut String, mark: char, lines: &[&str]) {
    for line in lines {
        diff.push(mark);
        diff.push_str(line);
        if !line.ends_with('\n') {
            diff.push_str("\n\\ No newline at end of file\n");
        }
    }
}

/// Lines from 1, as a diff counts them: an empty range names the line before it.
fn range(lines: &Range<usize>) -> String {
    match lines.len() {
        0 => format!("{},0", lines.start),
        1 => (lines.start + 1).to_string(),
        count => format!("{},{count}", lines.start + 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_has_hunks_with_context() {
        let old = "a\nb\nc\nd\ne\r\nf\ng\nh\ni\nj";
        let new = "a\nb\nc\nd\nE\r\nE2\nf\ng\nh\ni\nJ";
        let expected = "--- a/x.rs\n+++ b/x.rs\n@@ -2,9 +2,10 @@\n b\n c\n d\n-e\r\n+E\r\n+E2\n f\n g\n h\n i\n-j\n\
                        \\ No newline at end of file\n+J\n\\ No newline at end of file\n";
        assert_eq!(unified(Path::new("x.rs"), old, new), expected);
    }

    #[test]
    fn nothing_changed_is_nothing() {
        assert_eq!(unified(Path::new("x.rs"), "a\n", "a\n"), "");
        assert_eq!(unified(Path::new("x.rs"), "", ""), "");
    }

    #[test]
    fn an_empty_side_names_the_line_before() {
        let diff = unified(Path::new("/x"), "a\n", "b\na\n");
        assert_eq!(diff, "--- /x\n+++ /x\n@@ -1 +1,2 @@\n+b\n a\n");
        assert!(unified(Path::new("x"), "", "b\n").contains("@@ -0,0 +1 @@\n+b\n"));
    }
}
