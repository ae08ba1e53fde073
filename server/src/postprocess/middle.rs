/// Whether a completion that nobody asked for may appear before this rest of a line: only where nothing but closers
/// and punctuation is left. Before words, it would push them to and fro while somebody reads.
pub fn may_complete_before(rest_of_line: &str) -> bool {
    rest_of_line.chars().all(|c| c.is_whitespace() || ")]}>\"'`;:,.?{".contains(c))
}

#[cfg(test)]
mod tests {
    use super::may_complete_before;

    #[test]
    fn only_closers_and_punctuation() {
        for rest in ["", "  ", ");", "]) {", "\"),", ":", "})?;"] {
            assert!(may_complete_before(rest), "{rest}");
        }
        for rest in ["a", ") + b", "= 1;", "// later", "(b)", "é"] {
            assert!(!may_complete_before(rest), "{rest}");
        }
    }
}
