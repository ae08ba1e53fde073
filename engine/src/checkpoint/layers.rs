//! What the layers of a model differ in: `layer_types`, `per_layer_config` and `rope_parameters`.

use serde_json::{Value, json};

use super::object::{Object, SIZE_LIMIT, show};
use crate::Error;

/// One layer's attention.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LayerConfig {
    pub(crate) kind: LayerKind,
    /// Even.
    pub(crate) head_dim: usize,
    /// A multiple of `kv_heads`.
    pub(crate) heads: usize,
    pub(crate) kv_heads: usize,
    pub(crate) rope: Rope,
    /// Whether there is no v_proj, and V is what k_proj gives, before its norm and its rotation.
    pub(crate) shares_key_as_value: bool,
}

/// Which prompt positions a layer sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    /// The last `window` positions, the reader's own included.
    Sliding { window: usize },
    /// All of them.
    Full,
}

/// Rotary position embedding by halves over the whole head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rope {
    pub(crate) theta: f64,
    /// How many angles turn; the rest, up to `head_dim / 2`, are zero.
    pub(crate) angles: usize,
    /// Divides every inverse frequency.
    pub(crate) factor: f64,
}

impl LayerConfig {
    /// The angle by which a position turns each pair, `head_dim / 2` of them.
    ///
    /// The exponent and the results are rounded to f32 where the reference implementation rounds them.
    pub(crate) fn inverse_frequencies(&self) -> Vec<f32> {
        let Rope { theta, angles, factor } = self.rope;
        let frequency = |index: usize| {
            let exponent = (2 * index) as f32 / self.head_dim as f32;
            let period = f64::from(theta as f32).powf(f64::from(exponent)) as f32;
            1.0 / period / factor as f32
        };
        (0..self.head_dim / 2).map(|index| if index < angles { frequency(index) } else { 0.0 }).collect()
    }
}

const SLIDING: &str = "sliding_attention";
const FULL: &str = "full_attention";

/// What may differ between the layers of one kind and those of the other.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Heads {
    head_dim: usize,
    kv_heads: usize,
}

/// Reads the layers from a `text_config`.
pub(super) fn read_layers(text: &mut Object, depth: usize) -> Result<Vec<LayerConfig>, Error> {
    let full = read_kinds(text, depth)?;
    let heads = text.size("num_attention_heads")?;
    let shapes = read_heads(text, &full, heads)?;
    text.default("sliding_window", json!(512));
    // At a window of 1 the reference implementation contradicts itself.
    let window = text.optional_size("sliding_window", 2)?.ok_or_else(|| text.missing("sliding_window"))?;
    let mut ropes = RopeTable::read(text)?;
    let mut layers = Vec::with_capacity(depth);
    for (is_full, shape) in full.into_iter().zip(shapes) {
        let kind = if is_full { LayerKind::Full } else { LayerKind::Sliding { window } };
        layers.push(LayerConfig {
            kind,
            head_dim: shape.head_dim,
            heads,
            kv_heads: shape.kv_heads,
            rope: ropes.of(is_full, shape.head_dim)?,
            shares_key_as_value: is_full,
        });
    }
    Ok(layers)
}

/// For each layer, whether it sees the whole prompt.
fn read_kinds(text: &mut Object, depth: usize) -> Result<Vec<bool>, Error> {
    let key = "layer_types";
    let mut full: Vec<bool> = match text.take(key) {
        // Without a list, every sixth layer is a full one.
        None => (1..=depth).map(|number| number % 6 == 0).collect(),
        Some(Value::Array(kinds)) => {
            if kinds.len() != depth {
                let reason = format!(
                    "{} names {} layers, but {} is {depth}",
                    text.name(key),
                    kinds.len(),
                    text.name("num_hidden_layers")
                );
                return Err(text.refuse(reason));
            }
            kinds
                .iter()
                .map(|kind| match kind.as_str() {
                    Some(SLIDING) => Ok(false),
                    Some(FULL) => Ok(true),
                    _ => Err(text.unsupported(key, kind)),
                })
                .collect::<Result<_, _>>()?
        }
        Some(value) => return Err(text.invalid(key, &value, "a list")),
    };
    // The last layer is a full one whatever the list says.
    if let Some(last) = full.last_mut() {
        *last = true;
    }
    Ok(full)
}

/// Each layer's head sizes, in either of the two spellings.
fn read_heads(text: &mut Object, full: &[bool], heads: usize) -> Result<Vec<Heads>, Error> {
    let common = Heads { head_dim: text.size("head_dim")?, kv_heads: text.size("num_key_value_heads")? };
    let shapes = if text.contains("per_layer_config") {
        text.ignore(&["global_head_dim", "num_global_key_value_heads"]);
        read_overrides(text, full, common)?
    } else {
        text.default("global_head_dim", json!(512));
        let head_dim = text.size("global_head_dim")?;
        let kv_heads = text.optional_size("num_global_key_value_heads", 1)?.unwrap_or(common.kv_heads);
        let global = Heads { head_dim, kv_heads };
        full.iter().map(|&full| if full { global } else { common }).collect()
    };
    for shape in &shapes {
        if !shape.head_dim.is_multiple_of(2) {
            return Err(text.refuse(format!("a head of {} is odd, and cannot be rotated by halves", shape.head_dim)));
        }
        if !heads.is_multiple_of(shape.kv_heads) {
            let reason = format!("{heads} attention heads cannot share {} key-value heads evenly", shape.kv_heads);
            return Err(text.refuse(reason));
        }
        if (heads as u64) * (shape.head_dim as u64) > SIZE_LIMIT {
            let reason = format!("{heads} attention heads of {} are too many to be meant", shape.head_dim);
            return Err(text.refuse(reason));
        }
    }
    Ok(shapes)
}

/// `per_layer_config`: overrides by layer index. Where it is null or empty, there are none.
fn read_overrides(text: &mut Object, full: &[bool], common: Heads) -> Result<Vec<Heads>, Error> {
    let key = "per_layer_config";
    let mut shapes: Vec<Option<Heads>> = vec![None; full.len()];
    if let Some(mut layers) = text.object(key)? {
        for name in layers.keys() {
            let index = parse_index(&name).filter(|&index| index < full.len());
            let Some(index) = index else {
                return Err(layers.refuse(format!(
                    "{} is not the index of one of the {} layers",
                    layers.name(&name),
                    full.len()
                )));
            };
            let Some(mut layer) = layers.object(&name)? else {
                continue;
            };
            let head_dim = layer.optional_size("head_dim", 1)?.unwrap_or(common.head_dim);
            let kv_heads = layer.optional_size("num_key_value_heads", 1)?.unwrap_or(common.kv_heads);
            layer.finish()?;
            if shapes[index].replace(Heads { head_dim, kv_heads }).is_some() {
                return Err(text.refuse(format!("{} names layer {index} twice", text.name(key))));
            }
        }
    }
    let shapes: Vec<Heads> = shapes.into_iter().map(|shape| shape.unwrap_or(common)).collect();
    for kind in [false, true] {
        let mut of_kind = full.iter().zip(&shapes).filter(|(full, _)| **full == kind).map(|(_, shape)| shape);
        if let Some(first) = of_kind.next()
            && of_kind.any(|other| other != first)
        {
            let kind = if kind { FULL } else { SLIDING };
            return Err(text.refuse(format!("{} gives the {kind} layers different heads", text.name(key))));
        }
    }
    Ok(shapes)
}

/// Digits alone, with any zeros before them.
fn parse_index(text: &str) -> Option<usize> {
    Some(text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
}

/// `rope_parameters`, one entry for each kind of layer.
struct RopeTable<'a> {
    text: &'a Object,
    sliding: Option<RopeEntry>,
    full: Option<RopeEntry>,
}

/// Rotary embedding before the size of a head is known.
#[derive(Clone, Copy)]
struct RopeEntry {
    theta: f64,
    /// The share of the angles that turn.
    share: f64,
    factor: f64,
}

impl<'a> RopeTable<'a> {
    fn read(text: &'a mut Object) -> Result<Self, Error> {
        let (sliding, full) = match text.object("rope_parameters")? {
            None => (
                Some(RopeEntry { theta: 1e4, share: 1.0, factor: 1.0 }),
                Some(RopeEntry { theta: 1e6, share: 0.25, factor: 1.0 }),
            ),
            Some(mut kinds) => {
                let sliding = kinds.object(SLIDING)?.map(RopeEntry::read).transpose()?;
                let full = kinds.object(FULL)?.map(RopeEntry::read).transpose()?;
                kinds.finish()?;
                (sliding, full)
            }
        };
        Ok(Self { text, sliding, full })
    }

    fn of(&mut self, full: bool, head_dim: usize) -> Result<Rope, Error> {
        let (entry, kind) = if full { (self.full, FULL) } else { (self.sliding, SLIDING) };
        let entry = entry.ok_or_else(|| self.text.missing(&format!("rope_parameters.{kind}")))?;
        // At most head_dim / 2, because the share is at most 1.
        let angles = (entry.share * head_dim as f64 / 2.0).floor() as usize;
        Ok(Rope { theta: entry.theta, angles, factor: entry.factor })
    }
}

impl RopeEntry {
    fn read(mut entry: Object) -> Result<Self, Error> {
        // The second spelling is the older one, and yields to the first.
        let old = entry.take("type");
        let kind = entry.take("rope_type").or(old).unwrap_or_else(|| json!("default"));
        let theta = entry
            .number("rope_theta", "a number from 1 to 1e12", |theta| (1.0..=1e12).contains(&theta))?
            .ok_or_else(|| entry.missing("rope_theta"))?;
        let share = entry
            .number("partial_rotary_factor", "a number from 0 to 1", |share| (0.0..=1.0).contains(&share))?
            .unwrap_or(1.0);
        let factor = entry
            .number("factor", "a number from 1e-6 to 1e6", |factor| (1e-6..=1e6).contains(&factor))?
            .unwrap_or(1.0);
        let rope = match kind.as_str() {
            Some("proportional") => Self { theta, share, factor },
            Some("default") if share == 1.0 => Self { theta, share, factor: 1.0 },
            Some("default") => {
                let reason = format!("{} = {}", entry.name("partial_rotary_factor"), show(&json!(share)));
                return Err(entry.refuse(format!("{reason}, but a default rotation turns the whole head")));
            }
            _ => return Err(entry.unsupported("rope_type", &kind)),
        };
        entry.finish()?;
        Ok(rope)
    }
}
