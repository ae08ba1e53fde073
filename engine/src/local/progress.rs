//! What a request has come to so far.

use std::borrow::Cow;
use std::ops::Range;

use super::answer::{Filled, geometric_mean};
use crate::prompt::Layout;
use crate::{Candidate, Choice, InfillRequest, LengthUse, Piece, PromptUse, Step, Timings};

/// A request under way: what stands in its holes, and what that cost.
pub(super) struct Progress<'a> {
    pub(super) request: &'a InfillRequest,
    /// One entry a hole. What was made of a free hole is the best there is for it.
    settled: Vec<Option<Settled>>,
    /// One entry a hole, for [`Step`].
    pieces: Vec<Vec<Piece>>,
    canvases: Vec<FilledCanvas>,
    /// Logarithms of the decisions' probabilities.
    decisions: Vec<f64>,
    rounds: usize,
    /// Rounds, and steps of the canvases that are done.
    pub(super) steps: usize,
    pub(super) prompt: PromptUse,
    pub(super) length: LengthUse,
    pub(super) timings: Timings,
}

struct Settled {
    text: String,
    /// Of a hole with choices, and how many tokens its text has.
    choice: Option<(Choice, usize)>,
}

/// What denoising made of the free holes that shared a canvas, best first, at least one.
struct FilledCanvas {
    holes: Vec<usize>,
    ranked: Vec<Filled>,
}

/// The request's text with what is settled filled in.
pub(super) struct Remainder<'a> {
    pub(super) text: Cow<'a, str>,
    /// The holes that are open still: their indices in the request, and where in the text they are.
    pub(super) open: Vec<(usize, Range<usize>)>,
}

impl<'a> Progress<'a> {
    pub(super) fn new(request: &'a InfillRequest) -> Self {
        Self {
            request,
            settled: request.holes.iter().map(|_| None).collect(),
            pieces: vec![Vec::new(); request.holes.len()],
            canvases: Vec::new(),
            decisions: Vec::new(),
            rounds: 0,
            steps: 0,
            prompt: PromptUse::default(),
            length: LengthUse::default(),
            timings: Timings::default(),
        }
    }

    /// The text and the holes that are left.
    pub(super) fn remainder(&self) -> Remainder<'a> {
        let text = &self.request.text;
        let holes = &self.request.holes;
        if self.settled.iter().all(Option::is_none) {
            let open = holes.iter().map(|hole| hole.byte_range.clone()).enumerate().collect();
            return Remainder { text: Cow::Borrowed(text), open };
        }
        let mut filled = String::with_capacity(text.len());
        let mut open = Vec::with_capacity(holes.len());
        let mut end_of_previous = 0;
        for (index, (hole, settled)) in holes.iter().zip(&self.settled).enumerate() {
            filled.push_str(&text[end_of_previous..hole.byte_range.start]);
            let start = filled.len();
            match settled {
                Some(settled) => filled.push_str(&settled.text),
                None => {
                    filled.push_str(&text[hole.byte_range.clone()]);
                    open.push((index, start..filled.len()));
                }
            }
            end_of_previous = hole.byte_range.end;
        }
        filled.push_str(&text[end_of_previous..]);
        Remainder { text: Cow::Owned(filled), open }
    }

    /// A layout's prompt has been encoded; `ms` from when it was begun to be laid out.
    pub(super) fn prompted(&mut self, layout: &Layout, reused: usize, ms: f64) {
        self.prompt.tokens += layout.prompt.len();
        self.prompt.reused += reused;
        self.prompt.canvas_rows += layout.canvas.len();
        self.timings.prompt_ms += ms;
    }

    /// A decision is made: these holes take that choice. `tokens` are those of each hole's choice.
    pub(super) fn decide(&mut self, holes: &[usize], choice: Choice, tokens: impl Fn(usize) -> usize) {
        for hole in holes.iter().copied() {
            let text = self.request.holes[hole].choices[choice.index].clone();
            self.settled[hole] = Some(Settled { text, choice: Some((choice, tokens(hole))) });
            self.show(hole, choice, true);
        }
        self.decisions.push(f64::from(choice.probability).ln());
    }

    /// Shows a choice in the drafts to come.
    pub(super) fn show(&mut self, hole: usize, choice: Choice, settled: bool) {
        let text = self.request.holes[hole].choices[choice.index].clone();
        self.pieces[hole] = vec![Piece { text, settled, certainty: choice.probability }];
    }

    /// A round of choosing is over. `limit` is the number of rounds there may be.
    pub(super) fn end_round(&mut self, limit: usize, on_step: &mut dyn FnMut(Step<'_>)) {
        self.rounds += 1;
        self.steps += 1;
        on_step(Step { index: self.steps, limit, candidate: 0, holes: &self.pieces });
    }

    /// The draft with these pieces in the holes that share a canvas.
    pub(super) fn draft(&self, holes: &[(usize, Range<usize>)], pieces: Vec<Vec<Piece>>) -> Vec<Vec<Piece>> {
        let mut draft = self.pieces.clone();
        for ((hole, _), pieces) in holes.iter().zip(pieces) {
            draft[*hole] = pieces;
        }
        draft
    }

    /// A canvas of free holes is done, after that many steps.
    pub(super) fn end_canvas(&mut self, holes: &[(usize, Range<usize>)], ranked: Vec<Filled>, steps: usize) {
        if let Some(best) = ranked.first() {
            for ((hole, _), fill) in holes.iter().zip(&best.fills) {
                self.settled[*hole] = Some(Settled { text: fill.clone(), choice: None });
                self.pieces[*hole] = vec![Piece { text: fill.clone(), settled: true, certainty: best.confidence() }];
            }
        }
        self.length.rows_at_end += ranked.first().map_or(0, |best| best.rows);
        self.steps += steps;
        self.canvases.push(FilledCanvas { holes: holes.iter().map(|(hole, _)| *hole).collect(), ranked });
    }

    /// The candidates, best first. The n-th best has each canvas's n-th best fills, or its last.
    pub(super) fn candidates(&self) -> Vec<Candidate> {
        let count = self.canvases.iter().map(|canvas| canvas.ranked.len()).max().unwrap_or(1);
        let mut candidates: Vec<Candidate> = (0..count).map(|rank| self.candidate(rank)).collect();
        candidates.sort_by(|a, b| b.confidence.total_cmp(&a.confidence));
        candidates
    }

    fn candidate(&self, rank: usize) -> Candidate {
        let choice_of = |settled: &Option<Settled>| settled.as_ref().and_then(|settled| settled.choice);
        let text_of =
            |settled: &Option<Settled>| settled.as_ref().map(|settled| settled.text.clone()).unwrap_or_default();
        let mut fills: Vec<String> = self.settled.iter().map(text_of).collect();
        let share_of = |settled: &Option<Settled>| choice_of(settled).map_or(0.0, |(choice, _)| choice.probability);
        let mut confidences: Vec<f32> = self.settled.iter().map(share_of).collect();
        let mut tokens = self.settled.iter().filter_map(choice_of).map(|(_, tokens)| tokens).sum();
        let mut steps = self.rounds;
        let mut log_sum: f64 = self.decisions.iter().sum();
        let mut counted = self.decisions.len();
        for canvas in &self.canvases {
            let Some(filled) = canvas.ranked.get(rank).or(canvas.ranked.last()) else { continue };
            for ((hole, fill), confidence) in canvas.holes.iter().zip(&filled.fills).zip(&filled.confidences) {
                fills[*hole].clone_from(fill);
                confidences[*hole] = *confidence;
            }
            tokens += filled.tokens;
            steps += filled.steps;
            log_sum += filled.log_sum;
            counted += filled.counted;
        }
        Candidate {
            fills,
            choices: self.settled.iter().map(|settled| choice_of(settled).map(|(choice, _)| choice)).collect(),
            confidence: geometric_mean(log_sum, counted),
            confidences,
            tokens,
            steps,
        }
    }
}
