use lacuna_engine::{Extent, Language};
use proptest::prelude::*;

use super::super::{marks, parse};
use super::{FoundHole, HoleKind, find_hole, hole_of_range};

/// Asserts where the hole at the caret is and how far it goes.
fn check(language: Language, with_caret: &str, with_hole: &str, extent: Extent) {
    let (text, caret) = marks::caret(with_caret);
    let found = find_hole(&text, parse(&text, language).as_ref(), language, caret);
    assert_eq!(marks::mark(&text, std::slice::from_ref(&found.byte_range)), with_hole, "in {with_caret:?}");
    assert_eq!(found.extent, extent, "in {with_caret:?}");
}

fn check_rust(with_caret: &str, with_hole: &str, extent: Extent) {
    check(Language::Rust, with_caret, with_hole, extent);
}

fn check_python(with_caret: &str, with_hole: &str, extent: Extent) {
    check(Language::Python, with_caret, with_hole, extent);
}

#[test]
fn the_rest_of_a_line_that_has_begun() {
    check_rust("let total = $0\nfoo();", "let total = «»\nfoo();", Extent::Line);
    check_rust("fn main() {\n    let x = foo($0\n}", "fn main() {\n    let x = foo(«»\n}", Extent::Line);
    check_rust("let x: $0", "let x: «»", Extent::Line);
    check_python("def f():\n    return $0", "def f():\n    return «»", Extent::Line);
    check(Language::Text, "Dear reader$0", "Dear reader«»", Extent::Line);
}

#[test]
fn blanks_after_the_caret_are_replaced() {
    check_rust("let a = $0  \nlet b;", "let a = «  »\nlet b;", Extent::Line);
    check_rust("fn f() {\n  $0 \t\n}", "fn f() {\n  « \t»\n}", Extent::Block);
}

#[test]
fn what_follows_on_the_line_stays() {
    check_rust("foo($0);", "foo(«»);", Extent::Line);
    check_rust("fn f() {$0}", "fn f() {«»}", Extent::Line);
    check_rust("$0fn f() {}", "«»fn f() {}", Extent::Line);
    check_python("    $0x = 1\n", "    «»x = 1\n", Extent::Line);
}

#[test]
fn a_word_may_be_split() {
    check_rust("let x = iter().enum$0erate();", "let x = iter().enum«»erate();", Extent::Line);
    check_python("pri$0", "pri«»", Extent::Line);
}

#[test]
fn a_block_after_what_opens_one() {
    check_rust("fn f() -> u8 {$0\n}", "fn f() -> u8 {«»\n}", Extent::Block);
    check_rust("if x { $0", "if x { «»", Extent::Block);
    check_python("def f(x):$0", "def f(x):«»", Extent::Block);
    check_python("for x in xs: $0\n", "for x in xs: «»\n", Extent::Block);
    check_python("async def f(\n    x,\n) -> int:$0\n", "async def f(\n    x,\n) -> int:«»\n", Extent::Block);
    check_python("try:\n    f()\nexcept:$0", "try:\n    f()\nexcept:«»", Extent::Block);
    check_python("x = {$0\n}", "x = {«»\n}", Extent::Block);
    check(Language::Text, "while (true) {$0\n", "while (true) {«»\n", Extent::Block);
}

#[test]
fn a_colon_that_opens_no_block() {
    check_python("x = {\n    'a':$0\n}", "x = {\n    'a':«»\n}", Extent::Line);
    check_python("x:$0", "x:«»", Extent::Line);
    check_python("key = lambda row:$0", "key = lambda row:«»", Extent::Line);
    check_rust("let s = Point { x:$0\n};", "let s = Point { x:«»\n};", Extent::Line);
}

#[test]
fn a_block_on_a_blank_line() {
    check_rust("fn f() {\n    $0\n}", "fn f() {\n    «»\n}", Extent::Block);
    check_rust("fn f() {\n\t\t$0\n}", "fn f() {\n\t\t«»\n}", Extent::Block);
    check_rust("use a;\n$0\nfn f() {}", "use a;\n«»\nfn f() {}", Extent::Block);
    check(Language::Markdown, "# Title\n\n$0", "# Title\n\n«»", Extent::Block);
}

#[test]
fn either_end_of_the_file() {
    for language in [Language::Text, Language::Rust, Language::Python, Language::Markdown] {
        check(language, "$0", "«»", Extent::Block);
        check(language, "$0\nabc\n", "«»\nabc\n", Extent::Block);
        check(language, "$0abc", "«»abc", Extent::Line);
        check(language, "abc\n$0", "abc\n«»", Extent::Block);
        check(language, "abc$0", "abc«»", Extent::Line);
    }
}

#[test]
fn a_line_in_a_string_or_comment() {
    check_rust("fn f() {\n    // todo: {$0\n}", "fn f() {\n    // todo: {«»\n}", Extent::Line);
    check_rust("/// Opens {$0\nfn f() {}", "/// Opens {«»\nfn f() {}", Extent::Line);
    check_rust("/// Opens\n$0\nfn f() {}", "/// Opens\n«»\nfn f() {}", Extent::Block);
    check_rust("/* a\n$0\n*/", "/* a\n«»\n*/", Extent::Line);
    check_rust("/* a */ {$0", "/* a */ {«»", Extent::Block);
    check_rust("let s = \"a {$0\nb\";", "let s = \"a {«»\nb\";", Extent::Line);
    check_rust("let s = r#\"\n$0\n\"#;", "let s = r#\"\n«»\n\"#;", Extent::Line);
    check_python(
        "def f():\n    \"\"\"Words\n    $0\n    \"\"\"",
        "def f():\n    \"\"\"Words\n    «»\n    \"\"\"",
        Extent::Line,
    );
    check_python("x = 1  # if:$0\n", "x = 1  # if:«»\n", Extent::Line);
    check_python("if x == ':':$0\n", "if x == ':':«»\n", Extent::Block);
}

#[test]
fn other_line_ends() {
    check_rust("fn f() {$0\r\n}\r\n", "fn f() {«»\r\n}\r\n", Extent::Block);
    check_rust("let a = $0 \r\nlet b;", "let a = « »\r\nlet b;", Extent::Line);
    check_rust("a\r$0\rb", "a\r«»\rb", Extent::Block);
    check_python("if x:\r\n    $0\r\n", "if x:\r\n    «»\r\n", Extent::Block);
}

#[test]
fn a_separator_that_ends_no_line() {
    check(Language::Text, "a$0\u{2028}b", "a«»\u{2028}b", Extent::Line);
}

#[test]
fn a_file_far_beyond_the_context() {
    let function = "fn f() {\n    g();\n}\n".repeat(20_000);
    let with_caret = format!("{function}fn last() {{$0\n}}\n{function}");
    let with_hole = with_caret.replace("$0", "«»");
    check_rust(&with_caret, &with_hole, Extent::Block);
}

#[test]
fn brackets_a_hundred_thousand_deep() {
    let brackets = "(".repeat(100_000);
    check_python(&format!("{brackets}$0"), &format!("{brackets}«»"), Extent::Line);
    check_rust(&format!("{brackets}\"{{$0\""), &format!("{brackets}\"{{«»\""), Extent::Line);
}

#[test]
fn an_offset_that_is_no_caret() {
    let at = |text, byte_offset| find_hole(text, None, Language::Text, byte_offset).byte_range;
    assert_eq!(at("ab", 99), 2..2);
    assert_eq!(at("é", 1), 0..0);
    assert_eq!(at("a\r\nb", 2), 1..1);
}

#[test]
fn a_range_is_taken_as_it_is() {
    let of = |text, byte_range| hole_of_range(text, byte_range);
    let hole = |byte_range, extent| FoundHole { byte_range, extent, kind: HoleKind::Range };
    assert_eq!(of("let a = b;", 8..9), hole(8..9, Extent::Line));
    assert_eq!(of("a\nb\n", 0..3), hole(0..3, Extent::Block));
    assert_eq!(of("a\rb", 1..2), hole(1..2, Extent::Block));
    assert_eq!(of("a\r\nb", 0..2), hole(0..1, Extent::Line));
    #[expect(clippy::reversed_empty_ranges, reason = "a caller may pass one")]
    let reversed = of("abc", 2..1);
    assert_eq!(reversed, hole(1..1, Extent::Line));
}

fn language() -> impl Strategy<Value = Language> {
    prop::sample::select(vec![Language::Text, Language::Rust, Language::Python, Language::Markdown])
}

fn code() -> impl Strategy<Value = String> {
    let parts =
        "fn f()|{|}|\n|\r\n|\r|    |\t|def g(x):|pass|...|todo!()|;|\"|'|// a|/*|*/|# b|é|🦀|漢|\"\"\"|class C:|r#\"";
    let part = prop::sample::select(parts.split('|').collect::<Vec<_>>());
    prop_oneof![prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat()), any::<String>()]
}

fn assert_is_inside(text: &str, range: &std::ops::Range<usize>) {
    assert!(text.get(range.clone()).is_some(), "{range:?} of {text:?}");
    for edge in [range.start, range.end] {
        assert!(!(text[..edge].ends_with('\r') && text[edge..].starts_with('\n')), "{edge} splits a line end");
    }
}

proptest! {
    #[test]
    fn any_hole_is_inside_the_text(text in code(), language in language(), byte_offset in 0_usize..200) {
        let found = find_hole(&text, parse(&text, language).as_ref(), language, byte_offset);
        assert_is_inside(&text, &found.byte_range);
        prop_assert!(text[found.byte_range.clone()].trim().is_empty());
        prop_assert!(!text[found.byte_range].contains(['\n', '\r']));
    }

    #[test]
    fn any_tree_will_do(text in code(), other in code(), language in language(), byte_offset in 0_usize..200) {
        let found = find_hole(&text, parse(&other, language).as_ref(), language, byte_offset);
        assert_is_inside(&text, &found.byte_range);
    }

    #[test]
    fn any_range_is_inside_the_text(text in code(), start in 0_usize..200, end in 0_usize..200) {
        assert_is_inside(&text, &hole_of_range(&text, start..end).byte_range);
    }
}

#[test]
fn a_selection_keeps_its_edges() {
    let of = |text: &str, range| super::hole_of_selection(text, range).map(|hole| text[hole.byte_range].to_owned());
    assert_eq!(of("    a();\n    b();\n", 0..18).as_deref(), Some("a();\n    b();"));
    assert_eq!(of("a\r\nb\r\n", 0..5).as_deref(), Some("a\r\nb"));
    assert_eq!(of("é + 1", 1..4).as_deref(), Some("é +"));
    assert_eq!(of("  \n  ", 0..5), None);
    assert_eq!(of("ab", 7..9), None);
}
