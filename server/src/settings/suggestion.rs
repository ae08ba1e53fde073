use serde_json::Value;

/// How alike two names must be, from 0 to 1, for one to be taken for a misspelling of the other.
const MIN_LIKENESS: f64 = 0.6;

/// The full name of the setting that is most likely meant by the full name `unknown`, by the schema of all settings.
pub(super) fn nearest_key(unknown: &str, schema: &Value) -> Option<String> {
    let mut keys = Vec::new();
    collect_keys(schema, "", &mut keys);
    keys.into_iter()
        // Where the setting was looked for is no news.
        .filter(|key| unknown.strip_prefix(key.as_str()).is_none_or(|rest| !rest.starts_with('.')))
        .map(|key| (likeness(unknown, &key), key))
        .filter(|&(likeness, _)| likeness >= MIN_LIKENESS)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, key)| key)
}

fn collect_keys(schema: &Value, prefix: &str, keys: &mut Vec<String>) {
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        let key = format!("{prefix}{name}");
        collect_keys(property, &format!("{key}."), keys);
        keys.push(key);
    }
}

/// Compares the names alone, for a setting may have been put in the wrong object; the right one counts for a little.
fn likeness(unknown: &str, key: &str) -> f64 {
    let (unknown_parent, unknown_name) = unknown.rsplit_once('.').unwrap_or(("", unknown));
    let (parent, name) = key.rsplit_once('.').unwrap_or(("", key));
    let weight = if parent == unknown_parent { 1.0 } else { 0.95 };
    weight * strsim::normalized_damerau_levenshtein(&plain(unknown_name), &plain(name))
}

/// Without what only distinguishes one way to write several words from another; and not too long to compare.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).take(64).collect()
}
