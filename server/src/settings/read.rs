use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::conform::conformed;
use super::suggestion::nearest_key;
use super::{Problem, Settings};

/// The most problems that are told at once.
pub(super) const MAX_PROBLEMS: usize = 32;

impl Settings {
    /// The settings in what an editor sent, and what is wrong with it, one problem a setting.
    ///
    /// Where a setting is wrong, missing or null, it has its default. The settings may be the object itself or lie in
    /// its member `lacuna`, whatever else it has; the names of nested settings may be joined by dots; and an empty
    /// array is taken for an empty object, because that is how some editors write one.
    pub fn read(sent: &Value) -> (Self, Vec<Problem>) {
        static SCHEMA: LazyLock<Value> = LazyLock::new(Settings::schema);
        let mut reader = Reader { schema: &SCHEMA, problems: Vec::new() };
        let mut tree = Map::new();
        let sent = sent.get("lacuna").unwrap_or(sent);
        reader.read_object(sent, &SCHEMA, "", &mut tree);
        let settings = serde_json::from_value(Value::Object(tree)).unwrap_or_else(|error| {
            reader.complain("", format!("the settings could not be read: {error}"));
            Self::default()
        });
        (settings, reader.problems)
    }
}

struct Reader<'a> {
    /// Of all settings.
    schema: &'a Value,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    /// Puts into `tree` what is right in `sent`.
    fn read_object(&mut self, sent: &Value, schema: &Value, path: &str, tree: &mut Map<String, Value>) {
        let members = match sent {
            Value::Object(members) => members,
            Value::Null => return,
            Value::Array(elements) if elements.is_empty() => return,
            _ => {
                let subject = if path.is_empty() { "the settings".to_owned() } else { quoted(path) };
                return self.complain(path, format!("{subject} must be an object"));
            }
        };
        for (name, value) in members {
            self.read_member(name, value, schema, path, tree);
        }
    }

    fn read_member(&mut self, name: &str, value: &Value, schema: &Value, path: &str, tree: &mut Map<String, Value>) {
        if let Some(property) = schema["properties"].get(name) {
            let path = join(path, name);
            if is_object(property) {
                let mut subtree = member_object(tree, name);
                self.read_object(value, property, &path, &mut subtree);
                tree.insert(name.to_owned(), Value::Object(subtree));
            } else {
                self.read_leaf(name, value, property, &path, tree);
            }
        } else if let Some(property) = schema.get("additionalProperties").filter(|property| property.is_object()) {
            self.read_leaf(name, value, property, &join(path, name), tree);
        } else if let Some((first, rest)) = name.split_once('.')
            && schema["properties"].get(first).is_some_and(is_object)
        {
            let nested = Map::from_iter([(rest.to_owned(), value.clone())]);
            self.read_member(first, &Value::Object(nested), schema, path, tree);
        } else if self.problems.len() < MAX_PROBLEMS {
            let path = join(path, name);
            let suggestion = nearest_key(&path, self.schema)
                .map(|key| format!("; did you mean {}?", quoted(&key)))
                .unwrap_or_default();
            self.complain(&path, format!("{} is not a setting{suggestion}", quoted(&path)));
        }
    }

    fn read_leaf(&mut self, name: &str, value: &Value, schema: &Value, path: &str, tree: &mut Map<String, Value>) {
        if value.is_null() {
            return;
        }
        match conformed(value, schema) {
            Ok(value) => {
                tree.insert(name.to_owned(), value);
            }
            Err(expected) => self.complain(path, format!("{} must be {expected}", quoted(path))),
        }
    }

    fn complain(&mut self, key: &str, message: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem { key: key.to_owned(), message });
        }
    }
}

/// What has been read of the object `name` so far; its parts may come apart, by names with dots.
fn member_object(tree: &mut Map<String, Value>, name: &str) -> Map<String, Value> {
    match tree.remove(name) {
        Some(Value::Object(members)) => members,
        _ => Map::new(),
    }
}

fn is_object(schema: &Value) -> bool {
    schema["type"] == "object"
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

/// A setting's name as it is shown, in one line however strange it is.
fn quoted(path: &str) -> String {
    const MAX_SHOWN_CHARS: usize = 80;
    let shown: String =
        path.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(MAX_SHOWN_CHARS).collect();
    format!("`{shown}`")
}
