//! `lacuna stats`: what was shown, what became of it, and how long it took, as the servers on this machine counted it.

mod chart;
mod report;

use std::io::{IsTerminal, Write};
use std::num::NonZeroU16;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, bail};
use jiff::{ToSpan, Zoned};

use crate::stats::{Store, StoreError};
use chart::Look;
use report::{Report, Span};

/// How long a server may write until a file that is to be forgotten is given up.
const PATIENCE: Duration = Duration::from_secs(5);
/// Columns of what is read by no one or by a program.
const COLUMNS: u16 = 80;

#[derive(Debug, clap::Args)]
pub(crate) struct StatsArguments {
    /// Only the last so many days, today included
    #[arg(long, value_name = "N", default_value = "30")]
    days: NonZeroU16,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// Forget all counts
    #[arg(long, conflicts_with_all = ["json", "days"])]
    reset: bool,
}

pub(crate) fn run(arguments: &StatsArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let store = Store::of_user().context("there is no home folder to keep counts in; HOME names it")?;
    if arguments.reset {
        let path = store.path();
        match store.reset(PATIENCE)? {
            true => writeln!(out, "The counts are forgotten: {} is gone.", path.display())?,
            false => writeln!(out, "There is nothing to forget: {} does not exist.", path.display())?,
        }
        return Ok(ExitCode::SUCCESS);
    }
    let ledger = match store.read() {
        Ok(ledger) => ledger.unwrap_or_default(),
        Err(error @ StoreError::Foreign { .. }) => bail!("{error}; `lacuna stats --reset` removes it"),
        Err(error) => return Err(error.into()),
    };
    let today = Zoned::now().date();
    let days = arguments.days.get();
    let from = today.saturating_sub((i64::from(days) - 1).days());
    let newest = ledger.by_day().keys().next_back().copied();
    let report =
        Report { file: store.path(), span: Span { from, to: today, days }, newest, ledger: ledger.since(from) };
    if arguments.json {
        serde_json::to_writer(&mut *out, &report.to_json()).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        let is_terminal = std::io::stdout().is_terminal();
        let columns =
            if is_terminal { crossterm::terminal::size().map_or(COLUMNS, |(columns, _)| columns) } else { COLUMNS };
        let wants_none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        report.write(out, &Look { columns: columns.into(), with_colour: is_terminal && !wants_none })?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}
