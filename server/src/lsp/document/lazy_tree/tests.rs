use std::time::Duration;

use lacuna_engine::Language;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use proptest::prop_oneof;
use tower_lsp::ls_types::{Range, TextDocumentContentChangeEvent};
use tree_sitter::{Tree, TreeCursor};

use super::MAX_EDITS;
use crate::lsp::document::Document;
use crate::lsp::positions::{Encoding, position_of_byte};
use crate::syntax;

const LONG: Duration = Duration::from_secs(60);

/// What happens to a document, at places that are a share of what there is to choose from.
#[derive(Clone, Debug)]
enum Event {
    /// Puts a statement in front of a line.
    Insert(f64, String),
    /// Takes some lines out.
    Remove(f64, f64),
    /// Replaces everything.
    Whole(String),
    Snapshot,
    /// Asks a snapshot for its tree.
    Parse(f64),
}

fn statements(language: Language) -> Vec<&'static str> {
    match language {
        Language::Rust => {
            vec![
                "fn f(a: u8) -> u8 { g(a) }\n",
                "// 漢 😀\r\n",
                "const A: &str = \"é\\r\";\r\n",
                "fn g() {\n    h();\n}\n",
            ]
        }
        _ => vec!["def f(a):\n    return g(a)\n", "# 漢 😀\r\n", "a = 'é'\r\n", "if a:\n  b()\nelse:\n  c()\n"],
    }
}

fn event(language: Language) -> impl Strategy<Value = Event> {
    let statement = || proptest::sample::select(statements(language)).prop_map(str::to_owned);
    let whole = proptest::collection::vec(statement(), 0..8).prop_map(|statements| Event::Whole(statements.concat()));
    prop_oneof![
        6 => (0.0..1.0, statement()).prop_map(|(at, statement)| Event::Insert(at, statement)),
        2 => (0.0..1.0, 0.0..0.4).prop_map(|(at, share)| Event::Remove(at, share)),
        1 => whole,
        2 => any::<bool>().prop_map(|_| Event::Snapshot),
        3 => (0.0..1.0).prop_map(Event::Parse),
    ]
}

fn change(document: &Document, from_line: usize, to_line: usize, text: &str) -> TextDocumentContentChangeEvent {
    let position = |line| position_of_byte(&document.text, document.text.line_to_byte(line), Encoding::Utf16);
    let range = Some(Range::new(position(from_line), position(to_line)));
    TextDocumentContentChangeEvent { range, range_length: None, text: text.to_owned() }
}

fn share_of(count: usize, share: f64) -> usize {
    (count as f64 * share) as usize
}

/// Every node with where it stands; `None` for what may be understood in more than one way.
fn nodes(tree: &Tree) -> Option<Vec<String>> {
    fn walk(cursor: &mut TreeCursor<'_>, found: &mut Vec<String>) {
        let node = cursor.node();
        found.push(format!("{} {:?}", node.kind(), node.range()));
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
    (!tree.root_node().has_error()).then_some(found)
}

/// The nodes as the document has them, and as a parse that knows of no edits has them.
fn both(document: &Document) -> [Option<Vec<String>>; 2] {
    let fresh = syntax::parse(&document.text.to_string(), document.language).expect("a grammar");
    [nodes(&document.tree(LONG).expect("a tree")), nodes(&fresh)]
}

fn run(language: Language, events: &[Event]) -> Result<(), proptest::test_runner::TestCaseError> {
    let mut document = Document::new(&statements(language).concat(), 0, language);
    let mut snapshots = vec![document.clone()];
    for event in events {
        let lines = document.text.len_lines();
        let change = match event {
            Event::Insert(at, statement) => change(&document, share_of(lines, *at), share_of(lines, *at), statement),
            Event::Remove(at, share) => {
                let from = share_of(lines, *at);
                change(&document, from, from + share_of(lines - from, *share), "")
            }
            Event::Whole(text) => {
                TextDocumentContentChangeEvent { range: None, range_length: None, text: text.clone() }
            }
            Event::Snapshot => {
                snapshots.push(document.clone());
                continue;
            }
            Event::Parse(which) => {
                let [tree, fresh] = both(&snapshots[share_of(snapshots.len(), *which)]);
                prop_assert_eq!(tree, fresh);
                continue;
            }
        };
        document.apply(&change, Encoding::Utf16);
    }
    let [tree, fresh] = both(&document);
    prop_assert_eq!(tree, fresh);
    Ok(())
}

proptest! {
    #![proptest_config(proptest::test_runner::Config { cases: 96, ..Default::default() })]

    #[test]
    fn every_snapshot_has_the_tree_of_a_fresh_parse_in_rust(
        events in proptest::collection::vec(event(Language::Rust), 1..40),
    ) {
        run(Language::Rust, &events)?;
    }

    #[test]
    fn every_snapshot_has_the_tree_of_a_fresh_parse_in_python(
        events in proptest::collection::vec(event(Language::Python), 1..40),
    ) {
        run(Language::Python, &events)?;
    }
}

#[test]
fn more_edits_than_are_remembered_mean_a_parse_from_the_beginning() {
    for edits in [MAX_EDITS - 1, MAX_EDITS, MAX_EDITS + 1, 3 * MAX_EDITS] {
        let mut document = Document::new("fn main() {}\n", 0, Language::Rust);
        document.tree(LONG).expect("a tree");
        for edit in 0..edits {
            let line = edit % document.text.len_lines();
            document.apply(&change(&document, line, line, "fn f() { g() }\n"), Encoding::Utf8);
        }
        let [tree, fresh] = both(&document);
        assert!(tree.is_some());
        assert_eq!(tree, fresh, "after {edits} edits");
        assert!(document.tree.log.edits.len() <= MAX_EDITS);
    }
}

#[test]
fn an_unfinished_parse_goes_on_where_it_stopped() {
    let document = Document::new(&"fn f() { g(1 + 2) }\n".repeat(5_000), 0, Language::Rust);
    assert!(document.tree(Duration::ZERO).is_none());
    assert_eq!(document.tree(LONG).expect("a tree").root_node().end_byte(), document.text.len_bytes());
}

#[test]
fn a_document_without_a_grammar_remembers_no_edits() {
    let mut document = Document::new("a\n", 0, Language::Text);
    document.apply(&change(&document, 0, 0, "b\n"), Encoding::Utf8);
    assert!(document.tree(LONG).is_none() && document.tree.log.edits.is_empty());
}
