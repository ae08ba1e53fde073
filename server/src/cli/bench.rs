//! `lacuna bench`: what a denoising step costs on this machine.

use std::io::Write;
use std::process::ExitCode;

use lacuna_engine::bench::{BenchOptions, BenchReport, bench};

use super::options::EngineOptions;

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    /// Canvas rows to measure, all of them to be filled
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "16,32,64,128")]
    rows: Vec<usize>,
    /// Tokens in the cached prompt
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_value = "512")]
    prompt: Vec<usize>,
    /// Steps to take the median of
    #[arg(long, value_name = "N", default_value_t = 50)]
    repeats: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

pub(crate) fn run(arguments: &BenchArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = BenchOptions {
        model: arguments.engine.checked_source()?,
        device: arguments.engine.device,
        threads: arguments.engine.threads(),
        rows: arguments.rows.clone(),
        prompts: arguments.prompt.clone(),
        repeats: arguments.repeats,
    };
    // Progress for whoever waits; lost where nobody reads it.
    let report = bench(&options, &mut |stage| drop(writeln!(std::io::stderr(), "measuring: {stage}")))?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write_table(out, &report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_table(out: &mut dyn Write, report: &BenchReport) -> std::io::Result<()> {
    writeln!(out, "{} threads, {:.0} GFLOP/s in a large product of matrices", report.threads, report.matrix_gflops)?;
    for prefill in &report.prefill {
        let speed = prefill.tokens_per_s;
        writeln!(out, "prefill  {:>5} tokens {:>8.2} ms  {speed:>7.0} tokens/s", prefill.prompt, prefill.median_ms)?;
    }
    for step in &report.steps {
        let share = step.share_of_matrix_rate * 100.0;
        writeln!(
            out,
            "step     {:>5} rows   {:>8.2} ms  over {} tokens, {:.2} GFLOP, {share:.0}% of the matrix rate",
            step.rows, step.median_ms, step.prompt, step.gflop
        )?;
    }
    Ok(())
}
