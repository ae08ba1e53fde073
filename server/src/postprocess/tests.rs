use std::path::Path;

use lacuna_engine::{Extent, Language};
use proptest::prelude::*;

use super::{Filter, Options, Surroundings, process, process_with};

/// A case is a file of four parts, each behind a line that begins with `===`: `=== LANGUAGE EXTENT` and the text
/// with its caret `$0`, the fill, the fill as it should be, and the filters that should have cut or rejected it. A part ends
/// before the line end that the next `===` stands behind.
#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/postprocess/cases");
    let mut cases: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for path in cases {
        let case = std::fs::read_to_string(&path).unwrap();
        let parts: Vec<_> = case.trim_end().split("===").skip(1).collect();
        let [text, fill, expected, filters] = parts.as_slice() else {
            panic!("{}: {} parts instead of 4", path.display(), parts.len());
        };
        let part = |text: &str| {
            let (title, body) = text.split_once('\n').unwrap_or((text, ""));
            (title.to_owned(), body.strip_suffix('\n').unwrap_or(body).to_owned())
        };
        let (title, text) = part(text);
        let words: Vec<_> = title.split_whitespace().collect();
        let language = crate::syntax::language_of_id(words[0]);
        let extent = if words[1] == "block" { Extent::Block } else { Extent::Line };
        let (before, after) = text.split_once("$0").unwrap();
        let processed = process(&part(fill).1, &Surroundings { before, after, extent, language });
        assert_eq!(processed.text, part(expected).1, "{}: {:?}", path.display(), processed.changes);
        let mut changed: Vec<_> = processed.changes.iter().map(|change| format!("{:?}", change.filter)).collect();
        changed.extend(processed.rejected.map(|change| format!("rejected by {:?}", change.filter)));
        assert_eq!(changed.join(" "), part(filters).1, "{}", path.display());
    }
}

#[test]
fn line_ends_of_other_systems() {
    let process = |fill, before, after| {
        process(fill, &Surroundings { before, after, extent: Extent::Block, language: Language::Rust }).text
    };
    assert_eq!(process("a();\r\n    next();", "{\r\n    ", "\r\n    next();\r\n}"), "a();");
    assert_eq!(process("a();\r\n}\r\nfn g() {", "fn f() {\r\n    ", ""), "a();");
    assert_eq!(process("next();", "{\r    ", "\r    next();\r}"), "");
}

#[test]
fn a_filter_that_is_off_does_nothing() {
    let around = Surroundings { before: "let a = (", after: ");\n", extent: Extent::Line, language: Language::Rust };
    let options = Options { off: vec![Filter::Overlap, Filter::Closers, Filter::Syntax], min_confidence: 0.5 };
    assert_eq!(process_with("b);", Some(0.5), &around, &options).text, "b);");
    let rejected = process_with("b", Some(0.25), &around, &options).rejected.unwrap();
    assert_eq!(rejected.filter, Filter::Confidence);
    assert_eq!(rejected.reason, "The confidence of 0.25 is below 0.50.");
    let options = Options { off: vec![Filter::Confidence], min_confidence: 0.5 };
    assert_eq!(process_with("b", Some(0.25), &around, &options).text, "b");
}

fn code() -> impl Strategy<Value = String> {
    let parts = "fn f()|{|}|(|)|\n|\r\n|\r|    |\t|else|;|\"|'|// a|é|🦀|漢|return x";
    let part = prop::sample::select(parts.split('|').collect::<Vec<_>>());
    prop_oneof![prop::collection::vec(part, 0..20).prop_map(|parts| parts.concat()), any::<String>()]
}

proptest! {
    #[test]
    fn every_fill_is_only_cut(fill in code(), before in code(), after in code(), line in any::<bool>(), rust in any::<bool>()) {
        let around = Surroundings {
            before: &before,
            after: &after,
            extent: if line { Extent::Line } else { Extent::Block },
            language: if rust { Language::Rust } else { Language::Python },
        };
        let processed = process(&fill, &around);
        prop_assert!(fill.starts_with(&processed.text));
        prop_assert!(processed.rejected.is_none() || processed.text.is_empty());
        prop_assert_eq!(processed.changes.is_empty() && processed.rejected.is_none(), processed.text == fill && !fill.trim().is_empty());
    }
}
