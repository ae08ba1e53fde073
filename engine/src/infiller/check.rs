//! Requests that contradict themselves are refused before anything is computed.

use std::collections::{HashMap, HashSet};

use super::{Hole, InfillRequest};
use crate::Error;

/// Refuses a request without holes, and holes that are not ascending, disjoint ranges on character boundaries of the
/// text, or whose choices make no sense.
pub(crate) fn check(request: &InfillRequest) -> Result<(), Error> {
    if request.holes.is_empty() {
        return Err(Error::Request("there is no hole to fill".to_owned()));
    }
    let mut end = 0;
    let mut group_sizes = HashMap::new();
    for hole in &request.holes {
        check_range(hole, end, &request.text)?;
        end = hole.byte_range.end;
        check_choices(hole, &mut group_sizes)?;
    }
    Ok(())
}

fn check_range(hole: &Hole, end_of_previous: usize, text: &str) -> Result<(), Error> {
    let range = &hole.byte_range;
    let valid = range.start >= end_of_previous
        && range.start <= range.end
        && range.end <= text.len()
        && text.is_char_boundary(range.start)
        && text.is_char_boundary(range.end);
    if valid {
        return Ok(());
    }
    Err(Error::Request(format!(
        "the hole at bytes {}..{} does not lie in the text of {} bytes, or overlaps another",
        range.start,
        range.end,
        text.len()
    )))
}

/// `group_sizes` are the numbers of choices of the groups seen so far.
fn check_choices(hole: &Hole, group_sizes: &mut HashMap<u32, usize>) -> Result<(), Error> {
    let refuse = |reason: String| {
        let range = &hole.byte_range;
        Err(Error::Request(format!("the hole at bytes {}..{} {reason}", range.start, range.end)))
    };
    let count = hole.choices.len();
    let mut seen = HashSet::with_capacity(count);
    if let Some(index) = hole.choices.iter().position(|choice| !seen.insert(choice)) {
        return refuse(format!("has the same choice twice, the second time at index {index}"));
    }
    let Some(group) = hole.group else { return Ok(()) };
    if count == 0 {
        return refuse(format!("is in group {group}, but has no choices"));
    }
    let expected = *group_sizes.entry(group).or_insert(count);
    if count != expected {
        return refuse(format!("has {count} choices, and a hole of group {group} before it has {expected}"));
    }
    Ok(())
}
