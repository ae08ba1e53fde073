//! What the server knows: the client's abilities, the settings and the open documents.
//!
//! Messages that change the state run on this, to their end, before anything else is looked at. Everything that
//! takes time works on a [`Snapshot`].

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use lacuna_engine::Excerpt;
use tower_lsp::ls_types::{
    DidChangeTextDocumentParams, DidCloseTextDocumentParams, DidOpenTextDocumentParams, Position, Uri,
};

use crate::excerpts::{self, Places};
use crate::lsp::cache::Cache;
use crate::lsp::capabilities::ClientFacts;
use crate::lsp::document::Document;
use crate::lsp::exclusion::{Exclusion, file_name};
use crate::lsp::fill::PARSE_BUDGET;
use crate::lsp::interpolate::{Anchor, Suggestion};
use crate::lsp::next_place::NextPlaces;
use crate::lsp::offer::{FeedbackKind, Offer};
use crate::lsp::others::{Candidate, Closed, Others};
use crate::lsp::pending::{Pending, Ticket};
use crate::lsp::positions::{Encoding, byte_of_position};
use crate::lsp::prefetch::Prefetch;
use crate::settings::Settings;
use crate::syntax;

/// The mutable state, never held while anything is waited for.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientFacts,
    pub(crate) settings: Arc<Settings>,
    pub(crate) cache: Cache,
    /// The workspace's folders.
    roots: Vec<PathBuf>,
    exclusion: Exclusion,
    documents: HashMap<Uri, Entry>,
    closed: Closed,
    next_request_id: u64,
    /// Counts openings and edits.
    touches: u64,
    /// What the user was told last of what is wrong with the settings.
    told: Vec<String>,
}

/// A document that will not change any more.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) uri: Uri,
    pub(crate) document: Document,
    pub(crate) encoding: Encoding,
    pub(crate) others: Others,
}

impl Snapshot {
    /// The document's file name.
    pub(crate) fn name(&self) -> Option<String> {
        file_name(&self.uri)
    }

    /// What other files say that bears on places in `text`, which is the document's but for small changes.
    pub(crate) fn excerpts(&self, text: &str, bytes: &[usize]) -> Vec<Excerpt> {
        let tree = self.document.tree(PARSE_BUDGET);
        let places = Places { text, tree: tree.as_ref(), language: self.document.language, bytes };
        excerpts::choose(&places, &self.others.files())
    }
}

/// A document that can be read, and what is going on in it.
#[derive(Debug)]
pub(crate) struct OpenDocument {
    pub(crate) document: Document,
    pub(crate) pending: Option<Pending>,
    pub(crate) suggestion: Option<Suggestion>,
    /// The completion that was offered last, until it is known what became of it; none where a next place was offered since.
    pub(crate) offer: Option<Offer>,
    /// What is computed before it is asked for; its other side is `pending`.
    pub(crate) prefetch: Option<Prefetch>,
    /// Where the last edit is wanted, too.
    pub(crate) next: NextPlaces,
    /// Where the editor asked last of its own accord, and for which version.
    pub(crate) asked: Option<(i32, usize)>,
    /// Why the last request got nothing, in one sentence.
    pub(crate) silence: Option<String>,
    language_id: String,
    /// When it was opened or edited last.
    touched: u64,
    is_edited: bool,
}

impl OpenDocument {
    /// Takes the editor's word for what became of what was offered last in the line.
    pub(crate) fn hear(&mut self, kind: FeedbackKind, characters: u32) {
        match &mut self.offer {
            Some(offer) => offer.hear(kind, characters),
            None => self.next.hear(kind),
        }
    }
}

/// What is known of a name.
#[derive(Debug)]
enum Entry {
    Open(Box<OpenDocument>),
    /// Nothing of its text is kept, so that it stays so until the document is opened again.
    Excluded {
        reason: String,
        is_told: bool,
    },
}

impl Default for Session {
    fn default() -> Self {
        let settings = Settings::default();
        let (exclusion, _) = Exclusion::new(&settings.exclude, settings.respect_gitignore, Vec::new());
        Self {
            client: ClientFacts::default(),
            settings: Arc::new(settings),
            cache: Cache::default(),
            roots: Vec::new(),
            exclusion,
            documents: HashMap::new(),
            closed: Closed::default(),
            next_request_id: 0,
            touches: 0,
            told: Vec::new(),
        }
    }
}

impl Session {
    /// Takes over settings, and gives what is wrong with them.
    pub(crate) fn configure(&mut self, settings: Settings) -> Vec<String> {
        let (exclusion, problems) = Exclusion::new(&settings.exclude, settings.respect_gitignore, self.roots.clone());
        self.exclusion = exclusion;
        self.settings = Arc::new(settings);
        for (uri, entry) in &mut self.documents {
            if let Entry::Open(_) = entry
                && let Some(excluded) = excluded(&self.exclusion, uri)
            {
                *entry = excluded;
            }
        }
        self.closed.retain(|uri| self.exclusion.reason(uri).is_none());
        self.forget_answers();
        problems.iter().map(ToString::to_string).collect()
    }

    /// Whether these problems with the settings are others than the last ones.
    pub(crate) fn is_news(&mut self, problems: &[String]) -> bool {
        let is_news = self.told != problems;
        problems.clone_into(&mut self.told);
        is_news
    }

    pub(crate) fn set_roots(&mut self, roots: Vec<PathBuf>) {
        self.roots = roots;
    }

    pub(crate) fn open(&mut self, params: DidOpenTextDocumentParams) {
        let opened = params.text_document;
        self.closed.retain(|uri| *uri != opened.uri);
        self.touches += 1;
        let entry = excluded(&self.exclusion, &opened.uri).unwrap_or_else(|| {
            Entry::Open(Box::new(OpenDocument {
                document: Document::new(&opened.text, opened.version, syntax::language_of_id(&opened.language_id)),
                pending: None,
                suggestion: None,
                offer: None,
                prefetch: None,
                next: NextPlaces::default(),
                asked: None,
                silence: None,
                language_id: opened.language_id,
                touched: self.touches,
                is_edited: false,
            }))
        });
        if self.documents.insert(opened.uri, entry).is_some() {
            tracing::warn!("a document was opened twice; the second text counts");
        }
    }

    /// Applies an edit. Gives where the caret then stands if the edit has put in all of a fill that was offered.
    pub(crate) fn change(&mut self, params: &DidChangeTextDocumentParams) -> Option<usize> {
        let encoding = self.client.encoding;
        let open = match self.documents.get_mut(&params.text_document.uri) {
            Some(Entry::Open(open)) => open,
            Some(Entry::Excluded { .. }) => return None,
            None => {
                tracing::warn!("an edit of a document that is not open was ignored");
                return None;
            }
        };
        if params.text_document.version <= open.document.version {
            tracing::warn!(version = params.text_document.version, "an edit did not raise its document's version");
        }
        open.document.version = params.text_document.version;
        self.touches += 1;
        open.touched = self.touches;
        open.is_edited = true;
        for change in &params.content_changes {
            let before = open.document.text.clone();
            let edit = open.document.apply(change, encoding);
            open.offer.iter_mut().for_each(|offer| offer.follow(&edit, &open.document.text));
            open.next.follow(&before, &edit, &open.document.text, Instant::now());
            // What an edit makes worthless is given up here already, so that nothing is computed in vain.
            open.pending.take_if(|pending| !pending.follow(&edit));
            open.suggestion.take_if(|suggestion| !suggestion.anchor.follow(&edit));
        }
        let accepted = open.suggestion.take_if(|suggestion| suggestion.is_accepted())?;
        open.pending = None;
        Some(accepted.anchor.caret_byte())
    }

    /// Takes the whole text from the client where it has it at hand.
    pub(crate) fn resynchronise(&mut self, uri: &Uri, text: &str) {
        self.touches += 1;
        let touches = self.touches;
        let Some(open) = self.document_mut(uri) else {
            return;
        };
        let edit = open.document.resynchronise(text);
        if !edit.is_empty() {
            open.touched = touches;
            tracing::warn!("a document was not what its client had, and now is again");
            open.next = NextPlaces::default();
            open.pending = None;
            open.suggestion = None;
        }
    }

    pub(crate) fn close(&mut self, params: &DidCloseTextDocumentParams) {
        let uri = &params.text_document.uri;
        match self.documents.remove(uri) {
            None => tracing::warn!("a document that is not open was closed"),
            Some(Entry::Open(open)) if open.is_edited => {
                self.closed.keep(uri.clone(), open.document, open.language_id, open.touched);
            }
            Some(_) => {}
        }
    }

    /// The open document with this name, if it may be read.
    pub(crate) fn document(&self, uri: &Uri) -> Option<&OpenDocument> {
        match self.documents.get(uri) {
            Some(Entry::Open(open)) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn document_mut(&mut self, uri: &Uri) -> Option<&mut OpenDocument> {
        match self.documents.get_mut(uri) {
            Some(Entry::Open(open)) => Some(open),
            _ => None,
        }
    }

    pub(crate) fn snapshot(&self, uri: &Uri) -> Option<Snapshot> {
        let open = self.document(uri)?;
        let (document, others) = (open.document.clone(), self.others(uri, &open.language_id));
        Some(Snapshot { uri: uri.clone(), document, encoding: self.client.encoding, others })
    }

    /// The files that may be read beside this one. What they say is only looked at when somebody wants it.
    fn others(&self, uri: &Uri, language_id: &str) -> Others {
        if !self.settings.inline_completion.other_files {
            return Others::default();
        }
        let open = self.documents.iter().filter_map(|(uri, entry)| match entry {
            Entry::Open(open) => {
                Some(Candidate { uri, document: &open.document, language_id: &open.language_id, touched: open.touched })
            }
            Entry::Excluded { .. } => None,
        });
        // A text that may not be what its user sees is none to learn from.
        let suits = |other: &Candidate<'_>| {
            other.uri != uri && other.language_id == language_id && other.document.doubt().is_none()
        };
        Others::of(open.chain(self.closed.iter()).filter(suits))
    }

    /// Counts what became of everything that was offered.
    pub(crate) fn settle_offers(&mut self) {
        for entry in self.documents.values_mut() {
            if let Entry::Open(open) = entry {
                open.offer = None;
                open.next.settle();
            }
        }
    }

    /// Whether the document is still what it was in this version.
    pub(crate) fn is_current(&self, uri: &Uri, version: i32) -> bool {
        self.document(uri).is_some_and(|open| open.document.version == version)
    }

    /// Why nothing at all is offered in a document, in one sentence; `None` if there may be something.
    pub(crate) fn switched_off(&self, uri: &Uri) -> Option<String> {
        let open = match self.documents.get(uri) {
            Some(Entry::Open(open)) => open,
            Some(Entry::Excluded { reason, .. }) => return Some(reason.clone()),
            None => return Some("the document is not open".to_owned()),
        };
        let language_id = &open.language_id;
        let is_off = !self.settings.is_enabled_for(language_id);
        is_off.then(|| match self.settings.enable {
            true => format!("Lacuna is switched off for {language_id}"),
            false => "Lacuna is switched off".to_owned(),
        })
    }

    /// Why the document is not read, the first time that this is asked.
    pub(crate) fn exclusion_to_tell(&mut self, uri: &Uri) -> Option<String> {
        match self.documents.get_mut(uri) {
            Some(Entry::Excluded { reason, is_told }) if !*is_told => {
                *is_told = true;
                Some(reason.clone())
            }
            _ => None,
        }
    }

    /// Begins a request that supersedes any older one in the same document. `anchor` is `None` where no edit at all
    /// may be made meanwhile.
    pub(crate) fn begin(&mut self, uri: &Uri, anchor: Option<Anchor>) -> Option<Ticket> {
        let id = self.next_id();
        let (pending, ticket) = Pending::begin(id, anchor);
        self.document_mut(uri)?.pending = Some(pending);
        Some(ticket)
    }

    /// A number that nothing else in this session has.
    pub(crate) fn next_id(&mut self) -> u64 {
        self.next_request_id += 1;
        self.next_request_id
    }

    /// Forgets answers that another model would not give.
    pub(crate) fn forget_answers(&mut self) {
        self.cache.clear();
        for entry in self.documents.values_mut() {
            if let Entry::Open(open) = entry {
                open.suggestion = None;
                open.prefetch = None;
                open.asked = None;
                open.silence = None;
            }
        }
    }
}

impl Snapshot {
    pub(crate) fn byte_of(&self, position: Position) -> usize {
        byte_of_position(&self.document.text, position, self.encoding)
    }
}

fn excluded(exclusion: &Exclusion, uri: &Uri) -> Option<Entry> {
    exclusion.reason(uri).map(|reason| Entry::Excluded { reason: reason.to_string(), is_told: false })
}
