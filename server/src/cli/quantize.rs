//! `lacuna quantize`: a smaller checkpoint out of a plain one.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use indicatif::{ProgressBar, ProgressStyle};
use lacuna_engine::Cancel;
use lacuna_engine::quantise::{QuantiseOptions, QuantiseReport, QuantiseScheme, quantise};

use super::interrupt::cancel_on_interrupt;

/// While matrices are quantised.
const WORKING: &str = "quantizing {bar:40} {bytes}/{total_bytes}, {eta} left";
/// Matrices that are told one by one without --json.
const TOLD: usize = 20;

#[derive(Debug, clap::Args)]
pub(crate) struct QuantizeArguments {
    /// A checkpoint folder in Hugging Face style, in BF16 or another plain format
    #[arg(value_name = "IN")]
    input: PathBuf,
    /// The folder to make; it must not exist
    #[arg(value_name = "OUT")]
    output: PathBuf,
    /// How to store the weights
    #[arg(long, value_enum)]
    scheme: SchemeChoice,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum SchemeChoice {
    /// Eight bits: attention, dense and sparse feed-forward networks, their inputs rounded as they come
    Fp8,
    /// Four bits: the feed-forward networks, whose inputs stay as they are
    Nvfp4,
}

pub(crate) fn run(arguments: &QuantizeArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    let options = QuantiseOptions {
        input: arguments.input.clone(),
        output: arguments.output.clone(),
        scheme: match arguments.scheme {
            SchemeChoice::Fp8 => QuantiseScheme::Fp8,
            SchemeChoice::Nvfp4 => QuantiseScheme::Nvfp4,
        },
    };
    let cancel = Cancel::new();
    // What is unfinished is removed then.
    cancel_on_interrupt(&cancel)?;
    let style = ProgressStyle::with_template(WORKING).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(0).with_style(style);
    let report = quantise(&options, &cancel, &mut |progress| {
        bar.set_length(progress.total_bytes);
        bar.set_position(progress.done_bytes);
    });
    bar.finish_and_clear();
    let report = report?;
    if arguments.json {
        serde_json::to_writer(&mut *out, &report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write_table(out, &report, arguments)?;
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn write_table(out: &mut dyn Write, report: &QuantiseReport, arguments: &QuantizeArguments) -> std::io::Result<()> {
    let gigabytes = |bytes: u64| bytes as f64 / 1e9;
    let QuantiseReport { matrices, left, input_bytes, output_bytes, .. } = report;
    let (before, after) = (gigabytes(*input_bytes), gigabytes(*output_bytes));
    writeln!(out, "{}: {after:.3} GB, from {before:.3} GB", arguments.output.display())?;
    if !matrices.is_empty() {
        writeln!(out, "relative error  matrix")?;
    }
    for matrix in matrices.iter().take(TOLD) {
        writeln!(out, "{:>14.5}  {}", matrix.relative_l2, matrix.name)?;
    }
    if matrices.len() > TOLD {
        let mean = matrices.iter().map(|matrix| matrix.relative_l2).sum::<f64>() / matrices.len() as f64;
        let more = matrices.len() - TOLD;
        writeln!(out, "{more} more are closer; the mean of all {} is {mean:.5}", matrices.len())?;
    }
    if let Some(first) = left.first() {
        let rest = left.len() - 1;
        let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
        writeln!(out, "left as they are, because 16 does not divide their inputs: {first}{more}")?;
    }
    Ok(())
}
