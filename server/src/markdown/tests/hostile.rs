use proptest::prelude::*;

use super::*;

#[test]
fn nothing_and_next_to_nothing() {
    for text in
        ["", "\n", "\u{feff}", "\r\n\r\n", "\0", "a\0b\n", " ", "\t\n", "```", "~~~\n", "#", "-", ">", "|", "[", "\\"]
    {
        laid_out(text);
    }
}

#[test]
fn the_end_of_the_text_and_of_its_lines() {
    assert_eq!(laid_out("a").text, "a\n");
    assert_eq!(laid_out("a\n\n\n").text, "a\n");
    assert_eq!(laid_out("").text, "");
    assert_eq!(laid_out("\u{feff}#  a\r\n\r\n\r\nb").text, "\u{feff}# a\r\n\r\nb\r\n");
    assert_eq!(laid_out("a  b\rc\r").text, "a b\rc\r");
    // A line that stays keeps its own.
    assert_eq!(laid_out("#  a\nb\r\nc\r\nd\n\n```\ncode\n```\r\n").text, "# a\n\nb\r\nc\r\nd\n\n```\ncode\n```\r\n");
}

#[test]
fn deep_nesting_and_long_lines() {
    let deep = 20_000;
    for text in [
        ">".repeat(deep) + " a\n",
        "- ".repeat(deep) + "a\n",
        "* _".repeat(deep),
        "[".repeat(deep),
        "![".repeat(deep) + "a",
        "*a **b ".repeat(deep / 10),
        "`".repeat(deep),
        "<b>".repeat(deep),
        "a".repeat(1 << 20),
        "a ".repeat(1 << 18),
        "> ".repeat(100) + "```\nx\n",
        "|".repeat(2_000) + "\n" + &"|-".repeat(1_000) + "|\n",
    ] {
        let formatted = laid_out(&text);
        // What cannot be formatted is left alone, and says so.
        assert!(formatted.note.is_none() || formatted.text == text, "{:?}", formatted.note);
    }
}

#[test]
fn front_matter_stays() {
    let text = "---\ntitle:   a\nlist:\n    - b\n---\n\n#  c\n";
    assert_eq!(laid_out(text).text, text.replace("#  c", "# c"));
    let text = "+++\ntitle   = 1\n+++\n\n*   c\n";
    assert_eq!(laid_out(text).text, text.replace("*   c", "* c"));
}

const BEGINNINGS: &[&str] = &[
    "", "", "# ", "##", "- ", "* ", "1. ", "3) ", "> ", "> > ", "    ", "\t", "  - ", "| ", "```", "~~~ ", "[^1]: ",
    "<p>", "• ", "– ",
];
const MIDDLES: &[&str] = &[
    "word",
    "two words",
    "*em*",
    "__strong__",
    "a_b_c",
    "`code`",
    "[link](<u r> 'title')",
    "[r]",
    "![i](u)",
    "<b>x</b>",
    "https://example.org/a_b",
    "a | b |",
    "--- | :-: |",
    "---",
    "===",
    "\\*",
    "&amp;",
    "1986. A year",
    "$x_1$",
    "$ cargo run",
    "[r]: /url \"t\"",
    "- [ ] task",
    "~~no~~",
    "a  \nb",
    "a\\\nb",
    "é漢🦀",
    "fn main() {",
    "}",
    "",
];
const ENDS: &[&str] = &["\n", "\n", "\n\n", "\r\n", " \n"];

/// Lines that make blocks of every kind, put together anyhow.
fn markdown() -> impl Strategy<Value = String> {
    let line = (prop::sample::select(BEGINNINGS), prop::sample::select(MIDDLES), prop::sample::select(ENDS));
    let lines = prop::collection::vec(line, 0..14);
    lines
        .prop_map(|lines| lines.into_iter().map(|(beginning, middle, end)| [beginning, middle, end].concat()).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_markdown_stays_the_same_document(text in markdown()) {
        laid_out(&text);
    }

    #[test]
    fn any_text_stays_the_same_document(text in any::<String>()) {
        laid_out(&text);
    }

    #[test]
    fn ranges_anywhere(text in markdown(), start in 0..200_usize, length in 0..50_usize) {
        let formatted = format(&text, None, Some(start..start + length), &Cancel::new()).unwrap();
        prop_assert_eq!(difference(&with_last_end(&text), &formatted.text), None);
    }
}
