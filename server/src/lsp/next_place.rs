//! The next place: where a document wants the change that was just made elsewhere in it.
//!
//! Edits near each other are one burst. When typing has rested, the worker looks for the places that want what the burst
//! has changed; what it finds is offered for as long as the document is what it was.

mod offers;

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use lacuna_engine::{Cancel, Error, Infiller};
use ropey::Rope;
use serde::Serialize;
use tokio::task::AbortHandle;
use tower_lsp::ls_types::notification::Notification;
use tower_lsp::ls_types::{self, Uri};

use crate::lsp::backend::Backend;
use crate::lsp::document::ByteEdit;
use crate::lsp::edits::{Replacement, range_of};
use crate::lsp::fill::PARSE_BUDGET;
use crate::lsp::offer::FeedbackKind;
use crate::lsp::pending::CancelOnDrop;
use crate::lsp::session::{Session, Snapshot};
use crate::next::{self, Document, Past};
use crate::stats::Group;
use offers::Offers;

/// Typing must rest for so many times as long as for a completion before places are looked for.
const RESTS: u32 = 4;
/// After a longer pause, an edit of another line is something else.
const PAUSE_MAX: Duration = Duration::from_secs(8);
/// Bursts that are remembered: what was changed in one of them counts as done before.
const BURSTS_MAX: usize = 8;

/// What is known of one document's next places.
#[derive(Debug, Default)]
pub(crate) struct NextPlaces {
    /// The text before each of the last bursts, the present one last.
    before: VecDeque<Rope>,
    /// What the present burst has edited, in bytes of the present text.
    burst: Range<usize>,
    last_edit: Option<Instant>,
    /// The search under way. An edit ends it.
    search: Option<Search>,
    /// The document's version and the places found in it, ascending and disjoint.
    found: Option<(i32, Vec<Replacement>)>,
    /// What was found, until it is known what became of it.
    offers: Offers,
}

/// A search that is waiting for typing to rest, or under way. When it is dropped it ends at once, and lets go of the texts
/// that it holds: whoever types fast begins many.
#[derive(Debug)]
struct Search {
    _cancel: CancelOnDrop,
    task: AbortHandle,
}

impl Drop for Search {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl NextPlaces {
    /// Follows an edit from one text to another, and forgets what was found in it.
    pub(crate) fn follow(&mut self, before: &Rope, edit: &ByteEdit<'_>, after: &Rope, now: Instant) {
        self.search = None;
        self.found = None;
        self.offers.follow(edit, before, after);
        let goes_on = self.last_edit.is_some_and(|last| {
            let touches = edit.removed.start <= self.burst.end && self.burst.start <= edit.removed.end;
            touches || (now.saturating_duration_since(last) < PAUSE_MAX && self.is_near(before, &edit.removed))
        });
        self.last_edit = Some(now);
        if !goes_on {
            if self.before.len() == BURSTS_MAX {
                self.before.pop_front();
            }
            self.before.push_back(before.clone());
            self.burst = edit.removed.clone();
        }
        // All in bytes of the text after the edit.
        let start = self.burst.start.min(edit.removed.start);
        let end = self.burst.end.max(edit.removed.end) - edit.removed.len() + edit.inserted.len();
        self.burst = start..end;
    }

    /// Whether bytes of a text are on the burst's lines or the ones beside them.
    fn is_near(&self, text: &Rope, bytes: &Range<usize>) -> bool {
        let line = |byte: usize| text.byte_to_line(byte.min(text.len_bytes()));
        line(bytes.start) <= line(self.burst.end) + 1 && line(self.burst.start) <= line(bytes.end) + 1
    }

    /// The places that were found in this version of the document.
    pub(crate) fn found(&self, version: i32) -> &[Replacement] {
        match &self.found {
            Some((found_in, places)) if *found_in == version => places,
            _ => &[],
        }
    }

    /// Of the places found in this version, the first one behind a byte, or else the first one of all.
    pub(crate) fn after(&self, version: i32, byte: usize) -> Option<&Replacement> {
        let places = self.found(version);
        places.iter().find(|(range, _)| range.start >= byte).or(places.first())
    }

    /// Where the present burst ends.
    pub(crate) fn burst_end(&self) -> usize {
        self.burst.end
    }

    /// The place that a caret stands at.
    pub(crate) fn at(&self, version: i32, caret_byte: usize) -> Option<&Replacement> {
        self.found(version).iter().find(|(range, _)| range.start <= caret_byte && caret_byte <= range.end)
    }

    /// Counts a place's item as what is offered in the line. `is_told` says that the editor tells what it shows.
    pub(crate) fn offer_in_line(&mut self, range: &Range<usize>, is_told: bool) {
        self.offers.offer_in_line(range, is_told);
    }

    /// Something else is offered in the line.
    pub(crate) fn leave_line(&mut self) {
        self.offers.leave_line();
    }

    /// Counts a place as one that the editor goes to.
    pub(crate) fn go_to(&mut self, range: &Range<usize>) {
        self.offers.go_to(range);
    }

    /// Counts places as ones whose code action was chosen.
    pub(crate) fn choose(&mut self, replacements: &[Replacement]) {
        self.offers.choose(replacements);
    }

    /// Takes the editor's word for what became of the item that was offered last in the line.
    pub(crate) fn hear(&mut self, kind: FeedbackKind) {
        self.offers.hear(kind);
    }

    /// Counts what became of all places.
    pub(crate) fn settle(&mut self) {
        self.offers = Offers::default();
    }
}

/// The notification `lacuna/nextPlace`: where the document wants the last change, too.
pub(crate) enum NextPlaceNotification {}

impl Notification for NextPlaceNotification {
    type Params = Told;
    const METHOD: &'static str = "lacuna/nextPlace";
}

/// The places of one version of a document; they hold until it changes.
#[derive(Debug, Serialize, serde::Deserialize)]
pub(crate) struct Told {
    uri: Uri,
    version: i32,
    places: Vec<Place>,
}

#[derive(Debug, Serialize, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Place {
    range: ls_types::Range,
    new_text: String,
}

impl Place {
    pub(crate) fn of(snapshot: &Snapshot, (range, new_text): &Replacement) -> Self {
        Self { range: range_of(snapshot, range), new_text: new_text.clone() }
    }

    pub(crate) fn range(&self) -> ls_types::Range {
        self.range
    }
}

/// Begins to look for the places that want what was just edited, as soon as typing has rested.
pub(crate) fn search(backend: &Backend, uri: &Uri) {
    let mut session = backend.session();
    let rest = Duration::from_millis(session.settings.inline_completion.debounce_ms) * RESTS;
    if !session.settings.next_place || session.switched_off(uri).is_some() {
        return;
    }
    let Some((serving, open)) = backend.model_state().serving.zip(session.document_mut(uri)) else { return };
    let group = Group { language: open.document.language, model: serving.model };
    let on_drop = CancelOnDrop::default();
    let cancel = on_drop.flag();
    let (client, worker, shared) = (backend.client.clone(), backend.worker.clone(), backend.shared_session());
    let (stats, uri) = (backend.stats.clone(), uri.clone());
    let task = tokio::spawn(async move {
        tokio::time::sleep(rest).await;
        // Only now, because few edits are rested after.
        let Some((snapshot, earlier, before)) = texts(&shared.lock().unwrap_or_else(PoisonError::into_inner), &uri)
        else {
            return;
        };
        let (for_engine, searched) = (cancel.clone(), snapshot.clone());
        let work = move |engine: &dyn Infiller| compute(engine, &searched, &earlier, &before, &for_engine);
        let Ok(Ok(Ok(places))) = worker.submit(cancel, work).await else { return };
        let version = snapshot.document.version;
        let told = Told {
            uri: snapshot.uri.clone(),
            version,
            places: places.iter().map(|place| Place::of(&snapshot, place)).collect(),
        };
        {
            let mut session = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let is_current = session.is_current(&snapshot.uri, version);
            let Some(open) = session.document_mut(&snapshot.uri).filter(|_| is_current) else {
                return;
            };
            open.next.offers.find(&places, &stats, &group);
            if places.is_empty() {
                return;
            }
            open.next.found = Some((version, places));
        }
        client.send_notification::<NextPlaceNotification>(told).await;
    });
    open.next.search = Some(Search { _cancel: on_drop, task: task.abort_handle() });
}

/// The document as it is, and before the first and the last burst of edits.
fn texts(session: &Session, uri: &Uri) -> Option<(Snapshot, Rope, Rope)> {
    let snapshot = session.snapshot(uri).filter(|snapshot| snapshot.document.doubt().is_none())?;
    let before = &session.document(uri)?.next.before;
    Some((snapshot, before.front()?.clone(), before.back()?.clone()))
}

/// Finds the places. Runs on the worker's thread.
fn compute(
    engine: &dyn Infiller,
    snapshot: &Snapshot,
    earlier: &Rope,
    before: &Rope,
    cancel: &Cancel,
) -> Result<Vec<Replacement>, Error> {
    // Before anything is copied.
    if [&snapshot.document.text, earlier, before].iter().any(|text| text.len_bytes() > next::TEXT_MAX_BYTES) {
        return Ok(Vec::new());
    }
    let Some(tree) = snapshot.document.tree(PARSE_BUDGET) else { return Ok(Vec::new()) };
    let text = snapshot.document.text.to_string();
    let name = snapshot.name();
    let document = Document { text: &text, language: snapshot.document.language, name: name.as_deref() };
    let past = Past { earlier: &earlier.to_string(), before: &before.to_string() };
    let offers = next::offer(engine, &document, &past, &tree, cancel)?;
    Ok(offers.into_iter().map(|offer| (offer.byte_range, offer.new_text)).collect())
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use ropey::Rope;

    use super::NextPlaces;
    use crate::lsp::document::ByteEdit;

    /// The text before the burst that the last of some edits is part of; each edit comes so many seconds after the one
    /// before it.
    fn before(text: &str, edits: &[(u64, std::ops::Range<usize>, &str)]) -> String {
        let (mut next, mut rope, mut now) = (NextPlaces::default(), Rope::from_str(text), Instant::now());
        for (seconds, removed, inserted) in edits {
            now += Duration::from_secs(*seconds);
            let before = rope.clone();
            let chars = rope.byte_to_char(removed.start)..rope.byte_to_char(removed.end);
            rope.remove(chars.clone());
            rope.insert(chars.start, inserted);
            next.follow(&before, &ByteEdit { removed: removed.clone(), inserted }, &rope, now);
        }
        next.before.back().expect("a burst").to_string()
    }

    #[test]
    fn edits_near_each_other_are_one_burst() {
        let text = "é a\nb\nc\nd\n";
        assert_eq!(before(text, &[(0, 3..4, "x"), (1, 4..4, "y"), (2, 6..7, "z")]), text);
        // At the same place, however long it takes.
        assert_eq!(before(text, &[(0, 3..4, "x"), (99, 4..4, "y"), (99, 3..5, "")]), text);
    }

    #[test]
    fn another_place_or_a_pause_begins_another() {
        let text = "é a\nb\nc\nd\n";
        assert_eq!(before(text, &[(0, 3..4, "xy"), (1, 10..11, "z")]), "é xy\nb\nc\nd\n");
        assert_eq!(before(text, &[(0, 3..4, "xy"), (9, 6..7, "z")]), "é xy\nb\nc\nd\n");
    }
}
