//! Cuts the bytes that a client sends into messages, and outlives whatever is not one.
//!
//! The framework behind this filter ends the process after the first message that it cannot decode, so that nothing
//! may reach it but messages that it surely can. Everything else is answered here, and the next header is looked
//! for.
//!
//! Why the next header can be found at all: inside a JSON string a line end is always escaped, and outside of
//! strings JSON has no letter `C`. A `Content-Length` line with a real line end is therefore never part of a
//! message, and its appearance proves that the bytes before it were not what their header promised.

mod envelope;
mod header;

pub(crate) use envelope::{Message, Refusal};

use header::Header;

/// What the bytes turned out to be.
#[derive(Debug, PartialEq)]
pub(crate) enum Frame {
    /// A request, a notification or a response that the framework will understand.
    Message(Message),
    /// Something else, and the answer to it.
    Refused(Refusal),
}

/// An incremental parser: bytes in with [`Framing::push`], frames out with [`Framing::next_frame`].
#[derive(Debug)]
pub(crate) struct Framing {
    buffer: Vec<u8>,
    /// Everything before this offset has been dealt with.
    start: usize,
    state: State,
    max_body_bytes: usize,
}

#[derive(Debug)]
enum State {
    /// The next byte begins a header.
    Header,
    /// The header has been read.
    Body {
        length: usize,
        /// No other header begins in the body before this offset.
        searched: usize,
    },
    /// The bytes made no sense, which has been reported: a header is being looked for.
    Lost,
}

impl Framing {
    /// A parser that refuses any message whose body is longer than `max_body_bytes`.
    pub(crate) fn new(max_body_bytes: usize) -> Self {
        Self { buffer: Vec::new(), start: 0, state: State::Header, max_body_bytes }
    }

    /// Takes the next bytes, in pieces of any size.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.start);
        self.start = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, or `None` until more bytes have come.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        loop {
            match self.state {
                State::Header => {
                    let blank_lines = self.rest().iter().take_while(|byte| matches!(byte, b'\r' | b'\n')).count();
                    self.start += blank_lines;
                    match header::parse(self.rest()) {
                        Header::Partial => return None,
                        Header::Complete { bytes, length } => {
                            self.start += bytes;
                            if let Some(refusal) = self.begin_body(length) {
                                return Some(refusal);
                            }
                        }
                        Header::Bad => {
                            self.state = State::Lost;
                            return Some(Frame::Refused(Refusal::unreadable("the header is not one")));
                        }
                    }
                }
                State::Lost => {
                    self.start += header::find(self.rest());
                    match header::parse(self.rest()) {
                        Header::Partial => return None,
                        Header::Complete { bytes, length } => {
                            self.start += bytes;
                            if let Some(refusal) = self.begin_body(length) {
                                return Some(refusal);
                            }
                        }
                        Header::Bad => self.start += 1,
                    }
                }
                State::Body { length, searched } => return self.next_body(length, searched),
            }
        }
    }

    fn rest(&self) -> &[u8] {
        &self.buffer[self.start..]
    }

    /// Readies for a body, or says why not.
    fn begin_body(&mut self, length: usize) -> Option<Frame> {
        if length > self.max_body_bytes {
            self.state = State::Lost;
            let reason = format!("the message has {length} bytes, more than {}", self.max_body_bytes);
            return Some(Frame::Refused(Refusal::unreadable(&reason)));
        }
        self.state = State::Body { length, searched: 0 };
        None
    }

    fn next_body(&mut self, length: usize, searched: usize) -> Option<Frame> {
        let Some(body) = self.rest().get(..length) else {
            return match header::find_embedded(self.rest(), searched) {
                header::Embedded::At(offset) => {
                    self.start += offset;
                    self.state = State::Lost;
                    Some(Frame::Refused(Refusal::unreadable("the message ends before its header says")))
                }
                header::Embedded::NotBefore(searched) => {
                    self.state = State::Body { length, searched };
                    None
                }
            };
        };
        match envelope::decode(body) {
            Ok(message) => {
                self.start += length;
                self.state = State::Header;
                Some(Frame::Message(message))
            }
            // Where the body is no JSON, its length may have been wrong too: the next header may begin inside it.
            Err(refusal) if refusal.is_unreadable() => {
                self.state = State::Lost;
                Some(Frame::Refused(refusal))
            }
            Err(refusal) => {
                self.start += length;
                self.state = State::Header;
                Some(Frame::Refused(refusal))
            }
        }
    }
}

#[cfg(test)]
mod tests;
