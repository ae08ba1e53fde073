//! Layout 1: which text goes where, as token ids. `fixtures/nano/LAYOUT.md` is its description. A checkpoint that was not
//! trained with it gets the same canvas over a prompt of another form.
//!
//! Every boundary depends on the text before it alone, by a rule that moves in steps: far text is dropped in large
//! blocks counted from the document's beginning, and the canvas's edge waits until several tokens of whole lines
//! have gathered. So typing a character changes the prompt rarely, and then by appending to it.

mod form;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::ops::Range;

use crate::Error;
use crate::canvas::Row;
use crate::infiller::{Excerpt, Extent, Language};
use crate::tokenizer::Tokenizer;

use form::Shown;
pub(crate) use form::{Chat, Form};

/// The layout that this module makes.
pub(crate) const LAYOUT_VERSION: u32 = 1;

/// Bytes of far prefix looked at for each token that it may have; source code has 3 to 4.
const BYTES_PER_TOKEN: usize = 3;
/// Whole lines gather on the canvas until they are this many tokens; then they move to the prompt together.
const CHUNK_TOKENS: usize = 12;
/// A line longer than this is cut where it stands.
const LONG_CHUNK_TOKENS: usize = 28;
/// The near suffix ends before the first newline behind this many tokens.
const NEAR_SUFFIX_TOKENS: usize = 12;
/// And never has more than this many.
const NEAR_SUFFIX_MAX_TOKENS: usize = 24;
const FAR_SUFFIX_MAX_TOKENS: usize = 128;
/// Bytes of suffix looked at.
const SUFFIX_BYTES: usize = 1024;
/// `<bos>`, the language, two markers and `<eos>`.
const PROMPT_SPECIAL_TOKENS: usize = 5;
/// Bytes of text a canvas row, beyond which the text between two holes is too long for a canvas without a look at it.
const BYTES_PER_ROW_MAX: usize = 16;
const LINE_TOKENS: usize = 24;
const BLOCK_TOKENS: usize = 48;
/// Rows that one hole has at most.
pub(crate) const HOLE_MAX_TOKENS: usize = 64;

/// Index of the set of tokens that a hole with [`Extent::Line`] may hold.
pub(crate) const LINE_SET: usize = 0;
/// The same for [`Extent::Block`].
pub(crate) const BLOCK_SET: usize = 1;

/// The ids of the special tokens that a layout is made of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Markers {
    pub(crate) bos: u32,
    pub(crate) eos: u32,
    pub(crate) prefix: u32,
    pub(crate) suffix: u32,
    pub(crate) languages: [u32; 4],
}

impl Markers {
    /// Finds the markers by their spellings; the error is the one that is missing.
    pub(crate) fn find(tokenizer: &Tokenizer) -> Result<Self, &'static str> {
        let find = |name: &'static str| tokenizer.special(name).ok_or(name);
        Ok(Self {
            bos: find("<bos>")?,
            eos: find("<eos>")?,
            prefix: find("<prefix>")?,
            suffix: find("<suffix>")?,
            languages: [find("<text>")?, find("<rust>")?, find("<python>")?, find("<markdown>")?],
        })
    }

    fn language(&self, language: Language) -> u32 {
        self.languages[match language {
            Language::Text => 0,
            Language::Rust => 1,
            Language::Python => 2,
            Language::Markdown => 3,
        }]
    }
}

/// How much a layout may hold.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Budget {
    pub(crate) prompt_tokens: usize,
    pub(crate) canvas_rows: usize,
    /// Far prefix is dropped in multiples of this many bytes of the document.
    pub(crate) drop_bytes: usize,
    /// Far prefix that is too long in tokens all the same is dropped in multiples of this many.
    pub(crate) drop_tokens: usize,
}

/// A text with holes, as a layout sees it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Passage<'a> {
    pub(crate) text: &'a str,
    pub(crate) language: Language,
    /// The document's file name, if it has one.
    pub(crate) name: Option<&'a str>,
    /// What other files say, the most relevant first.
    pub(crate) excerpts: &'a [Excerpt],
    /// Ascending and disjoint, on character boundaries of the text, at least one.
    pub(crate) holes: &'a [SizedHole],
}

/// A hole that knows how many rows it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SizedHole {
    pub(crate) byte_range: Range<usize>,
    /// At the start.
    pub(crate) rows: usize,
    /// What it may grow to.
    pub(crate) rows_max: usize,
    /// Which set of tokens its rows may hold: [`LINE_SET`] or [`BLOCK_SET`].
    pub(crate) set: usize,
}

impl SizedHole {
    /// A hole that may hold any text of that extent.
    pub(crate) fn free(byte_range: Range<usize>, extent: Extent, max_tokens: Option<usize>) -> Self {
        let (usual, set) = match extent {
            Extent::Line => (LINE_TOKENS, LINE_SET),
            Extent::Block => (BLOCK_TOKENS, BLOCK_SET),
        };
        let rows_max = max_tokens.unwrap_or(HOLE_MAX_TOKENS).clamp(1, HOLE_MAX_TOKENS);
        let rows = if max_tokens.is_some() { rows_max } else { usual };
        Self { byte_range, rows, rows_max, set }
    }
}

/// A passage as token ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(crate) prompt: Vec<u32>,
    pub(crate) canvas: Vec<Row>,
    /// The rows of each of the passage's first holes, at least one.
    pub(crate) holes: Vec<Range<usize>>,
}

impl Layout {
    /// Gives a hole so many rows; what stands behind it moves.
    pub(crate) fn resize(&mut self, hole: usize, rows: usize) {
        let Range { start, end } = self.holes[hole];
        let row = self.canvas[start];
        self.canvas.splice(start..end, std::iter::repeat_n(row, rows));
        self.holes[hole].end = start + rows;
        for later in &mut self.holes[hole + 1..] {
            *later = later.start + rows + start - end..later.end + rows + start - end;
        }
    }
}

/// How a document ends its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LineEnd {
    LineFeed,
    CarriageReturnLineFeed,
    CarriageReturn,
}

impl LineEnd {
    /// The last line end before byte `offset`, else the first one behind it, else a line feed.
    pub(crate) fn near(text: &str, offset: usize) -> Self {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        let bytes = text.as_bytes();
        let before = bytes[..offset].iter().rposition(is_end);
        match before.or_else(|| bytes[offset..].iter().position(is_end).map(|found| offset + found)) {
            Some(at) if bytes[at] == b'\n' && at > 0 && bytes[at - 1] == b'\r' => Self::CarriageReturnLineFeed,
            Some(at) if bytes[at] == b'\r' && bytes.get(at + 1) == Some(&b'\n') => Self::CarriageReturnLineFeed,
            Some(at) if bytes[at] == b'\r' => Self::CarriageReturn,
            _ => Self::LineFeed,
        }
    }

    /// `text`, whose lines end in line feeds, with this line end.
    pub(crate) fn restore(self, text: String) -> String {
        match self {
            Self::LineFeed => text,
            Self::CarriageReturnLineFeed => text.replace('\n', "\r\n"),
            Self::CarriageReturn => text.replace('\n', "\r"),
        }
    }
}

/// Lays the passage's first holes on one canvas: as many as have room on it together with the text between and around
/// them.
pub(crate) fn lay_out(
    passage: &Passage<'_>,
    tokenizer: &Tokenizer,
    form: &Form,
    budget: Budget,
) -> Result<Layout, Error> {
    let mut count = holes_with_room(passage, tokenizer, budget);
    loop {
        let layout = lay_out_all(&Passage { holes: &passage.holes[..count], ..*passage }, tokenizer, form, budget);
        if layout.canvas.len() <= budget.canvas_rows {
            return Ok(layout);
        }
        if count == 1 {
            return Err(Error::Request(format!(
                "a hole and the text around it need {} canvas rows, and the model has {}",
                layout.canvas.len(),
                budget.canvas_rows
            )));
        }
        count -= 1;
    }
}

/// How many of the passage's first holes have room on a canvas, at least one. Now and then it is one too many, because
/// the near prefix depends a little on what follows the holes.
fn holes_with_room(passage: &Passage<'_>, tokenizer: &Tokenizer, budget: Budget) -> usize {
    let Passage { text, holes, .. } = *passage;
    let far_budget = budget.prompt_tokens.saturating_sub(FAR_SUFFIX_MAX_TOKENS + PROMPT_SPECIAL_TOKENS);
    let (_, near_prefix) = split_prefix(&text[..holes[0].byte_range.start], tokenizer, far_budget, budget);
    let mut rows = near_prefix.len() + holes[0].rows;
    for (index, pair) in holes.windows(2).enumerate() {
        let between = &text[pair[0].byte_range.end..pair[1].byte_range.start];
        if between.len() > budget.canvas_rows * BYTES_PER_ROW_MAX {
            return index + 1;
        }
        rows += tokenizer.encode(&normalise(between)).len() + pair[1].rows;
        let fits = rows + NEAR_SUFFIX_MAX_TOKENS <= budget.canvas_rows
            || rows + Suffix::new(&text[pair[1].byte_range.end..], tokenizer).near.len() <= budget.canvas_rows;
        if !fits {
            return index + 1;
        }
    }
    holes.len()
}

fn lay_out_all(passage: &Passage<'_>, tokenizer: &Tokenizer, form: &Form, budget: Budget) -> Layout {
    let Passage { text, holes, .. } = *passage;
    let first = &holes[0].byte_range;
    let last = &holes[holes.len() - 1].byte_range;

    let suffix = Suffix::new(&text[last.end..], tokenizer);
    let between: Vec<Vec<u32>> = holes
        .windows(2)
        .map(|pair| tokenizer.encode(&normalise(&text[pair[0].byte_range.end..pair[1].byte_range.start])))
        .collect();
    let excerpts = form.excerpts(passage, tokenizer, budget);
    let shown =
        Shown { passage, excerpts: &excerpts, far_prefix: &[], near_prefix: &[], between: &between, suffix: &suffix };
    let room = form.room(&shown, tokenizer, budget);
    let (far_prefix, near_prefix) = split_prefix(&text[..first.start], tokenizer, room, budget);
    let prompt = form.prompt(&Shown { far_prefix: &far_prefix, near_prefix: &near_prefix, ..shown }, tokenizer);

    let mut canvas: Vec<Row> = near_prefix.into_iter().map(Row::Pinned).collect();
    let mut hole_rows = Vec::with_capacity(holes.len());
    for (index, hole) in holes.iter().enumerate() {
        if let Some(before) = index.checked_sub(1).and_then(|previous| between.get(previous)) {
            canvas.extend(before.iter().copied().map(Row::Pinned));
        }
        hole_rows.push(canvas.len()..canvas.len() + hole.rows);
        canvas.extend(std::iter::repeat_n(Row::Hole { allowed: Some(hole.set) }, hole.rows));
    }
    canvas.extend(suffix.near.iter().copied().map(Row::Pinned));
    Layout { prompt, canvas, holes: hole_rows }
}

/// A prompt that ends at the passage's first hole, with nothing left for a canvas: what the encoder was trained to go
/// on from.
pub(crate) fn reading_order(passage: &Passage<'_>, tokenizer: &Tokenizer, form: &Form, budget: Budget) -> Vec<u32> {
    let Passage { text, holes, .. } = *passage;
    let hole = &holes[0].byte_range;
    let Suffix { near, far, mut reaches_the_end } = Suffix::new(&text[hole.end..], tokenizer);
    let mut far = [near, far].concat();
    reaches_the_end &= far.len() <= FAR_SUFFIX_MAX_TOKENS;
    far.truncate(FAR_SUFFIX_MAX_TOKENS);
    let suffix = Suffix { near: Vec::new(), far, reaches_the_end };
    let excerpts = form.excerpts(passage, tokenizer, budget);
    let shown =
        Shown { passage, excerpts: &excerpts, far_prefix: &[], near_prefix: &[], between: &[], suffix: &suffix };
    let room = form.room(&shown, tokenizer, budget);
    let (far_prefix, near_prefix) = split_prefix(&text[..hole.start], tokenizer, room, budget);
    let shown = Shown { far_prefix: &far_prefix, near_prefix: &near_prefix, ..shown };
    form.prompt_up_to_hole(&shown, room, tokenizer)
}

/// `text` with its lines ending in line feeds.
pub(crate) fn normalise(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n")) } else { Cow::Borrowed(text) }
}

/// The far prefix, and the near prefix behind it.
fn split_prefix(prefix: &str, tokenizer: &Tokenizer, far_budget: usize, budget: Budget) -> (Vec<u32>, Vec<u32>) {
    let mut tokens = tokenizer.encode(&normalise(&prefix[window_start(prefix, far_budget, budget.drop_bytes)..]));
    let near_start = near_prefix_start(&tokens, tokenizer);
    let near = tokens.split_off(near_start);
    let excess = tokens.len().saturating_sub(far_budget);
    let drop = excess.next_multiple_of(budget.drop_tokens).min(tokens.len());
    tokens.drain(..drop);
    (tokens, near)
}

/// The byte at which the part of the prefix that is looked at begins: the document's beginning, or a line end.
fn window_start(prefix: &str, far_budget: usize, drop_bytes: usize) -> usize {
    let excess = prefix.len().saturating_sub(far_budget * BYTES_PER_TOKEN);
    if excess == 0 {
        return 0;
    }
    let grid = prefix.ceil_char_boundary(excess.next_multiple_of(drop_bytes));
    let block_end = prefix.floor_char_boundary(grid + drop_bytes).max(grid);
    prefix[grid..block_end].find('\n').map_or(grid, |line_end| grid + line_end)
}

/// The index of the first token that stands on the canvas.
fn near_prefix_start(tokens: &[u32], tokenizer: &Tokenizer) -> usize {
    let (mut before_last, mut last) = (0, 0);
    for (index, token) in tokens.iter().enumerate() {
        let length = index - last;
        if length >= LONG_CHUNK_TOKENS || (length >= CHUNK_TOKENS && starts_with_newline(tokenizer, *token)) {
            (before_last, last) = (last, index);
        }
    }
    if tokens.len() - last >= CHUNK_TOKENS { last } else { before_last }
}

fn starts_with_newline(tokenizer: &Tokenizer, token: u32) -> bool {
    tokenizer.token_bytes(token).first() == Some(&b'\n')
}

struct Suffix {
    near: Vec<u32>,
    far: Vec<u32>,
    reaches_the_end: bool,
}

impl Suffix {
    fn new(suffix: &str, tokenizer: &Tokenizer) -> Self {
        let window = &suffix[..suffix.floor_char_boundary(SUFFIX_BYTES)];
        let mut tokens = tokenizer.encode(&normalise(window));
        let is_line = |index: &usize| starts_with_newline(tokenizer, tokens[*index]);
        let near_end = if tokens.len() <= NEAR_SUFFIX_MAX_TOKENS {
            tokens.len()
        } else {
            (NEAR_SUFFIX_TOKENS..=NEAR_SUFFIX_MAX_TOKENS).find(is_line).unwrap_or(NEAR_SUFFIX_MAX_TOKENS)
        };
        let limit = near_end + FAR_SUFFIX_MAX_TOKENS;
        let far_end = if tokens.len() <= limit {
            tokens.len()
        } else {
            (near_end + 1..=limit).rev().find(is_line).unwrap_or(limit)
        };
        let reaches_the_end = window.len() == suffix.len() && far_end == tokens.len();
        tokens.truncate(far_end);
        let far = tokens.split_off(near_end);
        Self { near: tokens, far, reaches_the_end }
    }
}
