//! RMS norms.

/// `x * (mean(x^2) + eps)^-0.5 * weight` for each row of `width` numbers.
pub fn rms_norm(input: &[f32], weight: Option<&[f32]>, width: usize, eps: f32) -> Vec<f64> {
    let input: Vec<f64> = input.iter().map(|value| f64::from(*value)).collect();
    rms_norm_of(&input, weight, width, eps)
}

/// The same of numbers that were not rounded.
pub(crate) fn rms_norm_of(input: &[f64], weight: Option<&[f32]>, width: usize, eps: f32) -> Vec<f64> {
    let mut output = Vec::with_capacity(input.len());
    for row in input.chunks_exact(width) {
        let mean = row.iter().map(|value| value * value).sum::<f64>() / width as f64;
        let scale = 1.0 / (mean + f64::from(eps)).sqrt();
        output.extend(
            row.iter()
                .enumerate()
                .map(|(index, value)| value * scale * weight.map_or(1.0, |weight| f64::from(weight[index]))),
        );
    }
    output
}

/// `stream + norm(addend) * weight`.
pub fn add_normed(stream: &[f32], addend: &[f32], weight: &[f32], width: usize, eps: f32) -> Vec<f64> {
    let normed = rms_norm(addend, Some(weight), width, eps);
    stream.iter().zip(normed).map(|(stream, normed)| f64::from(*stream) + normed).collect()
}

/// What a layer's end reads, with shapes as in `finish_layer`.
pub struct LayerEnd<'a> {
    /// `[rows, width]`.
    pub stream: &'a [f32],
    /// `[rows, width]`.
    pub dense: &'a [f32],
    /// `[width]`.
    pub dense_weight: &'a [f32],
    /// `[rows, slots, width]`.
    pub sparse: &'a [f32],
    /// How many slots a row has.
    pub slots: usize,
    /// `[width]`.
    pub sparse_weight: &'a [f32],
    /// `[width]`.
    pub weight: &'a [f32],
    /// The layer's scalar.
    pub scalar: f32,
}

/// `(stream + norm(norm(dense) * dense_weight + norm(sum of slots) * sparse_weight) * weight) * scalar`.
pub fn finish_layer(layer: &LayerEnd<'_>, width: usize, eps: f32) -> Vec<f64> {
    let mut sparse = vec![0.0; layer.stream.len()];
    for (row, sum) in sparse.chunks_exact_mut(width).enumerate() {
        for slot in layer.sparse[row * layer.slots * width..][..layer.slots * width].chunks_exact(width) {
            for (sum, value) in sum.iter_mut().zip(slot) {
                *sum += f64::from(*value);
            }
        }
    }
    let dense = rms_norm(layer.dense, Some(layer.dense_weight), width, eps);
    let sparse = rms_norm_of(&sparse, Some(layer.sparse_weight), width, eps);
    let both: Vec<f64> = dense.iter().zip(sparse).map(|(dense, sparse)| dense + sparse).collect();
    let normed = rms_norm_of(&both, Some(layer.weight), width, eps);
    let scalar = f64::from(layer.scalar);
    layer.stream.iter().zip(normed).map(|(stream, normed)| (f64::from(*stream) + normed) * scalar).collect()
}
