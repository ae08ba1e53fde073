//! How a vocabulary spells bytes.

use serde_json::Value;

/// The two ways in which published vocabularies spell any byte.
pub(super) enum Spelling {
    /// Each byte is a character of its own: printable ones stand for themselves, the others for characters from
    /// U+0100 on.
    ByteLevel,
    /// Text is text, with `▁` for a blank; bytes without a token of their own are `<0xAB>`.
    ByteFallback,
}

impl Spelling {
    /// Reads it off a file's decoder, or says why it cannot.
    pub(super) fn of(decoder: &Value) -> Result<Self, String> {
        match kind(decoder) {
            "ByteLevel" => Ok(Self::ByteLevel),
            "Sequence" => {
                let parts = decoder["decoders"].as_array().map(Vec::as_slice).unwrap_or_default();
                for part in parts {
                    let blank = part["pattern"]["String"] == super::BLANK_MARK && part["content"] == " ";
                    match kind(part) {
                        "ByteFallback" | "Fuse" => {}
                        "Replace" if blank => {}
                        other => {
                            return Err(format!("a tokenizer with a decoder {other:?} in a sequence"));
                        }
                    }
                }
                let has = |name| parts.iter().any(|part| kind(part) == name);
                match has("ByteFallback") && has("Replace") {
                    true => Ok(Self::ByteFallback),
                    false => Err("a tokenizer whose decoder knows no bytes".to_owned()),
                }
            }
            "" => Err("a tokenizer without a decoder".to_owned()),
            other => Err(format!("a tokenizer with the decoder {other:?}")),
        }
    }

    /// Appends the bytes that a token stands for.
    pub(super) fn decode(&self, token: &str, bytes: &mut Vec<u8>) {
        match self {
            Self::ByteLevel => match token.chars().map(byte_of).collect::<Option<Vec<u8>>>() {
                Some(decoded) => bytes.extend(decoded),
                // A token that was added by hand stands as it is.
                None => bytes.extend(token.as_bytes()),
            },
            Self::ByteFallback => match fallback_byte(token) {
                Some(byte) => bytes.push(byte),
                None => bytes.extend(token.replace(super::BLANK_MARK, " ").into_bytes()),
            },
        }
    }

    /// How the token of a single byte is spelled.
    pub(super) fn byte_token(&self, byte: u8) -> String {
        match self {
            Self::ByteLevel => character_of(byte).to_string(),
            Self::ByteFallback => format!("<0x{byte:02X}>"),
        }
    }
}

fn kind(decoder: &Value) -> &str {
    decoder["type"].as_str().unwrap_or_default()
}

/// Whether the byte-level alphabet spells a byte by the character of the same number.
fn is_printable(byte: u8) -> bool {
    matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff)
}

fn character_of(byte: u8) -> char {
    if is_printable(byte) {
        return char::from(byte);
    }
    // The others are numbered in order.
    let rank = (0..byte).filter(|&other| !is_printable(other)).count();
    char::from_u32(0x100 + rank as u32).unwrap_or(char::REPLACEMENT_CHARACTER)
}

fn byte_of(character: char) -> Option<u8> {
    match u8::try_from(u32::from(character)) {
        Ok(byte) => Some(byte).filter(|&byte| is_printable(byte)),
        Err(_) => {
            let rank = u32::from(character).checked_sub(0x100)? as usize;
            (0..=u8::MAX).filter(|&byte| !is_printable(byte)).nth(rank)
        }
    }
}

fn fallback_byte(token: &str) -> Option<u8> {
    let digits = token.strip_prefix("<0x")?.strip_suffix('>')?;
    let is_hexadecimal = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    u8::from_str_radix(digits, 16).ok().filter(|_| is_hexadecimal)
}
