//! Keeps a panic inside one request from ending the server.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

use tower_lsp::jsonrpc::{Error, Result};

/// Runs a request's handler; a panic in it is an error to that request alone.
pub(crate) async fn guarded<T>(handler: impl Future<Output = Result<T>>) -> Result<T> {
    let mut handler = pin!(handler);
    poll_fn(|context| {
        catch_unwind(AssertUnwindSafe(|| handler.as_mut().poll(context)))
            .unwrap_or_else(|_| Poll::Ready(Err(Error::internal_error())))
    })
    .await
}

/// Runs a notification's handler; a panic in it ends nothing else.
pub(crate) fn guarded_now(handler: impl FnOnce()) {
    // The panic hook has said what there is to say.
    let _ = catch_unwind(AssertUnwindSafe(handler));
}
