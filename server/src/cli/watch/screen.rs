//! The terminal that frames are drawn on.

use std::io::{self, Write};
use std::time::{Duration, Instant};

use crossterm::event::{Event, KeyCode, KeyModifiers};
use crossterm::{cursor, event, queue, style, terminal};
use lacuna_engine::{Cancel, Candidate, InfillRequest, Piece};

use super::frame::{Progress, Row, Scene, Tone, compose};
use crate::cli::interrupt::INTERRUPTED;

/// Rows at the bottom of standard output's terminal. The cursor is hidden, and keys go nowhere, until it is dropped.
pub(crate) struct Screen {
    out: Box<dyn Write>,
    /// How many rows the last frame had; the cursor is on the last of them.
    drawn: usize,
    with_colour: bool,
    reads_keys: bool,
}

impl Screen {
    /// Takes the terminal, or nothing if it can't move its cursor.
    pub(crate) fn open() -> Option<Self> {
        let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        if set("TERM").is_some_and(|term| term == "dumb") {
            return None;
        }
        // Without a keyboard there is nothing to read, and nobody to press Ctrl-C.
        let reads_keys = terminal::enable_raw_mode().is_ok();
        Some(Self::on(Box::new(io::stdout()), set("NO_COLOR").is_none(), reads_keys))
    }

    /// A screen on anything that understands a terminal's escape sequences.
    pub(super) fn on(out: Box<dyn Write>, with_colour: bool, reads_keys: bool) -> Self {
        Self { out, drawn: 0, with_colour, reads_keys }
    }

    /// Draws a frame over the last one. A frame that can't be drawn is none: the fill is what counts.
    pub(super) fn draw(&mut self, scene: &Scene<'_>, pieces: &[Piece], progress: &Progress<'_>) {
        let (columns, rows) = terminal::size().unwrap_or((80, 24));
        // The last column stays free, because terminals differ in where the cursor is after it.
        let columns = usize::from(columns.max(2)) - 1;
        let frame = compose(scene, pieces, progress, columns, Some(usize::from(rows)));
        let _ = self.show(&frame);
    }

    /// Draws the fill where it belongs, whole, and leaves it there.
    pub(crate) fn finish(&mut self, request: &InfillRequest, candidate: &Candidate, seconds: f64) -> io::Result<()> {
        let scene = Scene::around(&request.text, &request.holes[0].byte_range);
        let (columns, _) = terminal::size().unwrap_or((80, 24));
        let pieces = [Piece { text: candidate.fills[0].clone(), settled: true, certainty: candidate.confidence }];
        let progress = Progress::Done { candidate, seconds };
        let frame = compose(&scene, &pieces, &progress, usize::from(columns.max(2)) - 1, None);
        self.show(&frame)
    }

    /// Waits, and meanwhile cancels if somebody presses Ctrl-C. Pressed again, it ends the process, because a step may
    /// take long.
    pub(super) fn rest(&mut self, duration: Duration, cancel: &Cancel) {
        if !self.reads_keys {
            std::thread::sleep(duration);
            return;
        }
        let end = Instant::now() + duration;
        while event::poll(end.saturating_duration_since(Instant::now())).unwrap_or(false) {
            if let Ok(Event::Key(key)) = event::read()
                && key.code == KeyCode::Char('c')
                && key.modifiers.contains(KeyModifiers::CONTROL)
            {
                if cancel.is_cancelled() {
                    self.give_back();
                    std::process::exit(INTERRUPTED.into());
                }
                cancel.cancel();
            }
        }
    }

    fn show(&mut self, frame: &[Row]) -> io::Result<()> {
        // All in one piece, so that no half of a frame is ever seen.
        let mut bytes = Vec::new();
        queue!(bytes, terminal::BeginSynchronizedUpdate, cursor::Hide)?;
        if self.drawn > 1 {
            queue!(bytes, cursor::MoveUp(u16::try_from(self.drawn - 1).unwrap_or(u16::MAX)))?;
        }
        for (index, row) in frame.iter().enumerate() {
            bytes.extend_from_slice(if index == 0 { &b"\r"[..] } else { &b"\r\n"[..] });
            self.write_row(&mut bytes, row)?;
            queue!(bytes, terminal::Clear(terminal::ClearType::UntilNewLine))?;
        }
        queue!(bytes, terminal::Clear(terminal::ClearType::FromCursorDown), terminal::EndSynchronizedUpdate)?;
        self.drawn = frame.len();
        self.out.write_all(&bytes)?;
        self.out.flush()
    }

    fn write_row(&self, bytes: &mut Vec<u8>, row: &Row) -> io::Result<()> {
        for run in row.chunk_by(|(_, left), (_, right)| left == right) {
            let (attributes, colour) = look(run[0].1);
            for attribute in attributes {
                queue!(bytes, style::SetAttribute(*attribute))?;
            }
            if let Some(colour) = colour.filter(|_| self.with_colour) {
                queue!(bytes, style::SetForegroundColor(colour))?;
            }
            bytes.extend(run.iter().map(|(character, _)| character).collect::<String>().bytes());
            queue!(bytes, style::SetAttribute(style::Attribute::Reset))?;
        }
        Ok(())
    }

    fn give_back(&mut self) {
        let _ = queue!(self.out, cursor::Show);
        if self.reads_keys {
            let _ = terminal::disable_raw_mode();
        }
        if self.drawn > 0 {
            let _ = writeln!(self.out);
        }
        let _ = self.out.flush();
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.give_back();
    }
}

/// Brightness says the same as colour does, to whom colour says nothing.
fn look(tone: Tone) -> (&'static [style::Attribute], Option<style::Color>) {
    use style::{Attribute, Color};
    match tone {
        Tone::Document => (&[], None),
        Tone::Margin => (&[Attribute::Dim], None),
        Tone::Settled => (&[Attribute::Bold], Some(Color::Green)),
        Tone::Likely => (&[], Some(Color::Green)),
        Tone::Faint => (&[Attribute::Dim], Some(Color::Green)),
        Tone::Unknown => (&[Attribute::Dim], None),
    }
}
