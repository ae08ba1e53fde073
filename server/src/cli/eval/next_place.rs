//! `lacuna eval --next-place`: how good the offers of a next place are, on edits replayed from real histories.

mod replay;
mod summary;

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use anyhow::Context;
use indicatif::ProgressBar;
use lacuna_engine::{Cancel, Infiller, Language};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::next::evidence::FEATURES;
use crate::next::{ASKED_MIN_CONFIDENCE, Candidate, Document, Kind, Past, ask, disjoint, find};
use crate::syntax::lines::line_range;
use crate::syntax::parse;
use replay::{Judge, Replay, replays};
pub(super) use summary::print;

/// The same file in two releases.
#[derive(Debug, Deserialize)]
pub(super) struct Pair {
    id: String,
    package: String,
    language: String,
    before: String,
    after: String,
}

/// What came of one replayed edit.
#[derive(Debug, Serialize)]
pub(super) struct Outcome {
    id: String,
    package: String,
    language: String,
    edit: String,
    /// How often the same was changed, this time included.
    nth: usize,
    /// Further places at which the history made the same change.
    repeats: usize,
    places: Vec<Place>,
}

/// A place that may want the change.
#[derive(Debug, Serialize)]
struct Place {
    kind: Kind,
    /// The line that it is in, as it stands.
    line: String,
    text: String,
    confidence: f32,
    /// Whether it is sure enough, and overlaps with none that is surer.
    offered: bool,
    /// What the model makes of it.
    model: Option<f32>,
    right: bool,
    /// Of the further places, the one that this is.
    repeat: Option<usize>,
    evidence: Map<String, Value>,
}

/// Replays the pairs' edits, and writes what came of each as JSON lines where that is wanted.
pub(super) fn run(
    pairs: &[Pair],
    engine: Option<&dyn Infiller>,
    out: Option<&Path>,
    bar: &ProgressBar,
) -> anyhow::Result<Vec<Outcome>> {
    let create = |path: &Path| File::create(path).with_context(|| path.display().to_string());
    let mut out = out.map(create).transpose()?.map(BufWriter::new);
    let mut outcomes = Vec::new();
    for pair in pairs {
        for replay in replays(&pair.before, &pair.after) {
            let outcome = outcome(pair, &replay, engine).with_context(|| pair.id.clone())?;
            if let Some(out) = &mut out {
                serde_json::to_writer(&mut *out, &outcome).map_err(io::Error::from)?;
                writeln!(out)?;
            }
            outcomes.push(outcome);
        }
        bar.inc(1);
    }
    if let Some(mut out) = out {
        out.flush()?;
    }
    Ok(outcomes)
}

fn outcome(pair: &Pair, replay: &Replay, engine: Option<&dyn Infiller>) -> anyhow::Result<Outcome> {
    let language = match pair.language.as_str() {
        "rust" => Language::Rust,
        "python" => Language::Python,
        other => anyhow::bail!("no grammar for {other}"),
    };
    let tree = parse(&replay.edited, language).context("the text has no tree")?;
    let past = Past { earlier: &pair.before, before: &replay.before };
    let found = find(&past, &replay.edited, &tree, &Cancel::new())?;
    let mut offered = disjoint(found.clone(), ASKED_MIN_CONFIDENCE);
    if let Some(engine) = engine {
        let document = Document { text: &replay.edited, language, name: None };
        ask(engine, &document, &mut offered, &Cancel::new())?;
    }
    let same = |a: &Candidate, b: &Candidate| a.byte_range == b.byte_range && a.new_text == b.new_text;
    let judge = replay.judge();
    let places = found
        .into_iter()
        .map(|candidate| {
            let offer = offered.iter().find(|offer| same(offer, &candidate));
            let is_sure = offer.is_some_and(Candidate::is_sure);
            place(offer.cloned().unwrap_or(candidate), is_sure, replay, &judge)
        })
        .collect();
    Ok(Outcome {
        id: pair.id.clone(),
        package: pair.package.clone(),
        language: pair.language.clone(),
        edit: replay.edit.clone(),
        nth: replay.nth,
        repeats: replay.repeats,
        places,
    })
}

fn place(candidate: Candidate, offered: bool, replay: &Replay, judge: &Judge<'_>) -> Place {
    let verdict = judge.verdict(&candidate.byte_range, &candidate.new_text);
    let line = line_range(&replay.edited, candidate.byte_range.start);
    let evidence = FEATURES.iter().zip(candidate.evidence);
    Place {
        kind: candidate.kind,
        line: replay.edited[line].trim().to_owned(),
        text: candidate.new_text,
        confidence: candidate.confidence,
        offered,
        model: candidate.model,
        right: verdict.is_some(),
        repeat: verdict.flatten(),
        evidence: evidence.map(|((name, _), value)| ((*name).to_owned(), value.into())).collect(),
    }
}
