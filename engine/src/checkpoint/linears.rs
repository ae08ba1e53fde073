//! The linear layers of a model: under what names their tensors stand, and how each is stored.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::config::ModelConfig;
use super::expected::{ENCODER, SHARED, expected_tensors};
use super::object::one_line;
use super::quantised::{NVFP4_GROUP, Nvfp4Layout, Quantisation, Scheme};
use super::store::{TensorStore, Wanted};
use super::tensors::Dtype;
use crate::Error;

/// Which of a layer's networks a linear layer belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Network {
    Attention,
    FeedForward,
    Experts,
}

impl Network {
    /// By a module's or a tensor's name. The router, the self-conditioning and what is outside of the layers are none of them.
    pub(crate) fn of(name: &str) -> Option<Self> {
        let networks = [(".self_attn.", Self::Attention), (".mlp.", Self::FeedForward), (".experts.", Self::Experts)];
        networks.into_iter().find(|(part, _)| name.contains(part)).map(|(_, network)| network)
    }
}

/// One of an expert's three matrices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExpertPart {
    Gate,
    Up,
    Down,
}

impl ExpertPart {
    /// Every part, in the order in which fused tensors have them.
    pub(super) const ALL: [Self; 3] = [Self::Gate, Self::Up, Self::Down];

    /// The module's name within its expert.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gate => "gate_proj",
            Self::Up => "up_proj",
            Self::Down => "down_proj",
        }
    }

    /// The tensor that holds this part of all experts, where they are fused.
    pub(super) fn fused(self) -> &'static str {
        match self {
            Self::Gate | Self::Up => "gate_up_proj",
            Self::Down => "down_proj",
        }
    }
}

/// How the linear layers are stored.
#[derive(Debug, Default)]
pub(super) struct Linears {
    /// The layers that are quantised; all others are plain.
    schemes: BTreeMap<String, Scheme>,
    /// Whether some layer's experts stand one by one.
    pub(super) split_experts: bool,
}

impl Linears {
    pub(super) fn scheme(&self, module: &str) -> Option<Scheme> {
        self.schemes.get(module).copied()
    }

    pub(super) fn any_quantised(&self) -> bool {
        !self.schemes.is_empty()
    }

    #[cfg(test)]
    pub(super) fn schemes(&self) -> impl Iterator<Item = Scheme> {
        self.schemes.values().copied()
    }
}

/// Finds out how every tensor of the model is stored, and checks that each is there in its shape, and no other.
pub(super) fn examine(
    store: &TensorStore,
    config: &ModelConfig,
    quantisation: Option<&Quantisation>,
    folder: &Path,
) -> Result<Linears, Error> {
    let mut linears = Linears::default();
    let mut wanted = Vec::new();
    for (name, shape) in expected_tensors(config) {
        if let Some((prefix, parts)) = split_experts(store, &name) {
            linears.split_experts = true;
            for expert in 0..config.experts {
                for part in parts {
                    let shape = expert_shape(config, *part);
                    linears.add(
                        store,
                        quantisation,
                        format!("{prefix}{expert}.{}", part.name()),
                        shape,
                        &mut wanted,
                        folder,
                    )?;
                }
            }
            continue;
        }
        match (name.strip_suffix(".weight"), &shape[..]) {
            (Some(module), &[outputs, inputs]) if !module.ends_with("embed_tokens") => {
                linears.add(store, quantisation, module.to_owned(), [outputs, inputs], &mut wanted, folder)?;
            }
            _ => wanted.push(Wanted::plain(name, &shape)),
        }
    }
    check_formats(store, &wanted, quantisation.is_some())?;
    for wanted in &wanted {
        store.check_wanted(wanted, folder)?;
    }
    check_no_others(store, &wanted, quantisation.is_some())?;
    Ok(linears)
}

/// `[outputs, inputs]` of one expert's matrix.
pub(super) fn expert_shape(config: &ModelConfig, part: ExpertPart) -> [usize; 2] {
    match part {
        ExpertPart::Gate | ExpertPart::Up => [config.expert_intermediate, config.hidden],
        ExpertPart::Down => [config.hidden, config.expert_intermediate],
    }
}

/// Whether what a fused tensor would hold stands expert by expert: what the experts' names begin with, and the parts.
pub(super) fn split_experts<'a>(store: &TensorStore, fused: &'a str) -> Option<(&'a str, &'static [ExpertPart])> {
    const GATE_UP: &[ExpertPart] = &[ExpertPart::Gate, ExpertPart::Up];
    const DOWN: &[ExpertPart] = &[ExpertPart::Down];
    let (prefix, parts) = [("gate_up_proj", GATE_UP), ("down_proj", DOWN)].into_iter().find_map(|(name, parts)| {
        let prefix = fused.strip_suffix(name)?;
        prefix.ends_with(".experts.").then_some((prefix, parts))
    })?;
    let first = format!("{prefix}0.{}.", parts[0].name());
    (!store.contains(fused) && store.has_prefix(&first)).then_some((prefix, parts))
}

impl Linears {
    fn add(
        &mut self,
        store: &TensorStore,
        quantisation: Option<&Quantisation>,
        module: String,
        shape: [usize; 2],
        wanted: &mut Vec<Wanted>,
        folder: &Path,
    ) -> Result<(), Error> {
        let weight = format!("{module}.weight");
        let scheme = match quantisation {
            Some(quantisation) => quantisation
                .scheme_of(&names(&module))
                .map_err(|reason| Error::checkpoint(folder, format!("quantization_config: {reason}")))?,
            None => None,
        };
        // What is stored in a plain format is what it says, whatever the configuration thinks.
        let plain = scheme.is_none() || store.dtype(&weight).is_some();
        let Some(scheme) = scheme.filter(|_| !plain) else {
            wanted.push(Wanted::plain(weight, &shape));
            return Ok(());
        };
        let [outputs, inputs] = shape;
        let name = |rest: &str| format!("{module}.{rest}");
        match scheme {
            Scheme::Fp8 | Scheme::Fp8WeightsOnly => {
                wanted.push(Wanted::stored(weight, safetensors::Dtype::F8_E4M3, &[outputs, inputs]));
                wanted.push(Wanted::numbers(name("weight_scale"), vec![vec![outputs, 1], vec![outputs]]));
            }
            Scheme::Nvfp4(layout) => {
                if !inputs.is_multiple_of(NVFP4_GROUP) {
                    let reason = format!(
                        "`{module}` has {inputs} inputs, which NVFP4 cannot group by {NVFP4_GROUP}; it has to be left unquantised"
                    );
                    return Err(Error::checkpoint(folder, reason));
                }
                let names = layout.names();
                wanted.push(Wanted::stored(name(names.packed), safetensors::Dtype::U8, &[outputs, inputs / 2]));
                wanted.push(Wanted::stored(
                    name("weight_scale"),
                    safetensors::Dtype::F8_E4M3,
                    &[outputs, inputs / NVFP4_GROUP],
                ));
                wanted.push(Wanted::numbers(name(names.global_scale), vec![vec![1], vec![]]));
                if store.contains(&name(names.input_scale)) {
                    wanted.push(Wanted::numbers(name(names.input_scale), vec![vec![], vec![1]]));
                }
            }
        }
        self.schemes.insert(module, scheme);
        Ok(())
    }
}

/// The names of an NVFP4 matrix's tensors.
pub(super) struct Nvfp4Names {
    pub(super) packed: &'static str,
    pub(super) global_scale: &'static str,
    pub(super) input_scale: &'static str,
}

impl Nvfp4Layout {
    pub(super) fn names(self) -> Nvfp4Names {
        match self {
            Self::CompressedTensors => Nvfp4Names {
                packed: "weight_packed",
                global_scale: "weight_global_scale",
                input_scale: "input_global_scale",
            },
            Self::ModelOpt => {
                Nvfp4Names { packed: "weight", global_scale: "weight_scale_2", input_scale: "input_scale" }
            }
        }
    }
}

/// The names that a layer goes by: its own, and where the stacks share it, its name in the encoder.
fn names(module: &str) -> Vec<String> {
    let mut names = vec![module.to_owned()];
    if let Some(rest) = module.strip_prefix(SHARED)
        && rest.starts_with("layers.")
    {
        names.push(format!("{ENCODER}{rest}"));
    }
    names
}

/// Refuses number formats that nothing in the configuration explains. This goes before names and shapes, in which a quantised
/// checkpoint differs as well.
fn check_formats(store: &TensorStore, wanted: &[Wanted], quantised: bool) -> Result<(), Error> {
    let claimed: BTreeSet<&str> = wanted.iter().filter(|wanted| !wanted.is_plain()).map(Wanted::name).collect();
    for (name, stored, path) in store.text_tensors() {
        if Dtype::of(stored).is_none() && !claimed.contains(name) {
            let why = if quantised { ", which the configuration does not account for" } else { "" };
            let reason = format!("tensor `{}` is stored as {stored:?}{why}", one_line(name));
            return Err(Error::unsupported(path, reason));
        }
    }
    Ok(())
}

/// Scales of a cache in eight bits, which this engine keeps exact.
const CACHE_SCALES: [&str; 2] = [".k_scale", ".v_scale"];

fn check_no_others(store: &TensorStore, wanted: &[Wanted], quantised: bool) -> Result<(), Error> {
    let wanted: BTreeSet<&str> = wanted.iter().map(Wanted::name).collect();
    for (name, _, path) in store.text_tensors() {
        let cache_scale = quantised && CACHE_SCALES.iter().any(|ending| name.ends_with(ending));
        if !wanted.contains(name) && !cache_scale {
            let reason = format!("tensor `{}` is none of this model's", one_line(name));
            return Err(Error::checkpoint(path, reason));
        }
    }
    Ok(())
}
