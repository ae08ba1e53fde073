//! The forms that a prompt can have, and what each puts around the text.

use super::{
    BYTES_PER_TOKEN, Budget, CHUNK_TOKENS, LONG_CHUNK_TOKENS, Markers, PROMPT_SPECIAL_TOKENS, Passage, Suffix,
    normalise,
};
use crate::infiller::{Excerpt, Language};
use crate::tokenizer::Tokenizer;

/// What stands for a hole in text that is shown to a model as a part of a message.
const GAP: &str = "[[missing]]";
/// Backticks in the shortest fence around code in a message.
const FENCE_LENGTH: usize = 3;
/// The share of a prompt that a message gives to excerpts at most, as one in so many tokens.
const EXCERPTS_SHARE: usize = 4;
/// What an excerpt's name and fences take besides, about.
const EXCERPT_EXTRA_BYTES: usize = 32;
/// Characters of a file name that a message shows at most.
pub(super) const NAME_MAX_CHARACTERS: usize = 120;
/// The near prefix never has more tokens than these.
const NEAR_PREFIX_MAX_TOKENS: usize = CHUNK_TOKENS + LONG_CHUNK_TOKENS;

/// How the text around a hole becomes a prompt.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    /// Layout 1, for a checkpoint that was trained with it.
    Trained(Markers),
    /// The far prefix and nothing else, for a checkpoint of which nothing is known.
    Plain {
        /// Begins every text.
        bos: u32,
    },
    /// A message that asks for the missing text, for a checkpoint that was trained to answer messages. The canvas is the
    /// beginning of the answer: the lines around the hole.
    Chat(Chat),
}

/// What stands around a message, as token ids.
#[derive(Clone, Debug)]
pub(crate) struct Chat {
    pub(super) before: Vec<u32>,
    pub(super) after: Vec<u32>,
}

/// The parts of a passage that a prompt shows.
#[derive(Clone, Copy)]
pub(super) struct Shown<'a> {
    pub(super) passage: &'a Passage<'a>,
    /// What stands before the passage: what other files say of it.
    pub(super) excerpts: &'a [u32],
    pub(super) far_prefix: &'a [u32],
    pub(super) near_prefix: &'a [u32],
    /// The text between two holes each.
    pub(super) between: &'a [Vec<u32>],
    pub(super) suffix: &'a Suffix,
}

impl Chat {
    /// Finds what is needed by its spelling; the error is the token that is missing. Thinking is switched off by an empty
    /// thought at the answer's beginning, where the model knows thoughts.
    pub(crate) fn find(tokenizer: &Tokenizer, bos: u32) -> Result<Self, &'static str> {
        let find = |name: &'static str| tokenizer.special(name).ok_or(name);
        let (turn, end_of_turn) = (find("<|turn>")?, find("<turn|>")?);
        let mut before = vec![bos, turn];
        before.extend(tokenizer.encode("user\n"));
        let mut after = vec![end_of_turn];
        after.extend(tokenizer.encode("\n"));
        after.push(turn);
        after.extend(tokenizer.encode("model\n"));
        if let (Ok(thought), Ok(end_of_thought)) = (find("<|channel>"), find("<channel|>")) {
            after.push(thought);
            after.extend(tokenizer.encode("thought\n"));
            after.push(end_of_thought);
        }
        Ok(Self { before, after })
    }
}

impl Form {
    /// What a prompt says of other files: nothing, but in a message. Layout 1 has no place for them, and the embedded model
    /// gains nothing from one.
    pub(super) fn excerpts(&self, passage: &Passage<'_>, tokenizer: &Tokenizer, budget: Budget) -> Vec<u32> {
        match self {
            Self::Chat(_) => excerpts(passage, tokenizer, budget.prompt_tokens / EXCERPTS_SHARE),
            Self::Trained(_) | Self::Plain { .. } => Vec::new(),
        }
    }

    /// How many tokens of far prefix a prompt has room for.
    pub(super) fn room(&self, shown: &Shown<'_>, tokenizer: &Tokenizer, budget: Budget) -> usize {
        let others = match self {
            Self::Trained(_) => shown.suffix.far.len() + PROMPT_SPECIAL_TOKENS,
            Self::Plain { .. } => 1,
            Self::Chat(chat) => {
                let without_prefix = Shown { far_prefix: &[], near_prefix: &[], ..*shown };
                chat.prompt(&without_prefix, tokenizer).len() + NEAR_PREFIX_MAX_TOKENS
            }
        };
        budget.prompt_tokens.saturating_sub(others)
    }

    /// The prompt over which the canvas stands: near prefix, holes and near suffix.
    pub(super) fn prompt(&self, shown: &Shown<'_>, tokenizer: &Tokenizer) -> Vec<u32> {
        match self {
            Self::Trained(markers) => {
                let mut prompt = vec![markers.bos, markers.language(shown.passage.language), markers.suffix];
                prompt.extend_from_slice(&shown.suffix.far);
                prompt.extend(shown.suffix.reaches_the_end.then_some(markers.eos));
                prompt.push(markers.prefix);
                prompt.extend_from_slice(shown.far_prefix);
                prompt
            }
            Self::Plain { bos } => [&[*bos], shown.far_prefix].concat(),
            Self::Chat(chat) => chat.prompt(shown, tokenizer),
        }
    }

    /// The prompt that ends where the first hole begins.
    pub(super) fn prompt_up_to_hole(&self, shown: &Shown<'_>, room: usize, tokenizer: &Tokenizer) -> Vec<u32> {
        match self {
            Self::Trained(_) | Self::Plain { .. } => {
                let prefix = [shown.far_prefix, shown.near_prefix].concat();
                let far_prefix = &prefix[prefix.len().saturating_sub(room)..];
                self.prompt(&Shown { far_prefix, near_prefix: &[], ..*shown }, tokenizer)
            }
            Self::Chat(chat) => [&chat.prompt(shown, tokenizer), shown.near_prefix].concat(),
        }
    }
}

impl Chat {
    fn prompt(&self, shown: &Shown<'_>, tokenizer: &Tokenizer) -> Vec<u32> {
        let (name, tag) = name_and_tag(shown.passage.language);
        let fence = fence_around(shown.passage.text);
        let gap = tokenizer.encode(GAP);
        let file = shown.passage.name.map_or_else(String::new, |file| format!(" {}", one_line(file)));
        let mut prompt = [&self.before, shown.excerpts].concat();
        prompt.extend(tokenizer.encode(&format!(
            "Something is missing in this {name} file{file}, wherever it says {GAP}. Write the lines around that place again, \
             unchanged but with the missing text in it, and nothing else.\n\n{fence}{tag}\n"
        )));
        prompt.extend_from_slice(shown.far_prefix);
        prompt.extend_from_slice(shown.near_prefix);
        prompt.extend_from_slice(&gap);
        for text in shown.between {
            prompt.extend_from_slice(text);
            prompt.extend_from_slice(&gap);
        }
        prompt.extend_from_slice(&shown.suffix.near);
        prompt.extend_from_slice(&shown.suffix.far);
        prompt.extend(tokenizer.encode(&format!("\n{fence}")));
        prompt.extend_from_slice(&self.after);
        // The canvas goes on from here: with a line end of its own, or in the line below the fence.
        let opens_line = shown.near_prefix.first().is_some_and(|id| tokenizer.token_bytes(*id).starts_with(b"\n"));
        prompt.extend(tokenizer.encode(&format!("{fence}{tag}{}", if opens_line { "" } else { "\n" })));
        prompt
    }
}

/// As many of the most relevant excerpts as have room, each under its file's name, and the most relevant one last. What is
/// said depends on nothing but the excerpts and their language.
fn excerpts(passage: &Passage<'_>, tokenizer: &Tokenizer, room: usize) -> Vec<u32> {
    let (_, tag) = name_and_tag(passage.language);
    let opening = tokenizer.encode("Here is what other files have that this one may use.\n\n");
    let mut left = room.saturating_sub(opening.len());
    let mut shown: Vec<Vec<u32>> = Vec::new();
    for Excerpt { name, text } in passage.excerpts {
        if text.len() + EXCERPT_EXTRA_BYTES > left * BYTES_PER_TOKEN {
            break;
        }
        let text = normalise(text);
        let (fence, text) = (fence_around(&text), text.trim_matches('\n'));
        let tokens = tokenizer.encode(&format!("{}:\n\n{fence}{tag}\n{text}\n{fence}\n\n", one_line(name)));
        let Some(still_left) = left.checked_sub(tokens.len()) else { break };
        left = still_left;
        shown.push(tokens);
    }
    if shown.is_empty() {
        return Vec::new();
    }
    shown.push(opening);
    shown.into_iter().rev().flatten().collect()
}

/// What a language is called, and what it is called behind a fence.
fn name_and_tag(language: Language) -> (&'static str, &'static str) {
    match language {
        Language::Text => ("text", ""),
        Language::Rust => ("Rust", "rust"),
        Language::Python => ("Python", "python"),
        Language::Markdown => ("Markdown", "markdown"),
    }
}

/// A fence that nothing in the text can be taken for.
fn fence_around(text: &str) -> String {
    "`".repeat((longest_fence(text) + 1).max(FENCE_LENGTH))
}

/// A file name as a part of a sentence: what would end its line is left out, and so is what is too long for a name.
fn one_line(name: &str) -> String {
    name.chars().filter(|character| !character.is_control()).take(NAME_MAX_CHARACTERS).collect()
}

/// The longest row of backticks in a text.
fn longest_fence(text: &str) -> usize {
    text.split(|character| character != '`').map(str::len).max().unwrap_or(0)
}
