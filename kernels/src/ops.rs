//! Checked launches: each checks sizes and limits, then queues its kernels. Matrices are row-major; `[rows, width]` states shapes.

pub mod attention;
pub mod embed;
pub mod experts;
pub mod fill;
pub mod head;
pub mod linear;
pub mod norm;
pub mod quantised;
pub mod rope;
pub mod router;
pub mod rows;
pub mod sampler;
pub mod segments;
mod splits;
pub mod steps;
