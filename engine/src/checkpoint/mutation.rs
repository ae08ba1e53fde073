//! Damage to foreign files, for tests.

use std::ops::Range;

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof};
use proptest::sample::Index;
use serde_json::{Value, json};

/// Changes to a run of bytes, each at a relative position.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Set(f64, u8),
    Insert(f64, u8),
    Remove(f64, usize),
    Repeat(f64, usize),
    Truncate(f64),
}

pub(crate) fn change() -> impl Strategy<Value = Change> {
    let place = 0.0..1.0;
    // Bytes that mean something to JSON, and any others.
    let byte = prop_oneof![prop::sample::select(b"{}[]\",:0123456789-.eE\\ntf \n".to_vec()), any::<u8>()];
    prop_oneof![
        4 => (place.clone(), byte.clone()).prop_map(|(place, byte)| Change::Set(place, byte)),
        2 => (place.clone(), byte).prop_map(|(place, byte)| Change::Insert(place, byte)),
        2 => (place.clone(), 1usize..20).prop_map(|(place, length)| Change::Remove(place, length)),
        1 => (place.clone(), 1usize..40).prop_map(|(place, length)| Change::Repeat(place, length)),
        1 => place.prop_map(Change::Truncate),
    ]
}

/// Applies the changes within a range of the bytes.
pub(crate) fn mutate(bytes: &mut Vec<u8>, within: Range<usize>, changes: &[Change]) {
    for change in changes {
        let within = within.start.min(bytes.len())..within.end.min(bytes.len());
        if within.is_empty() {
            return;
        }
        let at = |place: f64| within.start + (place * within.len() as f64) as usize;
        match *change {
            Change::Set(place, byte) => bytes[at(place)] = byte,
            Change::Insert(place, byte) => bytes.insert(at(place), byte),
            Change::Remove(place, length) => {
                let start = at(place);
                bytes.drain(start..(start + length).min(within.end));
            }
            Change::Repeat(place, length) => {
                let start = at(place);
                let run = bytes[start..(start + length).min(within.end)].to_vec();
                bytes.splice(start..start, run);
            }
            Change::Truncate(place) => bytes.truncate(at(place)),
        }
    }
}

/// A value of any JSON type, with sizes near the limits among the numbers.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(null)),
        any::<bool>().prop_map(|value| json!(value)),
        any::<i64>().prop_map(|value| json!(value)),
        any::<u64>().prop_map(|value| json!(value)),
        (0u64..70).prop_map(|value| json!(value)),
        (0u32..26, -1i64..2).prop_map(|(power, by)| json!((1i64 << power) + by)),
        any::<f64>().prop_map(|value| json!(value)),
        "\\PC{0,12}".prop_map(|value| json!(value)),
        prop::collection::vec(0u64..9, 0..4).prop_map(|value| json!(value)),
        prop::collection::btree_map("[0-9a-z_]{0,12}", 0u64..9, 0..3).prop_map(|value| json!(value)),
    ]
}

/// All places in a value, as pointers.
fn pointers(value: &Value, prefix: &str, into: &mut Vec<String>) {
    let members: Vec<(String, &Value)> = match value {
        Value::Object(object) => object.iter().map(|(key, value)| (key.clone(), value)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(index, value)| (index.to_string(), value)).collect(),
        _ => return,
    };
    for (key, value) in members {
        let pointer = format!("{prefix}/{key}");
        pointers(value, &pointer, into);
        into.push(pointer);
    }
}

/// New values for some places in a JSON value.
pub(crate) fn replacements() -> impl Strategy<Value = Vec<(Index, Value)>> {
    prop::collection::vec((any::<Index>(), any_value()), 1..4)
}

/// Puts the new values in their places.
pub(crate) fn replace(value: &mut Value, replacements: &[(Index, Value)]) {
    let mut places = Vec::new();
    pointers(value, "", &mut places);
    for (place, new) in replacements {
        if let Some(old) = value.pointer_mut(&places[place.index(places.len())]) {
            *old = new.clone();
        }
    }
}
