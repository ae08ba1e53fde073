//! Reads JSON objects in which no key may be overlooked.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::Error;

/// No size in a configuration may exceed this; products of three of them then fit in 128 bits, and each fits
/// in a token id.
pub(super) const SIZE_LIMIT: u64 = 1 << 24;

/// A JSON object from which each key is taken once. What is left at the end was not understood.
pub(super) struct Object {
    path: PathBuf,
    prefix: String,
    entries: Map<String, Value>,
}

impl Object {
    /// Parses a whole file.
    pub(super) fn parse(path: &Path, text: &str) -> Result<Self, Error> {
        match serde_json::from_str(text) {
            Ok(Value::Object(entries)) => Ok(Self { path: path.to_path_buf(), prefix: String::new(), entries }),
            Ok(_) => Err(Error::checkpoint(path, "is not a JSON object")),
            Err(error) => Err(Error::checkpoint(path, format!("is not valid JSON: {}", one_line(&error.to_string())))),
        }
    }

    /// The key as it is named in messages, with the objects around it.
    pub(super) fn name(&self, key: &str) -> String {
        format!("{}{}", self.prefix, one_line(key))
    }

    /// The keys that have not been taken.
    pub(super) fn keys(&self) -> Vec<String> {
        self.entries.keys().cloned().collect()
    }

    /// Whether the key is there, be its value null.
    pub(super) fn contains(&self, key: &str) -> bool {
        self.entries.contains_key(key)
    }

    /// Whether the key has a list.
    pub(super) fn is_list(&self, key: &str) -> bool {
        self.entries.get(key).is_some_and(Value::is_array)
    }

    /// The object's own name, as in messages.
    pub(super) fn whole(&self) -> &str {
        self.prefix.trim_end_matches('.')
    }

    /// Gives an absent key a value. A null stays.
    pub(super) fn default(&mut self, key: &str, value: Value) {
        self.entries.entry(key).or_insert(value);
    }

    /// The value; `None` where it is null or absent.
    pub(super) fn take(&mut self, key: &str) -> Option<Value> {
        self.entries.remove(key).filter(|value| !value.is_null())
    }

    /// The object under a key; `None` where it is null or absent.
    pub(super) fn object(&mut self, key: &str) -> Result<Option<Self>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Object(entries)) => {
                let prefix = format!("{}.", self.name(key));
                Ok(Some(Self { path: self.path.clone(), prefix, entries }))
            }
            Some(value) => Err(self.invalid(key, &value, "an object")),
        }
    }

    /// A whole number from `least` to [`SIZE_LIMIT`]; `None` where it is null or absent.
    pub(super) fn optional_size(&mut self, key: &str, least: u64) -> Result<Option<usize>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_u64() {
            // The limit makes the conversion lossless on every platform.
            Some(number) if (least..=SIZE_LIMIT).contains(&number) => Ok(Some(number as usize)),
            _ => Err(self.invalid(key, &value, &format!("a whole number from {least} to {SIZE_LIMIT}"))),
        }
    }

    /// A whole number from 1 to [`SIZE_LIMIT`] that must be given.
    pub(super) fn size(&mut self, key: &str) -> Result<usize, Error> {
        self.optional_size(key, 1)?.ok_or_else(|| self.missing(key))
    }

    /// A number for which `allowed` holds; `None` where it is null or absent. JSON has no infinite numbers.
    pub(super) fn number(
        &mut self,
        key: &str,
        expected: &str,
        allowed: impl Fn(f64) -> bool,
    ) -> Result<Option<f64>, Error> {
        let Some(value) = self.take(key) else {
            return Ok(None);
        };
        match value.as_f64() {
            Some(number) if allowed(number) => Ok(Some(number)),
            _ => Err(self.invalid(key, &value, expected)),
        }
    }

    /// A string; `None` where it is null or absent.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<String>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(value) => Err(self.invalid(key, &value, "a string")),
        }
    }

    /// A token id below `vocabulary`; `None` where it is null or absent.
    pub(super) fn token_id(&mut self, key: &str, vocabulary: usize) -> Result<Option<u32>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(value) => self.id_from(key, &value, vocabulary).map(Some),
        }
    }

    /// One token id or a list of them; `None` where it is null or absent.
    pub(super) fn token_ids(&mut self, key: &str, vocabulary: usize) -> Result<Option<Vec<u32>>, Error> {
        match self.take(key) {
            None => Ok(None),
            Some(Value::Array(values)) => {
                values.iter().map(|value| self.id_from(key, value, vocabulary)).collect::<Result<_, _>>().map(Some)
            }
            Some(value) => Ok(Some(vec![self.id_from(key, &value, vocabulary)?])),
        }
    }

    fn id_from(&self, key: &str, value: &Value, vocabulary: usize) -> Result<u32, Error> {
        value
            .as_u64()
            .and_then(|id| u32::try_from(id).ok())
            .filter(|&id| (id as usize) < vocabulary)
            .ok_or_else(|| self.invalid(key, value, &format!("a token id below the vocabulary's {vocabulary}")))
    }

    /// Leaves keys aside that do not bear on the arithmetic.
    pub(super) fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.entries.remove(*key);
        }
    }

    /// Refuses any value but null, `only` and no value at all.
    pub(super) fn require(&mut self, key: &str, only: &Value) -> Result<(), Error> {
        match self.take(key) {
            Some(value) if !same(&value, only) => Err(self.unsupported(key, &value)),
            _ => Ok(()),
        }
    }

    /// Refuses the object if any key was not taken.
    pub(super) fn finish(self) -> Result<(), Error> {
        match self.entries.iter().next() {
            Some((key, value)) => Err(self.unsupported(key, value)),
            None => Ok(()),
        }
    }

    /// A required key is not there, or null.
    pub(super) fn missing(&self, key: &str) -> Error {
        Error::checkpoint(&self.path, format!("{} is missing or null", self.name(key)))
    }

    /// A value is not of the form that its key asks for.
    pub(super) fn invalid(&self, key: &str, value: &Value, expected: &str) -> Error {
        self.refuse(format!("{} is {}, not {expected}", self.name(key), show(value)))
    }

    /// A key, or this value of it, stands for something that this engine does not do.
    pub(super) fn unsupported(&self, key: &str, value: &Value) -> Error {
        Error::unsupported(&self.path, format!("{} = {}", self.name(key), show(value)))
    }

    /// The object as a whole stands for something that this engine does not do.
    pub(super) fn not_supported(&self, reason: impl Into<String>) -> Error {
        Error::unsupported(&self.path, reason)
    }

    /// Something about this object is wrong.
    pub(super) fn refuse(&self, reason: impl Into<String>) -> Error {
        Error::checkpoint(&self.path, reason)
    }
}

/// Equal, with 0 equal to 0.0.
fn same(left: &Value, right: &Value) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left == right,
        _ => left == right,
    }
}

/// A value as it stands in a message: compact, on one line, and not too long.
pub(crate) fn show(value: &Value) -> String {
    one_line(&value.to_string())
}

/// Foreign text as it stands in a message: on one line, and not too long.
pub(crate) fn one_line(text: &str) -> String {
    const LONGEST: usize = 160;
    let mut line = String::new();
    for (count, character) in text.chars().enumerate() {
        if count == LONGEST {
            line.push('…');
            break;
        }
        // The two separators are line ends to some readers, though they are not control characters.
        if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') {
            line.extend(character.escape_default());
        } else {
            line.push(character);
        }
    }
    line
}
