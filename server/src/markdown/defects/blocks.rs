use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Tag};

use crate::markdown::parse::events;

/// The blocks that the rules look at, in order.
#[derive(Debug, Default)]
pub(super) struct Blocks {
    /// Paragraphs of the top level: whole lines.
    pub(super) paragraphs: Vec<Range<usize>>,
    /// Headings of the top level: their levels, and from their first mark.
    pub(super) headings: Vec<(usize, Range<usize>)>,
    /// Fenced code at any depth.
    pub(super) fences: Vec<Fence>,
    /// Tables of the top level: how many columns, and whole lines.
    pub(super) tables: Vec<(usize, Range<usize>)>,
    /// Lists of the top level.
    pub(super) lists: Vec<List>,
}

#[derive(Debug)]
pub(super) struct Fence {
    pub(super) information: String,
    pub(super) code: String,
    /// From the fence's first mark.
    pub(super) byte_range: Range<usize>,
}

#[derive(Debug)]
pub(super) struct List {
    /// The first item's number; `None` for bullets.
    pub(super) first: Option<u64>,
    pub(super) items: u64,
    /// Whole lines.
    pub(super) byte_range: Range<usize>,
}

impl Blocks {
    pub(super) fn of(text: &str) -> Self {
        let mut blocks = Self::default();
        let mut depth = 0_usize;
        let mut in_code = false;
        for (event, range) in events(text) {
            match event {
                Event::Start(tag) => {
                    depth += 1;
                    match tag {
                        Tag::Paragraph if depth == 1 => blocks.paragraphs.push(whole_lines(text, range)),
                        Tag::Heading { level, .. } if depth == 1 => blocks.headings.push((level as usize, range)),
                        Tag::Table(columns) if depth == 1 => {
                            blocks.tables.push((columns.len(), whole_lines(text, range)));
                        }
                        Tag::List(first) if depth == 1 => {
                            let byte_range = whole_lines(text, range);
                            blocks.lists.push(List { first, items: 0, byte_range });
                        }
                        Tag::Item if depth == 2 => {
                            if let Some(list) = blocks.lists.last_mut() {
                                list.items += 1;
                            }
                        }
                        Tag::CodeBlock(CodeBlockKind::Fenced(information)) => {
                            in_code = true;
                            let information = information.into_string();
                            blocks.fences.push(Fence { information, code: String::new(), byte_range: range });
                        }
                        _ => (),
                    }
                }
                Event::End(_) => {
                    depth -= 1;
                    in_code = false;
                }
                Event::Text(code) if in_code => {
                    if let Some(fence) = blocks.fences.last_mut() {
                        fence.code.push_str(&code);
                    }
                }
                _ => (),
            }
        }
        blocks
    }
}

/// From the beginning of the range's first line.
fn whole_lines(text: &str, range: Range<usize>) -> Range<usize> {
    let start = text[..range.start].rfind('\n').map_or(0, |end| end + 1);
    start..range.end
}

/// The lines in a range of the text, without their ends: where each begins, and what it says.
pub(super) fn lines_in(text: &str, range: Range<usize>) -> impl Iterator<Item = (usize, &str)> {
    let mut at = range.start;
    text[range].split_inclusive('\n').map(move |line| {
        let start = at;
        at += line.len();
        (start, line.strip_suffix('\n').unwrap_or(line))
    })
}
