//! The binary as a language server over its standard streams.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::binary::lacuna;
use crate::client::Client;

/// A server process, ended with the test.
pub(crate) struct Process(Child);

impl Process {
    /// One in a folder, and its client.
    pub(crate) fn start(folder: &Path) -> (Self, Client) {
        let mut process = lacuna(folder, &["lsp", "--stdio", "--device", "cpu", "--threads", "1"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let to_server = process.stdin.take().expect("a pipe");
        let from_server = process.stdout.take().expect("a pipe");
        (Self(process), Client::new(to_server, from_server))
    }

    /// Waits for the end of the process, and says with which code.
    pub(crate) fn code(&mut self) -> Option<i32> {
        self.0.wait().expect("the process can be waited for").code()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // This fails where the process has ended, which is as well.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
