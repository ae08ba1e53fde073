//! Lists of modules in a configuration: exact names, names with wildcards, regular expressions, and the class of all linear layers.

use std::collections::HashSet;

use fancy_regex::Regex;
use serde_json::Value;

use crate::Error;
use crate::checkpoint::object::{Object, one_line};

/// The class whose name stands for every linear layer.
const LINEAR: &str = "Linear";
/// What begins a regular expression.
const EXPRESSION: &str = "re:";

/// How the names of a list are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    /// A name means itself, and after `re:` stands an expression that must match a name from its beginning.
    CompressedTensors,
    /// A name means itself and all that is inside it; `*` stands for any text and `?` for any character.
    ModelOpt,
}

/// A list of modules.
#[derive(Clone, Debug)]
pub(super) struct NameList {
    dialect: Dialect,
    every_linear: bool,
    exact: HashSet<String>,
    /// What stood before a `*` at the end.
    prefixes: Vec<String>,
    expressions: Vec<Regex>,
}

impl PartialEq for NameList {
    fn eq(&self, other: &Self) -> bool {
        let parts = |list: &Self| (list.dialect, list.every_linear);
        parts(self) == parts(other)
            && self.exact == other.exact
            && self.prefixes == other.prefixes
            && self.expressions.iter().map(Regex::as_str).eq(other.expressions.iter().map(Regex::as_str))
    }
}

impl NameList {
    /// The list of all linear layers.
    pub(super) fn every_linear(dialect: Dialect) -> Self {
        Self { dialect, every_linear: true, exact: HashSet::new(), prefixes: Vec::new(), expressions: Vec::new() }
    }

    /// Reads the list under a key; where it is null or absent, the list is empty.
    pub(super) fn read(object: &mut Object, key: &str, dialect: Dialect) -> Result<Self, Error> {
        let mut list = Self { every_linear: false, ..Self::every_linear(dialect) };
        let names = match object.take(key) {
            None => return Ok(list),
            Some(Value::Array(names)) => names,
            Some(value) => return Err(object.invalid(key, &value, "a list of names")),
        };
        for name in names {
            let Some(name) = name.as_str() else { return Err(object.invalid(key, &name, "a name")) };
            list.add(name)
                .map_err(|reason| object.refuse(format!("{} has `{}`, {reason}", object.name(key), one_line(name))))?;
        }
        Ok(list)
    }

    fn add(&mut self, name: &str) -> Result<(), String> {
        // By far the commonest wildcard, and there may be hundreds.
        if self.dialect == Dialect::ModelOpt
            && let Some(prefix) = name.strip_suffix('*')
            && !prefix.contains(['*', '?'])
        {
            self.prefixes.push(prefix.to_owned());
            return Ok(());
        }
        let expression = match name.strip_prefix(EXPRESSION) {
            Some(expression) => Some(expression.to_owned()),
            None if self.dialect == Dialect::ModelOpt && name.contains(['*', '?']) => {
                // Anchored at the end too, as the whole name is what a wildcard describes.
                let escaped = fancy_regex::escape(name).replace(r"\*", ".*").replace(r"\?", ".");
                Some(format!("{escaped}$"))
            }
            None => None,
        };
        match expression {
            // Grouped, so that an alternative inside does not escape the anchor.
            Some(expression) => match Regex::new(&format!("^(?:{expression})")) {
                Ok(expression) => self.expressions.push(expression),
                Err(error) => {
                    return Err(format!("which is no regular expression: {}", one_line(&error.to_string())));
                }
            },
            None if name == LINEAR => self.every_linear = true,
            None => drop(self.exact.insert(name.to_owned())),
        }
        Ok(())
    }

    /// Whether the list has the linear layer of that name; an error if an expression takes too long to tell.
    pub(super) fn has(&self, name: &str) -> Result<bool, String> {
        if self.every_linear || self.has_name(name) {
            return Ok(true);
        }
        for expression in &self.expressions {
            match expression.is_match(name) {
                Ok(true) => return Ok(true),
                Ok(false) => {}
                Err(error) => {
                    let (expression, reason) = (one_line(expression.as_str()), one_line(&error.to_string()));
                    return Err(format!("the expression `{expression}` cannot be held against `{name}`: {reason}"));
                }
            }
        }
        Ok(false)
    }

    fn has_name(&self, name: &str) -> bool {
        if self.exact.contains(name) || self.prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            return true;
        }
        self.dialect == Dialect::ModelOpt && name.match_indices('.').any(|(end, _)| self.exact.contains(&name[..end]))
    }
}
