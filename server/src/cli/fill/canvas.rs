//! Prompt and canvas as the model gets them, for people to read.

use std::io::{self, Write};

use crossterm::{queue, style};
use lacuna_engine::{Excerpt, ShownCanvas, ShownRows, ShownToken};

use crate::cli::terminal_text::in_one_line;

/// Writes canvas after canvas: each token of text escaped, `|` between two of them, and special tokens in brackets of
/// their own that no text is in.
/// Before them stand the parts of other files that come with the request: what the prompt shows of them, and what else
/// the model hears of by the votes of texts that are repeated there.
pub(super) fn write(
    out: &mut impl Write,
    canvases: &[ShownCanvas],
    excerpts: &[Excerpt],
    with_colour: bool,
) -> io::Result<()> {
    let mut writer = Writer { out, with_colour };
    for Excerpt { name, text } in excerpts {
        let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
        writer.say(Part::Title, &format!("beside it: {} bytes of {}: ", text.len(), in_one_line(name)))?;
        writer.say(Part::Text, &format!("{}\n", in_one_line(first.trim())))?;
    }
    for (number, canvas) in canvases.iter().enumerate() {
        if canvases.len() > 1 {
            writer.say(Part::Title, &format!("canvas {} of {}\n", number + 1, canvases.len()))?;
        }
        writer.say(Part::Title, &format!("prompt: {} tokens\n", canvas.prompt.len()))?;
        writer.tokens(&canvas.prompt)?;
        let rows = canvas.canvas.iter().map(|rows| match rows {
            ShownRows::Pinned(tokens) => tokens.len(),
            ShownRows::Hole(rows) => *rows,
        });
        writer.say(Part::Title, &format!("canvas: {} rows\n", rows.sum::<usize>()))?;
        let mut hole = canvas.holes.start;
        for rows in &canvas.canvas {
            match rows {
                ShownRows::Pinned(tokens) => {
                    writer.say(Part::Title, &format!("  pinned: {} rows\n", tokens.len()))?;
                    writer.tokens(tokens)?;
                }
                ShownRows::Hole(rows) => {
                    hole += 1;
                    writer.say(Part::Hole, &format!("  hole {hole}: {rows} rows\n"))?;
                }
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Title,
    Text,
    Separator,
    Special,
    Hole,
}

struct Writer<'a, W> {
    out: &'a mut W,
    with_colour: bool,
}

impl<W: Write> Writer<'_, W> {
    /// A row of tokens, in lines that begin where the text's do: with the line end of the one before.
    fn tokens(&mut self, tokens: &[ShownToken]) -> io::Result<()> {
        let mut follows_text = false;
        for (index, token) in tokens.iter().enumerate() {
            let begins_line = matches!(token, ShownToken::Text(bytes) if bytes.starts_with(b"\n"));
            if index == 0 || begins_line {
                self.say(Part::Text, if index == 0 { "    " } else { "\n    " })?;
            } else if follows_text && matches!(token, ShownToken::Text(_)) {
                self.say(Part::Separator, "|")?;
            }
            match token {
                ShownToken::Special(name) => self.say(Part::Special, &format!("⟦{}⟧", in_one_line(name)))?,
                ShownToken::Text(bytes) => self.say(Part::Text, &escaped(bytes))?,
            }
            follows_text = matches!(token, ShownToken::Text(_));
        }
        self.say(Part::Text, "\n")
    }

    fn say(&mut self, part: Part, text: &str) -> io::Result<()> {
        use style::{Attribute, Color};
        let look = match part {
            Part::Text => None,
            Part::Title => Some((Attribute::Bold, None)),
            Part::Separator => Some((Attribute::Dim, None)),
            Part::Special => Some((Attribute::Bold, Some(Color::Magenta))),
            Part::Hole => Some((Attribute::Bold, Some(Color::Green))),
        };
        let Some((attribute, colour)) = look.filter(|_| self.with_colour) else {
            return self.out.write_all(text.as_bytes());
        };
        queue!(self.out, style::SetAttribute(attribute))?;
        if let Some(colour) = colour {
            queue!(self.out, style::SetForegroundColor(colour))?;
        }
        self.out.write_all(text.as_bytes())?;
        queue!(self.out, style::SetAttribute(Attribute::Reset))
    }
}

/// Bytes as text in one line: what would not be seen, or stands for something else here, is spelled out.
fn escaped(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '|' | '⟦' | '⟧' => text.extend(['\\', character]),
                '"' | '\'' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        text.extend(chunk.invalid().iter().map(|byte| format!("\\x{byte:02x}")));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(with_colour: bool) -> String {
        let text = |text: &[u8]| ShownToken::Text(text.to_vec());
        let canvas = ShownCanvas {
            holes: 1..2,
            prompt: vec![
                ShownToken::Special("<bos>".to_owned()),
                text("é".as_bytes()),
                text(b"\xe2\x96"),
                text(b" |\"\n"),
            ],
            canvas: vec![ShownRows::Pinned(vec![text(b"<bos>"), text(b"\n  "), text(b"\x1b[2J")]), ShownRows::Hole(24)],
        };
        let mut out = Vec::new();
        write(&mut out, &[canvas], &[], with_colour).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn every_part_can_be_told_apart_without_colour() {
        let expected = "prompt: 4 tokens\n    ⟦<bos>⟧é|\\xe2\\x96| \\|\"\\n\ncanvas: 27 rows\n  pinned: 3 rows\n    <bos>\n    \\n  \
                        |\\u{1b}[2J\n  hole 2: 24 rows\n";
        assert_eq!(shown(false), expected);
    }

    #[test]
    fn colours_add_nothing_to_the_text() {
        let coloured = shown(true);
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = &after[after.find('m').unwrap() + 1..];
        }
        plain.push_str(rest);
        assert_eq!(plain, shown(false));
        assert_ne!(coloured, plain);
    }
}
