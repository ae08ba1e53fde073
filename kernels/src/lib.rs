//! CUDA for `lacuna-engine`.
//!
//! Entry points: [`devices`], which says what cards this machine has; [`Device`], which opens one; and [`ops`], checked
//! launches of the kernels on it. The driver is loaded at run time, so this crate builds without a toolkit and a program with it
//! starts without a card.
//!
//! A [`Device`] is a card or, with the feature `emulator`, the processor pretending to be one: the same kernels' sources, compiled as
//! C++. So every kernel is tested against a plain statement of what it computes (module `reference`) on machines without a card.
//!
//! Building: `build.rs` compiles `cu/*.cu` with nvcc where it finds one (on the path, in `CUDA_HOME`, or as `LACUNA_NVCC` says; `none` builds
//! without), for the architectures in `LACUNA_CUDA_ARCHITECTURES` or for all. Elsewhere the sources are compiled by NVRTC when a card is
//! opened, which takes some tens of seconds, and kept in the user's cache folder. The example `resources` prints what each kernel takes of
//! a multiprocessor; `bandwidth` times operations on a card.
//!
//! Testing: `cargo test` needs a C++17 compiler and no card. With the feature `card` the tests of operations run on the first card instead,
//! also under `compute-sanitizer`.
//!
//! Invariants: nothing is launched before its sizes are checked; all work of a device runs in the order in which it was asked for; a
//! sum that crosses threads has a fixed order, so two runs give the same bits.

mod cards;
mod compile;
mod cuda;
mod device;
#[cfg(feature = "emulator")]
mod emulator;
mod error;
mod kernel;
mod memory;
mod module;
pub mod ops;
#[cfg(any(test, feature = "emulator"))]
pub mod reference;
#[cfg(test)]
mod testing;

pub use cards::{DeviceInfo, devices};
pub use device::{Device, Graph, KernelTime, Mark};
#[cfg(feature = "emulator")]
pub use emulator::EmulatorOptions;
pub use error::Error;
pub use half::bf16;
pub use memory::{Arena, Buffer, Element, Slice, SliceMut};
pub use module::{Resources, resources};
