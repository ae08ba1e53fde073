use proptest::prelude::*;

use super::*;
use crate::cli::fake::piece;

const READING: Progress<'_> = Progress::Reading { model: "m" };

fn text_of(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.iter().map(|(character, _)| character).collect::<String>()).collect()
}

fn frame(text: &str, at: usize, pieces: &[Piece], columns: usize, height: Option<usize>) -> Vec<String> {
    let rows = compose(&Scene::around(text, &(at..at)), pieces, &READING, columns, height);
    text_of(&rows)[1..].to_vec()
}

#[test]
fn the_hole_stands_in_its_lines() {
    let text = "1\n2\n3\n4\n5\n6\nab\n8\n9\n10\n11\n12\n13\n";
    let pieces = [piece("X\n\tY", true, 1.0)];
    let rows = frame(text, 13, &pieces, 40, None);
    let expected =
        [" 3 │ 3", " 4 │ 4", " 5 │ 5", " 6 │ 6", " 7 │ aX", " 8 │     Yb", " 9 │ 8", "10 │ 9", "11 │ 10", "12 │ 11"];
    assert_eq!(rows, expected);
}

#[test]
fn the_ends_of_a_file() {
    assert_eq!(frame("", 0, &[], 40, None), ["1 │ ···"]);
    assert_eq!(frame("a\n", 0, &[], 40, None), ["1 │ ···a"]);
    assert_eq!(frame("a\n", 2, &[], 40, None), ["1 │ a", "2 │ ···"]);
    assert_eq!(frame("a\r\nb\rc", 1, &[], 40, None), ["1 │ a···", "2 │ b", "3 │ c"]);
}

#[test]
fn certainty_is_a_tone() {
    let pieces = [
        piece("s", true, 0.0),
        piece("l", false, 0.6),
        piece("f", false, 0.3),
        piece("a word", false, 0.01),
        piece("", false, 0.0),
        piece("", true, 1.0),
    ];
    let rows = compose(&Scene::around("", &(0..0)), &pieces, &READING, 40, None);
    let tones: Vec<_> = rows[1].iter().skip(4).copied().collect();
    assert_eq!(tones, [('s', Tone::Settled), ('l', Tone::Likely), ('f', Tone::Faint), ('·', Tone::Unknown)]);
}

#[test]
fn long_lines_are_wrapped_at_the_hole_and_cut_elsewhere() {
    let text = format!("{}\n{}\n", "a".repeat(50), "b".repeat(50));
    let rows = frame(&text, 51 + 50, &[piece("漢字漢字漢字漢字", true, 1.0)], 20, None);
    let expected = ["1 │ aaaaaaaaaaaaaaa…", "2 │ …bbbbbbbbbb漢字", "  │ 漢字漢字漢字"];
    assert_eq!(rows, expected);
}

#[test]
fn a_low_terminal_keeps_what_is_next_to_the_hole() {
    let text = "1\n2\n3\n4\n5\n";
    assert_eq!(frame(text, 4, &[], 40, Some(4)), ["3 │ ···3", "4 │ 4", "5 │ 5"]);
    assert_eq!(frame(text, 4, &[], 40, Some(5)), ["2 │ 2", "3 │ ···3", "4 │ 4", "5 │ 5"]);
    assert_eq!(frame(text, 4, &[piece("a\nb\nc", true, 1.0)], 40, Some(3)), ["3 │ a", "4 │ b"]);
    assert_eq!(frame(text, 4, &[], 40, Some(0)).len(), 1);
}

#[test]
fn a_narrow_terminal_has_no_line_numbers() {
    assert_eq!(frame("abcdef\nx\n", 7, &[piece("漢字", true, 1.0)], 3, None), ["ab…", "漢", "字x"]);
}

#[test]
fn progress_counts() {
    let pieces = [piece("a", true, 1.0), piece("b", false, 0.5)];
    let progress = Progress::Denoising { model: "m", step: 3, limit: 32 };
    let rows = compose(&Scene::around("", &(0..0)), &pieces, &progress, 60, None);
    assert_eq!(text_of(&rows)[0], "m · step 3 of 32 · ━━━━━━━──────── 1 of 2 settled");
}

proptest! {
    #[test]
    fn nothing_is_wider_or_higher_than_the_screen(
        before in any::<String>(),
        after in any::<String>(),
        texts in prop::collection::vec(any::<String>(), 0..8),
        columns in 1_usize..60,
        height in 2_usize..12,
    ) {
        let pieces: Vec<_> = texts.iter().map(|text| piece(text, text.len() % 2 == 0, 0.3)).collect();
        let text = format!("{before}{after}");
        let at = crate::syntax::hole_of_range(&text, before.len()..before.len()).byte_range;
        let rows = compose(&Scene::around(&text, &at), &pieces, &READING, columns, Some(height));
        prop_assert!(rows.len() <= height);
        for row in &rows {
            prop_assert!(width_of(row) <= columns);
            prop_assert!(row.iter().all(|(character, _)| !character.is_control()));
        }
    }
}
