//! Weights stored in eight or four bits: which ones, how, and where their scales stand.
//!
//! Entry points: [`Quantisation::read`] reads what a checkpoint says of itself, and [`StoredMatrix`] is what the matrix of one
//! linear layer looks like where it lies. Nothing here is guessed from the tensors: a matrix is quantised in the scheme that the
//! configuration gives it, or it is stored in a plain format.
//!
//! A scale that is not a number, infinite or negative is refused, though the libraries that write these formats would multiply by
//! it: no quantiser makes one, and tensor cores read the scales of NVFP4 without their sign. A scale of zero stands for weights that
//! are all zero.

mod config;
pub(crate) mod encode;
pub(crate) mod formats;
mod names;
#[cfg(test)]
mod tests;

pub(crate) use config::{HF_QUANT_CONFIG, Quantisation};

use super::WeightData;

/// Inputs that share a scale in NVFP4.
pub(crate) const NVFP4_GROUP: usize = 16;

/// How the matrix of a linear layer is quantised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// E4M3 with a scale an output; the inputs in E4M3 with a scale a row, found as they come.
    Fp8,
    /// The same weights under inputs as they are.
    Fp8WeightsOnly,
    /// E2M1 in groups of 16 inputs, each with a scale in E4M3, and one scale for all.
    Nvfp4(Nvfp4Layout),
}

/// What the tensors of an NVFP4 matrix are called, and which way round its single scales are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nvfp4Layout {
    /// `weight_packed`, `weight_scale`, and to divide by: `weight_global_scale`, `input_global_scale`.
    CompressedTensors,
    /// `weight`, `weight_scale`, and to multiply by: `weight_scale_2`, `input_scale`.
    ModelOpt,
}

/// The matrix `[outputs, inputs]` of a linear layer as it is stored, row-major. Bytes are borrowed from the mapped file.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum StoredMatrix<'a> {
    Plain(WeightData<'a>),
    Fp8(Fp8Matrix<'a>),
    Nvfp4(Nvfp4Matrix<'a>),
}

/// A weight is its E4M3 number times its output's scale.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fp8Matrix<'a> {
    /// `[outputs, inputs]`, E4M3, none of them NaN.
    pub(crate) weights: &'a [u8],
    /// `[outputs]`, finite and not negative.
    pub(crate) scales: Vec<f32>,
    /// Whether a row of inputs is rounded to E4M3 by its largest magnitude over 448 before the product.
    pub(crate) rounds_inputs: bool,
}

/// A weight is its E2M1 number times its group's scale times the matrix's.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Nvfp4Matrix<'a> {
    /// `[outputs, inputs / 2]`: two numbers in E2M1 a byte, the first in the low half.
    pub(crate) packed: &'a [u8],
    /// `[outputs, inputs / 16]`, E4M3, neither NaN nor negative.
    pub(crate) scales: &'a [u8],
    /// To multiply by; finite and above zero.
    pub(crate) global_scale: f32,
    /// What the scales of rounded inputs are multiplied by, where the checkpoint says; finite and above zero. Of no use where
    /// inputs are left as they are.
    pub(crate) input_scale: Option<f32>,
}
