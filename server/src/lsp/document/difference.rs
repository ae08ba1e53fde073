use ropey::Rope;

use super::ByteEdit;

/// The one replacement that makes the old text the new one, without what is the same at both ends.
///
/// Clients that send their whole text with every keystroke get what the others get: a suggestion stays alive while it
/// is typed, and a tree is parsed only where it has changed.
pub(super) fn between<'a>(old: &Rope, new: &'a str) -> ByteEdit<'a> {
    let shorter = old.len_bytes().min(new.len());
    let mut prefix = common(old.chunks().map(str::as_bytes), new.as_bytes());
    while !new.is_char_boundary(prefix) || !is_char_boundary(old, prefix) {
        prefix -= 1;
    }
    let mut suffix = common_suffix(old, new.as_bytes()).min(shorter - prefix);
    // Both texts end alike for at least as long, so that a boundary of one is a boundary of the other.
    while !new.is_char_boundary(new.len() - suffix) {
        suffix -= 1;
    }
    ByteEdit { removed: prefix..old.len_bytes() - suffix, inserted: &new[prefix..new.len() - suffix] }
}

/// How many bytes two texts begin with alike.
fn common<'a>(chunks: impl Iterator<Item = &'a [u8]>, new: &[u8]) -> usize {
    let mut same = 0;
    for chunk in chunks {
        let rest = &new[same..];
        if rest.starts_with(chunk) {
            same += chunk.len();
        } else {
            return same + chunk.iter().zip(rest).take_while(|(old, new)| old == new).count();
        }
    }
    same
}

/// How many bytes two texts end with alike.
fn common_suffix(old: &Rope, new: &[u8]) -> usize {
    let mut same = 0;
    for chunk in old.chunks_at_byte(old.len_bytes()).0.reversed() {
        let rest = &new[..new.len() - same];
        if rest.ends_with(chunk.as_bytes()) {
            same += chunk.len();
        } else {
            return same + chunk.bytes().rev().zip(rest.iter().rev()).take_while(|(old, new)| old == *new).count();
        }
    }
    same
}

fn is_char_boundary(text: &Rope, byte: usize) -> bool {
    text.char_to_byte(text.byte_to_char(byte)) == byte
}
