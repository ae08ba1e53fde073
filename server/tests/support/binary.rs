//! The binary, as the tests start it.

use std::path::Path;
use std::process::{Command, Stdio};

/// The binary in a folder, with nothing to read. What it counts stays in the folder, too: what tests do is nothing to be
/// counted as the user's.
pub(crate) fn lacuna(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_lacuna"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null());
    // A trace of a panic is more than the one line that an error is.
    command.env_remove("RUST_BACKTRACE");
    // Where state is kept on Unix and on Windows.
    command.env("XDG_STATE_HOME", folder).env("LOCALAPPDATA", folder);
    command
}
