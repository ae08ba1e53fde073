//! What is said of the counts.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use jiff::civil::Date;
use serde_json::{Map, Value, json};

use super::chart::Look;
use crate::cli::terminal_text::{in_one_line, wrapped};
use crate::postprocess::Filter;
use crate::stats::{Fate, Histogram, Ledger, NextPlaces, Piece, Source, Stage, Tally, Way, Withheld};

/// The ends of the scale of times, in milliseconds, and its columns.
const FROM_MS: f64 = 0.1;
const TO_MS: f64 = 10_000.0;
const CURVE_COLUMNS: usize = 20;

/// The widest bar, and the narrowest that says anything.
const BAR_COLUMNS: std::ops::RangeInclusive<usize> = 8..=32;

/// Counts, and where they come from.
pub(super) struct Report {
    pub(super) file: PathBuf,
    pub(super) span: Span,
    /// The newest day with counts, whether or not it is in the span.
    pub(super) newest: Option<Date>,
    /// Of the days in the span.
    pub(super) ledger: Ledger,
}

/// The days that are looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub(super) from: Date,
    pub(super) to: Date,
    pub(super) days: u16,
}

impl Report {
    pub(super) fn to_json(&self) -> Value {
        fn all<K: ToString>(tallies: &BTreeMap<K, Tally>) -> Value {
            tallies.iter().map(|(name, tally)| (name.to_string(), to_json(tally))).collect::<Map<_, _>>().into()
        }
        json!({
            "file": self.file.display().to_string(),
            "from": self.span.from,
            "to": self.span.to,
            "total": to_json(&self.ledger.total()),
            "days": all(&self.ledger.by_day()),
            "languages": all(&self.ledger.by_language()),
            "models": all(&self.ledger.by_model()),
        })
    }

    pub(super) fn write(&self, out: &mut dyn Write, look: &Look) -> io::Result<()> {
        let file = self.file.display().to_string();
        let file = in_one_line(&file);
        if self.ledger.is_empty() {
            match self.newest {
                Some(day) => {
                    writeln!(out, "Nothing was counted in the last {}; the newest counts are of {day}.", self.days())?
                }
                None => writeln!(
                    out,
                    "Nothing has been counted yet. The server of an editor counts the completions\n\
                     and next places that it shows, and what becomes of them. It writes the counts\n\
                     twice a minute, and when it ends."
                )?,
            }
        } else {
            let title = format!("Completions in the last {}, up to {}", self.days(), self.span.to);
            writeln!(out, "{}\n", look.title(&title))?;
            let total = self.ledger.total();
            write_completions(out, look, &total)?;
            self.write_days(out, look)?;
            write_shares(out, look, "By language", &self.ledger.by_language())?;
            write_shares(out, look, "By model", &self.ledger.by_model())?;
            write_withheld(out, look, &total)?;
            write_times(out, look, &total)?;
            write_next_places(out, look, &total.next_places)?;
        }
        let verb = if self.newest.is_some() { "are" } else { "will be" };
        let last = format!(
            "The counts {verb} in {file}, without any text or file names. They stay on this machine. \
             `lacuna stats --reset` forgets them, and the setting `stats` switches counting off."
        );
        for line in wrapped(&last, look.columns.saturating_sub(1)) {
            writeln!(out, "{}", look.aside(&line))?;
        }
        Ok(())
    }

    fn days(&self) -> String {
        if self.span.days == 1 { "day".to_owned() } else { format!("{} days", self.span.days) }
    }

    fn write_days(&self, out: &mut dyn Write, look: &Look) -> io::Result<()> {
        let days = self.ledger.by_day();
        let days: Vec<_> = days.iter().filter(|(_, tally)| tally.shown() > 0).collect();
        let most = days.iter().map(|(_, tally)| tally.shown()).max().unwrap_or_default();
        if most == 0 {
            return Ok(());
        }
        let width = bar_columns(look, 34);
        let legend = if width > 0 { "█ accepted, ░ other completions that were shown" } else { "" };
        writeln!(out, "{}  {}", look.title("By day"), look.aside(legend))?;
        for (day, tally) in days {
            let words = format!("{} of {}", tally.accepted(), tally.shown());
            writeln!(out, "  {day}  {words:<16} {}", look.bar_with_part(tally.accepted(), tally.shown(), most, width))?;
        }
        writeln!(out)
    }
}

/// How many were shown, and met which fate.
fn write_fates(
    out: &mut dyn Write,
    look: &Look,
    shown: u64,
    accepted: u64,
    fates: &BTreeMap<Fate, u64>,
) -> io::Result<()> {
    let width = bar_columns(look, 36);
    let row = |out: &mut dyn Write, label: &str, count: u64| {
        writeln!(out, "  {label:<17} {count:>7} {:>5}  {}", percent(count, shown), look.bar(count, shown, width))
    };
    row(out, "shown", shown)?;
    for (label, fate) in [
        ("accepted", Fate::Accepted),
        ("accepted in part", Fate::AcceptedInPart),
        ("typed by hand", Fate::TypedOut),
        ("dismissed", Fate::Dismissed),
        ("ignored", Fate::Ignored),
    ] {
        row(out, label, fates.get(&fate).copied().unwrap_or_default())?;
    }
    writeln!(out, "\n  {} of what was shown was accepted, all of it or in part.", percent(accepted, shown).trim())
}

fn write_completions(out: &mut dyn Write, look: &Look, tally: &Tally) -> io::Result<()> {
    write_fates(out, look, tally.shown(), tally.accepted(), &tally.fates)?;
    let piece = |piece| tally.pieces.get(&piece).copied().unwrap_or_default();
    let kept = tally.characters_kept;
    writeln!(out, "  {kept} characters were taken over instead of typed:")?;
    writeln!(
        out,
        "  {}, {}, {}.",
        counted(piece(Piece::Whole), "time all of it", "times all of it"),
        counted(piece(Piece::Line), "time a line", "times a line"),
        counted(piece(Piece::Word), "time a word", "times a word"),
    )?;
    let unseen = tally.with_fate(Fate::NotSeen);
    if unseen > 0 {
        writeln!(out, "  {} offered, and not shown by the editor.", counted(unseen, "more was", "more were"))?;
    }
    writeln!(out)
}

fn write_shares(out: &mut dyn Write, look: &Look, title: &str, tallies: &BTreeMap<&str, Tally>) -> io::Result<()> {
    writeln!(out, "{}", look.title(title))?;
    for (name, tally) in tallies {
        let (accepted, shown) = (tally.accepted(), tally.shown());
        writeln!(out, "  {name:<20} {:>5} of {shown} accepted", percent(accepted, shown))?;
    }
    writeln!(out)
}

fn write_withheld(out: &mut dyn Write, look: &Look, tally: &Tally) -> io::Result<()> {
    let mut reasons: Vec<_> = tally.withheld.iter().map(|(reason, count)| (*count, words(*reason))).collect();
    let Some(most) = reasons.iter().map(|(count, _)| *count).max() else {
        return Ok(());
    };
    reasons.sort_by(|left, right| right.cmp(left));
    writeln!(out, "{}", look.title("Requests without a completion"))?;
    let width = bar_columns(look, 52);
    for (count, words) in reasons {
        writeln!(out, "  {words:<39} {count:>7}  {}", look.bar(count, most, width))?;
    }
    writeln!(out)
}

fn write_times(out: &mut dyn Write, look: &Look, tally: &Tally) -> io::Result<()> {
    if tally.latency.is_empty() {
        return Ok(());
    }
    let has_room = look.columns >= 54 + CURVE_COLUMNS;
    let scale = format!("{:<width$}{}", "0.1 ms", "10 s", width = CURVE_COLUMNS - 4);
    let heading = format!("{:>8} {:>8} {:>8} {:>7}", "median", "90%", "99%", "answers");
    let title = format!("{:<22}", "Time, in milliseconds");
    let scale = if has_room { format!("  {scale}") } else { String::new() };
    writeln!(out, "{}{}", look.title(&title), look.aside(&format!("{heading}{scale}")))?;
    for (source, stages) in &tally.latency {
        for (stage, histogram) in stages {
            let label = match (source, stage) {
                (Source::Fresh, Stage::Total) => "computed".to_owned(),
                (Source::Prefetched, Stage::Total) => "computed ahead".to_owned(),
                (Source::Cached, Stage::Total) => "known already".to_owned(),
                // What was computed ahead was waited for by nobody.
                (Source::Prefetched | Source::Cached, _) => continue,
                (Source::Fresh, stage) => format!("  {}", stage_words(*stage)),
            };
            let quantile =
                |percent| format!("{:>8}", histogram.quantile_ms(percent).map(milliseconds).unwrap_or_default());
            let curve = if has_room {
                format!("  {}", look.curve(&histogram.columns(FROM_MS, TO_MS, CURVE_COLUMNS)))
            } else {
                String::new()
            };
            writeln!(
                out,
                "  {label:<20}{} {} {} {:>7}{}",
                quantile(50),
                quantile(90),
                quantile(99),
                histogram.total(),
                curve.trim_end(),
            )?;
        }
    }
    writeln!(out)
}

/// What became of next places, which are no completions.
fn write_next_places(out: &mut dyn Write, look: &Look, places: &NextPlaces) -> io::Result<()> {
    if places.is_empty() {
        return Ok(());
    }
    let legend = "places that wanted the last change, too";
    writeln!(out, "{}  {}", look.title("Next places"), look.aside(legend))?;
    write_fates(out, look, places.shown(), places.accepted(), &places.fates)?;
    let of = |counts: &BTreeMap<Way, u64>, way| counts.get(&way).copied().unwrap_or_default();
    let (shown, accepted) = (&places.shown_by, &places.accepted_by);
    writeln!(
        out,
        "  Shown: {} in the line, {} by going there, {} by a code action.",
        of(shown, Way::Line),
        of(shown, Way::Command),
        of(shown, Way::Action),
    )?;
    writeln!(
        out,
        "  Accepted: {} in the line, {} by a code action.",
        of(accepted, Way::Line),
        of(accepted, Way::Action)
    )?;
    let unseen = places.fates.get(&Fate::NotSeen).copied().unwrap_or_default();
    if unseen > 0 {
        writeln!(out, "  {} found, and not shown.", counted(unseen, "more was", "more were"))?;
    }
    writeln!(out)
}

fn rate(accepted: u64, shown: u64) -> Option<f64> {
    (shown > 0).then(|| accepted as f64 / shown as f64)
}

fn next_places_to_json(places: &NextPlaces) -> Value {
    json!({
        "shown": places.shown(),
        "acceptance_rate": rate(places.accepted(), places.shown()),
        "fates": places.fates,
        "shown_by": places.shown_by,
        "accepted_by": places.accepted_by,
    })
}

fn to_json(tally: &Tally) -> Value {
    let times = |stages: &BTreeMap<Stage, Histogram>| -> Value {
        let quantiles = |histogram: &Histogram| {
            let [p50, p90, p99] = [50, 90, 99].map(|percent| histogram.quantile_ms(percent));
            let [p50, p90, p99] = [p50, p90, p99].map(|ms| ms.map(|ms| (ms * 1000.0).round() / 1000.0));
            json!({ "n": histogram.total(), "p50_ms": p50, "p90_ms": p90, "p99_ms": p99 })
        };
        stages.iter().map(|(stage, histogram)| (name_of(stage), quantiles(histogram))).collect::<Map<_, _>>().into()
    };
    let latency: Map<_, _> = tally.latency.iter().map(|(source, stages)| (name_of(source), times(stages))).collect();
    json!({
        "shown": tally.shown(),
        "acceptance_rate": rate(tally.accepted(), tally.shown()),
        "fates": tally.fates,
        "pieces": tally.pieces,
        "characters_shown": tally.characters_shown,
        "characters_kept": tally.characters_kept,
        "withheld": tally.withheld,
        "latency": latency,
        "next_places": next_places_to_json(&tally.next_places),
    })
}

/// The name that a variant has in the file.
fn name_of(variant: &impl serde::Serialize) -> String {
    serde_json::to_value(variant).ok().and_then(|name| name.as_str().map(str::to_owned)).unwrap_or_default()
}

fn bar_columns(look: &Look, taken: usize) -> usize {
    let free = look.columns.saturating_sub(taken + 1);
    if free < *BAR_COLUMNS.start() { 0 } else { free.min(*BAR_COLUMNS.end()) }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "-".to_owned() } else { format!("{:.0}%", part as f64 / whole as f64 * 100.0) }
}

fn counted(count: u64, one: &str, several: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { several })
}

fn milliseconds(ms: f64) -> String {
    match ms {
        ms if ms < 9.95 => format!("{ms:.1}"),
        ms => format!("{ms:.0}"),
    }
}

fn stage_words(stage: Stage) -> &'static str {
    match stage {
        Stage::Total => "all",
        Stage::Debounce => "typing at rest",
        Stage::Queue => "waiting in line",
        Stage::Hole => "finding the hole",
        Stage::Prompt => "reading the text",
        Stage::Denoise => "denoising",
        Stage::Checks => "making it fit",
    }
}

fn words(reason: Withheld) -> &'static str {
    match reason {
        Withheld::Superseded => "a newer request came",
        Withheld::Cancelled => "the editor cancelled it",
        Withheld::Outrun => "the text had changed meanwhile",
        Withheld::SwitchedOff => "switched off",
        Withheld::NotAutomatic => "only when asked for",
        Withheld::NoModel => "the model was not there yet",
        Withheld::InDoubt => "an edit did not fit the document",
        Withheld::MovedBack => "the caret had only moved back",
        Withheld::MidLine => "text follows on the line",
        Withheld::InComment => "in a comment",
        Withheld::InString => "in a string",
        Withheld::NothingBefore => "nothing was found there before",
        Withheld::Failed => "the engine failed",
        Withheld::NoFill => "the model had nothing to say",
        Withheld::Filter(Filter::Confidence) => "the model was not sure enough",
        Withheld::Filter(Filter::Blank) => "nothing but blanks",
        Withheld::Filter(Filter::Indentation) => "the block had ended",
        Withheld::Filter(Filter::Repetition) => "it repeated itself",
        Withheld::Filter(Filter::Overlap) => "it was what follows anyway",
        Withheld::Filter(Filter::Closers) => "it closed what is closed already",
        Withheld::Filter(Filter::Neighbours) => "it was a line that stands next to it",
        Withheld::Filter(Filter::Syntax) => "it broke the syntax",
        Withheld::Filter(Filter::TrailingBlanks) => "only blanks at a line's end were left",
        Withheld::Filter(Filter::Marker) => "it was the hole's marker",
        Withheld::Filter(Filter::Sequence) => "it was no biological sequence",
    }
}

#[cfg(test)]
mod tests;
