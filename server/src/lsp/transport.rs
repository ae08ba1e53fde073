//! Bytes from the client to the framework and back.
//!
//! A thread of its own reads and another one writes, so that a client that is slow at either end holds up nothing.
//! Between them and the framework stands the [filter](crate::lsp::framing).
//!
//! Two requests change what the framework makes of the ones after them: those before the answer to `initialize` are
//! refused, and an `exit` drops an answer to `shutdown` that is still on its way. A client that does not wait for
//! these answers is therefore made to: what it sends after them is read when they have been written.

use std::io::{Read, Write};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::sync::{Notify, mpsc, oneshot};

use crate::lsp::framing::{Frame, Framing};

/// Messages longer than this are refused: no editor sends one, and no document that long can be served.
const MAX_BODY_BYTES: usize = 64 << 20;

/// Frames read ahead.
const MAX_FRAMES_AHEAD: usize = 64;

/// Starts a thread that cuts the input into frames. The channel closes at the input's end.
pub(crate) fn read_frames(mut input: impl Read + Send + 'static) -> std::io::Result<mpsc::Receiver<Frame>> {
    let (sender, receiver) = mpsc::channel(MAX_FRAMES_AHEAD);
    std::thread::Builder::new().name("lacuna-input".to_owned()).spawn(move || {
        let mut framing = Framing::new(MAX_BODY_BYTES);
        let mut piece = vec![0; 1 << 16];
        loop {
            match input.read(&mut piece) {
                Ok(0) => return,
                Ok(bytes) => framing.push(&piece[..bytes]),
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    tracing::error!("standard input cannot be read: {error}");
                    return;
                }
            }
            while let Some(frame) = framing.next_frame() {
                if sender.blocking_send(frame).is_err() {
                    return;
                }
            }
        }
    })?;
    Ok(receiver)
}

/// The way out: bodies go in at any time, and are written as messages in the order in which they came.
pub(crate) struct Output {
    pub(crate) bodies: mpsc::UnboundedSender<Vec<u8>>,
    /// Resolves when everything has been written after the last sender has gone, or when nothing more can be.
    pub(crate) written: oneshot::Receiver<()>,
}

/// Starts a thread that writes messages.
pub(crate) fn write_bodies(mut output: impl Write + Send + 'static) -> std::io::Result<Output> {
    let (bodies, mut receiver) = mpsc::unbounded_channel::<Vec<u8>>();
    let (done, written) = oneshot::channel::<()>();
    std::thread::Builder::new().name("lacuna-output".to_owned()).spawn(move || {
        // Dropped when this thread ends, which is what the other end waits for.
        let _done = done;
        while let Some(body) = receiver.blocking_recv() {
            let result = write!(output, "Content-Length: {}\r\n\r\n", body.len())
                .and_then(|()| output.write_all(&body))
                .and_then(|()| output.flush());
            if let Err(error) = result {
                tracing::error!("standard output cannot be written: {error}");
                return;
            }
        }
    })?;
    Ok(Output { bodies, written })
}

/// Why there are no more messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The client said `exit`: what comes after it does not count, and the input may stay open for ever.
    Exit,
    /// The client is gone.
    Input,
}

/// Hands the client's messages to the framework, and answers what is none. Returns when the client leaves.
pub(crate) async fn feed(
    mut frames: mpsc::Receiver<Frame>,
    mut framework: impl AsyncWrite + Unpin,
    answers: mpsc::UnboundedSender<Vec<u8>>,
    gate: &Gate,
) -> std::io::Result<Ended> {
    while let Some(frame) = frames.recv().await {
        let message = match frame {
            Frame::Message(message) => message,
            Frame::Refused(refusal) => {
                tracing::warn!("{}", refusal.reason());
                // Nobody is left to answer where the channel is closed.
                let _ = answers.send(refusal.to_body());
                continue;
            }
        };
        let is_exit = message.call.as_ref().is_some_and(|call| call.method == "exit" && call.id.is_none());
        let awaited_id = message
            .call
            .filter(|call| call.method == "initialize" || call.method == "shutdown")
            .and_then(|call| call.id);
        if let Some(id) = &awaited_id {
            gate.close_until(id.clone());
        }
        framework.write_all(format!("Content-Length: {}\r\n\r\n", message.body.len()).as_bytes()).await?;
        framework.write_all(&message.body).await?;
        if is_exit {
            return Ok(Ended::Exit);
        }
        if awaited_id.is_some() {
            gate.opened().await;
        }
    }
    Ok(Ended::Input)
}

/// Takes the framework's messages to the way out. Returns when the framework has closed its end.
pub(crate) async fn drain(
    framework: impl AsyncRead + Unpin,
    bodies: mpsc::UnboundedSender<Vec<u8>>,
    gate: &Gate,
) -> std::io::Result<()> {
    let mut framework = BufReader::new(framework);
    let mut line = String::new();
    loop {
        let mut length = None;
        loop {
            line.clear();
            if framework.read_line(&mut line).await? == 0 {
                return Ok(());
            }
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => length = value.parse().ok(),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length.unwrap_or(0)];
        framework.read_exact(&mut body).await?;
        gate.saw(&body);
        // Nobody is left to read where the channel is closed.
        let _ = bodies.send(body);
    }
}

/// Holds the client's messages back until a certain response has been given.
#[derive(Debug, Default)]
pub(crate) struct Gate {
    awaited_id: Mutex<Option<Value>>,
    changed: Notify,
}

impl Gate {
    fn awaited(&self) -> std::sync::MutexGuard<'_, Option<Value>> {
        self.awaited_id.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn close_until(&self, id: Value) {
        *self.awaited() = Some(id);
    }

    async fn opened(&self) {
        while self.awaited().is_some() {
            self.changed.notified().await;
        }
    }

    /// Opens if this is the response that is waited for.
    fn saw(&self, body: &[u8]) {
        let mut awaited = self.awaited();
        if awaited.is_none() {
            return;
        }
        let is_awaited = serde_json::from_slice::<Value>(body)
            .is_ok_and(|message| message.get("method").is_none() && message.get("id") == awaited.as_ref());
        if is_awaited {
            *awaited = None;
            self.changed.notify_one();
        }
    }
}
