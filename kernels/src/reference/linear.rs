//! Dense products.

/// A sum, and the sum of its terms' magnitudes: what a rounding error is measured by.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sum {
    /// The sum.
    pub value: f64,
    /// Of the terms' absolute values.
    pub magnitude: f64,
}

/// `input @ matrix^T` for rows of `inputs` numbers.
pub fn linear(input: &[f32], matrix: &[f32], inputs: usize) -> Vec<Sum> {
    let mut output = Vec::new();
    for row in input.chunks_exact(inputs) {
        for column in matrix.chunks_exact(inputs) {
            let terms = || row.iter().zip(column).map(|(x, w)| f64::from(*x) * f64::from(*w));
            output.push(Sum { value: terms().sum(), magnitude: terms().map(f64::abs).sum() });
        }
    }
    output
}

/// The same in f32, by fused multiply-adds over ascending inputs.
pub fn linear_exact(input: &[f32], matrix: &[f32], inputs: usize) -> Vec<f32> {
    let mut output = Vec::new();
    for row in input.chunks_exact(inputs) {
        for column in matrix.chunks_exact(inputs) {
            output.push(row.iter().zip(column).fold(0.0_f32, |sum, (x, w)| x.mul_add(*w, sum)));
        }
    }
    output
}

/// `gelu(gate) * up` of rows that hold gate and then up, with an error bound for sums that are off by `relative` of their magnitude.
pub fn gated(sums: &[Sum], width: usize, relative: f64) -> Vec<(f64, f64)> {
    let mut output = Vec::new();
    for row in sums.chunks_exact(2 * width) {
        let (gate, up) = row.split_at(width);
        for (gate, up) in gate.iter().zip(up) {
            let activated = gelu_tanh(gate.value);
            // The derivative of gelu is at most 1.13 in magnitude.
            let error = relative * (1.13 * gate.magnitude * up.value.abs() + activated.abs() * up.magnitude);
            output.push((activated * up.value, error + 1e-6 * (activated * up.value).abs()));
        }
    }
    output
}

/// `x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3)))`.
pub fn gelu_tanh(x: f64) -> f64 {
    let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x * x * x);
    // (1 + tanh u) / 2 = 1 / (1 + exp(-2u)), which keeps small values.
    if x.is_infinite() && x < 0.0 { f64::NAN } else { x / (1.0 + (-2.0 * inner).exp()) }
}
