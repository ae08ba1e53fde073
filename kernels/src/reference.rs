//! What each kernel computes, in plain loops. Sums are f64, so that what differs is the kernel's error.

pub mod attention;
pub mod embed;
pub mod fill;
pub mod head;
pub mod linear;
pub mod norm;
pub mod philox;
pub mod quantised;
pub mod rope;
pub mod router;
pub mod sampler;
