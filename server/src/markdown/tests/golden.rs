use std::path::Path;

use lacuna_engine::{Cancel, Choice, Error};

use super::super::format;
use super::fake::Fake;

/// A case is a file of parts, each behind a line `%%% NAME`: `input`, `expected`, `changes`, and, where there is an
/// engine, its `answers`: for each time it is asked, a line with an index and a probability.
#[test]
fn golden_cases() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/markdown/cases");
    let mut cases: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(cases.len() >= 20, "only {} cases", cases.len());
    for path in cases {
        let name = path.display();
        let case = std::fs::read_to_string(&path).unwrap();
        let part = |title: &str| {
            let after = case.split_once(&format!("%%% {title}\n"))?.1;
            Some(after.split_once("%%%").map_or(after, |(part, _)| part))
        };
        let answers: Option<Vec<Choice>> = part("answers").map(|answers| answers.lines().map(choice).collect());
        let fake = Fake::new(|index, request| {
            let answer = answers.as_ref().and_then(|answers| answers.get(index));
            answer.copied().ok_or_else(|| Error::Request(format!("asked too much: {request:?}")))
        });
        let engine = answers.as_ref().map(|_| &fake as &dyn lacuna_engine::Infiller);
        let formatted = format(part("input").unwrap(), engine, None, &Cancel::new()).unwrap();
        assert_eq!(formatted.text, part("expected").unwrap(), "{name}: {:?}", formatted.note);
        let changes: String = formatted.changes.iter().map(|change| format!("{change}\n")).collect();
        assert_eq!(changes, part("changes").unwrap(), "{name}");
        assert_eq!(formatted.note, None, "{name}");
        assert_eq!(fake.asked().len(), answers.map_or(0, |answers| answers.len()), "{name}");
        // Without the engine's decisions there is nothing left to do.
        assert_eq!(format(&formatted.text, None, None, &Cancel::new()).unwrap().text, formatted.text, "{name}");
    }
}

fn choice(line: &str) -> Choice {
    let (index, probability) = line.split_once(' ').unwrap();
    Choice { index: index.parse().unwrap(), probability: probability.parse().unwrap() }
}
