use lacuna_engine::{Extent, Language};
use proptest::prelude::*;

use super::super::{HoleKind, hole_of_selection, marks, parse};
use super::find_block;

/// Asserts where the block's hole is; without marks there is to be none.
fn check(language: Language, with_caret: &str, with_hole: &str) {
    let (text, caret) = marks::caret(with_caret);
    let found = find_block(&text, parse(&text, language).as_ref(), language, caret);
    let ranges: Vec<_> = found.iter().map(|found| found.byte_range.clone()).collect();
    assert_eq!(marks::mark(&text, &ranges), with_hole, "in {with_caret:?}");
    assert!(found.is_none_or(|found| (found.extent, found.kind) == (Extent::Block, HoleKind::Block)));
}

fn check_none(language: Language, cases: &[&str]) {
    for with_caret in cases {
        check(language, with_caret, &with_caret.replace("$0", ""));
    }
}

#[test]
fn the_end_of_a_rust_block() {
    let check = |with_caret, with_hole| check(Language::Rust, with_caret, with_hole);
    check("fn f() {\n    a();\n    $0\n}\nfn g() {}\n", "fn f() {\n    a();\n    «»\n}\nfn g() {}\n");
    check("fn f() {\n    a();$0\n}\n", "fn f() {\n    a();«»\n}\n");
    check("fn f() {$0\n}\n", "fn f() {«»\n}\n");
    check("fn f() {\n$0  \n\n    }\n", "fn f() {\n«  \n»\n    }\n");
    check("fn f() {\r\n    $0 \r\n\r\n}\r\n", "fn f() {\r\n    « \r\n»\r\n}\r\n");
    check(
        "fn f() {\n    if a {\n        $0\n    }\n    b();\n}",
        "fn f() {\n    if a {\n        «»\n    }\n    b();\n}",
    );
    check(
        "fn f() {\n    match a {\n        1 => b(),$0\n    }\n}",
        "fn f() {\n    match a {\n        1 => b(),«»\n    }\n}",
    );
    check("impl A {\n    fn f() {}\n\n    $0\n}\n", "impl A {\n    fn f() {}\n\n    «»\n}\n");
}

#[test]
fn no_end_of_a_rust_block() {
    let cases = [
        "$0",
        "fn f() {}\n$0\n",
        "fn f() {\n    $0a();\n}\n",
        "fn f() {\n    $0\n    a();\n}\n",
        "fn f() { $0 }",
        "fn f() {\n    g(\"\n$0\n}\");\n}\n",
        "fn f() {\n    // a $0\n}\n",
        "fn f() {\n    $0\n    // a\n}\n",
        "fn f() {\n    A {\n        b: 1,\n        $0\n    }\n}\n",
        "}\n$0\n}\n",
    ];
    check_none(Language::Rust, &cases);
    check_none(Language::Text, &["fn f() {\n    $0\n}\n"]);
    assert_eq!(find_block("fn f() {\n    \n}\n", None, Language::Rust, 13), None);
}

#[test]
fn the_end_of_a_python_suite() {
    let check = |with_caret, with_hole| check(Language::Python, with_caret, with_hole);
    check("def f():\n    a()\n    $0\n\n\ndef g(): pass\n", "def f():\n    a()\n    «»\n\n\ndef g(): pass\n");
    check("def f():\n    a()\n    $0", "def f():\n    a()\n    «»");
    check("def f():\n    a()$0 \n", "def f():\n    a()« »\n");
    check("def f():$0\n", "def f():«»\n");
    check("def f():\n    $0\n", "def f():\n    «»\n");
    check("if a:\n    b()\n    $0\nelse:\n    c()\n", "if a:\n    b()\n    «»\nelse:\n    c()\n");
    check("def f():\n    if a:\n        b()\n    $0\n", "def f():\n    if a:\n        b()\n    «»\n");
    check(
        "def f():\n    if a:\n        b()\n        $0\n    c()\n",
        "def f():\n    if a:\n        b()\n        «»\n    c()\n",
    );
    check("def f():\r\n    a()\r\n    $0\r\n", "def f():\r\n    a()\r\n    «»\r\n");
    check("def f():\n    a()\n    $0\n# b\ndef g(): pass\n", "def f():\n    a()\n    «»\n# b\ndef g(): pass\n");
}

#[test]
fn no_end_of_a_python_suite() {
    let cases = [
        "$0",
        "a()\n$0\n",
        "def f():\n    a()\n\n\n$0\n",
        "def f():\n    $0\n    a()\n",
        "def f():\n    a()$0\n    b()\n",
        "def f():\n    if a:\n        b()\n    $0\n    c()\n",
        "def f():\n    $0\n    # a\n",
        "def f():\n    a()\n    $0\n# b\n    c()\n",
        "def f():\n    $0a()\n",
        "def f():\n    a(\n        b,\n        $0\n    )\n",
        "def f():\n    a(\n        b,\n        $0\n    c)\n",
        "def f():\n    \"\"\"a\n    $0\n    \"\"\"\n",
    ];
    check_none(Language::Python, &cases);
}

#[test]
fn a_selection_without_the_blanks_around_it() {
    let check = |with_selection, with_hole, extent| {
        let (text, selections) = marks::holes(with_selection);
        let found = hole_of_selection(&text, selections[0].clone()).unwrap();
        assert_eq!(marks::mark(&text, &[found.byte_range]), with_hole, "in {with_selection:?}");
        assert_eq!((found.extent, found.kind), (extent, HoleKind::Range));
    };
    check("a«bc»d", "a«bc»d", Extent::Line);
    check("{\n«    a();\n»}", "{\n    «a();»\n}", Extent::Line);
    check("{\r\n«    a();\r\n    b();\r\n»}", "{\r\n    «a();\r\n    b();»\r\n}", Extent::Block);
    check("«\n\t é \n»", "\n\t «é» \n", Extent::Line);
}

#[test]
fn a_selection_with_edges_where_no_caret_can_be() {
    assert_eq!(hole_of_selection("aé", 0..2).unwrap().byte_range, 0..1);
    assert_eq!(hole_of_selection("a\r\nb", 2..9).unwrap().byte_range, 3..4);
    for (text, range) in [("", 0..9), ("a \r\n\t b", 1..6), ("ab", 1..1)] {
        assert_eq!(hole_of_selection(text, range), None, "in {text:?}");
    }
}

fn code() -> impl Strategy<Value = String> {
    let parts = "fn f()|{|}|\n|\r\n|\r|    |\t|def g(x):|if a:|b()|;|\"|'|// a|/*|*/|# b|é|(|)|\u{2028}|\"\"\"|match a";
    let part = prop::sample::select(parts.split('|').collect::<Vec<_>>());
    prop_oneof![prop::collection::vec(part, 0..30).prop_map(|parts| parts.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn any_hole_is_inside_the_text(text in code(), other in code(), start in 0_usize..100, end in 0_usize..100) {
        let is_caret = |edge: usize| !(text[..edge].ends_with('\r') && text[edge..].starts_with('\n'));
        for language in [Language::Rust, Language::Python] {
            for tree in [parse(&text, language), parse(&other, language)] {
                if let Some(found) = find_block(&text, tree.as_ref(), language, start) {
                    prop_assert!(text[found.byte_range.clone()].trim().is_empty());
                    prop_assert!(is_caret(found.byte_range.start) && is_caret(found.byte_range.end));
                }
            }
        }
        if let Some(found) = hole_of_selection(&text, start..end) {
            let selected = &text[found.byte_range.clone()];
            prop_assert!(!selected.is_empty() && selected.trim() == selected);
            prop_assert!(is_caret(found.byte_range.start) && is_caret(found.byte_range.end));
        }
    }
}
