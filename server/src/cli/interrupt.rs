//! Ctrl-C.

use anyhow::Context;
use lacuna_engine::Cancel;

/// What a shell says of a command that Ctrl-C ended.
pub(super) const INTERRUPTED: u8 = 130;

/// Ctrl-C ends the work instead of the process, so that it can be brought to a good end. A second one ends the process.
pub(super) fn cancel_on_interrupt(cancel: &Cancel) -> anyhow::Result<()> {
    let cancel = cancel.clone();
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_io().build().context("cannot wait for an interrupt")?;
    std::thread::spawn(move || {
        // Where there are no such signals, nobody sends one.
        while runtime.block_on(tokio::signal::ctrl_c()).is_ok() {
            if cancel.is_cancelled() {
                std::process::exit(INTERRUPTED.into());
            }
            cancel.cancel();
        }
    });
    Ok(())
}
