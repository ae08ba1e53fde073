use lacuna_engine::{Infiller, LocalInfiller, LocalOptions};
use unicode_width::UnicodeWidthStr;

use super::{Ended, Setup, Stop, Tour, fitted, stops, verdict};
use crate::settings::InlineCompletionSettings;

fn embedded() -> LocalInfiller {
    LocalInfiller::open(&LocalOptions::default()).expect("the embedded model")
}

/// All that is printed where nobody waits.
fn printed(columns: usize) -> String {
    let mut out = Vec::new();
    let setups = [Setup { says: "An editor is here.".to_owned(), lines: vec!["do this".to_owned()] }];
    let mut tour = Tour { out: &mut out, columns, is_shown: false, waits: false };
    let ended = tour.all(&embedded(), &setups);
    assert!(
        matches!(ended, Ok(())),
        "{}",
        if let Err(Ended::Failed(error)) = ended { error.to_string() } else { String::new() }
    );
    String::from_utf8(out).expect("a text")
}

#[test]
fn all_of_it_is_printed_where_nobody_looks_on() {
    let text = printed(80);
    let mut from = 0;
    for part in [
        "Lacuna fills holes in text",
        "nano (embedded)",
        "The rest of a line, in Rust",
        "step 1",
        "value.parse().map_err(|_| InvalidValue::new(key",
        "That is exactly right.",
        "in Python",
        "confidence",
        "Where it had to think",
        "notes.md: line 1: ",
        "places were mended",
        "What to expect",
        "exactly right",
        "An editor is here.",
        "    do this",
    ] {
        let at = text[from..].find(part).unwrap_or_else(|| panic!("{part:?} is not in the rest of {text}"));
        from += at;
    }
    assert!(!text.contains('\u{1b}'), "no cursor is moved, and no colour set");
}

#[test]
fn it_is_no_wider_than_a_narrow_terminal() {
    let text = printed(40);
    let too_wide: Vec<_> = text.lines().filter(|line| line.width() > 40).collect();
    assert!(too_wide.is_empty(), "{too_wide:?}");
}

/// A tour on which all went well would be an advertisement.
#[test]
fn it_shows_what_the_model_can_do_and_what_it_can_not() {
    let engine = embedded();
    let least = InlineCompletionSettings::default().min_confidence;
    let outcome = |stop: &Stop| {
        let request = stop.request();
        let infill = engine.infill(&request, &lacuna_engine::Cancel::new(), &mut |_| ()).expect("a fill");
        let (candidate, rejected) = fitted(&engine, &request, infill).ok().expect("a fill");
        let is_right = rejected.is_none() && candidate.fills[0] == stop.solution;
        let said = verdict(stop, &candidate, rejected.as_deref());
        assert_eq!(said.contains("exactly right"), is_right, "{said}");
        (is_right, rejected.is_none() && f64::from(candidate.confidence) >= least)
    };
    let outcomes: Vec<_> = stops().iter().map(outcome).collect();
    assert!(outcomes.contains(&(true, true)), "one is right and shown: {outcomes:?}");
    assert!(outcomes.contains(&(false, false)), "one is wrong and held back: {outcomes:?}");
}
