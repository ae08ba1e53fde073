use lacuna_engine::{Extent, Language};
use tree_sitter::Tree;

use super::caret::{CaretPlace, caret_place};
use super::hole::{FoundHole, HoleKind};
use super::lines::{floor_caret, indentation, is_blank, line_range, lines, without_end};

/// The rest of the block that the caret stands in, where all of what is there is written already: nothing but blanks
/// comes between the caret and the block's end.
///
/// The hole goes from the caret to before the last line's end, so that the line that closes the block stays as it is.
pub fn find_block(text: &str, tree: Option<&Tree>, language: Language, byte_offset: usize) -> Option<FoundHole> {
    let caret = floor_caret(text, byte_offset);
    let line = line_range(text, caret);
    if !is_blank(&text[caret..line.end]) || caret_place(text, tree, language, caret) != CaretPlace::Code {
        return None;
    }
    let rest = &text[line.end..];
    let end = match language {
        Language::Rust => {
            let blanks = rest.len() - rest.trim_start().len();
            let is_closed = rest[blanks..].starts_with('}');
            (is_closed && blanks > 0).then(|| line_end_before(text, line.end + blanks))?
        }
        Language::Python => {
            // The block is as deep as the caret's line, or as the one above where that has nothing but blanks.
            let depth = depth_of_block(text, caret)?;
            let next = lines(rest).skip(1).find(|line| !is_blank(line));
            if next.is_some_and(|next| indentation(next).len() >= depth) {
                return None;
            }
            line.end
        }
        _ => return None,
    };
    Some(FoundHole { byte_range: caret..end.max(caret), extent: Extent::Block, kind: HoleKind::Block })
}

/// Where the last line ends that begins before the one with this byte.
fn line_end_before(text: &str, byte: usize) -> usize {
    let start = line_range(text, byte).start;
    let before = text[..start].strip_suffix('\n').or_else(|| text[..start].strip_suffix('\r')).unwrap_or_default();
    before.strip_suffix('\r').filter(|_| text[..start].ends_with('\n')).unwrap_or(before).len()
}

/// How far in a Python block's lines stand; `None` at the outermost level, which is no block.
fn depth_of_block(text: &str, caret: usize) -> Option<usize> {
    let line = line_range(text, caret);
    let own = &text[line.start..caret];
    let last = if is_blank(own) {
        lines(&text[..line.start]).map(without_end).filter(|line| !is_blank(line)).last()?
    } else {
        own
    };
    let opens = last.trim_end().ends_with(':');
    let depth = indentation(last).len() + usize::from(opens);
    let depth = if is_blank(own) && !own.is_empty() { depth.min(own.len()) } else { depth };
    (depth > 0).then_some(depth)
}

#[cfg(test)]
mod tests {
    use lacuna_engine::{Extent, Language};
    use proptest::prelude::*;

    use super::find_block;
    use crate::syntax::{marks, parse};

    /// The text with its hole marked; `None` where there is none.
    fn found(language: Language, marked: &str) -> Option<String> {
        let (text, caret) = marks::caret(marked);
        let hole = find_block(&text, parse(&text, language).as_ref(), language, caret)?;
        assert_eq!(hole.extent, Extent::Block);
        Some(marks::mark(&text, &[hole.byte_range]))
    }

    #[test]
    fn the_rest_of_a_rust_block() {
        let of = |marked| found(Language::Rust, marked);
        let text = "fn f() {\n    a();\n    $0\n}\nfn g() {}\n";
        assert_eq!(of(text).as_deref(), Some("fn f() {\n    a();\n    «»\n}\nfn g() {}\n"));
        let text = "fn f() {\r\n    a();$0\r\n\r\n    }\r\n";
        assert_eq!(of(text).as_deref(), Some("fn f() {\r\n    a();«\r\n»\r\n    }\r\n"));
        for text in ["$0\nfn f() {}\n", "fn f() {\n    $0\n    a();\n}", "fn f() { $0 }", "fn f() {\n    a$0b();\n}"] {
            assert_eq!(of(text), None, "{text}");
        }
        assert_eq!(of("fn f() {\n    // a$0\n}\n"), None);
    }

    #[test]
    fn the_rest_of_a_python_block() {
        let of = |marked| found(Language::Python, marked);
        let text = "def f():\n    a()\n    $0\n\ndef g():\n    pass\n";
        assert_eq!(of(text).as_deref(), Some("def f():\n    a()\n    «»\n\ndef g():\n    pass\n"));
        assert_eq!(of("def f():\n    a()$0").as_deref(), Some("def f():\n    a()«»"));
        assert_eq!(of("def f():$0\n\nx = 1\n").as_deref(), Some("def f():«»\n\nx = 1\n"));
        for text in ["x = 1\n$0\n", "def f():\n    $0\n    a()\n", "def f():\n    a()$0\n    b()\n", "$0"] {
            assert_eq!(of(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn it_replaces_nothing_but_blanks(
            parts in prop::collection::vec(prop::sample::select(vec!["{", "}", "\n", "\r\n", "\r", "    ", "a", ":", "é"]), 0..24),
            offset in 0..48_usize,
            rust in any::<bool>(),
        ) {
            let (text, language) = (parts.concat(), if rust { Language::Rust } else { Language::Python });
            if let Some(hole) = find_block(&text, parse(&text, language).as_ref(), language, offset) {
                prop_assert!(text[hole.byte_range].trim().is_empty());
            }
        }
    }
}
