//! The model's lower end: token embeddings, and the self-conditioning signal that is added to them.

use crate::error::require;
use crate::kernel::kernel;
use crate::memory::{Slice, SliceMut};
use crate::{Error, ops::linear::Matrix, ops::linear::Weights};

use super::rows::{NormOutput, Normed, NormedOutputs, Rows};

#[repr(C)]
#[derive(Clone, Copy)]
struct EmbedParameters {
    ids: u64,
    table: u64,
    stream: u64,
    vocabulary: u32,
    width: u32,
    scale: f32,
}

kernel!(static EMBED_F32: "embed", embed_f32(EmbedParameters));
kernel!(static EMBED_BF16: "embed", embed_bf16(EmbedParameters));

/// `stream[row] = table[ids[row]] * scale`, in f32: the table is `[vocabulary, width]`, the stream `[rows, width]`. The row of an id beyond the
/// vocabulary becomes no number.
pub fn embed(ids: Slice<'_, u32>, table: &Matrix<'_>, scale: f32, stream: SliceMut<'_, f32>) -> Result<(), Error> {
    const NAME: &str = "embed";
    let (vocabulary, width) = (table.outputs, table.inputs);
    let rows = Rows::of(NAME, &stream, width)?;
    require!(NAME, vocabulary < 1 << 31, "a vocabulary of {vocabulary}");
    require!(
        NAME,
        vocabulary.checked_mul(width) == Some(table.weights.len()),
        "the table is not {vocabulary} x {width}"
    );
    require!(NAME, table.weights.device().is(rows.device), "the table is on another device");
    let parameters = EmbedParameters {
        ids: rows.input("the list of ids", ids, rows.count)?,
        table: table.weights.address(),
        stream: stream.address(),
        vocabulary: vocabulary as u32,
        width: width as u32,
        scale,
    };
    let kernel = match table.weights {
        Weights::F32(_) => &EMBED_F32,
        Weights::Bf16(_) => &EMBED_BF16,
        Weights::Fp8 { .. } | Weights::Nvfp4 { .. } => {
            let reason = format!("a table is in f32 or bf16, not in {}", table.weights.format());
            return Err(crate::error::shape(NAME, reason));
        }
    };
    // SAFETY: block r reads id r and writes row r, inside slices whose lengths were just checked; of the table it reads only what an id below the
    // vocabulary names. The stream is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(kernel, rows.launch(0), &parameters)
    }
}

/// A row of the stream that gets no signal.
pub const NO_SIGNAL: u32 = u32::MAX;

/// What self-conditioning adds to the stream.
#[derive(Clone, Copy)]
pub struct Signal<'a> {
    /// For each row of the stream its entry, or [`NO_SIGNAL`]: `[rows]`.
    pub sources: Slice<'a, u32>,
    /// `[entries, width]`.
    pub entries: Slice<'a, f32>,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct SelfConditionParameters {
    sources: u64,
    signal: u64,
    stream: u64,
    normed: NormedOutputs,
    entries: u32,
    width: u32,
    eps: f32,
}

kernel!(static SELF_CONDITION_F32: "embed", self_condition_f32(SelfConditionParameters));
kernel!(static SELF_CONDITION_BF16: "embed", self_condition_bf16(SelfConditionParameters));

/// `stream = norm(stream + signal)` by row, without a weight, also where there is no signal; and the new stream's norms.
pub fn self_condition<T: NormOutput>(
    signal: Option<Signal<'_>>,
    width: usize,
    eps: f32,
    stream: SliceMut<'_, f32>,
    normed: Normed<'_, T>,
) -> Result<(), Error> {
    const NAME: &str = "self_condition";
    let rows = Rows::of(NAME, &stream, width)?;
    let mut parameters = SelfConditionParameters {
        sources: 0,
        signal: 0,
        stream: stream.address(),
        normed: rows.normed(normed)?,
        entries: 0,
        width: width as u32,
        eps,
    };
    if let Some(Signal { sources, entries }) = signal {
        require!(NAME, entries.len().is_multiple_of(width), "{} numbers are not entries of {width}", entries.len());
        require!(NAME, entries.len() / width < 1 << 31, "{} entries are too many", entries.len() / width);
        parameters.sources = rows.input("the list of sources", sources, rows.count)?;
        parameters.signal = rows.input("the signal", entries, entries.len())?;
        parameters.entries = (entries.len() / width) as u32;
    }
    // SAFETY: block r reads source r, the entry that it names where there is such a one, and reads and writes row r, inside slices whose lengths
    // were just checked; what is written is borrowed mutably.
    #[expect(unsafe_code, reason = "a launch")]
    unsafe {
        rows.device.launch(T::choose(&SELF_CONDITION_F32, &SELF_CONDITION_BF16), rows.launch(0), &parameters)
    }
}

#[cfg(test)]
mod tests;
