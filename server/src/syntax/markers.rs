//! Markers that somebody has put where text is to be written.

use std::ops::Range;
use std::path::Path;

use lacuna_engine::Extent;

use super::lines::{is_blank, lines, without_end};

/// Extensions of files of biological sequences in the FASTA format.
const SEQUENCE_EXTENSIONS: &[&str] = &["fa", "fas", "fasta", "faa", "fna", "ffn", "frn", "mpfa", "fsa"];

/// All occurrences of a marker, ascending and disjoint, and how far each fill may go: any number of lines where the marker
/// is alone on its line, else to the line's end.
///
/// A marker of one character, repeated or not, stands for every longest run of that character that is at least as long.
/// A marker lies within a line. With `sequences_only`, only lines of sequences are looked at: no line that begins with
/// `>` or `;`, as FASTA's headers and comments do.
pub fn find_markers(text: &str, marker: &str, sequences_only: bool) -> Vec<(Range<usize>, Extent)> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for line in lines(text) {
        let content = without_end(line);
        if !(sequences_only && content.starts_with(['>', ';'])) {
            let before = found.len();
            find_in_line(content, marker, |range| found.push((moved(&range, line_start), Extent::Line)));
            if let [(range, extent)] = &mut found[before..]
                && !sequences_only
                && is_blank(&text[line_start..range.start])
                && is_blank(&text[range.end..line_start + content.len()])
            {
                *extent = Extent::Block;
            }
        }
        line_start += line.len();
    }
    found
}

/// Whether a file is one of biological sequences in the FASTA format: by its name, or because it has a header and
/// nothing but sequences below it.
pub fn is_sequence_file(path: &Path, text: &str) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
    if SEQUENCE_EXTENSIONS.contains(&extension.to_ascii_lowercase().as_str()) {
        return true;
    }
    let (mut headers, mut sequences) = (0, 0);
    for line in lines(text).map(without_end).filter(|line| !is_blank(line)) {
        if line.starts_with('>') {
            headers += 1;
        } else if headers > 0 && line.trim_end().chars().all(is_residue) {
            sequences += 1;
        } else if !line.starts_with(';') {
            return false;
        }
    }
    sequences > 0
}

/// Whether a character can stand in a sequence: the letter of a residue or a base, a gap, or the end of a translation.
pub(crate) fn is_residue(character: char) -> bool {
    character.is_ascii_alphabetic() || matches!(character, '-' | '*')
}

fn find_in_line(line: &str, marker: &str, mut found: impl FnMut(Range<usize>)) {
    let mut characters = marker.chars();
    let Some(first) = characters.next() else { return };
    let repeats = characters.all(|character| character == first);
    let mut at = 0;
    while let Some(start) = line[at..].find(marker).map(|start| at + start) {
        let run =
            if repeats { line[start..].len() - line[start..].trim_start_matches(first).len() } else { marker.len() };
        at = start + run;
        found(start..at);
    }
}

fn moved(range: &Range<usize>, by: usize) -> Range<usize> {
    range.start + by..range.end + by
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found<'a>(text: &'a str, marker: &str, sequences_only: bool) -> Vec<(&'a str, Extent)> {
        find_markers(text, marker, sequences_only).into_iter().map(|(range, extent)| (&text[range], extent)).collect()
    }

    #[test]
    fn a_marker_is_found_wherever_it_stands() {
        let text = "é <?> 漢\r\n  <?>\r\n<?><?>";
        let ranges: Vec<_> = find_markers(text, "<?>", false).into_iter().map(|(range, _)| range.start).collect();
        assert_eq!(ranges, [3, 14, 19, 22]);
        use Extent::{Block, Line};
        assert_eq!(found(text, "<?>", false), [("<?>", Line), ("<?>", Block), ("<?>", Line), ("<?>", Line)]);
        assert!(found(text, "none", false).is_empty() && found(text, "", false).is_empty());
    }

    #[test]
    fn a_run_is_one_hole() {
        use Extent::{Block, Line};
        assert_eq!(found("a __ b ____\n___", "_", false), [("__", Line), ("____", Line), ("___", Block)]);
        assert_eq!(found("a __ b ____\n___", "___", false), [("____", Line), ("___", Block)]);
        assert_eq!(found("漢漢字漢", "漢", false), [("漢漢", Line), ("漢", Line)]);
        // No run goes over a line's end.
        assert_eq!(found("XX\nXX", "X", true), [("XX", Line), ("XX", Line)]);
    }

    #[test]
    fn headers_are_no_sequences() {
        let text = ">sp|X1|XYZ\r\nMKXXL\r\n;XX\r\nXA\n";
        assert_eq!(found(text, "X", true), [("XX", Extent::Line), ("X", Extent::Line)]);
        assert_eq!(found(text, "X", false).len(), 5);
    }

    #[test]
    fn sequence_files_are_known_by_name_or_by_content() {
        let is = |path: &str, text| is_sequence_file(Path::new(path), text);
        assert!(is("a.FASTA", "") && is("a.fa", "plain"));
        assert!(is("a.txt", "\n>one\nMKXX*\n\n>two\r\nAC-GT\r\n"));
        assert!(!is("a.txt", ">one\n>two\n"), "quoted lines alone");
        assert!(!is("a.txt", "> You wrote\nyes, I did\n"), "an answer");
        assert!(!is("a.txt", "MKXX\n") && !is("a.txt", ""));
    }

    proptest! {
        #[test]
        fn markers_are_disjoint_and_all_there(text in "[aXY\\r\\né>]{0,60}", marker in "X{1,2}|XY|é") {
            let ranges: Vec<_> = find_markers(&text, &marker, false).into_iter().map(|(range, _)| range).collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            prop_assert!(ranges.iter().all(|range| text[range.clone()].starts_with(&marker)));
            let mut rest = text.clone();
            ranges.iter().rev().for_each(|range| rest.replace_range(range.clone(), "\u{0}"));
            prop_assert!(!rest.contains(&marker));
        }
    }
}
