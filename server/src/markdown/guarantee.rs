//! What formatting may not touch.
//!
//! Two texts are the *same document* if every dialect reads the same in both: the same blocks in the same order and
//! depth (headings with their levels, lists with their first numbers, items, quotes, tables with their alignments,
//! rows and cells), the same marks on the same text, the same code byte for byte, the same links with destinations
//! and titles, the same front matter and HTML; and if they have the same words. What may differ is how it is written:
//! the marks themselves, blanks, blank lines, and where an item's number can be told from the number of the first.
//!
//! A *word* is a maximal run of letters and digits (Unicode's `Alphabetic` and numeric characters) anywhere in the
//! source, in code, tables, links, HTML and front matter too. Two things are not words because they are compared
//! elsewhere: the information behind a fence, with its code, and the numbers that mark the items of ordered lists,
//! of which the first of each list is compared with the blocks, and the others follow from it.

use std::ops::Range;

use pulldown_cmark::{CodeBlockKind, Event, Tag, TagEnd};

use super::parse::{DIALECTS, Dialect, events, parser};

/// The first thing in which two texts are not the same document, for a person to read.
pub(super) fn difference(before: &str, after: &str) -> Option<&'static str> {
    if words(before, Numbers::MarkItems) != words(after, Numbers::MarkItems) {
        return Some("its words would change");
    }
    for dialect in DIALECTS {
        let (before, after) = (Document::read(before, dialect), Document::read(after, dialect));
        if let Some(difference) = before.difference(&after) {
            return Some(difference);
        }
    }
    None
}

/// The first thing in which a text with decisions applied has lost anything, for a person to read. A decision changes
/// marks, so here blocks may become others, but nothing that was there may go.
pub(super) fn loss(before: &str, after: &str) -> Option<&'static str> {
    if words(before, Numbers::Count) != words(after, Numbers::Count) {
        return Some("its words would change");
    }
    for dialect in DIALECTS {
        let (before, after) = (Document::read(before, dialect), Document::read(after, dialect));
        if let Some(loss) = before.loss(&after) {
            return Some(loss);
        }
    }
    None
}

/// What the numbers before items are.
#[derive(Clone, Copy, PartialEq)]
enum Numbers {
    /// Marks, which are counted anew.
    MarkItems,
    /// Words, which a decision may make a mark of but never change.
    Count,
}

/// Maximal runs of letters and digits, but for what is compared elsewhere.
fn words(text: &str, numbers: Numbers) -> Vec<&str> {
    let mut marks = marks(text, numbers).into_iter().peekable();
    let start = text.as_ptr() as usize;
    let runs = text.split(|character: char| !character.is_alphanumeric()).filter(|run| !run.is_empty());
    let is_word = |run: &&str| {
        let at = run.as_ptr() as usize - start;
        while marks.next_if(|mark| mark.end <= at).is_some() {}
        marks.peek().is_none_or(|mark| at < mark.start)
    };
    runs.filter(is_word).collect()
}

/// Where letters and digits are no words, ascending.
fn marks(text: &str, numbers: Numbers) -> Vec<Range<usize>> {
    let mut lists = Vec::new();
    let mut marks = Vec::new();
    for (event, range) in events(text) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(_))) => {
                let end = text[range.clone()].find('\n').map_or(range.end, |length| range.start + length);
                marks.push(range.start..end);
            }
            Event::Start(Tag::List(first)) => lists.push(first.is_some()),
            Event::End(TagEnd::List(_)) => drop(lists.pop()),
            Event::Start(Tag::Item) if numbers == Numbers::MarkItems && lists.last() == Some(&true) => {
                let item = &text[range.clone()];
                let start = range.start + item.len() - item.trim_start().len();
                let digits = text[start..].bytes().take_while(u8::is_ascii_digit).count();
                marks.push(start..start + digits);
            }
            _ => (),
        }
    }
    marks.sort_unstable_by_key(|mark| mark.start);
    marks
}

/// What a dialect reads, in a form to compare.
#[derive(Debug, Default)]
struct Document<'a> {
    /// Everything in order, but for how it is written.
    outline: Vec<Part<'a>>,
    /// Each code block's information and bytes.
    code: Vec<(String, String)>,
    /// Each link's and picture's destination and title, and those of the definitions.
    links: Vec<(String, String)>,
    /// HTML, inline and not, and front matter.
    raw: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Part<'a> {
    Start(Tag<'a>),
    End,
    Text(String),
    Other(Event<'a>),
}

impl<'a> Document<'a> {
    fn read(text: &'a str, dialect: Dialect) -> Self {
        let mut document = Self::default();
        let parser = parser(text, dialect);
        let definitions = parser.reference_definitions().iter().map(|(_, definition)| {
            let title = definition.title.as_deref().unwrap_or_default().to_owned();
            (definition.span.start, definition.dest.to_string(), title)
        });
        let mut definitions: Vec<_> = definitions.collect();
        definitions.sort_unstable();
        document.links.extend(definitions.into_iter().map(|(_, destination, title)| (destination, title)));
        let mut in_code = false;
        let mut in_raw = false;
        for event in parser {
            match event {
                Event::Start(Tag::CodeBlock(kind)) => {
                    in_code = true;
                    let information = match &kind {
                        CodeBlockKind::Fenced(information) => information.to_string(),
                        CodeBlockKind::Indented => String::new(),
                    };
                    document.code.push((information, String::new()));
                    document.outline.push(Part::Start(Tag::CodeBlock(kind)));
                }
                Event::Start(tag @ (Tag::HtmlBlock | Tag::MetadataBlock(_))) => {
                    in_raw = true;
                    document.raw.push(String::new());
                    document.outline.push(Part::Start(tag));
                }
                Event::Start(tag) => {
                    if let Tag::Link { dest_url, title, .. } | Tag::Image { dest_url, title, .. } = &tag {
                        document.links.push((dest_url.to_string(), title.to_string()));
                    }
                    document.outline.push(Part::Start(tag));
                }
                Event::End(_) => {
                    in_code = false;
                    in_raw = false;
                    document.outline.push(Part::End);
                }
                Event::Text(text) if in_code => {
                    if let Some((_, code)) = document.code.last_mut() {
                        code.push_str(&text);
                    }
                }
                Event::Text(text) | Event::Html(text) if in_raw => {
                    if let Some(raw) = document.raw.last_mut() {
                        raw.push_str(&text);
                    }
                }
                Event::Html(html) | Event::InlineHtml(html) => document.raw.push(html.into_string()),
                Event::Text(text) => document.text(&text),
                Event::SoftBreak => document.text("\n"),
                Event::Code(code) => document.outline.push(Part::Other(Event::Code(spaced_once(&code).into()))),
                other => document.outline.push(Part::Other(other)),
            }
        }
        document.outline.retain_mut(|part| match part {
            Part::Text(text) => {
                *text = spaced_once(text);
                !text.is_empty()
            }
            _ => true,
        });
        document
    }

    fn text(&mut self, text: &str) {
        if let Some(Part::Text(before)) = self.outline.last_mut() {
            before.push_str(text);
        } else {
            self.outline.push(Part::Text(text.to_owned()));
        }
    }

    fn difference(&self, after: &Self) -> Option<&'static str> {
        if self.code != after.code {
            return Some("its code blocks would change");
        }
        if self.links != after.links {
            return Some("its links would change");
        }
        if self.raw != after.raw {
            return Some("its HTML or front matter would change");
        }
        (self.outline != after.outline).then_some("its structure would change")
    }

    fn loss(&self, after: &Self) -> Option<&'static str> {
        let mut code_after = after.code.iter();
        let is_kept = |(information, code): &(String, String)| {
            code_after.any(|(new, new_code)| code == new_code && (information.is_empty() || information == new))
        };
        if !self.code.iter().all(is_kept) {
            return Some("its code blocks would change");
        }
        if self.links != after.links {
            return Some("its links would change");
        }
        if self.raw != after.raw {
            return Some("its HTML or front matter would change");
        }
        let (before, after) = (Blocks::of(&self.outline), Blocks::of(&after.outline));
        before.are_more_than(&after).then_some("it would lose a heading, a list, a quote or a table")
    }
}

/// The text with one space instead of any run of blanks and line ends, and none at its ends.
fn spaced_once(text: &str) -> String {
    let mut words = text.split([' ', '\t', '\n', '\r']).filter(|word| !word.is_empty());
    let mut spaced = words.next().unwrap_or_default().to_owned();
    for word in words {
        spaced.push(' ');
        spaced.push_str(word);
    }
    spaced
}

/// How many there are of the blocks that mean something.
#[derive(Debug, Default)]
struct Blocks {
    headings: usize,
    items: usize,
    quotes: usize,
    tables: usize,
    cells: usize,
    footnotes: usize,
}

impl Blocks {
    fn of(outline: &[Part<'_>]) -> Self {
        let mut blocks = Self::default();
        for part in outline {
            let Part::Start(tag) = part else { continue };
            match tag {
                Tag::Heading { .. } => blocks.headings += 1,
                Tag::Item => blocks.items += 1,
                Tag::BlockQuote(_) => blocks.quotes += 1,
                Tag::Table(_) => blocks.tables += 1,
                Tag::TableCell => blocks.cells += 1,
                Tag::FootnoteDefinition(_) => blocks.footnotes += 1,
                _ => (),
            }
        }
        blocks
    }

    fn are_more_than(&self, after: &Self) -> bool {
        self.headings > after.headings
            || self.items > after.items
            || self.quotes > after.quotes
            || self.tables > after.tables
            || self.cells > after.cells
            || self.footnotes > after.footnotes
    }
}
