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

/// How likely it is, in 0..=1, that a place is changed rather than as it is; one entry a place, `None` where the model
/// was not asked.
///
/// All places are holes of one request, so that the model sees them beside each other and the edit as it was made; each
/// has the choice between what is there and what would be. They must be ascending and disjoint. A model that cannot
/// choose is asked nothing.
pub(crate) fn ask(
    engine: &dyn Infiller,
    document: &Document<'_>,
    places: &[&Candidate],
    cancel: &Cancel,
) -> Result<Vec<Option<f32>>, Error> {
    let old = |place: &Candidate| &document.text[place.byte_range.clone()];
    let is_short = |place: &Candidate| old(place).len().max(place.new_text.len()) <= CHOICE_MAX_BYTES;
    let asked: Vec<usize> = (0..places.len()).filter(|&index| is_short(places[index])).collect();
    let mut answers = vec![None; places.len()];
    if asked.is_empty() {
        return Ok(answers);
    }
    let hole = |&index: &usize| {
        let place = places[index];
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
            return Ok(answers);
        }
        Err(error) => return Err(error),
    };
    let Some(best) = infill.candidates.first() else { return Ok(answers) };
    for (index, choice) in asked.into_iter().zip(&best.choices) {
        answers[index] = choice.map(|choice| match choice.index {
            0 => 1.0 - choice.probability,
            _ => choice.probability,
        });
    }
    Ok(answers)
}
