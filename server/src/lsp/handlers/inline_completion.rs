//! `textDocument/inlineCompletion`.

use ropey::Rope;
use serde::Deserialize;
use serde_json::Value;
use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::{InlineCompletionItem, InlineCompletionList, Position, Range, TextDocumentIdentifier, Uri};

use crate::lsp::backend::Backend;
use crate::lsp::fill::{fill_at_caret, outcome};
use crate::lsp::interpolate::{Anchor, Suggestion};
use crate::lsp::pending::Ticket;
use crate::lsp::positions::{Encoding, line_end_byte, position_of_byte};
use crate::lsp::selected::Selected;
use crate::lsp::session::{OpenDocument, Snapshot};
use crate::lsp::status::{Status, StatusNotification};
use crate::lsp::worker::ModelState;

/// Answers tried for where the user asked, and can page through them.
const CANDIDATES_WHEN_INVOKED: usize = 3;

/// The request. Its context is read leniently: not all clients fill it in as they should.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Params {
    text_document: TextDocumentIdentifier,
    position: Position,
    #[serde(default)]
    context: Value,
}

impl Params {
    /// Whether the user asked, rather than the editor on its own.
    fn is_invoked(&self) -> bool {
        const INVOKED: u64 = 1;
        self.context.get("triggerKind").and_then(Value::as_u64) == Some(INVOKED)
    }
}

/// What can be said at once.
enum First {
    Nothing,
    Excluded(&'static str),
    Known(InlineCompletionList),
    Asked(Asked),
}

/// A request for the engine.
struct Asked {
    snapshot: Snapshot,
    caret_byte: usize,
    selected: Option<Selected>,
    is_invoked: bool,
    ticket: Ticket,
}

pub(crate) async fn handle(backend: &Backend, params: Params) -> Result<Option<InlineCompletionList>> {
    let answer = answer(backend, params).await?;
    let joins_with_line_feeds = backend.session().client.joins_with_line_feeds;
    Ok(answer.map(|list| if joins_with_line_feeds { with_line_feeds(list) } else { list }))
}

async fn answer(backend: &Backend, params: Params) -> Result<Option<InlineCompletionList>> {
    let uri = params.text_document.uri.clone();
    match begin(backend, &params) {
        First::Nothing => Ok(None),
        First::Known(items) => Ok(Some(items)),
        First::Excluded(reason) => {
            tracing::warn!(uri = uri.as_str(), "{reason}");
            let status = Status::of_exclusion(reason, &backend.model_state());
            backend.client.send_notification::<StatusNotification>(status).await;
            Ok(None)
        }
        First::Asked(asked) => ask(backend, &uri, asked).await,
    }
}

/// Everything up to the first await: the document is the one that the client saw when it asked.
fn begin(backend: &Backend, params: &Params) -> First {
    let uri = &params.text_document.uri;
    let mut session = backend.session();
    if let Some(reason) = session.exclusion_to_tell(uri) {
        return First::Excluded(reason);
    }
    let Some(snapshot) = session.snapshot(uri) else {
        return First::Nothing;
    };
    let caret_byte = snapshot.byte_of(params.position);
    let selected = Selected::of(&params.context, &snapshot, caret_byte);
    let is_invoked = params.is_invoked();
    if let Some(open) = session.document_mut(uri) {
        // Whatever comes of this request, it supersedes an older one.
        open.pending = None;
        if selected.is_none()
            && let Some(items) = known_items(open, caret_byte, is_invoked, snapshot.encoding)
        {
            return First::Known(items);
        }
    }
    if !matches!(backend.model_state(), ModelState::Ready(_)) {
        return First::Nothing;
    }
    let anchor = selected.is_none().then(|| Anchor::new(caret_byte));
    match session.begin(uri, anchor) {
        Some(ticket) => First::Asked(Asked { snapshot, caret_byte, selected, is_invoked, ticket }),
        None => First::Nothing,
    }
}

async fn ask(backend: &Backend, uri: &Uri, asked: Asked) -> Result<Option<InlineCompletionList>> {
    let Asked { snapshot, caret_byte, selected, is_invoked, mut ticket } = asked;
    let candidates = if is_invoked { CANDIDATES_WHEN_INVOKED } else { 1 };
    let cancel = ticket.cancel();
    let document = snapshot.document;
    let for_engine = selected.clone();
    let answer = backend.worker.submit(ticket.cancel(), move |engine| {
        let mut text = document.text.to_string();
        let mut caret_byte = caret_byte;
        if let Some(selected) = for_engine {
            caret_byte = selected.put_into(&mut text);
        }
        fill_at_caret(engine, text, document.language, caret_byte, candidates, &cancel)
    });
    let received = tokio::select! {
        // A newer request's answer is the one to give, even if this one's has come at the same time.
        biased;
        () = ticket.superseded() => return Ok(None),
        received = answer => received,
    };
    let Some(fills) = outcome(received)? else {
        return Ok(None);
    };

    let mut session = backend.session();
    let encoding = session.client.encoding;
    let Some(open) = session.document_mut(uri) else {
        return Ok(None);
    };
    // An edit that the answer does not survive has ended the request, so that what is left of it fits the text.
    let Some(pending) = open.pending.take_if(|pending| pending.is_of(&ticket)) else {
        return Ok(None);
    };
    let found_nothing = fills.is_empty();
    let items = match (selected, pending.into_anchor()) {
        (Some(selected), _) => fills.iter().filter_map(|fill| selected.item(fill, &open.document.text)).collect(),
        (None, Some(anchor)) => {
            let suggestion = open.suggestion.insert(Suggestion { anchor, fills, is_invoked });
            items_of(suggestion, &open.document.text, encoding)
        }
        (None, None) => Vec::new(),
    };
    // Where there is nothing to say, an empty list also takes away what an editor may still show from before; null is
    // for an answer that what was typed meanwhile has outrun.
    Ok((found_nothing || !items.is_empty()).then_some(InlineCompletionList { items }))
}

/// The items for an editor that keeps its documents' lines apart and joins them itself.
fn with_line_feeds(mut list: InlineCompletionList) -> InlineCompletionList {
    let convert = |text: &mut String| *text = text.replace("\r\n", "\n").replace('\r', "\n");
    for item in &mut list.items {
        convert(&mut item.insert_text);
        item.filter_text.iter_mut().for_each(convert);
    }
    list
}

/// The items of the last answer, if the caret stands where typing their beginning has led.
fn known_items(
    open: &OpenDocument,
    caret_byte: usize,
    is_invoked: bool,
    encoding: Encoding,
) -> Option<InlineCompletionList> {
    let suggestion = open.suggestion.as_ref()?;
    let has_enough = suggestion.is_invoked || !is_invoked;
    if !has_enough || suggestion.anchor.caret_byte() != caret_byte {
        return None;
    }
    let items = items_of(suggestion, &open.document.text, encoding);
    (!items.is_empty()).then_some(InlineCompletionList { items })
}

fn items_of(suggestion: &Suggestion, text: &Rope, encoding: Encoding) -> Vec<InlineCompletionItem> {
    let caret_byte = suggestion.anchor.caret_byte();
    let rests = suggestion.fills.iter().filter_map(|fill| suggestion.anchor.rest_of(fill));
    rests.map(|rest| item_at(text, caret_byte, rest, encoding)).collect()
}

/// An item that puts the fill at the caret and changes nothing else.
///
/// Where the fill has several lines, editors want the range to go on to the line's end. What stands there is then
/// part of the range and of the text, and is repeated in front of the filter text, because one of them shows an item
/// only if the range's text begins it.
fn item_at(text: &Rope, caret_byte: usize, fill: &str, encoding: Encoding) -> InlineCompletionItem {
    let line_end_byte = line_end_byte(text, caret_byte);
    let is_replacing = fill.contains(['\n', '\r']) && caret_byte < line_end_byte;
    let end_byte = if is_replacing { line_end_byte } else { caret_byte };
    let kept = text.get_byte_slice(caret_byte..end_byte).map(|kept| kept.to_string()).unwrap_or_default();
    InlineCompletionItem {
        insert_text: format!("{fill}{kept}"),
        filter_text: is_replacing.then(|| format!("{kept}{fill}")),
        range: Some(Range::new(
            position_of_byte(text, caret_byte, encoding),
            position_of_byte(text, end_byte, encoding),
        )),
        command: None,
        insert_text_format: None,
    }
}

#[cfg(test)]
mod tests {
    use ropey::Rope;
    use tower_lsp::ls_types::{Position, Range};

    use tower_lsp::ls_types::InlineCompletionList;

    use super::{item_at, with_line_feeds};
    use crate::lsp::positions::Encoding;

    #[test]
    fn one_line_is_inserted_and_nothing_is_replaced() {
        let item = item_at(&Rope::from_str("a = f(); \nb"), 6, "x", Encoding::Utf16);
        let caret = Position::new(0, 6);
        assert_eq!(
            (item.insert_text.as_str(), item.filter_text, item.range),
            ("x", None, Some(Range::new(caret, caret)))
        );
    }

    #[test]
    fn several_lines_reach_to_the_end_of_the_line() {
        let text = Rope::from_str("😀 = {  \r\nb");
        let item = item_at(&text, 8, "\r\n}", Encoding::Utf16);
        assert_eq!(item.range, Some(Range::new(Position::new(0, 6), Position::new(0, 8))));
        assert_eq!((item.insert_text.as_str(), item.filter_text.as_deref()), ("\r\n}  ", Some("  \r\n}")));
    }

    #[test]
    fn line_ends_become_line_feeds_where_the_editor_joins_lines_itself() {
        let item = item_at(&Rope::from_str("a = { \r\nb"), 5, "\r\n}", Encoding::Utf8);
        let list = with_line_feeds(InlineCompletionList { items: vec![item] });
        assert_eq!(list.items[0].insert_text, "\n} ");
        assert_eq!(list.items[0].filter_text.as_deref(), Some(" \n}"));
    }

    #[test]
    fn several_lines_at_the_end_of_a_line_need_no_range() {
        let item = item_at(&Rope::from_str("a = {\r\nb"), 5, "\r\n}", Encoding::Utf8);
        let caret = Position::new(0, 5);
        assert_eq!(
            (item.insert_text.as_str(), item.filter_text, item.range),
            ("\r\n}", None, Some(Range::new(caret, caret)))
        );
    }
}
