//! Text to token ids and back, losslessly.
//!
//! Entry point: [`Tokenizer::from_json`]. The spellings of special tokens mean nothing inside text, and a token's
//! text is bytes, because one character may be spread over several tokens.

mod spelling;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::path::Path;

use tokenizers::ModelWrapper;

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
    /// The token of each single byte that occurs in UTF-8.
    bytes: Vec<Option<u32>>,
}

/// Something of everything that is easily lost: blanks at the ends and in runs, line ends, capitals, characters
/// with other forms, and ones of up to four bytes, some of them unlikely to have a token of their own.
const SAMPLE: &str = "  fn A(b: &str) -> C {\n\t\td += 1;  // é e\u{301} ﬁ 字 😀 \u{e000}\u{200b}\r\n    }\n\n\n end ";

impl Tokenizer {
    /// Reads a `tokenizer.json` for a model with so many tokens; `path` is for messages.
    pub(crate) fn from_json(path: &Path, json: &[u8], vocabulary: usize) -> Result<Self, Error> {
        let unreadable = |reason: String| {
            Error::checkpoint(
                path,
                format!("cannot be read as a tokenizer: {}", one_line(&reason)),
            )
        };
        // In two stages, because the library panics where its input is not JSON.
        let json: serde_json::Value =
            serde_json::from_slice(json).map_err(|error| unreadable(error.to_string()))?;
        let mut inner: tokenizers::Tokenizer =
            serde_json::from_value(json).map_err(|error| unreadable(error.to_string()))?;
        inner
            .with_truncation(None)
            .map_err(|error| unreadable(error.to_string()))?;
        inner.with_padding(None);
        inner.set_encode_special_tokens(true);
        if let ModelWrapper::BPE(model) = inner.get_model()
            && model.dropout.is_some_and(|dropout| dropout != 0.0)
        {
            return Err(Error::unsupported(path, "a tokenizer with dropout"));
        }
        let spelling = Spelling::of(&inner).map_err(|reason| Error::unsupported(path, reason))?;

        let spellings = spellings(path, &inner, vocabulary)?;
        let mut special = HashMap::new();
        let mut is_special = vec![false; spellings.len()];
        for (id, token) in inner.get_added_tokens_decoder() {
            if token.special {
                is_special[id as usize] = true;
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
        let bytes = (0..=u8::MAX)
            .map(|byte| inner.token_to_id(&spelling.byte_token(byte)))
            .collect();
        let tokenizer = Self {
            inner,
            text,
            starts,
            special,
            is_special,
            bytes,
        };
        tokenizer.check_lossless(path)?;
        Ok(tokenizer)
    }

    fn check_lossless(&self, path: &Path) -> Result<(), Error> {
        for byte in 0..=u8::MAX {
            // These never occur in UTF-8.
            let occurs = !matches!(byte, 0xc0 | 0xc1 | 0xf5..);
            if occurs
                && self.bytes[usize::from(byte)].is_none_or(|id| self.token_bytes(id) != [byte])
            {
                return Err(Error::unsupported(
                    path,
                    format!("a tokenizer without a token for the byte {byte:#04x}"),
                ));
            }
        }
        if self.decode(&self.encode(SAMPLE)) != SAMPLE {
            return Err(Error::unsupported(
                path,
                "a tokenizer that does not give text back unchanged",
            ));
        }
        Ok(())
    }

    /// The ids of a text, without any special token among them.
    pub(crate) fn encode(&self, text: &str) -> Vec<u32> {
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
        let spelled = |id| {
            self.special
                .iter()
                .find(|entry| *entry.1 == id)
                .map_or("", |entry| entry.0)
        };
        let plain = |id| match self.is_special(id) {
            true => self.byte_ids(spelled(id).as_bytes()).collect(),
            false => vec![id],
        };
        ids.iter().flat_map(|&id| plain(id)).collect()
    }

    fn byte_ids(&self, bytes: &[u8]) -> impl Iterator<Item = u32> {
        // All bytes of UTF-8 have a token; this was checked when the tokenizer was read.
        bytes
            .iter()
            .filter_map(|&byte| self.bytes[usize::from(byte)])
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
    pub(crate) fn decode(&self, ids: &[u32]) -> String {
        let bytes: Vec<u8> = ids
            .iter()
            .flat_map(|&id| self.token_bytes(id))
            .copied()
            .collect();
        match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        }
    }

    /// The special token that is spelled so.
    pub(crate) fn special(&self, name: &str) -> Option<u32> {
        self.special.get(name).copied()
    }

    /// Whether a token stands for something other than text.
    pub(crate) fn is_special(&self, id: u32) -> bool {
        self.is_special.get(id as usize).copied().unwrap_or(false)
    }

    /// Whether a token's text has a `\n` in it.
    pub(crate) fn contains_newline(&self, id: u32) -> bool {
        self.token_bytes(id).contains(&b'\n')
    }
}

/// Each token as the file spells it, by id.
fn spellings(
    path: &Path,
    inner: &tokenizers::Tokenizer,
    vocabulary: usize,
) -> Result<Vec<Option<String>>, Error> {
    let mut entries: Vec<(String, u32)> = inner.get_vocab(true).into_iter().collect();
    entries.sort_unstable_by(|left, right| (left.1, &left.0).cmp(&(right.1, &right.0)));
    let mut spellings = Vec::new();
    for (token, id) in entries {
        let id = id as usize;
        if id >= vocabulary {
            let token = one_line(&token);
            let reason =
                format!("gives token `{token}` the id {id}, but the model has {vocabulary} tokens");
            return Err(Error::checkpoint(path, reason));
        }
        if id < spellings.len() {
            return Err(Error::checkpoint(
                path,
                format!("gives the id {id} to two tokens"),
            ));
        }
        spellings.resize(id + 1, None);
        spellings[id] = Some(token);
    }
    Ok(spellings)
}
