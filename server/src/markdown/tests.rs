mod corpus;
mod fake;
mod golden;
mod guarantee;
mod hostile;
mod ranges;

use lacuna_engine::Cancel;

use super::guarantee::difference;
use super::line_ends::with_last_end;
use super::{Formatted, edits, format};

/// The layout alone, after everything that must hold of it has been looked at.
fn laid_out(text: &str) -> Formatted {
    let formatted = format(text, None, None, &Cancel::new()).unwrap();
    assert_eq!(difference(&with_last_end(text), &formatted.text), None, "{text:?}");
    assert_eq!(formatted.text == text, edits(text, &formatted.text).is_empty());
    assert_eq!(formatted.text == text, formatted.changes.is_empty(), "{text:?}: {:?}", formatted.changes);
    let again = format(&formatted.text, None, None, &Cancel::new()).unwrap();
    assert_eq!(again.text, formatted.text, "{text:?}");
    formatted
}
