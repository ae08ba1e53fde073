use proptest::prelude::*;
use tree_sitter::TreeCursor;

use super::*;

const LONG: Duration = Duration::from_secs(60);

/// Every node with what it is and where it stands, in bytes and in points.
fn nodes(tree: &Tree) -> Vec<String> {
    fn walk(cursor: &mut TreeCursor<'_>, found: &mut Vec<String>) {
        let node = cursor.node();
        let flags = (node.is_error(), node.is_missing(), cursor.field_name());
        found.push(format!("{} {:?} {flags:?}", node.kind(), node.range()));
        if cursor.goto_first_child() {
            loop {
                walk(cursor, found);
                if !cursor.goto_next_sibling() {
                    break;
                }
            }
            cursor.goto_parent();
        }
    }
    let mut found = Vec::new();
    walk(&mut tree.walk(), &mut found);
    found
}

fn fresh(text: &Rope, language: Language) -> Tree {
    super::super::parse(&text.to_string(), language).unwrap()
}

fn text() -> impl Strategy<Value = String> {
    let parts = "fn f() {\n    a(b);\n}\n|def f(a):\n    return a\n|{|}|(|)|\n|\r\n|\r|    |\t|if a:\r\n|; |\"|'|//|#|é|🦀|漢| x |1|\"\"\"|/*";
    let part = prop::sample::select(parts.split('|').collect::<Vec<_>>());
    prop::collection::vec(part, 0..6).prop_map(|parts| parts.concat())
}

fn apply(rope: &mut Rope, tree: &mut SyntaxTree, from: f64, length: usize, inserted: &str) {
    let floor = |char_index: usize| rope.char_to_byte(char_index.min(rope.len_chars()));
    let start_char = (from * (rope.len_chars() + 1) as f64) as usize;
    let removed = floor(start_char)..floor(start_char + length);
    tree.edit(rope, removed.clone(), inserted);
    let (start, end) = (rope.byte_to_char(removed.start), rope.byte_to_char(removed.end));
    rope.remove(start..end);
    rope.insert(start, inserted);
}

proptest! {
    #[test]
    fn after_any_edits_the_tree_is_that_of_a_fresh_parse(
        begin in prop::collection::vec(text(), 0..12),
        edits in prop::collection::vec((0.0..1.0, 0usize..12, text(), any::<bool>()), 1..24),
        rust in any::<bool>(),
    ) {
        let language = if rust { Language::Rust } else { Language::Python };
        let mut rope = Rope::from_str(&begin.concat());
        let mut tree = SyntaxTree::new(&rope, language).unwrap();
        prop_assert!(tree.reparse(&rope, LONG));
        for (from, length, inserted, parses) in &edits {
            apply(&mut rope, &mut tree, *from, *length, inserted);
            if *parses {
                prop_assert!(tree.reparse(&rope, LONG));
                prop_assert_eq!(nodes(tree.tree().unwrap()), nodes(&fresh(&rope, language)), "{:?}", rope);
            }
        }
    }
}

#[test]
fn a_parse_that_ran_out_of_time_goes_on_later() {
    let rope = Rope::from_str(&"fn f() { g(1 + 2) }\n".repeat(20_000));
    let mut tree = SyntaxTree::new(&rope, Language::Rust).unwrap();
    assert!(!tree.reparse(&rope, Duration::ZERO));
    assert!(tree.tree().is_none() && !tree.is_current());
    assert!(tree.reparse(&rope, LONG));
    assert_eq!(tree.tree().unwrap().root_node().end_byte(), rope.len_bytes());
    assert!(!tree.tree().unwrap().root_node().has_error());
}

#[test]
fn an_edit_of_another_text_begins_anew() {
    let mut tree = SyntaxTree::new(&Rope::from_str("fn f() {}"), Language::Rust).unwrap();
    let other = Rope::from_str("fn g() { h() }\n");
    assert!(tree.reparse(&Rope::from_str("fn f() {}"), LONG));
    tree.edit(&other, 3..9_000, "x");
    assert!(tree.reparse(&other, LONG));
    assert_eq!(nodes(tree.tree().unwrap()), nodes(&fresh(&other, Language::Rust)));
}

#[test]
fn there_is_no_tree_without_a_grammar() {
    assert!(SyntaxTree::new(&Rope::new(), Language::Text).is_none());
}
