//! Token embeddings and self-conditioning.

use super::norm::rms_norm_of;

/// `table[id] * scale` for each id, in f32; a row of NaN where there is no such token.
pub fn embed(ids: &[u32], table: &[f32], width: usize, scale: f32) -> Vec<f32> {
    let row = |id: &u32| -> Vec<f32> {
        let start = *id as usize * width;
        let row = table.get(start..start + width);
        row.map_or_else(|| vec![f32::NAN; width], |row| row.iter().map(|value| value * scale).collect())
    };
    ids.iter().flat_map(row).collect()
}

/// `norm(stream + signal)` without a weight, with for each row its entry of the signal, if it has one.
pub fn self_condition(stream: &[f32], sources: &[Option<usize>], signal: &[f32], width: usize, eps: f32) -> Vec<f64> {
    let mut sum: Vec<f64> = stream.iter().map(|value| f64::from(*value)).collect();
    for (row, source) in sum.chunks_exact_mut(width).zip(sources) {
        let Some(entry) = source else { continue };
        for (value, signal) in row.iter_mut().zip(&signal[entry * width..]) {
            *value += f64::from(*signal);
        }
    }
    rms_norm_of(&sum, None, width, eps)
}
