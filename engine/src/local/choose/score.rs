//! How likely the model finds each choice in its place.
//!
//! A choice's score is the logarithm of its probability as the text of its hole, read from left to right with both
//! sides visible: each of its tokens given the ones before it, and then, where the hole has rows left, the delete
//! token that ends it. So choices of different lengths compare fairly, and the choice of no text at all is the delete
//! token in the hole's first row, held against the first tokens of the others. What is not revealed yet, other open
//! holes included, is noise. The delete tokens behind the first follow from it and count for nothing.
//!
//! Every different beginning costs a canvas of its own, so beyond the first few tokens only beginnings of 8, 16 and 32
//! are revealed, and the tokens in between are scored side by side.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::backend::{Backend, ScoredToken, Segment, denoise};
use crate::{Cancel, Error};

/// A decision on a canvas.
pub(super) struct Question<'a> {
    /// Where its scores go.
    pub(super) decision: usize,
    pub(super) options: usize,
    /// The rows of each of its holes, in ascending order, and the tokens of each of the hole's choices; the rows are as
    /// many as the longest choice has.
    pub(super) holes: Vec<(Range<usize>, &'a [Vec<u32>])>,
}

/// What scores are computed with.
pub(super) struct Scorer<'a, B: Backend> {
    pub(super) backend: &'a B,
    pub(super) layers: usize,
    pub(super) cache: &'a B::Cache,
    pub(super) delete: u32,
    /// Rows that a pass has at most; it always has room for one canvas.
    pub(super) pass_rows: usize,
}

/// A token in a row of the canvas, and where its hole ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Revealed {
    row: usize,
    token: u32,
    hole_end: usize,
}

/// A token whose probability counts for an option.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Asked {
    row: usize,
    token: u32,
    decision: usize,
    option: usize,
}

impl<B: Backend> Scorer<'_, B> {
    /// Adds to `scores`, by decision and option. `canvas` has noise in all its holes.
    pub(super) fn score(
        &self,
        canvas: &[u32],
        questions: &[Question<'_>],
        workspace: &mut B::Workspace,
        cancel: &Cancel,
        scores: &mut [Vec<f64>],
    ) -> Result<(), Error> {
        let mut pass = Pass::default();
        for (revealed, asked) in self.canvases(questions) {
            if !pass.ids.is_empty() && pass.ids.len() + canvas.len() > self.pass_rows {
                self.run(&mut pass, workspace, cancel, scores)?;
            }
            self.add(&mut pass, canvas, &revealed, asked);
        }
        self.run(&mut pass, workspace, cancel, scores)
    }

    /// What each canvas reveals, and what is asked of it.
    fn canvases(&self, questions: &[Question<'_>]) -> BTreeMap<Vec<Revealed>, Vec<Asked>> {
        let mut canvases: BTreeMap<Vec<Revealed>, Vec<Asked>> = BTreeMap::new();
        for question in questions {
            for option in 0..question.options {
                let text = self.text(question, option);
                for (position, Revealed { row, token, .. }) in text.iter().enumerate() {
                    let before = text[..revealed_before(position)].to_vec();
                    let asked = Asked { row: *row, token: *token, decision: question.decision, option };
                    canvases.entry(before).or_default().push(asked);
                }
            }
        }
        canvases
    }

    /// The option's tokens in all holes on this canvas, each hole's ended by one delete token if it has room.
    fn text(&self, question: &Question<'_>, option: usize) -> Vec<Revealed> {
        let in_hole = |(rows, choices): &(Range<usize>, &[Vec<u32>])| {
            let tokens = choices[option].iter().copied().chain([self.delete]);
            let hole_end = rows.end;
            rows.clone().zip(tokens).map(move |(row, token)| Revealed { row, token, hole_end }).collect::<Vec<_>>()
        };
        question.holes.iter().flat_map(in_hole).collect()
    }

    fn add(&self, pass: &mut Pass, canvas: &[u32], revealed: &[Revealed], mut asked: Vec<Asked>) {
        let first = pass.ids.len();
        pass.ids.extend_from_slice(canvas);
        for Revealed { row, token, hole_end } in revealed {
            // After a text's end there is nothing but deletes.
            let end = if *token == self.delete { *hole_end } else { row + 1 };
            pass.ids[first + row..first + end].fill(*token);
        }
        pass.segments.push(Segment { rows: canvas.len(), prompt: 0 });
        asked.sort_unstable();
        pass.tokens.extend(asked.iter().map(|asked| ScoredToken { row: first + asked.row, token: asked.token }));
        pass.credit.extend(asked.iter().map(|asked| (asked.decision, asked.option)));
    }

    /// Runs the pass, if there is anything in it, and empties it.
    fn run(
        &self,
        pass: &mut Pass,
        workspace: &mut B::Workspace,
        cancel: &Cancel,
        scores: &mut [Vec<f64>],
    ) -> Result<(), Error> {
        if pass.ids.is_empty() {
            return Ok(());
        }
        cancel.check()?;
        let Pass { ids, segments, tokens, credit, found, read } = pass;
        found.clear();
        found.resize(tokens.len(), 0.0);
        read.clear();
        read.extend(tokens.iter().map(|token| token.row));
        read.dedup();
        self.backend.run(|| {
            denoise(self.backend, self.layers, ids, segments, &[self.cache], &[], Some(read), workspace)?;
            self.backend.log_probabilities(workspace, tokens, found)
        })?;
        for ((decision, option), log_probability) in credit.iter().zip(found.iter()) {
            scores[*decision][*option] += f64::from(*log_probability);
        }
        ids.clear();
        segments.clear();
        tokens.clear();
        credit.clear();
        Ok(())
    }
}

/// Several canvases packed for one pass.
#[derive(Default)]
struct Pass {
    ids: Vec<u32>,
    segments: Vec<Segment>,
    tokens: Vec<ScoredToken>,
    /// Which decision and option each token counts for.
    credit: Vec<(usize, usize)>,
    found: Vec<f32>,
    /// The rows of the tokens.
    read: Vec<usize>,
}

/// How many of an option's tokens are revealed where the one at `position` is scored.
pub(super) fn revealed_before(position: usize) -> usize {
    if position <= 4 { position } else { 1 << position.ilog2() }
}
