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
