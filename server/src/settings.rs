//! What a user can set, in whatever editor.
//!
//! Entry points: [`Settings::read`], for what an editor sends, and [`Settings::schema`], for what it may send.
//!
//! The types below are the one place where a setting has its name, its default, its bounds and its description: the
//! schema comes from them, and reading goes by the schema.

mod conform;
mod problem;
mod read;
mod schema;
mod suggestion;

use std::collections::BTreeMap;
use std::path::PathBuf;

use lacuna_engine::PromptForm;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use problem::Problem;

/// The settings of Lacuna.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct Settings {
    /// A checkpoint folder in Hugging Face style; null for the embedded model.
    pub model: Option<PathBuf>,
    /// Where the model runs: "auto", "cpu", "cuda" or "cuda:N".
    #[schemars(regex(pattern = r"^(auto|cpu|cuda(:[0-9]+)?)$"))]
    pub device: String,
    /// How a model that is a folder is asked.
    pub prompt: PromptChoice,
    /// How many threads compute; null for all cores.
    #[schemars(range(min = 1, max = 1024))]
    pub threads: Option<usize>,
    /// Whether anything is offered at all.
    pub enable: bool,
    /// Whether anything is offered in a language, by its identifier in the editor, such as "rust" or "plaintext". A
    /// language that is not named here is on.
    pub languages: BTreeMap<String, bool>,
    /// Completions shown while typing.
    pub inline_completion: InlineCompletionSettings,
    /// Whether, after an edit, the places in the document are looked for that now want the same change.
    pub next_place: bool,
    /// How Markdown is formatted.
    pub markdown: MarkdownSettings,
    /// Files that are never read, as globs, besides the ones that often hold secrets. A glob is held against a file's
    /// name, its path from the workspace's folder, its whole path, and the folders that it lies in. `*` stops at a
    /// `/`, and `**` does not.
    pub exclude: Vec<String>,
    /// Whether files that Git ignores are left alone.
    pub respect_gitignore: bool,
    /// Whether filling all holes of a file shows what it would change before it does, where the editor can show that.
    pub preview_fill_all: bool,
    /// Whether the editor is sent the text as it condenses, in `lacuna/draft` notifications.
    pub drafts: bool,
    /// Whether it is counted how many completions and next places are shown and accepted, and how long completions take.
    /// The counts are in a file of your own, which holds no text and no names of files; nothing is sent anywhere.
    /// `lacuna stats` shows them.
    pub stats: bool,
    /// What is logged, and where to.
    pub log: LogSettings,
}

/// Completions shown while typing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct InlineCompletionSettings {
    /// Whether completions come by themselves; if not, only when asked for.
    pub automatic: bool,
    /// For how many milliseconds typing must rest before a completion is computed. One that is known already is shown
    /// at once.
    #[schemars(range(max = 10_000))]
    pub debounce_ms: u64,
    /// Whether completions come by themselves within comments.
    pub comments: bool,
    /// Whether completions come by themselves within strings.
    pub strings: bool,
    /// Whether completions come where text follows on the line.
    pub mid_line: MidLine,
    /// How many different completions are computed when asked for.
    #[schemars(range(min = 1, max = 5))]
    pub candidates: u8,
    /// How sure of it the model must be for a completion to come by itself: from 0, which shows whatever passes the
    /// other checks, to 1, which shows hardly anything. Asked for, it comes however unsure the model is.
    #[schemars(range(min = 0.0, max = 1.0))]
    pub min_confidence: f64,
    /// Whether other files of the same language that are open, or were edited lately, are read for completions and
    /// code actions. Files that are never read are not read for this either.
    pub other_files: bool,
    /// Whether the next completion is computed as soon as one has been accepted.
    pub prefetch: bool,
    /// How many lines a completion may have.
    #[schemars(range(min = 1, max = 200))]
    pub max_lines: u32,
}

/// How a model is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema, clap::ValueEnum)]
#[serde(rename_all = "camelCase")]
pub enum PromptChoice {
    /// As the checkpoint's folder says.
    Auto,
    /// With the text itself.
    Raw,
    /// With a message that asks for what is missing, for checkpoints that have learned to answer messages.
    Chat,
}

impl PromptChoice {
    /// The form; as suits the checkpoint where it is `None`.
    pub fn form(self) -> Option<PromptForm> {
        match self {
            Self::Auto => None,
            Self::Raw => Some(PromptForm::Raw),
            Self::Chat => Some(PromptForm::Chat),
        }
    }
}

/// Whether completions come where text follows on the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum MidLine {
    /// Only at the end of a line.
    Never,
    /// Also where nothing but closing brackets, quotes and punctuation follows.
    Closers,
    /// Anywhere.
    Always,
}

/// How Markdown is formatted.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct MarkdownSettings {
    /// Whether formatting that may be due to saving, too, asks the model where a document is ambiguous. The command to
    /// format always does.
    pub format_on_save_with_model: bool,
}

/// What is logged, and where to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
pub struct LogSettings {
    /// What is important enough to be logged. The environment variable LACUNA_LOG comes before this.
    pub level: LogLevel,
    /// A file to log to besides standard error, by its absolute path; its folder must exist. At 4 MiB it is moved
    /// aside, and three such files are kept.
    pub file: Option<PathBuf>,
    /// Whether the text of documents may be logged.
    pub text: bool,
}

/// How important something logged is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum LogLevel {
    /// What has failed.
    Error,
    /// Also what somebody should know about.
    Warn,
    /// Also what happens seldom and goes as planned.
    Info,
    /// Also what every request does.
    Debug,
    /// Everything.
    Trace,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            model: None,
            device: "auto".to_owned(),
            prompt: PromptChoice::Auto,
            threads: None,
            enable: true,
            languages: BTreeMap::new(),
            inline_completion: InlineCompletionSettings::default(),
            next_place: true,
            markdown: MarkdownSettings::default(),
            exclude: Vec::new(),
            respect_gitignore: true,
            preview_fill_all: true,
            drafts: false,
            stats: true,
            log: LogSettings::default(),
        }
    }
}

impl Default for InlineCompletionSettings {
    fn default() -> Self {
        Self {
            automatic: true,
            debounce_ms: 75,
            comments: true,
            strings: true,
            mid_line: MidLine::Closers,
            candidates: 3,
            min_confidence: 0.1,
            other_files: true,
            prefetch: true,
            max_lines: 32,
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: LogLevel::Warn, file: None, text: false }
    }
}

impl Settings {
    /// Whether anything is to be offered in the language with this identifier.
    pub fn is_enabled_for(&self, language_id: &str) -> bool {
        self.enable && self.languages.get(language_id).copied().unwrap_or(true)
    }

    /// Whether going from these settings to `other` means that a model has to be loaded.
    pub fn differences_needing_reload(&self, other: &Self) -> bool {
        let loaded =
            |settings: &Self| (settings.model.clone(), settings.device.clone(), settings.prompt, settings.threads);
        loaded(self) != loaded(other)
    }
}

#[cfg(test)]
mod tests;
