//! Text to token ids and back, losslessly.
//!
//! Entry point: [`Tokenizer::from_json`]. The spellings of special tokens mean nothing inside text, and a token's
//! text is bytes, because one character may be spread over several tokens.

mod file;
mod spelling;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use self::file::Refusal;
use self::spelling::Spelling;
use crate::Error;
use crate::checkpoint::one_line;

/// A tokenizer that gives any text back unchanged.
pub(crate) struct Tokenizer {
    inner: tokenizers::Tokenizer,
    /// The text of all tokens, one after the other; token `id` is at `starts[id]..starts[id + 1]`.
    text: Vec<u8>,
    starts: Vec<usize>,
    special: HashMap<String, u32>,
    is_special: Vec<bool>,
    /// Whether the vocabulary spells a blank as `▁`, so that a `▁` of a text itself can only be said in bytes.
    marks_blanks: bool,
    /// The token of each single byte that occurs in UTF-8.
    bytes: Vec<Option<u32>>,
}

/// Something of everything that is easily lost: blanks at the ends and in runs, line ends, capitals, characters
/// with other forms, and ones of up to four bytes, some of them unlikely to have a token of their own.
const SAMPLE: &str = "  fn A(b: &str) -> C {\n\t\td += 1;  // é e\u{301} ﬁ 字 😀 \u{e000}\u{200b}\r\n    }\n\n\n end ";

/// What stands for a blank in vocabularies that do not spell it as it is.
const BLANK_MARK: &str = "▁";

impl Tokenizer {
    /// Reads a `tokenizer.json` for a model with so many tokens; `path` is for messages.
    pub(crate) fn from_json(path: &Path, json: &[u8], vocabulary: usize) -> Result<Self, Error> {
        Self::read(json, vocabulary).map_err(|refusal| match refusal {
            Refusal::Damaged(reason) => {
                let reason = format!("cannot be read as a tokenizer: {}", one_line(&reason));
                Error::checkpoint(path, reason)
            }
            Refusal::Unsupported(reason) => Error::unsupported(path, reason),
        })
    }

    fn read(json: &[u8], vocabulary: usize) -> Result<Self, Refusal> {
        let damaged = |error: serde_json::Error| Refusal::Damaged(error.to_string());
        let mut file: Value = serde_json::from_slice(json).map_err(damaged)?;
        let spelling = Spelling::of(&file["decoder"]);
        file::prepare(&mut file, vocabulary)?;
        let spelling = spelling.map_err(Refusal::Unsupported)?;
        let mut inner: tokenizers::Tokenizer = serde_json::from_value(file).map_err(damaged)?;
        inner.set_encode_special_tokens(true);

        let spellings = spellings(&inner, vocabulary)?;
        let mut special = HashMap::new();
        let mut is_special = vec![false; spellings.len()];
        for (id, token) in inner.get_added_tokens_decoder() {
            if token.special
                && let Some(is_special) = is_special.get_mut(id as usize)
            {
                *is_special = true;
                special.insert(token.content, id);
            }
        }
        let mut text = Vec::new();
        let mut starts = vec![0];
        for (token, is_special) in spellings.iter().zip(&is_special) {
            if let Some(token) = token
                && !is_special
            {
                spelling.decode(token, &mut text);
            }
            starts.push(text.len());
        }
        let bytes = (0..=u8::MAX).map(|byte| inner.token_to_id(&spelling.byte_token(byte))).collect();
        let marks_blanks = matches!(spelling, Spelling::ByteFallback);
        let tokenizer = Self { inner, text, starts, special, is_special, marks_blanks, bytes };
        tokenizer.check_lossless()?;
        Ok(tokenizer)
    }

    fn check_lossless(&self) -> Result<(), Refusal> {
        let refuse = |reason: String| Err(Refusal::Unsupported(reason));
        for byte in 0..=u8::MAX {
            // These never occur in UTF-8.
            let occurs = !matches!(byte, 0xc0 | 0xc1 | 0xf5..);
            let id = self.bytes[usize::from(byte)];
            if occurs && id.is_none_or(|id| self.token_bytes(id) != [byte]) {
                return refuse(format!("a tokenizer without a token for the byte {byte:#04x}"));
            }
        }
        if !self.spells(&self.encode_pieces(SAMPLE), SAMPLE) {
            return refuse("a tokenizer that does not give text back unchanged".to_owned());
        }
        Ok(())
    }

    /// The ids of a text, without any special token among them. Nothing is added before it or behind it, so a text may be
    /// cut anywhere, and its parts put together again.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
        let ids = self.encode_pieces(text);
        // A text that the file's rules would change after all is said byte by byte.
        if self.spells(&ids, text) { ids } else { self.byte_ids(text.as_bytes()).collect() }
    }

    /// Whether the tokens stand for exactly this text.
    fn spells(&self, ids: &[u32], text: &str) -> bool {
        let mut rest = text.as_bytes();
        ids.iter().all(|id| rest.strip_prefix(self.token_bytes(*id)).map(|after| rest = after).is_some())
            && rest.is_empty()
    }

    fn encode_pieces(&self, text: &str) -> Vec<u32> {
        if !self.marks_blanks || !text.contains(BLANK_MARK) {
            return self.encode_piece(text);
        }
        let mut ids = Vec::new();
        for (index, piece) in text.split(BLANK_MARK).enumerate() {
            if index > 0 {
                ids.extend(self.byte_ids(BLANK_MARK.as_bytes()));
            }
            ids.extend(self.encode_piece(piece));
        }
        ids
    }

    fn encode_piece(&self, text: &str) -> Vec<u32> {
        if text.is_empty() {
            return Vec::new();
        }
        let Ok(encoding) = self.inner.encode_fast(text, false) else {
            return self.byte_ids(text.as_bytes()).collect();
        };
        let ids = encoding.get_ids();
        if !ids.iter().any(|&id| self.is_special(id)) {
            return ids.to_vec();
        }
        // A vocabulary may lead from plain text to a special token by way of its merges.
        let plain = |id| match self.special_name(id) {
            Some(spelled) => self.byte_ids(spelled.as_bytes()).collect(),
            None => vec![id],
        };
        ids.iter().flat_map(|&id| plain(id)).collect()
    }

    fn byte_ids(&self, bytes: &[u8]) -> impl Iterator<Item = u32> {
        // All bytes of UTF-8 have a token; this was checked when the tokenizer was read.
        bytes.iter().filter_map(|&byte| self.bytes[usize::from(byte)])
    }

    /// The text of one token, perhaps a part of a character. Special tokens, and ids that no token has, are empty.
    pub(crate) fn token_bytes(&self, id: u32) -> &[u8] {
        let id = id as usize;
        match (self.starts.get(id), self.starts.get(id + 1)) {
            (Some(&start), Some(&end)) => &self.text[start..end],
            _ => &[],
        }
    }

    /// The text of a row of tokens. What is not UTF-8 is shown as replacement characters.
    #[cfg(test)]
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids.iter().flat_map(|&id| self.token_bytes(id)).copied().collect();
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// The text of each token in its place. A character that is spread over several tokens is in the piece of the first
    /// of them, and what is not UTF-8 is shown as replacement characters.
    pub(crate) fn pieces(&self, ids: &[u32]) -> Vec<String> {
        let mut pieces = vec![String::new(); ids.len()];
        // A character that is not complete yet, and where it begins.
        let (mut begun, mut first) = (Vec::new(), 0);
        for (index, id) in ids.iter().enumerate() {
            for &byte in self.token_bytes(*id) {
                if !begun.is_empty() && byte & 0xc0 != 0x80 {
                    pieces[first].push(char::REPLACEMENT_CHARACTER);
                    begun.clear();
                }
                if begun.is_empty() {
                    first = index;
                }
                begun.push(byte);
                match std::str::from_utf8(&begun) {
                    Ok(character) => pieces[first].push_str(character),
                    Err(error) if error.error_len().is_none() => continue,
                    Err(_) => pieces[first].push(char::REPLACEMENT_CHARACTER),
                }
                begun.clear();
            }
        }
        if !begun.is_empty() {
            pieces[first].push(char::REPLACEMENT_CHARACTER);
        }
        pieces
    }

    /// The special token that is spelled so.
    pub(crate) fn special(&self, name: &str) -> Option<u32> {
        self.special.get(name).copied()
    }

    /// How a special token is spelled; `None` for tokens of text.
    pub(crate) fn special_name(&self, id: u32) -> Option<&str> {
        self.special.iter().find(|entry| *entry.1 == id).map(|entry| entry.0.as_str())
    }

    /// Whether a token stands for something other than text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.is_special.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether a token stands for some text.
    pub(crate) fn is_text(&self, id: u32) -> bool {
        !self.is_special(id) && !self.token_bytes(id).is_empty()
    }

    /// Whether a token's text has a `\n` in it.
    pub(crate) fn contains_newline(&self, id: u32) -> bool {
        self.token_bytes(id).contains(&b'\n')
    }
}

/// Each token as the file spells it, by id. The library numbers added tokens itself, so they are looked at here.
fn spellings(inner: &tokenizers::Tokenizer, vocabulary: usize) -> Result<Vec<Option<String>>, Refusal> {
    let mut spellings = vec![None; vocabulary];
    for (token, id) in inner.get_vocab(true) {
        match spellings.get_mut(id as usize) {
            Some(spelling @ None) => *spelling = Some(token),
            Some(Some(_)) => return Err(Refusal::twice(&id)),
            None => return Err(Refusal::outside(&token, &id, vocabulary)),
        }
    }
    Ok(spellings)
}
