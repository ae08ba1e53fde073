//! The inline completion that is under way for a document.

use lacuna_engine::Cancel;
use tokio::sync::oneshot;

use crate::lsp::document::ByteEdit;
use crate::lsp::interpolate::Anchor;

/// The document's side of a request under way. Dropping it supersedes the request.
#[derive(Debug)]
pub(crate) struct Pending {
    id: u64,
    anchor: Option<Anchor>,
    _cancel: CancelOnDrop,
    /// The request sees when this end is dropped.
    _current: oneshot::Sender<()>,
}

/// The request's own side. Dropping it, as the framework does when the client cancels, stops the inference.
#[derive(Debug)]
pub(crate) struct Ticket {
    id: u64,
    cancel: CancelOnDrop,
    current: oneshot::Receiver<()>,
}

impl Pending {
    /// The two sides of a new request. Without an anchor the request outlives no edit.
    pub(crate) fn begin(id: u64, anchor: Option<Anchor>) -> (Self, Ticket) {
        let cancel = CancelOnDrop::default();
        let (sender, current) = oneshot::channel();
        let ticket = Ticket { id, cancel: CancelOnDrop(cancel.flag()), current };
        (Self { id, anchor, _cancel: cancel, _current: sender }, ticket)
    }

    /// Whether this is the request that the ticket is for.
    pub(crate) fn is_of(&self, ticket: &Ticket) -> bool {
        self.id == ticket.id
    }

    /// Follows an edit; `false` if the request's answer would be worth nothing after it.
    #[must_use]
    pub(crate) fn follow(&mut self, edit: &ByteEdit<'_>) -> bool {
        self.anchor.as_mut().is_some_and(|anchor| anchor.follow(edit))
    }

    /// Where the request's caret is now, if it may move.
    pub(crate) fn caret_byte(&self) -> Option<usize> {
        self.anchor.as_ref().map(Anchor::caret_byte)
    }

    /// Where the request's caret is now; `None` if it has not moved because nothing at all may.
    pub(crate) fn into_anchor(mut self) -> Option<Anchor> {
        self.anchor.take()
    }
}

impl Ticket {
    /// What the engine looks at.
    pub(crate) fn cancel(&self) -> Cancel {
        self.cancel.flag()
    }

    /// Waits until the request has been superseded.
    pub(crate) async fn superseded(&mut self) {
        // Nothing is ever sent: the channel closes.
        let _ = (&mut self.current).await;
    }
}

/// Sets the flag when nobody needs the result any more, however that came about.
#[derive(Debug, Default)]
pub(crate) struct CancelOnDrop(Cancel);

impl CancelOnDrop {
    /// The flag, to be looked at by whoever does the work.
    pub(crate) fn flag(&self) -> Cancel {
        self.0.clone()
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel();
    }
}
