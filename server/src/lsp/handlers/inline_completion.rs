//! `textDocument/inlineCompletion`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use ropey::Rope;
use serde::Deserialize;
use serde_json::Value;
use tower_lsp::jsonrpc::Result;
use tower_lsp::ls_types::{InlineCompletionItem, InlineCompletionList, Position, Range, TextDocumentIdentifier, Uri};

use crate::lsp::asking::Asking;
use crate::lsp::backend::Backend;
use crate::lsp::cache::{Answer, Key};
use crate::lsp::caret::CaretRequest;
use crate::lsp::draft::Drafts;
use crate::lsp::edits::range_of;
use crate::lsp::fill::{Filled, Received, outcome};
use crate::lsp::interpolate::{Anchor, Suggestion};
use crate::lsp::offer::Offer;
use crate::lsp::pending::Ticket;
use crate::lsp::positions::{Encoding, line_end_byte, position_of_byte};
use crate::lsp::prefetch::Prefetch;
use crate::lsp::selected::Selected;
use crate::lsp::session::{Session, Snapshot};
use crate::lsp::status::{Status, StatusNotification};
use crate::lsp::worker::{Loading, ModelState};
use crate::postprocess::may_complete_before;
use crate::settings::{InlineCompletionSettings, MidLine};
use crate::stats::{Group, Source, Withheld};

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
    Nothing(Withheld),
    Excluded(String),
    Known(InlineCompletionList),
    /// The item of a next place, which is counted by itself.
    NextPlace(InlineCompletionItem),
    Asked(Box<Asked>),
}

/// A request for the engine.
struct Asked {
    ticket: Ticket,
    version: i32,
    key: Option<Key>,
    selected: Option<Selected>,
    is_invoked: bool,
    engine: AtEngine,
}

enum AtEngine {
    /// It is there already.
    Waiting(Received<Filled>),
    /// It goes there when typing has rested.
    Debounced(Box<CaretRequest>, Duration),
}

pub(crate) async fn handle(backend: &Backend, params: Params) -> Result<Option<InlineCompletionList>> {
    let answer = answer(backend, params).await?;
    let joins_with_line_feeds = backend.session().client.joins_with_line_feeds;
    Ok(answer.map(|list| if joins_with_line_feeds { with_line_feeds(list) } else { list }))
}

async fn answer(backend: &Backend, params: Params) -> Result<Option<InlineCompletionList>> {
    let uri = params.text_document.uri.clone();
    let group = group_of(backend, &uri);
    let mut asking = Asking::new(backend.stats.clone(), group.clone());
    match begin(backend, &params, group) {
        First::Nothing(withheld) => {
            asking.withheld = withheld;
            Ok(None)
        }
        First::Known(items) => {
            asking.took(Source::Cached, Duration::ZERO, None);
            asking.withheld = Withheld::NothingBefore;
            if !items.items.is_empty() {
                asking.set_answered();
            }
            Ok(Some(items))
        }
        First::NextPlace(item) => {
            asking.set_answered();
            Ok(Some(InlineCompletionList { items: vec![item] }))
        }
        First::Excluded(reason) => {
            tracing::warn!(uri = uri.as_str(), "{reason}");
            let status = Status::of_silence(reason, &backend.model_state());
            backend.client.send_notification::<StatusNotification>(status).await;
            Ok(None)
        }
        First::Asked(asked) => ask(backend, &uri, *asked, asking).await,
    }
}

/// What a request in a document is counted under, if it can be read.
fn group_of(backend: &Backend, uri: &Uri) -> Option<Group> {
    let model = backend.model_state().serving.map_or_else(String::new, |serving| serving.model);
    let language = backend.session().document(uri)?.document.language;
    Some(Group { language, model })
}

/// Counts a completion from now on as offered.
fn offer(backend: &Backend, session: &mut Session, uri: &Uri, group: Option<Group>) {
    let gives_feedback = session.client.gives_feedback;
    let Some((open, group)) = session.document_mut(uri).zip(group) else {
        return;
    };
    open.next.leave_line();
    let before = open.offer.take();
    open.offer = open.suggestion.as_ref().and_then(|Suggestion { fills, anchor, .. }| {
        Offer::new(backend.stats.clone(), group, fills, anchor, gives_feedback, before)
    });
}

/// Everything up to the first await: the document is the one that the client saw when it asked.
fn begin(backend: &Backend, params: &Params, group: Option<Group>) -> First {
    let uri = &params.text_document.uri;
    let mut session = backend.session();
    if let Some(reason) = session.exclusion_to_tell(uri) {
        return First::Excluded(reason);
    }
    let Some(snapshot) = session.snapshot(uri) else {
        return First::Nothing(Withheld::SwitchedOff);
    };
    let caret_byte = snapshot.byte_of(params.position);
    let selected = Selected::of(&params.context, &snapshot, caret_byte);
    let is_invoked = params.is_invoked();
    let document = &snapshot.document;
    let key = || Key::of(&document.text, caret_byte, document.language, snapshot.others.fingerprint());
    let key = selected.is_none().then(key);
    let key = key.flatten();
    if selected.is_none()
        && let Some(item) = next_place_item(&mut session, &snapshot, caret_byte)
    {
        return First::NextPlace(item);
    }
    if selected.is_none()
        && !is_invoked
        && let Some(Prefetch { ticket, answer }) = prefetched(&mut session, uri, caret_byte)
    {
        let version = snapshot.document.version;
        let engine = AtEngine::Waiting(answer);
        return First::Asked(Box::new(Asked { ticket, version, key, selected, is_invoked, engine }));
    }
    if let Some(open) = session.document_mut(uri) {
        // Whatever comes of this request, it supersedes an older one.
        open.pending = None;
        open.prefetch = None;
    }
    if selected.is_none() && session.switched_off(uri).is_none() {
        if let Some(items) = typed_on(&session, uri, caret_byte, is_invoked) {
            return First::Known(items);
        }
        if let Some(items) = from_before(&mut session, uri, caret_byte, is_invoked, key.as_ref()) {
            offer(backend, &mut session, uri, group);
            return First::Known(items);
        }
    }
    let silence = session
        .switched_off(uri)
        .map(|silence| (Withheld::SwitchedOff, silence))
        .or_else(|| no_model(&backend.model_state()).map(|silence| (Withheld::NoModel, silence)))
        .or_else(|| not_now(&mut session, uri, caret_byte, is_invoked));
    if let Some((withheld, silence)) = silence {
        if let Some(open) = session.document_mut(uri) {
            open.silence = Some(silence);
        }
        return First::Nothing(withheld);
    }
    let anchor = selected.is_none().then(|| Anchor::new(caret_byte));
    let Some(ticket) = session.begin(uri, anchor) else {
        return First::Nothing(Withheld::SwitchedOff);
    };
    let settings = Arc::clone(&session.settings);
    let version = snapshot.document.version;
    let drafts = if settings.drafts && is_invoked {
        Drafts::to(backend.client.clone(), session.next_id(), uri.clone(), version)
    } else {
        Drafts::default()
    };
    let pause = if is_invoked { 0 } else { settings.inline_completion.debounce_ms };
    let request = CaretRequest { snapshot, caret_byte, selected: selected.clone(), is_invoked, settings, drafts };
    let engine = AtEngine::Debounced(Box::new(request), Duration::from_millis(pause));
    First::Asked(Box::new(Asked { ticket, version, key, selected, is_invoked, engine }))
}

/// The last change, where the caret stands at a place that wants it, too.
fn next_place_item(session: &mut Session, snapshot: &Snapshot, caret_byte: usize) -> Option<InlineCompletionItem> {
    if session.switched_off(&snapshot.uri).is_some() {
        return None;
    }
    let gives_feedback = session.client.gives_feedback;
    let open = session.document_mut(&snapshot.uri)?;
    let (byte_range, new_text) = open.next.at(snapshot.document.version, caret_byte)?.clone();
    let old = snapshot.document.text.get_byte_slice(byte_range.clone())?.to_string();
    // It takes the place of a completion.
    open.offer = None;
    open.next.offer_in_line(&byte_range, gives_feedback);
    Some(InlineCompletionItem {
        insert_text: new_text.clone(),
        // Some editors show an item only if what it replaces begins this.
        filter_text: (!old.is_empty()).then(|| format!("{old}{new_text}")),
        range: Some(range_of(snapshot, &byte_range)),
        command: None,
        insert_text_format: None,
    })
}

/// The request that was begun for this very place before it was asked for.
fn prefetched(session: &mut Session, uri: &Uri, caret_byte: usize) -> Option<Prefetch> {
    let open = session.document_mut(uri)?;
    let prefetch = open.prefetch.take()?;
    let pending = open.pending.as_ref()?;
    (pending.is_of(&prefetch.ticket) && pending.caret_byte() == Some(caret_byte)).then_some(prefetch)
}

/// An answer from before to the same text.
fn from_before(
    session: &mut Session,
    uri: &Uri,
    caret_byte: usize,
    is_invoked: bool,
    key: Option<&Key>,
) -> Option<InlineCompletionList> {
    let encoding = session.client.encoding;
    let answer = session.cache.get(key?).filter(|answer| answer.is_invoked || !is_invoked)?.clone();
    let open = session.document_mut(uri)?;
    open.silence = answer.silence;
    let anchor = Anchor::new(caret_byte);
    let suggestion = open.suggestion.insert(Suggestion { anchor, fills: answer.fills, is_invoked: answer.is_invoked });
    Some(InlineCompletionList { items: items_of(suggestion, &open.document.text, encoding) })
}

fn no_model(state: &ModelState) -> Option<String> {
    if state.serving.is_some() {
        return None;
    }
    Some(match &state.loading {
        Loading::Failed(reason) => reason.clone(),
        Loading::UnderWay | Loading::Done => "the model is loading".to_owned(),
    })
}

/// Why nothing is to be offered at this place just now, in one sentence.
fn not_now(session: &mut Session, uri: &Uri, caret_byte: usize, is_invoked: bool) -> Option<(Withheld, String)> {
    let settings = Arc::clone(&session.settings);
    let open = session.document_mut(uri)?;
    if let Some(doubt) = open.document.doubt() {
        let silence = format!("an edit does not fit the document ({doubt}); saving or reopening it helps");
        return Some((Withheld::InDoubt, silence));
    }
    if is_invoked {
        return None;
    }
    let InlineCompletionSettings { automatic, mid_line, .. } = settings.inline_completion;
    if !automatic {
        return Some((Withheld::NotAutomatic, "completions come only when asked for".to_owned()));
    }
    let version = open.document.version;
    let before = open.asked.replace((version, caret_byte));
    let text = &open.document.text;
    let is_back = |byte| caret_byte < byte && text.byte_to_line(caret_byte) == text.byte_to_line(byte);
    if before.is_some_and(|(asked_version, byte)| asked_version == version && is_back(byte)) {
        return Some((Withheld::MovedBack, "the caret has only moved back".to_owned()));
    }
    let rest = text.get_byte_slice(caret_byte..line_end_byte(text, caret_byte))?;
    let is_right = match mid_line {
        MidLine::Always => true,
        MidLine::Never => rest.chars().all(char::is_whitespace),
        // No line of closers is this long.
        MidLine::Closers => rest.len_chars() < 200 && may_complete_before(&rest.to_string()),
    };
    (!is_right).then(|| (Withheld::MidLine, "text follows on the line".to_owned()))
}

async fn ask(backend: &Backend, uri: &Uri, asked: Asked, mut asking: Asking) -> Result<Option<InlineCompletionList>> {
    let Asked { mut ticket, version, key, selected, is_invoked, engine } = asked;
    let since = Instant::now();
    let (source, answer) = match engine {
        AtEngine::Waiting(answer) => (Source::Prefetched, answer),
        AtEngine::Debounced(request, pause) => {
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    () = ticket.superseded() => return asking.nothing(Withheld::Superseded),
                    () = tokio::time::sleep(pause) => {}
                }
            }
            (Source::Fresh, request.submit(&backend.worker, &ticket))
        }
    };
    let debounce = since.elapsed();
    let received = tokio::select! {
        // A newer request's answer is the one to give, even if this one's has come at the same time.
        biased;
        () = ticket.superseded() => return asking.nothing(Withheld::Superseded),
        received = answer => received,
    };
    if let Ok(Ok(Err(lacuna_engine::Error::Ended))) = &received {
        // Another engine is on its way, and nobody who types has to know.
        return asking.nothing(Withheld::Failed);
    }
    asking.withheld = Withheld::Failed;
    let Some(Filled { fills, silence, withheld, spent }) = outcome(received)? else {
        return asking.nothing(Withheld::Superseded);
    };
    // Until it is certain that there is something left of it that fits.
    asking.withheld = if fills.is_empty() { withheld.unwrap_or(Withheld::NoFill) } else { Withheld::Outrun };
    asking.took(source, debounce, Some(spent));

    let mut session = backend.session();
    let encoding = session.client.encoding;
    if let Some(key) = key {
        session.cache.put(key, Answer { fills: fills.clone(), is_invoked, silence: silence.clone() });
    }
    let Some(open) = session.document_mut(uri) else {
        return Ok(None);
    };
    // An edit that the answer does not survive has ended the request, so that what is left of it fits the text.
    let Some(pending) = open.pending.take_if(|pending| pending.is_of(&ticket)) else {
        return Ok(None);
    };
    tracing::debug!(uri = uri.as_str(), version, fills = fills.len(), silence = silence.as_deref(), "computed");
    open.silence = silence;
    let found_nothing = fills.is_empty();
    let items = match (selected, pending.into_anchor()) {
        (Some(selected), _) => fills.iter().filter_map(|fill| selected.item(fill, &open.document.text)).collect(),
        (None, Some(anchor)) => {
            let suggestion = open.suggestion.insert(Suggestion { anchor, fills, is_invoked });
            let items = items_of(suggestion, &open.document.text, encoding);
            offer(backend, &mut session, uri, asking.group().cloned());
            items
        }
        (None, None) => Vec::new(),
    };
    if !items.is_empty() {
        asking.set_answered();
    }
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
fn typed_on(session: &Session, uri: &Uri, caret_byte: usize, is_invoked: bool) -> Option<InlineCompletionList> {
    let encoding = session.client.encoding;
    let open = session.document(uri)?;
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
