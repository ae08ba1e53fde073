//! How likely the model finds each choice in its place.
//!
//! A choice's score is the logarithm of its probability as the text of its hole, read from left to right with both
//! sides visible: each of its tokens given the ones before it, and then what ends it. So choices of different lengths
//! compare fairly, and the choice of no text at all is its end in the hole's first row, held against the first tokens of
//! the others. What is not revealed yet, other open holes included, is noise.
//!
//! What ends a text is the delete token, where the hole has rows left; the delete tokens behind the first follow from it
//! and count for nothing. For a model that knows no delete token it is the token that stands behind the hole, which is
//! taken off the canvas, and the rows that the choice does not need are taken off too.
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
    /// In ascending order.
    pub(super) holes: Vec<AskedHole<'a>>,
}

/// A hole of a decision on a canvas.
pub(super) struct AskedHole<'a> {
    /// As many as the longest choice has, and one more where the model knows no delete token.
    pub(super) rows: Range<usize>,
    /// The tokens of each choice.
    pub(super) choices: &'a [Vec<u32>],
    /// What ends the text where the model knows no delete token: what stands behind the rows, or would if the canvas went
    /// on. `None` where another hole begins there.
    pub(super) next: Option<u32>,
}

/// What scores are computed with.
pub(super) struct Scorer<'a, B: Backend> {
    pub(super) backend: &'a B,
    pub(super) layers: usize,
    pub(super) cache: &'a B::Cache,
    pub(super) delete: Option<u32>,
    /// Rows that a pass has at most; it always has room for one canvas.
    pub(super) pass_rows: usize,
}

/// A canvas that is asked about, by how it differs from the one with noise in all holes. All rows are that one's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Variant {
    /// The rows that are taken off, in ascending order.
    cut: Vec<usize>,
    revealed: Vec<Revealed>,
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
        for (variant, asked) in self.variants(questions, canvas.len()) {
            if !pass.ids.is_empty() && pass.ids.len() + canvas.len() > self.pass_rows {
                self.run(&mut pass, workspace, cancel, scores)?;
            }
            self.add(&mut pass, canvas, &variant, asked);
        }
        self.run(&mut pass, workspace, cancel, scores)
    }

    /// The canvases of all options, and what is asked of each.
    fn variants(&self, questions: &[Question<'_>], rows: usize) -> BTreeMap<Variant, Vec<Asked>> {
        let mut variants: BTreeMap<Variant, Vec<Asked>> = BTreeMap::new();
        for question in questions {
            for option in 0..question.options {
                let cut = self.cut(questions, question, option, rows);
                let text = self.text(question, option);
                for (position, Revealed { row, token, .. }) in text.iter().enumerate() {
                    let variant = Variant { cut: cut.clone(), revealed: text[..revealed_before(position)].to_vec() };
                    let asked = Asked { row: *row, token: *token, decision: question.decision, option };
                    variants.entry(variant).or_default().push(asked);
                }
            }
        }
        variants
    }

    /// The rows that an option needs no more, and those whose tokens end it, if no delete token does.
    fn cut(&self, questions: &[Question<'_>], question: &Question<'_>, option: usize, rows: usize) -> Vec<usize> {
        if self.delete.is_some() {
            return Vec::new();
        }
        let mut cut = Vec::new();
        for other in questions {
            for hole in &other.holes {
                if other.decision == question.decision {
                    let kept = hole.choices[option].len() + usize::from(hole.next.is_some());
                    let is_asked_next = hole.next.is_some() && hole.rows.end < rows;
                    cut.extend(hole.rows.start + kept..hole.rows.end + usize::from(is_asked_next));
                } else {
                    // What ends these stands behind them.
                    cut.push(hole.rows.end - 1);
                }
            }
        }
        cut.sort_unstable();
        cut
    }

    /// The option's tokens in all holes on this canvas, each hole's with what ends it if there is room.
    fn text(&self, question: &Question<'_>, option: usize) -> Vec<Revealed> {
        let in_hole = |hole: &AskedHole<'_>| {
            let tokens = hole.choices[option].iter().copied().chain(self.delete.or(hole.next));
            let hole_end = hole.rows.end;
            hole.rows.clone().zip(tokens).map(move |(row, token)| Revealed { row, token, hole_end }).collect::<Vec<_>>()
        };
        question.holes.iter().flat_map(in_hole).collect()
    }

    fn add(&self, pass: &mut Pass, canvas: &[u32], variant: &Variant, mut asked: Vec<Asked>) {
        let first = pass.ids.len();
        let Variant { cut, revealed } = variant;
        let kept = canvas.iter().enumerate().filter(|(row, _)| cut.binary_search(row).is_err());
        pass.ids.extend(kept.map(|(_, token)| *token));
        let place = |row: usize| first + row - cut.partition_point(|cut| *cut < row);
        for Revealed { row, token, hole_end } in revealed {
            // After a text's end there is nothing but deletes.
            let end = if Some(*token) == self.delete { *hole_end } else { row + 1 };
            pass.ids[place(*row)..place(end)].fill(*token);
        }
        pass.segments.push(Segment { rows: canvas.len() - cut.len(), prompt: 0 });
        asked.sort_unstable();
        pass.tokens.extend(asked.iter().map(|asked| ScoredToken { row: place(asked.row), token: asked.token }));
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
