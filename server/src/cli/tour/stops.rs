//! The prepared files, which are the samples, and the holes in them.

use lacuna_engine::{Hole, InfillRequest, Language};

use crate::syntax::{find_hole, hole_of_range, parse};

/// A page with defects.
pub(super) const NOTES: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/samples/notes.md"));

const MAIL_SETTINGS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/samples/mail_settings.rs"));
const INVENTORY: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/samples/inventory.py"));
const LEDGER: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../fixtures/samples/ledger.rs"));

/// One hole to be filled before the reader's eyes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stop {
    pub(super) title: &'static str,
    /// What is shown, and why.
    pub(super) introduction: &'static str,
    /// What belongs into the hole.
    pub(super) solution: &'static str,
    name: &'static str,
    text: &'static str,
    language: Language,
    /// Stands in the text once, and ends where the hole begins.
    before: &'static str,
    /// What stands in the hole.
    replaced: &'static str,
}

/// The stops, in order.
pub(super) fn stops() -> [Stop; 3] {
    [
        Stop {
            title: "The rest of a line, in Rust",
            introduction: "Three settings are parsed in the same way, and the fourth has been typed as far as \
                           `value.parse()`. What a file does elsewhere is what a small model knows best.",
            solution: ".map_err(|_| InvalidValue::new(key, value))?,",
            name: "mail_settings.rs",
            text: MAIL_SETTINGS,
            language: Language::Rust,
            before: "self.page_rows = value.parse()",
            replaced: "",
        },
        Stop {
            title: "Nearly the same, in Python",
            introduction: "`add` refuses numbers below zero with a message, and `remove` is about to. Whether the model \
                           copies the message, or sees that this one is about removing, is the question.",
            solution: "f\"cannot remove {quantity} of {name}\")",
            name: "inventory.py",
            text: INVENTORY,
            language: Language::Python,
            before: "Takes some of an item off the shelf.\"\"\"\n        if quantity < 0:\n            raise ValueError(",
            replaced: "",
        },
        Stop {
            title: "Where it had to think",
            introduction: "`checked_sub` has no body yet, and right above it stands that of `checked_add`. Adding here would \
                           be a bug that is easy to overlook, so how sure the model says it is matters more than what \
                           it says.",
            solution: "self.0.checked_sub(other.0).map(Self)",
            name: "ledger.rs",
            text: LEDGER,
            language: Language::Rust,
            before: "pub fn checked_sub(self, other: Self) -> Option<Self> {\n        ",
            replaced: "todo!()",
        },
    ]
}

impl Stop {
    /// What is asked of the engine, the same as by `lacuna fill`.
    pub(super) fn request(&self) -> InfillRequest {
        // Line ends may be other ones where the sources were checked out.
        let text = self.text.replace("\r\n", "\n");
        let start = text.find(self.before).map_or(text.len(), |at| at + self.before.len());
        let found = if self.replaced.is_empty() {
            find_hole(&text, parse(&text, self.language).as_ref(), self.language, start)
        } else {
            hole_of_range(&text, start..start + self.replaced.len())
        };
        let hole = Hole::new(found.byte_range, found.extent);
        InfillRequest { name: Some(self.name.to_owned()), ..InfillRequest::new(text, self.language, vec![hole]) }
    }
}

#[cfg(test)]
mod tests {
    use super::stops;

    #[test]
    fn every_hole_is_where_it_should_be() {
        for stop in stops() {
            assert_eq!(stop.text.matches(stop.before).count(), 1, "{}", stop.title);
            let request = stop.request();
            let hole = &request.holes[0].byte_range;
            assert!(request.text[..hole.start].ends_with(stop.before), "{}", stop.title);
            assert_eq!(&request.text[hole.clone()], stop.replaced, "{}", stop.title);
        }
    }
}
