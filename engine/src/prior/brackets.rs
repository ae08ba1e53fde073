/// The brackets that are open in a text. Those in strings and comments count too.
#[derive(Debug, Default)]
pub(super) struct Brackets {
    /// What would close them, the innermost last.
    open: Vec<u8>,
    /// Whether one was closed that was not open.
    is_broken: bool,
}

impl Brackets {
    pub(super) fn of(texts: &[&str]) -> Self {
        let mut brackets = Self::default();
        texts.iter().flat_map(|text| text.bytes()).for_each(|byte| brackets.read(byte));
        brackets
    }

    pub(super) fn read(&mut self, byte: u8) {
        match byte {
            b'(' => self.open.push(b')'),
            b'[' => self.open.push(b']'),
            b'{' => self.open.push(b'}'),
            b')' | b']' | b'}' => self.is_broken |= self.open.pop() != Some(byte),
            _ => (),
        }
    }

    /// Whether none was closed that was not open.
    pub(super) fn are_in_turn(&self) -> bool {
        !self.is_broken
    }

    /// Whether every bracket was closed in its turn.
    pub(super) fn are_closed(&self) -> bool {
        self.open.is_empty() && self.are_in_turn()
    }
}
