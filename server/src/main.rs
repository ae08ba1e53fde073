//! The `lacuna` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    lacuna_server::cli::main()
}
