//! Checked launches: each checks sizes and limits, then queues its kernels. Matrices are row-major; `[rows, width]` states shapes.

pub mod embed;
pub mod linear;
pub mod norm;
pub mod rows;
