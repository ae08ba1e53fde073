//! `lacuna/draft`: the canvas after each step, for editors that show it condensing. Sent only where asked for.

use lacuna_engine::{Piece, Step};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tower_lsp::Client;
use tower_lsp::ls_types::notification::Notification;
use tower_lsp::ls_types::{Range, Uri};

/// Steps that wait to be sent; a slow editor misses some, and never the end.
const MAX_WAITING: usize = 16;

/// The notification.
#[derive(Debug)]
pub(crate) enum DraftNotification {}

impl Notification for DraftNotification {
    type Params = Draft;
    const METHOD: &'static str = "lacuna/draft";
}

/// The draft of some holes. After the last step comes one more without holes, with `done` set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Draft {
    uri: Uri,
    /// The document's version that the ranges are in.
    version: i32,
    /// Tells fills apart that are under way at once.
    id: u64,
    /// Steps taken, from 1, and how many may be taken.
    step: usize,
    limit: usize,
    done: bool,
    holes: Vec<DraftHole>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DraftHole {
    range: Range,
    pieces: Vec<DraftPiece>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct DraftPiece {
    text: String,
    settled: bool,
    certainty: f32,
}

/// Where the drafts of one fill go to; nowhere by default. Dropping it sends the end.
#[derive(Debug, Default)]
pub(crate) struct Drafts(Option<Sender>);

#[derive(Debug)]
struct Sender {
    template: Draft,
    steps: mpsc::Sender<Draft>,
}

impl Drafts {
    /// Sends the drafts of a document's holes to the client.
    pub(crate) fn to(client: Client, id: u64, uri: Uri, version: i32) -> Self {
        let (steps, mut waiting) = mpsc::channel::<Draft>(MAX_WAITING);
        let template = Draft { uri, version, id, step: 0, limit: 0, done: false, holes: Vec::new() };
        let end = Draft { done: true, ..template.clone() };
        tokio::spawn(async move {
            while let Some(draft) = waiting.recv().await {
                client.send_notification::<DraftNotification>(draft).await;
            }
            client.send_notification::<DraftNotification>(end).await;
        });
        Self(Some(Sender { template, steps }))
    }

    /// Sends a step of the first candidate. `ranges` are those of the step's holes.
    pub(crate) fn send(&self, ranges: &[Range], step: &Step<'_>) {
        let Some(Sender { template, steps }) = self.0.as_ref().filter(|_| step.candidate == 0) else {
            return;
        };
        let piece =
            |piece: &Piece| DraftPiece { text: piece.text.clone(), settled: piece.settled, certainty: piece.certainty };
        let holes = ranges.iter().zip(step.holes);
        let holes = holes.map(|(&range, pieces)| DraftHole { range, pieces: pieces.iter().map(piece).collect() });
        let draft = Draft { step: step.index, limit: step.limit, holes: holes.collect(), ..template.clone() };
        let _ = steps.try_send(draft);
    }
}
