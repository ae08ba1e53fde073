//! The layout of a well-kept formatter, in the style that the document already has.

use dprint_plugin_markdown::configuration::{
    Configuration, ConfigurationBuilder, EmphasisKind, HardBreakKind, HeadingKind, ListUnorderedMarker, StrongKind,
    TextWrap,
};
use dprint_plugin_markdown::format_text;
use pulldown_cmark::{Event, Tag};

use super::parse::events;

/// Lines are never wrapped, so this is only to be longer than any of them.
const LINE_WIDTH: u32 = 1 << 30;

/// The text laid out anew. Its line ends are `\n` alone, as they are in the answer.
///
/// # Errors
///
/// A sentence that says why the formatter won't do it.
pub(super) fn normalise(text: &str) -> Result<String, String> {
    match format_text(text, &style_of(text), |_, _, _| Ok(None)) {
        Ok(changed) => Ok(changed.unwrap_or_else(|| text.to_owned())),
        Err(error) => Err(error.to_string()),
    }
}

/// The marks that the document prefers, so that few of them change. The author's lines and code stay as they are.
fn style_of(text: &str) -> Configuration {
    let habits = Habits::of(text);
    ConfigurationBuilder::new()
        .line_width(LINE_WIDTH)
        .text_wrap(TextWrap::Maintain)
        .code_block_skip_format(true)
        .code_block_preserve_indentation(true)
        .code_block_preserve_blank_lines(true)
        .html_skip_format(true)
        .heading_kind(habits.setext.choose(HeadingKind::Setext, HeadingKind::Atx))
        .emphasis_kind(habits.star_emphasis.choose(EmphasisKind::Asterisks, EmphasisKind::Underscores))
        .strong_kind(habits.underscore_strong.choose(StrongKind::Underscores, StrongKind::Asterisks))
        .hard_break_kind(habits.blank_breaks.choose(HardBreakKind::DoubleSpace, HardBreakKind::Backslash))
        .table_skip_format(habits.compact_tables.choose(true, false))
        .list_unordered_marker(habits.star_lists.choose(ListUnorderedMarker::Asterisks, ListUnorderedMarker::Dashes))
        .build()
}

/// How often a mark stands there in one of its two forms, beyond the other.
#[derive(Clone, Copy, Default)]
struct Balance(i64);

impl Balance {
    fn count(&mut self, is_this: bool) {
        self.0 += if is_this { 1 } else { -1 };
    }

    fn choose<T>(self, this: T, other: T) -> T {
        if self.0 > 0 { this } else { other }
    }
}

#[derive(Clone, Copy, Default)]
struct Habits {
    setext: Balance,
    star_emphasis: Balance,
    underscore_strong: Balance,
    blank_breaks: Balance,
    star_lists: Balance,
    compact_tables: Balance,
}

impl Habits {
    fn of(text: &str) -> Self {
        let mut habits = Self::default();
        for (event, range) in events(text) {
            let source = &text[range];
            match event {
                // Deeper headings have but one form.
                Event::Start(Tag::Heading { level, .. }) if level as usize <= 2 => {
                    habits.setext.count(!source.starts_with('#'));
                }
                Event::Start(Tag::Emphasis) => habits.star_emphasis.count(source.starts_with('*')),
                Event::Start(Tag::Strong) => habits.underscore_strong.count(source.starts_with('_')),
                Event::HardBreak => habits.blank_breaks.count(source.starts_with(' ')),
                Event::Start(Tag::List(None)) => habits.star_lists.count(source.trim_start().starts_with('*')),
                Event::Start(Tag::Table(_)) => habits.compact_tables.count(is_compact(source)),
                _ => (),
            }
        }
        habits
    }
}

/// Whether a table's cells have one blank on each side and none to align them.
fn is_compact(table: &str) -> bool {
    let mut lines = table.lines().map(str::trim);
    let is_padded_once = |line: &str| line.starts_with("| ") && line.ends_with(" |") && !line.contains("  ");
    let header = lines.next().unwrap_or_default();
    // The delimiter row is written in many ways.
    lines.next();
    is_padded_once(header)
        && lines.clone().all(is_padded_once)
        && lines.any(|line| line.chars().count() != header.chars().count())
}
