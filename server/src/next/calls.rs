//! Argument lists, by tokens.

use super::tokens::{Tokens, is_name};

/// Tokens that an argument list is followed for.
const CALL_MAX_TOKENS: usize = 400;

/// Where in an argument list something is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Call<'a> {
    pub(super) function: &'a str,
    pub(super) is_definition: bool,
}

/// The argument list that a place is in, if there is one nearby.
pub(super) fn call_around<'a>(tokens: &Tokens<'a>, at: usize) -> Option<Call<'a>> {
    let mut depth = 0;
    for index in (at.saturating_sub(CALL_MAX_TOKENS)..at.min(tokens.len())).rev() {
        match tokens.get(index) {
            ")" | "]" | "}" => depth += 1,
            "(" if depth == 0 => return call_at(tokens, index),
            "[" | "{" if depth == 0 => return None,
            "(" | "[" | "{" => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The call that an opening bracket belongs to.
pub(super) fn call_at<'a>(tokens: &Tokens<'a>, open: usize) -> Option<Call<'a>> {
    let is_macro = open > 0 && tokens.get(open - 1) == "!";
    let name = open.checked_sub(if is_macro { 2 } else { 1 })?;
    let function = tokens.get(name);
    let is_definition = name > 0 && matches!(tokens.get(name - 1), "def" | "fn" | "class");
    is_name(function).then_some(Call { function, is_definition })
}

/// The bracket that closes the one that opens there.
pub(super) fn closing(tokens: &Tokens<'_>, open: usize) -> Option<usize> {
    let mut depth = 0;
    for index in open..tokens.len().min(open + CALL_MAX_TOKENS) {
        match tokens.get(index) {
            "(" | "[" | "{" => depth += 1,
            ")" | "]" | "}" => {
                depth -= 1;
                if depth == 0 {
                    return Some(index);
                }
            }
            _ => {}
        }
    }
    None
}
