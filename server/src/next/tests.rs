//! Golden cases, and texts of any kind.
//!
//! In a case, `«old→new»` is what was edited, in the order of the edits, all but the last one some time before; `‹old→new›`
//! is a place that is offered, and what would come of it.

use std::fs;
use std::path::Path;

use lacuna_engine::{Cancel, Language};
use proptest::prelude::*;

use super::{Candidate, Past, TEXT_MAX_BYTES, disjoint, find};
use crate::syntax::parse;

/// The text of a case before its edits, before its last one, and after it; and what is offered, as the case marks it.
struct Case {
    earlier: String,
    before: String,
    after: String,
}

impl Case {
    fn read(marked: &str) -> Self {
        let edits = marked.matches('«').count();
        let (mut earlier, mut before, mut after) = (String::new(), String::new(), String::new());
        let mut seen = 0;
        for part in marked.split_inclusive(['»', '›']) {
            let (plain, mark) = match part.find(['«', '‹']) {
                Some(at) => (&part[..at], &part[at..]),
                None => (part, ""),
            };
            let inner = mark.trim_start_matches(['«', '‹']).trim_end_matches(['»', '›']);
            let (old, new) = inner.split_once('→').unwrap_or((inner, inner));
            let is_edit = mark.starts_with('«');
            seen += usize::from(is_edit);
            let is_last = is_edit && seen == edits;
            for text in [&mut earlier, &mut before, &mut after] {
                text.push_str(plain);
            }
            earlier.push_str(old);
            before.push_str(if is_edit && !is_last { new } else { old });
            after.push_str(if is_edit { new } else { old });
        }
        Self { earlier, before, after }
    }

    fn offered(&self, language: Language) -> Vec<Candidate> {
        let tree = parse(&self.after, language).expect("a grammar");
        let past = Past { earlier: &self.earlier, before: &self.before };
        let found = find(&past, &self.after, &tree, &Cancel::new()).expect("nobody cancels");
        let mut offered = disjoint(found, 0.0);
        offered.retain(Candidate::is_sure);
        offered
    }
}

/// The text after the edits, with the places marked.
fn marked(text: &str, places: &[Candidate]) -> String {
    let mut marked = text.to_owned();
    for place in places.iter().rev() {
        let old = &text[place.byte_range.clone()];
        marked.replace_range(place.byte_range.clone(), &format!("‹{old}→{}›", place.new_text));
    }
    marked
}

#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/next/golden");
    let mut count = 0;
    for entry in fs::read_dir(folder).expect("the cases") {
        let path = entry.expect("a case").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        let language = if name.ends_with(".rs.txt") { Language::Rust } else { Language::Python };
        let wanted = fs::read_to_string(&path).expect("a case");
        let case = Case::read(&wanted);
        // What was edited stands as it now is.
        let mut expected = String::new();
        for part in wanted.split_inclusive('»') {
            match part.split_once('«') {
                Some((plain, edit)) => {
                    let (_, new) = edit.trim_end_matches('»').split_once('→').expect("an edit");
                    expected.extend([plain, new]);
                }
                None => expected.push_str(part),
            }
        }
        assert_eq!(marked(&case.after, &case.offered(language)), expected, "{name}");
        count += 1;
    }
    assert_eq!(count, 5);
}

/// Texts that are a little like code.
fn text() -> impl Strategy<Value = String> {
    let piece = prop::sample::select(vec![
        "a",
        "b",
        "é",
        "日本",
        "f(",
        ")",
        "(",
        "[",
        "]",
        "{",
        "}",
        ", ",
        ".",
        " = ",
        "\n",
        "\r\n",
        "\r",
        "    ",
        "def f(a):",
        "fn g(b: u8) {",
        "let a = b;",
        "\"",
        "# ",
        "// ",
        "import a",
        "use a;",
        "1",
        "→",
    ]);
    prop::collection::vec(piece, 0..60).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn places_fit_any_text(text in text(), new in text(), from in 0usize..100, to in 0usize..100, rust: bool) {
        let language = if rust { Language::Rust } else { Language::Python };
        let byte = |share: usize| text.floor_char_boundary(text.len() * share / 100);
        let range = byte(from.min(to))..byte(from.max(to));
        let inserted: String = new.chars().take(8).collect();
        let after = [&text[..range.start], &inserted, &text[range.end..]].concat();
        let tree = parse(&after, language).expect("a grammar");
        let past = Past { earlier: &new, before: &text };
        let found = find(&past, &after, &tree, &Cancel::new()).expect("nobody cancels");
        for place in &found {
            let old = after.get(place.byte_range.clone());
            prop_assert!(old.is_some(), "{:?} is outside or within a character", place.byte_range);
            prop_assert!((0.0..=1.0).contains(&place.confidence));
        }
        let mut end = None;
        for place in disjoint(found, 0.0) {
            prop_assert!(end.is_none_or(|end| end < place.byte_range.start));
            end = Some(place.byte_range.end);
        }
    }

    /// A tree of another text leads to worse places, never to ones outside the text.
    #[test]
    fn a_tree_that_is_out_of_date_does_no_harm(text in text(), other in text()) {
        let tree = parse(&other, Language::Python).expect("a grammar");
        let past = Past { earlier: &other, before: &other };
        for place in find(&past, &text, &tree, &Cancel::new()).expect("nobody cancels") {
            prop_assert!(text.get(place.byte_range.clone()).is_some());
        }
    }
}

#[test]
fn a_search_can_be_cancelled() {
    let cancel = Cancel::new();
    cancel.cancel();
    let tree = parse("def b(): pass\na()\n", Language::Python).expect("a grammar");
    let past = Past { earlier: "def a(): pass\na()\n", before: "def a(): pass\na()\n" };
    assert!(find(&past, "def b(): pass\na()\n", &tree, &cancel).is_err());
}

#[test]
fn a_text_that_is_too_long_is_left_alone() {
    let after = "def b(): pass\na()\n";
    let tree = parse(after, Language::Python).expect("a grammar");
    let places = |blanks: usize| {
        let before = format!("def a(): pass\na()\n{}", " ".repeat(blanks));
        find(&Past { earlier: &before, before: &before }, after, &tree, &Cancel::new()).expect("nobody cancels").len()
    };
    assert_eq!((places(TEXT_MAX_BYTES - after.len()), places(TEXT_MAX_BYTES - after.len() + 1)), (1, 0));
}
