//! The language server and the command line that fill holes in text.
//!
//! Entry points: [`cli::main`], which is all of the binary `lacuna`, and [`lsp::run`], the language server.
//!
//! Invariants:
//! - Nothing here knows a token, a tensor or a device: an [`Infiller`](lacuna_engine::Infiller) is asked in text.
//! - [`syntax`] and [`postprocess`] are pure: text in, plain data out.
//! - No user's text makes this panic.

pub mod cli;
mod excerpts;
mod holes;
pub mod logging;
pub mod lsp;
pub mod markdown;
mod next;
pub mod postprocess;
pub mod renoise;
pub mod settings;
#[cfg(unix)]
mod share;
pub mod stats;
pub mod syntax;
