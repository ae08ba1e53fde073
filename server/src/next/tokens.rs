//! A text as tokens: words, single marks, and line ends. Blanks are between tokens, and blank lines end none.

use std::ops::Range;

/// A text cut into tokens.
#[derive(Debug)]
pub(crate) struct Tokens<'a> {
    text: &'a str,
    /// Byte offsets into the text, ascending and disjoint.
    ranges: Vec<Range<usize>>,
}

impl<'a> Tokens<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut ranges: Vec<Range<usize>> = Vec::new();
        let mut characters = text.char_indices().peekable();
        let mut begins_line = true;
        while let Some((start, character)) = characters.next() {
            let mut end = start + character.len_utf8();
            if is_word(character) {
                while let Some((at, next)) = characters.next_if(|(_, next)| is_word(*next)) {
                    end = at + next.len_utf8();
                }
            } else if matches!(character, '\n' | '\r') {
                if std::mem::replace(&mut begins_line, true) {
                    continue;
                }
                ranges.push(start..end);
                continue;
            } else if character.is_whitespace() {
                continue;
            }
            begins_line = false;
            ranges.push(start..end);
        }
        Self { text, ranges }
    }

    pub(crate) fn source(&self) -> &'a str {
        self.text
    }

    pub(crate) fn len(&self) -> usize {
        self.ranges.len()
    }

    /// The token's text; every line end is the same one.
    pub(crate) fn get(&self, index: usize) -> &'a str {
        let text = &self.text[self.ranges[index].clone()];
        if text == "\r" { "\n" } else { text }
    }

    pub(crate) fn texts(&self, indices: Range<usize>) -> impl Iterator<Item = &'a str> + '_ {
        indices.map(|index| self.get(index))
    }

    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        self.ranges[index].clone()
    }

    /// Where the text before a token ends: the end of the token before it, or the text's beginning.
    pub(crate) fn end_before(&self, index: usize) -> usize {
        index.checked_sub(1).map_or(0, |before| self.ranges[before].end)
    }

    /// Where a token starts, or the text's end behind the last one.
    pub(crate) fn start_of(&self, index: usize) -> usize {
        self.ranges.get(index).map_or(self.text.len(), |range| range.start)
    }

    /// The bytes of these tokens; empty behind the token before where there are none.
    pub(crate) fn bytes(&self, indices: Range<usize>) -> Range<usize> {
        if indices.is_empty() {
            let at = self.end_before(indices.start);
            at..at
        } else {
            self.ranges[indices.start].start..self.ranges[indices.end - 1].end
        }
    }

    /// The first token that ends behind the byte.
    pub(crate) fn at_byte(&self, byte: usize) -> usize {
        self.ranges.partition_point(|range| range.end <= byte)
    }
}

/// Whether a token is a word that is no number.
pub(crate) fn is_name(token: &str) -> bool {
    token.starts_with(|first: char| is_word(first) && !first.is_numeric())
}

pub(crate) fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[cfg(test)]
mod tests {
    use super::Tokens;

    fn of(text: &str) -> Vec<&str> {
        let tokens = Tokens::of(text);
        (0..tokens.len()).map(|index| tokens.get(index)).collect()
    }

    #[test]
    fn words_marks_and_line_ends() {
        assert_eq!(of("a_1 += f(é);"), ["a_1", "+", "=", "f", "(", "é", ")", ";"]);
        assert_eq!(of("\n\n a\r\n\r\n  b"), ["a", "\n", "b"]);
        assert_eq!(of(" "), [""; 0]);
    }
}
