//! What a model makes of the places: whether the change belongs there.

use lacuna_engine::{Cancel, Error, Extent, Hole, InfillRequest, Infiller, Language};

use super::Candidate;

/// Longer texts are not put to the model.
const CHOICE_MAX_BYTES: usize = 96;

/// A text and where it comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Document<'a> {
    pub(crate) text: &'a str,
    pub(crate) language: Language,
    /// The text's file name, if it has one.
    pub(crate) name: Option<&'a str>,
}

/// Asks the model about some places, ascending and disjoint, and adjusts their confidence to what it says.
///
/// All places are holes of one request, so that the model sees them beside each other and the edit as it was made; each
/// has the choice between what is there and what would be. A model that cannot choose is asked nothing.
pub(crate) fn ask(
    engine: &dyn Infiller,
    document: &Document<'_>,
    places: &mut [Candidate],
    cancel: &Cancel,
) -> Result<(), Error> {
    let old = |place: &Candidate| &document.text[place.byte_range.clone()];
    let is_short = |place: &&mut Candidate| old(place).len().max(place.new_text.len()) <= CHOICE_MAX_BYTES;
    let asked: Vec<&mut Candidate> = places.iter_mut().filter(is_short).collect();
    if asked.is_empty() {
        return Ok(());
    }
    let hole = |place: &&mut Candidate| {
        let choices = vec![old(place).to_owned(), place.new_text.clone()];
        Hole { choices, ..Hole::new(place.byte_range.clone(), Extent::Line) }
    };
    let holes = asked.iter().map(hole).collect();
    let name = document.name.map(str::to_owned);
    let request = InfillRequest { name, ..InfillRequest::new(document.text, document.language, holes) };
    let infill = match engine.infill(&request, cancel, &mut |_| ()) {
        Ok(infill) => infill,
        Err(Error::Request(reason)) => {
            tracing::debug!("the model was not asked about next places: {reason}");
            return Ok(());
        }
        Err(error) => return Err(error),
    };
    let Some(best) = infill.candidates.first() else { return Ok(()) };
    for (place, choice) in asked.into_iter().zip(&best.choices) {
        if let Some(choice) = choice {
            place.hear(if choice.index == 0 { 1.0 - choice.probability } else { choice.probability });
        }
    }
    Ok(())
}
