use std::collections::BTreeMap;

use lacuna_engine::{Excerpt, Language};
use proptest::prelude::{Just, ProptestConfig, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::sample::Index;

use super::{EXCERPTS_MAX_BYTES, OtherFile, Parts, Places, choose};
use crate::syntax::parse;

const SHAPES: &str = "//! Shapes.\n\nuse std::fmt;\n\n/// A circle, by its radius, where its centre lies on the \
page, what it is drawn in, and with what.\n#[derive(Debug)]\npub struct Circle \
{\n    pub radius_mm: f64,\n    pub centre: (f64, f64),\n    pub colour: String,\n    pub line_width_mm: f64,\n}\n\n\
impl Circle {\n    /// In square millimetres, as if it were drawn with a line that has no width; what the line itself \
covers beyond that is for those to know who draw it, because they alone see what it is drawn with.\n    pub fn area(&self) -> f64 {\n        self.radius_mm * self.radius_mm \
* 3.0\n    }\n}\n\nfn unrelated() -> &'static str {\n    \"nothing of any of this, which is long enough to be a part of \
its own, and goes on, and on, and on, and on, and on, and on, and on, and on, and on, and on, and on, and on, and on, and \
on, and on, and on, and on, and on, and on, and on\"\n}\n";

/// The parts of other Rust files that bear on the place at `$0`.
fn chosen(marked: &str, others: &[(&str, &str)]) -> Vec<Excerpt> {
    let at = marked.find("$0").unwrap();
    let text = marked.replace("$0", "");
    let others: Vec<OtherFile> =
        others.iter().map(|(path, text)| OtherFile::new(*path, text, Language::Rust)).collect();
    let tree = parse(&text, Language::Rust);
    choose(&Places { text: &text, tree: tree.as_ref(), language: Language::Rust, bytes: &[at] }, &others)
}

fn parts(text: &str, language: Language) -> Vec<String> {
    let parts = Parts::new(text, parse(text, language).as_ref(), language);
    parts.iter().map(|part| part.text.to_owned()).collect()
}

#[test]
fn a_part_is_an_item_with_what_is_said_of_it() {
    let found = parts(SHAPES, Language::Rust);
    assert_eq!(found.concat(), SHAPES);
    assert_eq!(found.len(), 3, "{found:#?}");
    assert!(found[0].ends_with("line_width_mm: f64,\n}\n") && found[0].contains("/// A circle"), "{found:#?}");
    assert!(found[1].starts_with("\nimpl Circle") && found[2].starts_with("\nfn unrelated"), "{found:#?}");
}

#[test]
fn a_long_class_is_cut_between_its_members() {
    let body = "        total = first + second\n".repeat(12);
    let members = ["one", "two", "three", "four", "five", "six"]
        .map(|name| format!("    @staticmethod\n    def {name}(first, second):\n{body}        return total\n"));
    let class = format!("class Sums:\n    \"\"\"Sums.\"\"\"\n\n{}", members.join("\n"));
    let found = parts(&class, Language::Python);
    assert_eq!(found.concat(), class);
    assert!(found.len() >= 6 && found.iter().all(|part| part.ends_with("return total\n")), "{found:#?}");
}

#[test]
fn without_a_grammar_paragraphs_are_parts() {
    let paragraph = "Some words about something.\n".repeat(12);
    let found = parts(&[paragraph.as_str(), &paragraph].join("\n"), Language::Text);
    assert_eq!(found, [format!("{paragraph}\n"), paragraph]);
}

#[test]
fn a_file_that_is_too_long_to_be_written_by_hand_is_left_out() {
    assert_eq!(parts(&"fn f() {}\n".repeat(30_000), Language::Rust), Vec::<String>::new());
}

#[test]
fn what_is_imported_comes_first_and_then_what_is_defined_of_the_names_around() {
    let tables = SHAPES.replace("Circle", "Table");
    let others = [("src/tables.rs", tables.as_str()), ("src/shapes.rs", SHAPES)];
    let found = chosen("use crate::shapes::Circle;\n\n$0\n", &others);
    assert!(found[0].text.contains("pub struct Circle") && found[1].text.contains("impl Circle"), "{found:#?}");
    assert_eq!(found[0].name, "shapes.rs");
    assert!(found[2].text.contains("unrelated") && found[2].name == "shapes.rs", "{found:#?}");
    // Without the import, what stands around the caret says as much, but not what stands on its own line.
    let found = chosen("fn f(table: &Table) {\n    let a = 1;\n    let b = 2;\n    let c = 3;\n    $0\n}\n", &others);
    assert!(found[0].text.contains("Table") && found[1].text.contains("Table"), "{found:#?}");
    let typed = chosen("fn f() {\n    Table$0\n}\n", &others);
    assert_eq!(typed, chosen("fn f() {\n    Circle$0\n}\n", &others));
}

#[test]
fn of_files_that_count_the_same_the_first_one_comes_first() {
    let others = [("b.rs", SHAPES), ("a.rs", SHAPES)];
    let found = chosen("$0\n", &others);
    assert_eq!(
        found.iter().map(|excerpt| excerpt.name.as_str()).collect::<Vec<_>>(),
        ["b.rs", "b.rs", "b.rs", "a.rs", "a.rs", "a.rs"]
    );
}

#[test]
fn rusts_own_crates_are_no_files_of_the_users() {
    let others = [("src/other.rs", "pub fn one() {}\n"), ("src/fmt.rs", "pub fn two() {}\n")];
    assert_eq!(chosen("use std::fmt;\n\n$0\n", &others)[0].name, "other.rs");
    assert_eq!(chosen("use crate::fmt;\n\n$0\n", &others)[0].name, "fmt.rs");
}

#[test]
fn a_file_that_is_called_like_many_is_named_and_imported_by_its_folder() {
    let others = [("src/other.rs", "pub fn one() {}\n"), ("src/shapes/mod.rs", "pub fn two() {}\n")];
    assert_eq!(chosen("mod shapes;\n\n$0\n", &others)[0].name, "shapes/mod.rs");
}

#[test]
fn typing_a_line_changes_nothing_and_a_new_line_seldom_does() {
    let before = "use crate::shapes::Circle;\n\nfn area(circle: &Circle) -> f64 {\n";
    let lines =
        ["    let radius = circle.radius_mm;", "    let width = circle.line_width_mm;", "    let a = 1;", "    a"];
    let tables = SHAPES.replace("Circle", "Table");
    let others = [("src/tables.rs", tables.as_str()), ("src/shapes.rs", SHAPES)];
    let typed = lines.join("\n");
    let answers: Vec<_> =
        (0..=typed.len()).map(|at| chosen(&format!("{before}{}$0\n}}\n", &typed[..at]), &others)).collect();
    let changes: BTreeMap<usize, ()> =
        answers.windows(2).enumerate().filter(|(_, pair)| pair[0] != pair[1]).map(|(at, _)| (at, ())).collect();
    assert!(changes.len() <= 1, "{changes:?}");
    assert!(changes.keys().all(|at| typed.as_bytes()[*at] == b'\n'), "{changes:?}");
}

fn any_text() -> impl Strategy<Value = String> {
    let lines = prop_oneof![
        Just("fn f() {\n"),
        Just("}\n"),
        Just("class A:\r\n"),
        Just("    def g(self): pass\r"),
        Just("use a::b;\n"),
        Just("from a import b\n"),
        Just("```\0`` é漢\n"),
        Just("\"\"\""),
        Just("/*"),
        Just("\n")
    ];
    proptest::collection::vec(lines, 0..200).prop_map(|lines| lines.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, cases: 64, ..ProptestConfig::default() })]

    /// Nothing is lost or doubled but blanks, whatever the text, and even by the tree of another one.
    #[test]
    fn any_text_falls_into_parts(text in any_text(), earlier in any_text(), is_rust in any::<bool>()) {
        let language = if is_rust { Language::Rust } else { Language::Python };
        for tree in [parse(&text, language), parse(&earlier, language), None] {
            let parts = Parts::new(&text, tree.as_ref(), language);
            let mut rest = text.as_str();
            for part in parts.iter() {
                let at = rest.find(part.text);
                prop_assert!(at.is_some_and(|at| rest[..at].trim().is_empty()), "{:?} {:?}", part.text, rest);
                rest = &rest[at.unwrap_or(0) + part.text.len()..];
            }
            prop_assert_eq!(rest.trim(), "");
        }
    }

    #[test]
    fn any_places_have_excerpts_within_bounds(text in any_text(), other in any_text(), at in any::<Index>()) {
        let others = [OtherFile::new("a/mod.rs", &other, Language::Rust), OtherFile::new("", &text, Language::Rust)];
        let tree = parse(&other, Language::Rust);
        let bytes = [0, text.floor_char_boundary(at.index(text.len() + 1)), text.len()];
        let places = Places { text: &text, tree: tree.as_ref(), language: Language::Rust, bytes: &bytes };
        let found = choose(&places, &others);
        prop_assert!(found.iter().map(|excerpt| excerpt.text.len()).sum::<usize>() <= EXCERPTS_MAX_BYTES);
        prop_assert!(found.iter().all(|excerpt| other.contains(&excerpt.text) || text.contains(&excerpt.text)));
    }
}
