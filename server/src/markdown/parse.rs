//! What a text is as Markdown: CommonMark with what the well-known forges add to it.

use std::ops::Range;

use pulldown_cmark::{Event, OffsetIter, Options, Parser};

/// A reader of Markdown that knows mathematics between dollar signs, or one that does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Plain,
    Mathematics,
}

/// All dialects, none of which may read a formatted text in another way.
pub(super) const DIALECTS: [Dialect; 2] = [Dialect::Plain, Dialect::Mathematics];

pub(super) fn parser(text: &str, dialect: Dialect) -> Parser<'_> {
    let mut options = Options::ENABLE_TABLES
        | Options::ENABLE_FOOTNOTES
        | Options::ENABLE_STRIKETHROUGH
        | Options::ENABLE_TASKLISTS
        | Options::ENABLE_GFM
        | Options::ENABLE_YAML_STYLE_METADATA_BLOCKS
        | Options::ENABLE_PLUSES_DELIMITED_METADATA_BLOCKS;
    if dialect == Dialect::Mathematics {
        options |= Options::ENABLE_MATH;
    }
    Parser::new_ext(text, options)
}

/// What a reader without mathematics finds, and where.
pub(super) fn events(text: &str) -> OffsetIter<'_> {
    parser(text, Dialect::Plain).into_offset_iter()
}

/// Where each block of the top level stands, ascending, with the line ends that belong to it.
pub(super) fn top_blocks(text: &str) -> Vec<Range<usize>> {
    let mut depth = 0_usize;
    let mut blocks = Vec::new();
    for (event, range) in events(text) {
        match event {
            Event::Start(_) => {
                if depth == 0 {
                    blocks.push(range);
                }
                depth += 1;
            }
            Event::End(_) => depth -= 1,
            _ if depth == 0 => blocks.push(range),
            _ => (),
        }
    }
    blocks
}
