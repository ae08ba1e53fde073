//! `quantization_config` in `config.json`, and `hf_quant_config.json`: which modules are quantised, and in what scheme.
//!
//! Schemas: the classes `QuantizationConfig`, `QuantizationScheme` and `QuantizationArgs` of the Python package
//! `compressed-tensors`, and what `nvidia-modelopt` exports.

use std::path::Path;

use serde_json::{Value, json};

use super::names::{Dialect, NameList};
use super::{NVFP4_GROUP, Nvfp4Layout, Scheme};
use crate::Error;
use crate::checkpoint::object::{Object, one_line};

/// The file that modelopt writes beside `config.json`; read where the latter says nothing.
pub(crate) const HF_QUANT_CONFIG: &str = "hf_quant_config.json";

const COMPRESSED_TENSORS: &str = "compressed-tensors";
const MODELOPT: &str = "modelopt";

/// What is quantised, and how.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantisation {
    /// The first that targets a module decides.
    groups: Vec<Group>,
    ignored: NameList,
}

#[derive(Clone, Debug, PartialEq)]
struct Group {
    scheme: Scheme,
    targets: NameList,
}

impl Quantisation {
    /// Reads a `quantization_config`. Every key is implemented, known not to matter, or refused.
    pub(in crate::checkpoint) fn read(mut object: Object) -> Result<Self, Error> {
        let method = object.text("quant_method")?;
        match method.as_deref() {
            Some(COMPRESSED_TENSORS) => read_compressed_tensors(object),
            Some(MODELOPT) if object.contains("quantization") => {
                let inner = object.object("quantization")?.ok_or_else(|| object.missing("quantization"))?;
                object.ignore(&["producer"]);
                object.finish()?;
                read_modelopt(inner)
            }
            Some(MODELOPT) if object.contains("config_groups") => read_modelopt_groups(object),
            Some(MODELOPT) => read_modelopt(object),
            Some(other) => Err(object.unsupported("quant_method", &json!(other))),
            None => Err(object.missing("quant_method")),
        }
    }

    /// Reads the text of a `hf_quant_config.json`.
    pub(crate) fn parse_hf_quant_config(path: &Path, text: &str) -> Result<Self, Error> {
        let mut file = Object::parse(path, text)?;
        let inner = file.object("quantization")?.ok_or_else(|| file.missing("quantization"))?;
        file.ignore(&["producer"]);
        file.finish()?;
        read_modelopt(inner)
    }

    /// The scheme of a linear layer; `None` where it is not quantised. A layer that the stacks share has a name in either, and has
    /// a scheme if it has one under any of its names: a list may well name those of one stack alone.
    pub(crate) fn scheme_of(&self, names: &[String]) -> Result<Option<Scheme>, String> {
        for name in names {
            if self.ignored.has(name)? {
                continue;
            }
            for group in &self.groups {
                if group.targets.has(name)? {
                    return Ok(Some(group.scheme));
                }
            }
        }
        Ok(None)
    }
}

/// Keys of either library that do not bear on the arithmetic. Keys and values stay as exact as they come even where a scheme for
/// their cache is given.
const IGNORED: &[&str] = &[
    "dequantize",
    "global_compression_ratio",
    "kv_cache_quant_algo",
    "kv_cache_scheme",
    "producer",
    "run_compressed",
    "use_optimized_inference",
    "version",
];

fn read_compressed_tensors(mut object: Object) -> Result<Quantisation, Error> {
    let status = object.text("quantization_status")?;
    if let Some(status) = status.filter(|status| status != "compressed" && status != "frozen") {
        return Err(object.unsupported("quantization_status", &json!(status)));
    }
    let format = object.text("format")?;
    let ignored = NameList::read(&mut object, "ignore", Dialect::CompressedTensors)?;
    let groups = read_groups(&mut object, |group| {
        let targets = NameList::read(group, "targets", Dialect::CompressedTensors)?;
        let own_format = group.text("format")?;
        let scheme = read_scheme(group)?;
        let stored_as = own_format.as_deref().or(format.as_deref());
        let expected = match scheme {
            Scheme::Fp8 => "float-quantized",
            // Weights alone fall to the format that any other quantised weight has.
            Scheme::Fp8WeightsOnly => "naive-quantized",
            Scheme::Nvfp4(_) => "nvfp4-pack-quantized",
        };
        let known = match scheme {
            Scheme::Fp8 | Scheme::Fp8WeightsOnly => &["float-quantized", "naive-quantized"][..],
            Scheme::Nvfp4(_) => &["nvfp4-pack-quantized"][..],
        };
        match stored_as {
            Some(format) if known.contains(&format) => Ok(Group { scheme, targets }),
            Some(other) => Err(group.unsupported("format", &json!(other))),
            None => Err(group.refuse(format!("{} is missing; it should be {expected:?}", group.name("format")))),
        }
    })?;
    for key in ["sparsity_config", "transform_config", "moe_sparsity_config"] {
        if let Some(value) = object.take(key).filter(|value| *value != json!({})) {
            return Err(object.unsupported(key, &value));
        }
    }
    object.ignore(IGNORED);
    object.finish()?;
    Ok(Quantisation { groups, ignored })
}

/// The form that modelopt gives `config.json`, in the terms of compressed-tensors.
fn read_modelopt_groups(mut object: Object) -> Result<Quantisation, Error> {
    let algorithm = object.take("quant_algo").unwrap_or_default();
    if !is_nvfp4(&algorithm) && algorithm != json!("MIXED_PRECISION") {
        return Err(object.unsupported("quant_algo", &algorithm));
    }
    let ignored = NameList::read(&mut object, "ignore", Dialect::ModelOpt)?;
    let groups = read_groups(&mut object, |group| {
        let targets = NameList::read(group, "targets", Dialect::ModelOpt)?;
        require_float(group, "weights", 4, Some(NVFP4_GROUP))?;
        if group.contains("input_activations") {
            require_float(group, "input_activations", 4, Some(NVFP4_GROUP))?;
        }
        Ok(Group { scheme: Scheme::Nvfp4(Nvfp4Layout::ModelOpt), targets })
    })?;
    object.ignore(&["quantized_layers"]);
    object.ignore(IGNORED);
    object.finish()?;
    Ok(Quantisation { groups, ignored })
}

/// The form that modelopt gives a file of its own.
fn read_modelopt(mut object: Object) -> Result<Quantisation, Error> {
    let algorithm = object.take("quant_algo").unwrap_or_default();
    if !is_nvfp4(&algorithm) {
        return Err(object.unsupported("quant_algo", &algorithm));
    }
    object.require("group_size", &json!(NVFP4_GROUP))?;
    let ignored = NameList::read(&mut object, "exclude_modules", Dialect::ModelOpt)?;
    object.ignore(IGNORED);
    object.finish()?;
    let targets = NameList::every_linear(Dialect::ModelOpt);
    Ok(Quantisation { groups: vec![Group { scheme: Scheme::Nvfp4(Nvfp4Layout::ModelOpt), targets }], ignored })
}

fn is_nvfp4(algorithm: &Value) -> bool {
    matches!(algorithm.as_str(), Some("NVFP4" | "W4A16_NVFP4"))
}

fn read_groups(object: &mut Object, read: impl Fn(&mut Object) -> Result<Group, Error>) -> Result<Vec<Group>, Error> {
    let mut groups = object.object("config_groups")?.ok_or_else(|| object.missing("config_groups"))?;
    let mut all = Vec::new();
    for name in groups.keys() {
        if groups.is_list(&name) {
            // A list of targets under the name of a preset, which the library spells out when it writes.
            let reason = format!("{} is a list; write out its scheme", groups.name(&name));
            return Err(groups.refuse(reason));
        }
        let Some(mut group) = groups.object(&name)? else { continue };
        let read = read(&mut group)?;
        group.require("output_activations", &Value::Null)?;
        group.finish()?;
        all.push(read);
    }
    Ok(all)
}

/// The scheme of one group of compressed-tensors.
fn read_scheme(group: &mut Object) -> Result<Scheme, Error> {
    let weights = read_arguments(group, "weights")?.ok_or_else(|| group.missing("weights"))?;
    let inputs = read_arguments(group, "input_activations")?;
    let described = |inputs: &Option<Arguments>| match inputs {
        Some(inputs) => format!("weights of {weights} under inputs of {inputs}"),
        None => format!("weights of {weights} under inputs as they are"),
    };
    match (&weights, &inputs) {
        (weights, None) if *weights == FP8_WEIGHTS => Ok(Scheme::Fp8WeightsOnly),
        (weights, Some(inputs)) if *weights == FP8_WEIGHTS && *inputs == FP8_INPUTS => Ok(Scheme::Fp8),
        (weights, None) if *weights == NVFP4_WEIGHTS => Ok(Scheme::Nvfp4(Nvfp4Layout::CompressedTensors)),
        (weights, Some(inputs)) if *weights == NVFP4_WEIGHTS && *inputs == NVFP4_INPUTS => {
            Ok(Scheme::Nvfp4(Nvfp4Layout::CompressedTensors))
        }
        _ => Err(group.not_supported(format!("the scheme of {}: {}", group.whole(), described(&inputs)))),
    }
}

/// What decides how numbers are quantised; the observers by which scales were found do not.
#[derive(Clone, Debug, PartialEq)]
struct Arguments {
    kind: String,
    bits: usize,
    strategy: String,
    group: Option<usize>,
    dynamic: Dynamic,
    symmetric: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dynamic {
    No,
    Local,
    Yes,
}

/// A scheme in other words than [`Arguments`] own, to compare with.
struct Known {
    bits: usize,
    strategy: &'static str,
    group: Option<usize>,
    dynamic: Dynamic,
}

const FP8_WEIGHTS: Known = Known { bits: 8, strategy: "channel", group: None, dynamic: Dynamic::No };
const FP8_INPUTS: Known = Known { bits: 8, strategy: "token", group: None, dynamic: Dynamic::Yes };
const NVFP4_WEIGHTS: Known =
    Known { bits: 4, strategy: "tensor_group", group: Some(NVFP4_GROUP), dynamic: Dynamic::No };
const NVFP4_INPUTS: Known =
    Known { bits: 4, strategy: "tensor_group", group: Some(NVFP4_GROUP), dynamic: Dynamic::Local };

impl PartialEq<Known> for Arguments {
    fn eq(&self, known: &Known) -> bool {
        self.kind == "float"
            && self.bits == known.bits
            && self.strategy == known.strategy
            && self.group == known.group
            && self.dynamic == known.dynamic
            && self.symmetric
    }
}

impl std::fmt::Display for Arguments {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { kind, bits, strategy, group, dynamic, symmetric } = self;
        write!(f, "{bits} bits {kind} by {strategy}")?;
        if let Some(group) = group {
            write!(f, " of {group}")?;
        }
        match dynamic {
            Dynamic::No => {}
            Dynamic::Local => write!(f, ", locally dynamic")?,
            Dynamic::Yes => write!(f, ", dynamic")?,
        }
        if *symmetric { Ok(()) } else { write!(f, ", not symmetric") }
    }
}

/// Arguments of compressed-tensors; `None` where they are null or absent.
fn read_arguments(group: &mut Object, key: &str) -> Result<Option<Arguments>, Error> {
    let Some(mut object) = group.object(key)? else { return Ok(None) };
    let kind = object.text("type")?.unwrap_or_else(|| "int".to_owned());
    let bits = object.optional_size("num_bits", 1)?.unwrap_or(8);
    let strategy = object.text("strategy")?.ok_or_else(|| object.missing("strategy"))?;
    let group_size = object.optional_size("group_size", 1)?;
    let dynamic = match object.take("dynamic") {
        None | Some(Value::Bool(false)) => Dynamic::No,
        Some(Value::Bool(true)) => Dynamic::Yes,
        Some(value) if value == json!("local") => Dynamic::Local,
        Some(value) => return Err(object.unsupported("dynamic", &value)),
    };
    let symmetric = match object.take("symmetric") {
        None => true,
        Some(Value::Bool(symmetric)) => symmetric,
        Some(value) => return Err(object.invalid("symmetric", &value, "true or false")),
    };
    for (key, only) in [("block_structure", Value::Null), ("actorder", Value::Null)] {
        object.require(key, &only)?;
    }
    object.ignore(&["observer", "observer_kwargs", "scale_dtype", "zp_dtype"]);
    object.finish()?;
    let [kind, strategy] = [kind, strategy].map(|text| one_line(&text));
    Ok(Some(Arguments { kind, bits, strategy, group: group_size, dynamic, symmetric }))
}

/// Arguments of modelopt, which name no strategy: `bits` of a float, in groups where one is given.
fn require_float(group: &mut Object, key: &str, bits: usize, group_size: Option<usize>) -> Result<(), Error> {
    let mut object = group.object(key)?.ok_or_else(|| group.missing(key))?;
    for (key, only) in [
        ("type", json!("float")),
        ("num_bits", json!(bits)),
        ("group_size", json!(group_size)),
        ("strategy", json!("tensor_group")),
    ] {
        object.require(key, &only)?;
    }
    object.ignore(&["dynamic", "observer", "observer_kwargs", "scale_dtype", "symmetric"]);
    object.finish()
}
