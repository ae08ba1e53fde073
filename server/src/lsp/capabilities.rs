//! What the client can do, and what this server therefore offers.

use tower_lsp::ls_types::{
    CodeActionKind, CodeActionOptions, CodeActionProviderCapability, InitializeParams, InitializeResult,
    InlineCompletionOptions, OneOf, Registration, ServerCapabilities, ServerInfo, TextDocumentSyncCapability,
    TextDocumentSyncKind, TextDocumentSyncOptions,
};

use crate::lsp::positions::Encoding;

/// What the client said about itself, as far as anything depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ClientFacts {
    pub(crate) encoding: Encoding,
    /// It asks for inline completions only after they have been registered.
    pub(crate) registers_inline_completion: bool,
    /// It knows code actions apart from commands.
    pub(crate) knows_code_actions: bool,
    /// It asks for a code action's edit only once the user has chosen the action.
    pub(crate) resolves_edits: bool,
    /// It shows why a code action cannot be applied.
    pub(crate) knows_disabled_actions: bool,
    /// It takes edits that name the document's version.
    pub(crate) versioned_edits: bool,
    /// It splits an inserted text at line feeds alone, and ends the lines as the document does. Neovim, which leaves
    /// the carriage return of anything else in the document.
    pub(crate) joins_with_line_feeds: bool,
    /// It shows progress that the server begins.
    pub(crate) shows_progress: bool,
}

impl ClientFacts {
    pub(crate) fn of(params: &InitializeParams) -> Self {
        let capabilities = &params.capabilities;
        let text_document = capabilities.text_document.as_ref();
        let code_action = text_document.and_then(|text_document| text_document.code_action.as_ref());
        let resolves_edits = code_action.is_some_and(|code_action| {
            let resolve = code_action.resolve_support.as_ref();
            resolve.is_some_and(|resolve| resolve.properties.iter().any(|property| property == "edit"))
        });
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
            knows_code_actions: code_action
                .is_some_and(|code_action| code_action.code_action_literal_support.is_some()),
            resolves_edits,
            knows_disabled_actions: code_action.is_some_and(|code_action| code_action.disabled_support == Some(true)),
            // Resource operations stand among the document changes, so that a client with one has the other: Neovim
            // announces only them.
            versioned_edits: capabilities
                .workspace
                .as_ref()
                .and_then(|workspace| workspace.workspace_edit.as_ref())
                .is_some_and(|edit| {
                    edit.document_changes == Some(true)
                        || edit.resource_operations.as_ref().is_some_and(|all| !all.is_empty())
                }),
            joins_with_line_feeds: params.client_info.as_ref().is_some_and(|client| client.name == "Neovim"),
            shows_progress: capabilities.window.as_ref().and_then(|window| window.work_done_progress).unwrap_or(false),
        }
    }

    /// The answer to `initialize`.
    pub(crate) fn initialize_result(self) -> InitializeResult {
        let code_action_provider = if self.knows_code_actions || self.resolves_edits {
            CodeActionProviderCapability::Options(CodeActionOptions {
                code_action_kinds: Some(vec![CodeActionKind::REFACTOR_REWRITE]),
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
                ..TextDocumentSyncOptions::default()
            })),
            code_action_provider: Some(code_action_provider),
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
        if !self.registers_inline_completion {
            return Vec::new();
        }
        vec![Registration {
            id: "lacuna-inline-completion".to_owned(),
            method: "textDocument/inlineCompletion".to_owned(),
            // A missing selector would be the client's own; null says that every document is meant.
            register_options: Some(serde_json::json!({ "documentSelector": null })),
        }]
    }
}
