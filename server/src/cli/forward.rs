//! `lacuna forward`: a checkpoint on token ids, from file to file.

use std::path::PathBuf;
use std::process::ExitCode;

use lacuna_engine::conformance::{ForwardOptions, Nvfp4Inputs, forward};

use super::options::EngineOptions;

#[derive(Debug, clap::Args)]
pub(crate) struct ForwardArguments {
    /// Tensors to read: prompt_ids and canvas_ids, and whatever --denoise needs
    #[arg(long, value_name = "IN.safetensors")]
    input: PathBuf,
    /// Tensors to write: logits, or what each denoising step did
    #[arg(long, value_name = "OUT.safetensors")]
    output: PathBuf,
    /// Denoise the canvas with the noise in the input, instead of one forward pass
    #[arg(long)]
    denoise: bool,
    /// Round what goes into NVFP4 layers to NVFP4 as well, as cards that multiply it natively do; on the processor
    #[arg(long)]
    round_nvfp4_inputs: bool,
    #[command(flatten)]
    engine: EngineOptions,
    /// Taken for uniformity: all noise comes from the input
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

pub(crate) fn run(arguments: &ForwardArguments) -> anyhow::Result<ExitCode> {
    forward(&ForwardOptions {
        model: arguments.engine.checked_source()?,
        device: arguments.engine.device,
        threads: arguments.engine.threads(),
        input: arguments.input.clone(),
        output: arguments.output.clone(),
        nvfp4_inputs: if arguments.round_nvfp4_inputs { Nvfp4Inputs::Rounded } else { Nvfp4Inputs::AsTheyAre },
        denoise: arguments.denoise,
    })?;
    Ok(ExitCode::SUCCESS)
}
