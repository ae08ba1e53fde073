use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use lacuna_engine::{Extent, Hole, Language};

use super::*;
use crate::cli::fake::{Fake, piece};

/// Everything that was written, a piece a write.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<String>>>);

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().push(String::from_utf8(bytes.to_vec()).unwrap());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Written {
    fn all(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }
}

fn request(text: &str, at: usize) -> InfillRequest {
    let hole = Hole::new(at..at, Extent::Line);
    InfillRequest::new(text, Language::Rust, vec![hole])
}

#[test]
fn every_draft_is_one_write_and_the_cursor_comes_back() {
    let mut fake = Fake::with_fills(&["b + c"]);
    fake.drafts = vec![vec![piece("x", false, 0.0)], vec![piece("b + d", false, 0.6)], vec![piece("b + c", true, 0.9)]];
    let written = Written::default();
    let request = request("let a = ;\n", 8);
    let mut screen = Screen::on(Box::new(written.clone()), true, false);
    let infill = condense(&fake, &request, &mut screen).unwrap();
    screen.finish(&request, &infill.candidates[0], 1.5).unwrap();
    drop(screen);

    assert_eq!(infill.candidates[0].fills, ["b + c"]);
    let all = written.all();
    let frames: Vec<_> = all.iter().filter(|write| write.contains("let a = ")).collect();
    assert_eq!(frames.len(), 5, "one while it reads, one a draft, one at the end: {all:?}");
    for frame in &frames {
        assert!(frame.starts_with("\x1b[?2026h\x1b[?25l") && frame.ends_with("\x1b[?2026l"), "{frame:?}");
        assert!(!frame.contains("other"), "{frame:?}");
    }
    assert!(frames[2].contains("b + d") && frames[2].contains("step 2 of 32"), "{:?}", frames[2]);
    assert!(frames[4].contains("b + c") && frames[4].contains("3 tokens in 5 steps, 1.50 s"), "{:?}", frames[4]);
    assert!(all[all.len() - 2..].concat().contains("\x1b[?25h"), "{all:?}");
}

#[test]
fn no_escape_sequence_of_the_document_arrives() {
    let written = Written::default();
    let request = request("\x1b]0;title\x07\n\x1b[2Jx\n", 16);
    let mut screen = Screen::on(Box::new(written.clone()), false, false);
    condense(&Fake::with_fills(&["\x1b[31m"]), &request, &mut screen).unwrap();
    drop(screen);
    let all = written.all().concat();
    assert!(all.contains("␛]0;title␇") && all.contains("␛[2Jx"), "{all:?}");
    assert!(!all.contains("\x1b]") && !all.contains("\x1b[2J") && !all.contains('\x07'), "{all:?}");
}

#[test]
fn without_colour_there_is_brightness_alone() {
    let draft = vec![piece("a", true, 1.0), piece("b", false, 0.9), piece("c", false, 0.2), piece("d", false, 0.0)];
    let written = |with_colour| {
        let mut fake = Fake::with_fills(&["abcd"]);
        fake.drafts = vec![draft.clone()];
        let written = Written::default();
        condense(&fake, &request("", 0), &mut Screen::on(Box::new(written.clone()), with_colour, false)).unwrap();
        written.all().concat()
    };
    assert!(written(true).contains("\x1b[1m\x1b[38;5;10ma\x1b[0m"), "{:?}", written(true));
    assert!(written(false).contains("\x1b[1ma\x1b[0mb\x1b[0m\x1b[2mc\x1b[0m\x1b[2m·"), "{:?}", written(false));
    assert!(!written(false).contains("\x1b[38"));
}

#[test]
fn an_error_leaves_the_terminal_as_it_was() {
    let written = Written::default();
    let mut screen = Screen::on(Box::new(written.clone()), true, false);
    let error = condense(&Fake::with_fills(&[]), &request("a", 1), &mut screen).unwrap_err();
    drop(screen);
    assert!(matches!(error, Error::Cancelled));
    assert!(written.all().concat().contains("\x1b[?25h"));
}
