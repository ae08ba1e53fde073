//! `lacuna bench`: what a denoising step costs on this machine.

use std::io::Write;
use std::process::ExitCode;

use lacuna_engine::bench::{
    BenchOptions, BenchReport, SyntheticDtype, SyntheticOptions, SyntheticReport, bench, synthetic,
};

use super::options::EngineOptions;

#[derive(Debug, clap::Args)]
pub(crate) struct BenchArguments {
    /// Canvas rows to measure, all of them to be filled [default: 16,32,64,128; with --synthetic also 256]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    rows: Option<Vec<usize>>,
    /// Tokens in the cached prompt [default: 512; with --synthetic 0,1024,8192]
    #[arg(long, value_name = "N,...", value_delimiter = ',')]
    prompt: Option<Vec<usize>>,
    /// Measure a model of this size with random weights on a card: diffusiongemma-26b-a4b
    #[arg(long, value_name = "SHAPE", conflicts_with = "model")]
    synthetic: Option<String>,
    /// What the random weights are stored in
    #[arg(long, value_name = "DTYPE", requires = "synthetic", default_value = "bf16")]
    dtype: DtypeChoice,
    /// Steps to take the median of
    #[arg(long, value_name = "N", default_value_t = 50)]
    repeats: usize,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    engine: EngineOptions,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum DtypeChoice {
    Bf16,
    Fp8,
    Nvfp4,
    F32,
}

pub(crate) fn run(arguments: &BenchArguments, out: &mut dyn Write) -> anyhow::Result<ExitCode> {
    // Progress for whoever waits; lost where nobody reads it.
    let mut progress = |stage: &str| drop(writeln!(std::io::stderr(), "measuring: {stage}"));
    if let Some(shape) = &arguments.synthetic {
        let options = arguments.synthetic_options(shape);
        let report = synthetic(&options, &mut progress)?;
        return print(arguments.json, &report, write_synthetic_table, out);
    }
    let options = BenchOptions {
        model: arguments.engine.checked_source()?,
        device: arguments.engine.device,
        threads: arguments.engine.threads(),
        rows: arguments.rows.clone().unwrap_or_else(|| vec![16, 32, 64, 128]),
        prompts: arguments.prompt.clone().unwrap_or_else(|| vec![512]),
        repeats: arguments.repeats,
    };
    let report = bench(&options, &mut progress)?;
    print(arguments.json, &report, write_table, out)
}

impl BenchArguments {
    fn synthetic_options(&self, shape: &str) -> SyntheticOptions {
        SyntheticOptions {
            shape: shape.to_owned(),
            dtype: match self.dtype {
                DtypeChoice::Bf16 => SyntheticDtype::Bf16,
                DtypeChoice::Fp8 => SyntheticDtype::Fp8,
                DtypeChoice::Nvfp4 => SyntheticDtype::Nvfp4,
                DtypeChoice::F32 => SyntheticDtype::F32,
            },
            device: self.engine.device,
            rows: self.rows.clone().unwrap_or_else(|| vec![16, 32, 64, 128, 256]),
            prompts: self.prompt.clone().unwrap_or_else(|| vec![0, 1024, 8192]),
            repeats: self.repeats,
        }
    }
}

fn print<R: serde::Serialize>(
    json: bool,
    report: &R,
    write_table: impl Fn(&mut dyn Write, &R) -> std::io::Result<()>,
    out: &mut dyn Write,
) -> anyhow::Result<ExitCode> {
    if json {
        serde_json::to_writer(&mut *out, report).map_err(std::io::Error::from)?;
        writeln!(out)?;
    } else {
        write_table(out, report)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn write_synthetic_table(out: &mut dyn Write, report: &SyntheticReport) -> std::io::Result<()> {
    let parameters = report.parameters as f64 / 1e9;
    writeln!(out, "{}: {} of {parameters:.1}e9 random weights", report.device, report.shape)?;
    let (copy, matrix, memory) = (report.copy_gb_per_s, report.matrix_tflops, report.device_memory_gb);
    writeln!(out, "copies {copy:.0} GB/s, multiplies {matrix:.0} TFLOP/s, {memory:.1} GB of the card in use")?;
    for prefill in &report.prefill {
        let (speed, share) = (prefill.tokens_per_s, prefill.share_of_matrix_rate * 100.0);
        writeln!(
            out,
            "prefill  {:>5} tokens {:>8.2} ms  {speed:>7.0} tokens/s, {share:.0}% of the matrix rate",
            prefill.prompt, prefill.median_ms
        )?;
    }
    for step in &report.steps {
        let (speed, share) = (step.gb_per_s, step.share_of_copy * 100.0);
        writeln!(
            out,
            "step     {:>5} rows   {:>8.2} ms  over {} tokens, reads {:.1} GB at {speed:.0} GB/s, {share:.0}% of a copy; \
             the card takes {:.2} ms, and {:.2} without a graph",
            step.rows, step.median_ms, step.prompt, step.gb, step.device_ms, step.launched_ms
        )?;
    }
    // The kernels of the largest canvas over the shortest prompt that there is.
    let largest = report.steps.iter().max_by_key(|step| (step.rows, step.prompt > 0, std::cmp::Reverse(step.prompt)));
    let Some(step) = largest else { return Ok(()) };
    writeln!(out, "kernels of a step of {} rows over {} tokens, each timed by itself:", step.rows, step.prompt)?;
    let all: f64 = step.kernels.iter().map(|kernel| kernel.ms).sum();
    for kernel in &step.kernels {
        let share = kernel.ms / all * 100.0;
        writeln!(out, "{:>8.3} ms {share:>4.0}%  {:>4} x  {}", kernel.ms, kernel.launches, kernel.name)?;
    }
    Ok(())
}

fn write_table(out: &mut dyn Write, report: &BenchReport) -> std::io::Result<()> {
    writeln!(out, "{}: {:.0} GFLOP/s in a large product of matrices", report.device, report.matrix_gflops)?;
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
