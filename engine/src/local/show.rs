//! What the model would get for a request, without running it.

use std::ops::Range;

use super::{LocalOptions, form_of, free_budget, open_checkpoint};
use crate::canvas::Row;
use crate::infiller::check::check;
use crate::prompt::{self, Layout, SizedHole};
use crate::tokenizer::Tokenizer;
use crate::{Error, InfillRequest};

/// A prompt and the canvas that stands over it, as the model gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownCanvas {
    /// Which of the request's holes are on the canvas.
    pub holes: Range<usize>,
    /// What the encoder reads.
    pub prompt: Vec<ShownToken>,
    /// The canvas, part by part.
    pub canvas: Vec<ShownRows>,
}

/// A part of a canvas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownRows {
    /// Known tokens, a row each.
    Pinned(Vec<ShownToken>),
    /// So many rows of a hole.
    Hole(usize),
}

/// A token as the tokenizer spells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShownToken {
    /// Bytes of text, perhaps a part of a character.
    Text(Vec<u8>),
    /// A special token, by its name.
    Special(String),
}

/// Lays a request's holes out, canvas after canvas. Nothing is computed, so the canvases after the first one show the
/// text that stood in the earlier holes, where the model would read what was made of them. Holes with choices are
/// shown as if they were free.
pub fn show_canvases(options: &LocalOptions, request: &InfillRequest) -> Result<Vec<ShownCanvas>, Error> {
    check(request)?;
    let checkpoint = open_checkpoint(&options.model)?;
    let tokenizer = checkpoint.tokenizer()?;
    let form = form_of(&checkpoint, &tokenizer, options)?;
    let budget = free_budget(&checkpoint.config, &form);
    let free = request.holes.iter().map(|hole| SizedHole::free(hole.byte_range.clone(), hole.extent, hole.max_tokens));
    let sized: Vec<SizedHole> = free.collect();
    let mut shown = Vec::new();
    let mut first = 0;
    while first < sized.len() {
        let passage = request.passage(&request.text, &sized[first..]);
        let layout = prompt::lay_out(&passage, &tokenizer, &form, budget)?;
        let holes = first..first + layout.holes.len();
        first = holes.end;
        shown.push(show(&layout, holes, &tokenizer));
    }
    Ok(shown)
}

fn show(layout: &Layout, holes: Range<usize>, tokenizer: &Tokenizer) -> ShownCanvas {
    let token = |id: u32| match tokenizer.special_name(id) {
        Some(name) => ShownToken::Special(name.to_owned()),
        None => ShownToken::Text(tokenizer.token_bytes(id).to_vec()),
    };
    let mut canvas = Vec::new();
    let mut at = 0;
    let pinned = |rows: &[Row]| ShownRows::Pinned(rows.iter().filter_map(|row| row.pinned()).map(token).collect());
    for hole in &layout.holes {
        canvas.extend([pinned(&layout.canvas[at..hole.start]), ShownRows::Hole(hole.len())]);
        at = hole.end;
    }
    canvas.push(pinned(&layout.canvas[at..]));
    canvas.retain(|rows| !matches!(rows, ShownRows::Pinned(tokens) if tokens.is_empty()));
    ShownCanvas { holes, prompt: layout.prompt.iter().map(|id| token(*id)).collect(), canvas }
}
