use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;

use anyhow::{Context, ensure};
use flate2::read::MultiGzDecoder;
use lacuna_engine::{Excerpt, Extent, Hole, Language};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::excerpts::{self, OtherFile, Places};
use crate::syntax::{find_hole, parse};

/// A task file may be no longer than this once it is decompressed.
const FILE_MAX_BYTES: u64 = 1 << 30;

/// A text with something missing, in the form of HumanEval-Infilling.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Task {
    pub(super) task_id: String,
    #[serde(rename = "prompt")]
    pub(super) before: String,
    #[serde(rename = "suffix")]
    pub(super) after: String,
    #[serde(rename = "canonical_solution")]
    pub(super) solution: String,
    #[serde(default = "python")]
    pub(super) language: String,
    /// What the hole is, such as `rest_of_line`; empty if the task does not say.
    #[serde(default)]
    pub(super) kind: String,
    /// The files beside it, as they stand in the task.
    #[serde(default)]
    context: Vec<ContextFile>,
    /// The same files with their texts.
    #[serde(skip)]
    others: Vec<OtherFile>,
}

/// A file beside a task's.
#[derive(Clone, Debug, Deserialize)]
struct ContextFile {
    name: String,
    /// Where there is none, the last one of this name in the tasks above.
    text: Option<String>,
}

fn python() -> String {
    "python".to_owned()
}

impl Task {
    pub(super) fn language(&self) -> Language {
        match self.language.as_str() {
            "rust" => Language::Rust,
            "python" => Language::Python,
            "markdown" => Language::Markdown,
            _ => Language::Text,
        }
    }

    /// The text around the hole, and the hole: as far as its kind says or else the text around it suggests, unless the
    /// solution may be looked at.
    pub(super) fn hole(&self, oracle_length: bool) -> (String, Hole) {
        let text = format!("{}{}", self.before, self.after);
        let at = self.before.len();
        let extent = if oracle_length {
            if self.solution.contains('\n') { Extent::Block } else { Extent::Line }
        } else {
            match self.kind.as_str() {
                "rest_of_line" | "full_line" | "single-line" | "markup" => Extent::Line,
                "" => find_hole(&text, parse(&text, self.language()).as_ref(), self.language(), at).extent,
                _ => Extent::Block,
            }
        };
        (text, Hole::new(at..at, extent))
    }
}

impl Task {
    /// What the other files say that bears on the hole in `text`, as the language server would choose it.
    pub(super) fn excerpts(&self, text: &str) -> Vec<Excerpt> {
        if self.others.is_empty() {
            return Vec::new();
        }
        let language = self.language();
        let tree = parse(text, language);
        let places = Places { text, tree: tree.as_ref(), language, bytes: &[self.before.len()] };
        excerpts::choose(&places, &self.others)
    }

    /// Finds the texts of the files beside the task.
    fn read_others(&mut self, known: &mut HashMap<String, OtherFile>) -> anyhow::Result<()> {
        let language = self.language();
        for ContextFile { name, text } in std::mem::take(&mut self.context) {
            if let Some(text) = text {
                known.insert(name.clone(), OtherFile::new(&name, &text, language));
            }
            let other = known.get(&name);
            self.others.push(other.with_context(|| format!("there is no text of {name} here or above"))?.clone());
        }
        Ok(())
    }
}

/// The tasks in a file of JSON lines, compressed by gzip if its name says so.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<Task>> {
    let mut known = HashMap::new();
    read_lines(path, |task: &mut Task| task.read_others(&mut known))
}

/// The objects in such a file, each of which `finish` completes.
pub(super) fn read_lines<T: DeserializeOwned>(
    path: &Path,
    mut finish: impl FnMut(&mut T) -> anyhow::Result<()>,
) -> anyhow::Result<Vec<T>> {
    let shown = path.display().to_string();
    let file = File::open(path).with_context(|| shown.clone())?;
    ensure!(!file.metadata().with_context(|| shown.clone())?.is_dir(), "{shown}: a folder, not a file");
    let is_compressed = path.extension().is_some_and(|extension| extension == "gz");
    let bytes: Box<dyn Read> = if is_compressed { Box::new(MultiGzDecoder::new(file)) } else { Box::new(file) };
    let mut tasks = Vec::new();
    for (index, line) in BufReader::new(bytes.take(FILE_MAX_BYTES)).lines().enumerate() {
        let place = || format!("{shown}: line {}", index + 1);
        let line = line.with_context(place)?;
        if !line.trim().is_empty() {
            let mut task: T = serde_json::from_str(&line).with_context(place)?;
            finish(&mut task).with_context(place)?;
            tasks.push(task);
        }
    }
    ensure!(!tasks.is_empty(), "{shown}: no tasks");
    Ok(tasks)
}
