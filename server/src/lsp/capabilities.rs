//! What the client can do, and what this server therefore offers.

use serde_json::{Value, json};
use tower_lsp::ls_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, ExecuteCommandOptions, InitializeParams,
    InitializeResult, InlineCompletionOptions, OneOf, Registration, SaveOptions, ServerCapabilities, ServerInfo,
    TextDocumentSyncCapability, TextDocumentSyncKind, TextDocumentSyncOptions, TextDocumentSyncSaveOptions,
};

use crate::lsp::positions::Encoding;

/// The kind of every action that writes code.
pub(crate) const REWRITE_KIND: CodeActionKind = CodeActionKind::REFACTOR_REWRITE;
/// The kind of *Format this Markdown*.
pub(crate) const FORMAT_KIND: CodeActionKind = CodeActionKind::new("source.formatMarkdown");

/// Formats the Markdown document with the URI that is the argument.
pub(crate) const FORMAT_MARKDOWN: &str = "lacuna.formatMarkdown";
/// Fills all holes of the document with the URI that is the argument.
pub(crate) const FILL_ALL: &str = "lacuna.fillAll";
/// Goes to the next place, in the document with the URI that is the argument, that wants the last change; a position may
/// follow, behind which it is looked for.
pub(crate) const NEXT_PLACE: &str = "lacuna.nextPlace";
/// Says how things stand, and why there was no completion in the document with the URI that may be the argument.
pub(crate) const STATUS: &str = "lacuna.status";

/// What the client said about itself, as far as anything depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientFacts {
    pub(crate) encoding: Encoding,
    /// It asks for inline completions only after they have been registered.
    pub(crate) registers_inline_completion: bool,
    /// It formats documents through servers that have registered for it.
    pub(crate) registers_formatting: bool,
    pub(crate) registers_range_formatting: bool,
    /// It tells of changed settings whoever has registered for it.
    pub(crate) registers_configuration: bool,
    /// It gives its settings when it is asked.
    pub(crate) gives_configuration: bool,
    /// It knows code actions apart from commands.
    pub(crate) knows_code_actions: bool,
    /// It asks for a code action's edit only once the user has chosen the action.
    pub(crate) resolves_edits: bool,
    /// It shows why a code action cannot be applied.
    pub(crate) knows_disabled_actions: bool,
    /// It takes edits that name the document's version.
    pub(crate) versioned_edits: bool,
    /// It shows edits and asks before it applies them, where it is told to.
    pub(crate) previews_edits: bool,
    /// It splits an inserted text at line feeds alone, and ends the lines as the document does. Neovim, which leaves
    /// the carriage return of anything else in the document.
    pub(crate) joins_with_line_feeds: bool,
    /// It tells what it shows, and what becomes of it, by `lacuna/feedback`.
    pub(crate) gives_feedback: bool,
    /// It shows a document, and a place in it, when the server asks.
    pub(crate) shows_documents: bool,
    /// It shows progress that the server begins.
    pub(crate) shows_progress: bool,
}

impl ClientFacts {
    pub(crate) fn of(params: &InitializeParams) -> Self {
        let capabilities = &params.capabilities;
        let text_document = capabilities.text_document.as_ref();
        let workspace = capabilities.workspace.as_ref();
        let code_action = text_document.and_then(|text_document| text_document.code_action.as_ref());
        let resolves_edits = code_action.is_some_and(|code_action| {
            let resolve = code_action.resolve_support.as_ref();
            resolve.is_some_and(|resolve| resolve.properties.iter().any(|property| property == "edit"))
        });
        let workspace_edit = workspace.and_then(|workspace| workspace.workspace_edit.as_ref());
        Self {
            encoding: capabilities
                .general
                .as_ref()
                .and_then(|general| general.position_encodings.as_deref())
                .map(Encoding::negotiate)
                .unwrap_or_default(),
            registers_inline_completion: text_document
                .and_then(|text_document| text_document.inline_completion.as_ref())
                .and_then(|inline_completion| inline_completion.dynamic_registration)
                .unwrap_or(false),
            registers_formatting: text_document
                .and_then(|text_document| text_document.formatting.as_ref())
                .is_some_and(|formatting| formatting.dynamic_registration == Some(true)),
            registers_range_formatting: text_document
                .and_then(|text_document| text_document.range_formatting.as_ref())
                .is_some_and(|formatting| formatting.dynamic_registration == Some(true)),
            registers_configuration: workspace
                .and_then(|workspace| workspace.did_change_configuration.as_ref())
                .is_some_and(|configuration| configuration.dynamic_registration == Some(true)),
            gives_configuration: workspace.is_some_and(|workspace| workspace.configuration == Some(true)),
            knows_code_actions: code_action
                .is_some_and(|code_action| code_action.code_action_literal_support.is_some()),
            resolves_edits,
            knows_disabled_actions: code_action.is_some_and(|code_action| code_action.disabled_support == Some(true)),
            // Resource operations stand among the document changes, so that a client with one has the other: Neovim
            // announces only them.
            versioned_edits: workspace_edit.is_some_and(|edit| {
                edit.document_changes == Some(true)
                    || edit.resource_operations.as_ref().is_some_and(|all| !all.is_empty())
            }),
            previews_edits: workspace_edit.is_some_and(|edit| edit.change_annotation_support.is_some()),
            joins_with_line_feeds: params.client_info.as_ref().is_some_and(|client| client.name == "Neovim"),
            gives_feedback: capabilities
                .experimental
                .as_ref()
                .is_some_and(|experimental| experimental["lacuna"]["feedback"] == true),
            shows_documents: (capabilities.window.as_ref())
                .and_then(|window| window.show_document.as_ref())
                .is_some_and(|show_document| show_document.support),
            shows_progress: capabilities.window.as_ref().and_then(|window| window.work_done_progress).unwrap_or(false),
        }
    }

    /// The answer to `initialize`.
    pub(crate) fn initialize_result(self) -> InitializeResult {
        let code_action_provider = if self.knows_code_actions || self.resolves_edits {
            CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![REWRITE_KIND, FORMAT_KIND]),
                resolve_provider: Some(self.resolves_edits),
                ..CodeActionOptions::default()
            })
        } else {
            CodeActionProviderCapability::Simple(true)
        };
        let capabilities = ServerCapabilities {
            position_encoding: Some(self.encoding.kind()),
            text_document_sync: Some(TextDocumentSyncCapability::Options(TextDocumentSyncOptions {
                open_close: Some(true),
                change: Some(TextDocumentSyncKind::INCREMENTAL),
                // The whole text now and then is what brings back together a client and a server that have lost
                // each other.
                save: Some(TextDocumentSyncSaveOptions::SaveOptions(SaveOptions { include_text: Some(true) })),
                ..TextDocumentSyncOptions::default()
            })),
            code_action_provider: Some(code_action_provider),
            execute_command_provider: Some(ExecuteCommandOptions {
                commands: [FORMAT_MARKDOWN, FILL_ALL, NEXT_PLACE, STATUS].map(str::to_owned).to_vec(),
                ..ExecuteCommandOptions::default()
            }),
            inline_completion_provider: (!self.registers_inline_completion)
                .then(|| OneOf::Right(InlineCompletionOptions::default())),
            ..ServerCapabilities::default()
        };
        InitializeResult {
            capabilities,
            server_info: Some(ServerInfo {
                name: "lacuna".to_owned(),
                version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            }),
            ..InitializeResult::default()
        }
    }

    /// What is to be registered once the client is ready: nothing that `initialize` already announced.
    pub(crate) fn registrations(self) -> Vec<Registration> {
        let markdown = json!({ "documentSelector": [{ "language": "markdown" }] });
        // A missing selector would be the client's own; null says that every document is meant.
        let all = json!({ "documentSelector": null });
        let section = json!({ "section": "lacuna" });
        let offers: [(bool, &str, &str, Value); 4] = [
            (self.registers_inline_completion, "lacuna-inline-completion", "textDocument/inlineCompletion", all),
            // Never announced for all documents: a formatter for every language is none.
            (self.registers_formatting, "lacuna-formatting", "textDocument/formatting", markdown.clone()),
            (self.registers_range_formatting, "lacuna-range-formatting", "textDocument/rangeFormatting", markdown),
            (self.registers_configuration, "lacuna-configuration", "workspace/didChangeConfiguration", section),
        ];
        let registration = |(_, id, method, options): (bool, &str, &str, Value)| Registration {
            id: id.to_owned(),
            method: method.to_owned(),
            register_options: Some(options),
        };
        offers.into_iter().filter(|offer| offer.0).map(registration).collect()
    }
}
