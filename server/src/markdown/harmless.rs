//! As much of a change as does no harm.

/// The parts, in their order, that together do no harm, and why one of the others does. One question if none does;
/// the parts that do are found by halves.
pub(super) fn harmless<T: Clone>(
    wanted: Vec<T>,
    mut harm: impl FnMut(&[T]) -> Option<&'static str>,
) -> (Vec<T>, Option<&'static str>) {
    let mut kept: Vec<T> = Vec::new();
    let mut why = None;
    let mut pending = vec![wanted];
    while let Some(mut group) = pending.pop() {
        if group.is_empty() {
            continue;
        }
        let tried = [kept.as_slice(), group.as_slice()].concat();
        match harm(&tried) {
            None => kept = tried,
            Some(reason) if group.len() == 1 => why = Some(reason),
            Some(_) => {
                let second = group.split_off(group.len() / 2);
                pending.push(second);
                pending.push(group);
            }
        }
    }
    (kept, why)
}

#[cfg(test)]
mod tests {
    use super::harmless;

    #[test]
    fn what_harms_is_left_out() {
        let harm = |parts: &[i32]| parts.iter().any(|part| part % 10 == 3).then_some("threes");
        assert_eq!(harmless((1..25).collect(), harm).0, (1..25).filter(|part| part % 10 != 3).collect::<Vec<_>>());
        assert_eq!(harmless(vec![3], harm), (vec![], Some("threes")));
        let mut asked = 0;
        let nothing = |_: &[i32]| {
            asked += 1;
            None
        };
        assert_eq!(harmless(vec![1, 2, 3], nothing), (vec![1, 2, 3], None));
        assert_eq!(asked, 1);
    }
}
