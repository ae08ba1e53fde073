//! `textDocument/codeAction`: offers what can be done where the caret or the selection is.

use serde::{Deserialize, Serialize};
use tower_lsp::jsonrpc::{Error, Result};
use tower_lsp::ls_types::{
    CodeAction, CodeActionDisabled, CodeActionKind, CodeActionOrCommand, CodeActionParams, CodeActionResponse, Uri,
};

use lacuna_engine::Language;

use crate::lsp::actions::{Action, Chosen, Outcome, perform, placeholders_of};
use crate::lsp::backend::Backend;
use crate::lsp::capabilities::{FORMAT_KIND, REWRITE_KIND};
use crate::lsp::draft::Drafts;
use crate::lsp::edits::{Replacement, range_of, workspace_edit};
use crate::lsp::fill::{PARSE_BUDGET, outcome};
use crate::lsp::pending::CancelOnDrop;
use crate::lsp::session::Snapshot;
use crate::lsp::worker::Loading;
use crate::syntax::{self, Placeholder};

/// What an offered action carries until it is chosen.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Data {
    pub(crate) uri: Uri,
    pub(crate) version: i32,
    #[serde(flatten)]
    pub(crate) chosen: Chosen,
}

struct Offer {
    title: String,
    kind: CodeActionKind,
    chosen: Chosen,
}

pub(crate) async fn handle(backend: &Backend, params: CodeActionParams) -> Result<Option<CodeActionResponse>> {
    let uri = &params.text_document.uri;
    let only = params.context.only.as_deref();
    // Editors ask for other kinds again and again, some at every move of the caret.
    if !is_wanted(&REWRITE_KIND, only) && !is_wanted(&FORMAT_KIND, only) {
        return Ok(None);
    }
    let (snapshot, facts, next) = {
        let session = backend.session();
        if session.switched_off(uri).is_some() {
            return Ok(None);
        }
        let next = session.document(uri).map_or_else(Vec::new, |open| {
            let version = open.document.version;
            let first = open.next.after(version, open.next.burst_end());
            first.map(|first| (first.clone(), open.next.found(version).to_vec())).into_iter().collect()
        });
        (session.snapshot(uri), session.client, next)
    };
    let Some(snapshot) = snapshot.filter(|snapshot| snapshot.document.doubt().is_none()) else {
        return Ok(None);
    };
    let selection = snapshot.byte_of(params.range.start)..snapshot.byte_of(params.range.end);
    // Parsing takes its time, and this thread has messages to see to.
    let (snapshot, mut offers) = tokio::task::spawn_blocking(move || {
        let mut offers = offers(&snapshot, &selection);
        offers.extend(next.into_iter().flat_map(|(first, all)| offers_of_places(&snapshot, first, all)));
        (snapshot, offers)
    })
    .await
    .map_err(|_| Error::internal_error())?;
    offers.retain(|offer| is_wanted(&offer.kind, only));

    let state = backend.model_state();
    if let (None, Loading::Failed(reason)) = (&state.serving, &state.loading) {
        let disabled = |offer: Offer| CodeAction {
            disabled: Some(CodeActionDisabled { reason: reason.clone() }),
            ..code_action(offer, None)
        };
        return Ok(answer(offers.into_iter().filter(|_| facts.knows_disabled_actions).map(disabled).collect()));
    }
    if facts.resolves_edits {
        let (uri, version) = (&snapshot.uri, snapshot.document.version);
        let data = |chosen: &Chosen| Data { uri: uri.clone(), version, chosen: chosen.clone() };
        let offers = offers.into_iter().map(|offer| {
            let data = serde_json::to_value(data(&offer.chosen)).ok();
            code_action(offer, data)
        });
        return Ok(answer(offers.collect()));
    }
    // The edit must come along, so that only one hole can be offered in reasonable time.
    let quick = offers.into_iter().find_map(|offer| match &offer.chosen {
        Chosen::Compute(action @ Action::FillHole { .. }) => Some((action.clone(), offer)),
        _ => None,
    });
    let Some((action, offer)) = quick.filter(|_| state.serving.is_some()) else {
        return Ok(None);
    };
    let cancel = CancelOnDrop::default();
    let for_engine = cancel.flag();
    let found = backend.worker.submit(cancel.flag(), move |engine| {
        let outcome = perform(engine, &snapshot, &action, &Drafts::default(), &for_engine)?;
        Ok(match outcome {
            Outcome::Edits(edits) => Some(workspace_edit(&snapshot, edits, facts)),
            Outcome::Nothing(_) => None,
        })
    });
    let edit = outcome(found.await)?.flatten();
    let is_found = edit.is_some();
    let action = CodeAction { edit, ..code_action(offer, None) };
    Ok(answer(is_found.then_some(action).into_iter().collect()))
}

fn offers(snapshot: &Snapshot, selection: &std::ops::Range<usize>) -> Vec<Offer> {
    let rewrite = |title: String, action| Offer { title, kind: REWRITE_KIND, chosen: Chosen::Compute(action) };
    let mut offers = Vec::new();
    let placeholders = placeholders_of(snapshot);
    let is_here = |hole: &&Placeholder| hole.shown_at.start <= selection.end && selection.start <= hole.shown_at.end;
    let here: Vec<_> = placeholders.iter().filter(is_here).collect();
    for hole in &here {
        let title = if here.len() > 1 {
            format!("Fill the hole in line {}", range_of(snapshot, &hole.shown_at).start.line + 1)
        } else {
            "Fill this hole".to_owned()
        };
        offers.push(rewrite(title, Action::FillHole { start_byte: hole.byte_range.start }));
    }
    if !here.is_empty() && placeholders.len() > 1 {
        offers.push(rewrite(format!("Fill all {} holes in this file", placeholders.len()), Action::FillAll));
    }
    if selection.is_empty() {
        let caret_byte = selection.start;
        let tree = snapshot.document.tree(PARSE_BUDGET);
        let text = snapshot.document.text.to_string();
        let language = snapshot.document.language;
        // A block that is nothing but a placeholder has its own offer.
        if here.is_empty() && syntax::find_block(&text, tree.as_ref(), language, caret_byte).is_some() {
            offers.push(rewrite("Complete this block".to_owned(), Action::CompleteBlock { caret_byte }));
        }
    } else {
        // No checkpoint that can be loaded takes instructions, and the title says what is done instead.
        let title = "Rewrite selection (fills it anew from what is around it)".to_owned();
        offers.push(rewrite(title, Action::Rewrite { start_byte: selection.start, end_byte: selection.end }));
    }
    if snapshot.document.language == Language::Markdown {
        let title = "Format this Markdown".to_owned();
        offers.push(Offer { title, kind: FORMAT_KIND, chosen: Chosen::Compute(Action::FormatMarkdown) });
    }
    offers
}

/// The offers to make the last change elsewhere, too.
fn offers_of_places(snapshot: &Snapshot, first: Replacement, all: Vec<Replacement>) -> Vec<Offer> {
    let line = range_of(snapshot, &first.0).start.line + 1;
    let offer = |title, replacements| Offer { title, kind: REWRITE_KIND, chosen: Chosen::Apply { replacements } };
    let mut offers = vec![offer(format!("Apply the same change in line {line}"), vec![first])];
    if all.len() > 1 {
        offers.push(offer(format!("Apply the same change at all {} places", all.len()), all));
    }
    offers
}

/// Whether the client asks for actions of a kind, or for all.
fn is_wanted(kind: &CodeActionKind, only: Option<&[CodeActionKind]>) -> bool {
    let includes = |wanted: &CodeActionKind| {
        let rest = kind.as_str().strip_prefix(wanted.as_str());
        wanted.as_str().is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    };
    only.is_none_or(|kinds| kinds.iter().any(includes))
}

fn code_action(offer: Offer, data: Option<serde_json::Value>) -> CodeAction {
    CodeAction { title: offer.title, kind: Some(offer.kind), data, ..CodeAction::default() }
}

fn answer(actions: Vec<CodeAction>) -> Option<CodeActionResponse> {
    let actions: Vec<_> = actions.into_iter().map(CodeActionOrCommand::CodeAction).collect();
    (!actions.is_empty()).then_some(actions)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Data, is_wanted};
    use crate::lsp::actions::{Action, Chosen};
    use crate::lsp::capabilities::{FORMAT_KIND, REWRITE_KIND};

    #[test]
    fn actions_are_offered_to_whoever_wants_them() {
        let wants = |kind, only: &[&'static str]| {
            let kinds: Vec<_> = only.iter().map(|kind| (*kind).to_owned().into()).collect();
            is_wanted(&kind, Some(&kinds))
        };
        assert!(is_wanted(&REWRITE_KIND, None));
        assert!(wants(REWRITE_KIND, &[""]) && wants(REWRITE_KIND, &["refactor"]));
        assert!(wants(REWRITE_KIND, &["quickfix", "refactor.rewrite"]));
        assert!(!wants(REWRITE_KIND, &["quickfix"]) && !wants(REWRITE_KIND, &["refactor.rewrite.more"]));
        assert!(!wants(REWRITE_KIND, &["ref"]) && !wants(REWRITE_KIND, &[]));
        assert!(wants(FORMAT_KIND, &["source"]) && !wants(FORMAT_KIND, &["refactor"]));
        // Editors run these on saving, and they are not for that.
        assert!(!wants(FORMAT_KIND, &["source.fixAll", "source.organizeImports"]));
    }

    #[test]
    fn an_action_comes_back_as_it_went() {
        let uri: tower_lsp::ls_types::Uri = "file:///a.rs".parse().expect("a URI");
        let rewrite = json!({ "uri": "file:///a.rs", "version": 3, "do": "rewrite", "startByte": 1, "endByte": 2 });
        let range = json!({ "start": 1, "end": 2 });
        let apply = json!({ "uri": "file:///a.rs", "version": 3, "replacements": [[range, "x"]] });
        for (chosen, expected) in [
            (Chosen::Compute(Action::Rewrite { start_byte: 1, end_byte: 2 }), rewrite),
            (Chosen::Apply { replacements: vec![(1..2, "x".to_owned())] }, apply),
        ] {
            let data = Data { uri: uri.clone(), version: 3, chosen };
            let sent = serde_json::to_value(&data).expect("JSON");
            assert_eq!(sent, expected);
            assert_eq!(serde_json::from_value::<Data>(sent).expect("the same"), data);
        }
    }
}
