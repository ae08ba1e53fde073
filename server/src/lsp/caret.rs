//! The fill at a caret: what is asked of the engine, and when nothing is.

use std::sync::Arc;
use std::time::Instant;

use lacuna_engine::{Cancel, Error, Infiller};

use crate::lsp::draft::Drafts;
use crate::lsp::edits::range_of;
use crate::lsp::fill::{Filled, PARSE_BUDGET, Received, Wanted, fill};
use crate::lsp::pending::Ticket;
use crate::lsp::selected::Selected;
use crate::lsp::session::Snapshot;
use crate::lsp::worker::Worker;
use crate::settings::Settings;
use crate::stats::Withheld;
use crate::{postprocess, syntax};

/// A request for the engine.
pub(crate) struct CaretRequest {
    pub(crate) snapshot: Snapshot,
    pub(crate) caret_byte: usize,
    pub(crate) selected: Option<Selected>,
    /// Whether the user asked, rather than the editor on its own.
    pub(crate) is_invoked: bool,
    pub(crate) settings: Arc<Settings>,
    pub(crate) drafts: Drafts,
}

impl CaretRequest {
    /// Has the fill computed, for as long as the ticket lives.
    pub(crate) fn submit(self, worker: &Worker, ticket: &Ticket) -> Received<Filled> {
        let (cancel, since) = (ticket.cancel(), Instant::now());
        worker.submit(ticket.cancel(), move |engine| {
            let queue = since.elapsed();
            let mut filled = self.compute(engine, &cancel)?;
            filled.spent.queue = queue;
            Ok(filled)
        })
    }

    fn compute(self, engine: &dyn Infiller, cancel: &Cancel) -> Result<Filled, Error> {
        let start = Instant::now();
        let Self { snapshot, caret_byte, selected, is_invoked, settings, drafts } = self;
        let settings = &settings.inline_completion;
        let language = snapshot.document.language;
        let mut text = snapshot.document.text.to_string();
        let (tree, caret_byte) = match &selected {
            Some(selected) => {
                let caret_byte = selected.put_into(&mut text);
                (syntax::parse(&text, language), caret_byte)
            }
            None => (snapshot.document.tree(PARSE_BUDGET), caret_byte),
        };
        let place = syntax::caret_place(&text, tree.as_ref(), language, caret_byte);
        if !is_invoked && place == syntax::CaretPlace::Comment && !settings.comments {
            return Ok(Filled::nothing(Withheld::InComment, "completions in comments are switched off"));
        }
        if !is_invoked && place == syntax::CaretPlace::String && !settings.strings {
            return Ok(Filled::nothing(Withheld::InString, "completions in strings are switched off"));
        }
        let hole = syntax::find_hole(&text, tree.as_ref(), language, caret_byte);
        let ranges = [range_of(&snapshot, &hole.byte_range)];
        let wanted = Wanted {
            name: snapshot.name(),
            excerpts: snapshot.excerpts(&text, &[hole.byte_range.start]),
            language,
            byte_range: hole.byte_range,
            extent: hole.extent,
            candidates: if is_invoked { usize::from(settings.candidates) } else { 1 },
            max_lines: Some(settings.max_lines as usize),
            options: postprocess::Options {
                // Whoever asks wants to see what there is.
                min_confidence: if is_invoked { 0.0 } else { settings.min_confidence as f32 },
                ..Default::default()
            },
        };
        let hole_time = start.elapsed();
        let mut filled = fill(engine, text, wanted, cancel, &mut |step| {
            // With a selected item, the ranges are those of another text.
            if selected.is_none() {
                drafts.send(&ranges, &step);
            }
        })?;
        filled.spent.hole = hole_time;
        Ok(filled)
    }
}
