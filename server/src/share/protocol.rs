//! What host and guest say to each other: JSON, each message behind its length in bytes as four bytes, the lowest first.

use std::io::{self, Read, Write};

use lacuna_engine::{Description, Error, Infill, InfillRequest, OwnedStep};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A longer message is a mistake, or a lie.
const MESSAGE_LIMIT: usize = 64 << 20;
const LENGTH_BYTES: usize = 4;
const READ_BYTES: usize = 64 << 10;

/// A guest asks one thing at a time.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Ask {
    Describe,
    Infill(InfillRequest),
    /// Ends the request that is under way, which is answered all the same.
    Cancel,
    CountTokens(String),
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    Description {
        description: Description,
        process: u32,
    },
    /// There may be any number before `Filled` or `Failed`.
    Step(OwnedStep),
    Filled(Infill),
    Failed(Failure),
    TokenCount(Option<usize>),
}

/// Why a request was not answered.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Failure {
    Cancelled,
    Ended,
    Request(String),
    /// Of the device, with its words.
    Device {
        device: String,
        reason: String,
    },
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Cancelled => Self::Cancelled,
            Error::Ended => Self::Ended,
            Error::Device { device, reason } => Self::Device { device, reason },
            other => Self::Request(other.to_string()),
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Cancelled => Self::Cancelled,
            Failure::Ended => Self::Ended,
            Failure::Device { device, reason } => Self::Device { device, reason },
            Failure::Request(reason) => Self::Request(reason),
        }
    }
}

pub(super) fn write(stream: &mut impl Write, message: &impl Serialize) -> io::Result<()> {
    let mut bytes = vec![0; LENGTH_BYTES];
    serde_json::to_writer(&mut bytes, message)?;
    let length = bytes.len() - LENGTH_BYTES;
    check_length(length)?;
    bytes[..LENGTH_BYTES].copy_from_slice(&(length as u32).to_le_bytes());
    stream.write_all(&bytes)
}

fn check_length(length: usize) -> io::Result<()> {
    match length {
        0..=MESSAGE_LIMIT => Ok(()),
        _ => Err(io::Error::other(format!("a message of {length} bytes is longer than {MESSAGE_LIMIT}"))),
    }
}

/// Reads messages from a stream that may time out in the middle of one.
pub(super) struct Messages<R> {
    stream: R,
    /// Read, and not yet part of a message.
    bytes: Vec<u8>,
}

impl<R: Read> Messages<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, bytes: Vec::new() }
    }

    /// The next message. A time-out loses nothing: the next call goes on where this one stopped.
    pub(super) fn next<M: DeserializeOwned>(&mut self) -> io::Result<M> {
        loop {
            if let Some(message) = self.take()? {
                return Ok(serde_json::from_slice(&message)?);
            }
            let before = self.bytes.len();
            self.bytes.resize(before + READ_BYTES, 0);
            let read = self.stream.read(&mut self.bytes[before..]);
            self.bytes.truncate(before + *read.as_ref().unwrap_or(&0));
            if read? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The bytes of a message, if all of them are there.
    fn take(&mut self) -> io::Result<Option<Vec<u8>>> {
        let Some((length, rest)) = self.bytes.split_first_chunk::<LENGTH_BYTES>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        check_length(length)?;
        if rest.len() < length {
            return Ok(None);
        }
        let message = rest[..length].to_vec();
        self.bytes.drain(..LENGTH_BYTES + length);
        Ok(Some(message))
    }
}

/// Whether a read has only waited in vain.
pub(super) fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
