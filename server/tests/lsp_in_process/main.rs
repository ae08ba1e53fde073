//! The server in this process, over pipes, with an engine that does nothing until the test releases it. What comes
//! before what is therefore certain, however fast the machine is.

#[path = "../support/client.rs"]
mod client;
mod engine;
mod harness;

mod answers;
mod code_actions;
mod formatting;
mod liveness;
mod next_place;
mod other_files;
mod quiet;
mod settings;
mod stats;
