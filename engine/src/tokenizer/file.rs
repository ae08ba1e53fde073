//! What a `tokenizer.json` must be before the library sees it.
//!
//! The library trusts its input: it panics where the text is not JSON or the merges do not fit the vocabulary.
//! So the file is checked here, and the parts that this engine does not use are left out.

use std::collections::HashSet;
use std::fmt::Display;

use serde_json::Value;

use crate::checkpoint::{one_line, show};

/// Why a file is refused.
pub(super) enum Refusal {
    /// It is damaged.
    Damaged(String),
    /// It asks for something that would lose text, or that is not implemented.
    Unsupported(String),
}

impl Refusal {
    /// A token's id is none of the model's.
    pub(super) fn outside(token: &str, id: &impl Display, vocabulary: usize) -> Self {
        let token = one_line(token);
        Self::Damaged(format!("token `{token}` has the id {id}, but the model has {vocabulary} tokens"))
    }

    /// Two tokens have the same id.
    pub(super) fn twice(id: &impl Display) -> Self {
        Self::Damaged(format!("two tokens have the id {id}"))
    }
}

/// Checks the parts of a file that the library reads, and removes the others. `vocabulary` is how many tokens the
/// model has.
pub(super) fn prepare(file: &mut Value, vocabulary: usize) -> Result<(), Refusal> {
    let Some(object) = file.as_object_mut() else {
        return damaged("it is not an object");
    };
    // Texts are encoded without additions, and decoded here.
    for key in ["post_processor", "decoder", "padding", "truncation"] {
        object.insert(key.to_owned(), Value::Null);
    }
    check_parts(&file["normalizer"], "normalizer", "normalizers", &["Replace"])?;
    let known = ["ByteLevel", "Digits", "Punctuation", "Split"];
    check_parts(&file["pre_tokenizer"], "pre_tokenizer", "pretokenizers", &known)?;
    check_added(&file["added_tokens"])?;
    check_model(&file["model"], vocabulary)
}

fn damaged<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Damaged(reason.into()))
}

fn unsupported<T>(reason: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Unsupported(reason.into()))
}

/// Checks that a part is one of those known not to lose text, or a sequence of them.
fn check_parts(part: &Value, key: &str, list: &str, known: &[&str]) -> Result<(), Refusal> {
    if part.is_null() {
        return Ok(());
    }
    match part["type"].as_str() {
        Some("Sequence") => match part[list].as_array() {
            Some(parts) => parts.iter().try_for_each(|part| check_parts(part, key, list, known)),
            None => damaged(format!("{key}.{list} is not a list")),
        },
        Some(kind) if known.contains(&kind) => Ok(()),
        _ => unsupported(format!("a tokenizer with {key} {}", show(part))),
    }
}

/// Checks that no token of text takes blanks away from its neighbours.
fn check_added(added: &Value) -> Result<(), Refusal> {
    for token in added.as_array().map(Vec::as_slice).unwrap_or_default() {
        if token["special"] != true && (token["lstrip"] == true || token["rstrip"] == true) {
            return unsupported(format!("a tokenizer with the added token {}", show(token)));
        }
    }
    Ok(())
}

fn check_model(model: &Value, vocabulary: usize) -> Result<(), Refusal> {
    if !model.is_object() {
        return damaged("it has no model");
    }
    let kind = &model["type"];
    if kind != "BPE" {
        return unsupported(format!("a tokenizer with a model of type {}", show(kind)));
    }
    for key in ["continuing_subword_prefix", "end_of_word_suffix", "dropout"] {
        let value = &model[key];
        if !(value.is_null() || value == "" || value.as_f64() == Some(0.0)) {
            return unsupported(format!("a tokenizer with {key} {}", show(value)));
        }
    }
    let Some(tokens) = model["vocab"].as_object() else {
        return damaged("model.vocab is not an object");
    };
    let mut taken = vec![false; vocabulary];
    for (token, id) in tokens {
        let position = id.as_u64().and_then(|id| usize::try_from(id).ok());
        match position.and_then(|position| taken.get_mut(position)) {
            Some(taken @ false) => *taken = true,
            Some(true) => return Err(Refusal::twice(id)),
            None => return Err(Refusal::outside(token, &show(id), vocabulary)),
        }
    }
    let Some(merges) = model["merges"].as_array() else {
        return damaged("model.merges is not a list");
    };
    let tokens: HashSet<&str> = tokens.keys().map(String::as_str).collect();
    merges.iter().try_for_each(|merge| check_merge(merge, &tokens))
}

/// Checks that a merge makes a token of two tokens. There are two spellings of a merge.
fn check_merge(merge: &Value, tokens: &HashSet<&str>) -> Result<(), Refusal> {
    let parts: Vec<&str> = match merge {
        Value::String(text) => text.split(' ').collect(),
        Value::Array(parts) => parts.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    match parts[..] {
        [left, right] if [left, right, &format!("{left}{right}")].iter().all(|part| tokens.contains(*part)) => Ok(()),
        _ => damaged(format!("the merge {} does not make a token of two", show(merge))),
    }
}
