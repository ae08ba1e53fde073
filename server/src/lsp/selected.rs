//! The item that is selected in the editor's list of completions while it asks for inline ones.

use std::ops::Range;

use ropey::Rope;
use serde_json::Value;
use tower_lsp::ls_types::{self, InlineCompletionItem, SelectedCompletionInfo};

use crate::lsp::positions::{line_end_byte, position_of_byte};
use crate::lsp::session::Snapshot;

/// A selected item whose text extends what stands in its range: an inline completion must extend it further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selected {
    byte_range: Range<usize>,
    range: ls_types::Range,
    text: String,
}

impl Selected {
    /// The selected item of a request's context; `None` if there is none, or if it can't be one: some editors put a
    /// visual selection there.
    pub(crate) fn of(context: &Value, snapshot: &Snapshot, caret_byte: usize) -> Option<Self> {
        let info = context.get("selectedCompletionInfo")?;
        let SelectedCompletionInfo { range, text } = serde_json::from_value(info.clone()).ok()?;
        let rope = &snapshot.document.text;
        let (start, end) = (snapshot.byte_of(range.start), snapshot.byte_of(range.end));
        let is_exact = position_of_byte(rope, start, snapshot.encoding) == range.start
            && position_of_byte(rope, end, snapshot.encoding) == range.end;
        if !is_exact || range.start.line != range.end.line || caret_byte < start || end < caret_byte {
            return None;
        }
        let replaced = rope.get_byte_slice(start..end)?.to_string();
        let adds_text = text.len() > replaced.len() || end == caret_byte;
        if !text.starts_with(&replaced) || !adds_text || text.contains(['\n', '\r']) {
            return None;
        }
        Some(Self { byte_range: start..end, range, text })
    }

    /// Puts the selected text where it would go, and gives the caret's place after it.
    pub(crate) fn put_into(&self, text: &mut String) -> usize {
        text.replace_range(self.byte_range.clone(), &self.text);
        self.byte_range.start + self.text.len()
    }

    /// The item for a fill: over the same range, and beginning with the selected text. Since the range cannot go on
    /// to the line's end, several lines are possible only where it ends there.
    pub(crate) fn item(&self, fill: &str, text: &Rope) -> Option<InlineCompletionItem> {
        let is_at_line_end = self.byte_range.end == line_end_byte(text, self.byte_range.end);
        let fill = if is_at_line_end { fill } else { fill.split(['\n', '\r']).next().unwrap_or_default() };
        (!fill.is_empty()).then(|| InlineCompletionItem {
            insert_text: format!("{}{fill}", self.text),
            filter_text: None,
            range: Some(self.range),
            command: None,
            insert_text_format: None,
        })
    }
}

#[cfg(test)]
mod tests {
    use lacuna_engine::Language;
    use serde_json::{Value, json};

    use super::Selected;
    use crate::lsp::document::Document;
    use crate::lsp::others::Others;
    use crate::lsp::positions::Encoding;
    use crate::lsp::session::Snapshot;

    const TEXT: &str = "x = console.lo()\n";
    const CARET: usize = 14;

    fn snapshot() -> Snapshot {
        let uri = "file:///a.rs".parse().expect("a URI");
        let document = Document::new(TEXT, 1, Language::Text);
        Snapshot { uri, document, encoding: Encoding::Utf16, others: Others::default() }
    }

    fn selected(start: u32, end: u32, text: &str) -> Option<Selected> {
        let range = json!({ "start": { "line": 0, "character": start }, "end": { "line": 0, "character": end } });
        let context = json!({ "selectedCompletionInfo": { "range": range, "text": text } });
        Selected::of(&context, &snapshot(), CARET)
    }

    #[test]
    fn an_item_that_extends_its_range_is_extended_further() {
        let selected = selected(12, 14, "log").expect("a selected item");
        let mut text = TEXT.to_owned();
        assert_eq!((selected.put_into(&mut text), text.as_str()), (15, "x = console.log()\n"));
        let item = selected.item("Line", &snapshot().document.text).expect("an item");
        assert_eq!((item.insert_text.as_str(), item.range), ("logLine", Some(selected.range)));
        // Nothing may be left of a fill that would have to end the line in its middle.
        assert_eq!(selected.item("\n}", &snapshot().document.text), None);
    }

    #[test]
    fn the_very_text_before_the_caret_may_be_selected() {
        assert!(selected(12, 14, "lo").is_some());
    }

    #[test]
    fn what_cannot_be_a_selected_item_is_ignored() {
        assert_eq!(selected(12, 14, "write"), None, "the text does not extend the range");
        assert_eq!(selected(4, 11, "console"), None, "the caret is outside");
        assert_eq!(selected(12, 16, "lo()"), None, "a selection around the caret");
        assert_eq!(selected(12, 99, "log"), None, "no such place");
        assert_eq!(selected(14, 12, "log"), None, "backwards");
        for info in [json!(null), json!("lo"), json!({ "text": "log" }), json!({ "range": 3, "text": "log" })] {
            let context = json!({ "selectedCompletionInfo": info });
            assert_eq!(Selected::of(&context, &snapshot(), CARET), None);
        }
        assert_eq!(Selected::of(&Value::Null, &snapshot(), CARET), None);
    }
}
