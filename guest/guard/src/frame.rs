//! Messages as bytes.
//!
//! ```text
//! 0      1      2        4               8               12              16
//! | kind | zero | stream | process       | length        | zero / time …
//! ```
//!
//! A header of 16 bytes, little-endian, then `length` bytes: raw data for input and output (output begins with
//! its time, 8 bytes), JSON for everything else. Data is at most 64 KiB so that a terminal's echo never waits
//! behind much of another process's output.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::exit::ExitRecord;
use crate::message::{
    CONTAINER, ExecState, FailureKind, FromGuard, Span, State, Stream, ToGuard, WindowSize,
};

/// The header's length.
pub const HEADER: usize = 16;
/// The most bytes that one data message carries.
pub const MOST_DATA: usize = 64 * 1024;
/// The longest message of all: an exec with a big environment.
const LONGEST: usize = 4 * 1024 * 1024;

/// A message that can't be read; the stream is useless from there on.
#[derive(Debug, thiserror::Error)]
pub enum FrameError {
    /// A kind that this version doesn't know.
    #[error("message of unknown kind {0}")]
    Kind(u8),
    /// Longer than any message is.
    #[error("message of {0} bytes")]
    Length(usize),
    /// The JSON inside isn't what the kind says.
    #[error("message of kind {kind}")]
    Json {
        /// The kind.
        kind: u8,
        /// What the parser says.
        #[source]
        source: serde_json::Error,
    },
}

/// A message that can travel.
pub trait Message: Sized {
    /// Appends the message to `out`.
    fn encode(&self, out: &mut Vec<u8>);
    /// The message of this header and body.
    fn from_frame(kind: u8, stream: u8, process: u32, body: &[u8]) -> Result<Self, FrameError>;
}

/// Cuts a byte stream into messages: [`feed`](Self::feed) what was read, then take messages until there is none.
#[derive(Debug, Default)]
pub struct Decoder {
    bytes: Vec<u8>,
    start: usize,
}

impl Decoder {
    /// Appends bytes from the socket.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.bytes.drain(..self.start);
            self.start = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The next complete message, if there is one.
    pub fn next_message<M: Message>(&mut self) -> Result<Option<M>, FrameError> {
        let rest = &self.bytes[self.start..];
        let Some((header, rest)) = rest.split_at_checked(HEADER) else { return Ok(None) };
        let length = number(&header[8..12]) as usize;
        if length > LONGEST {
            return Err(FrameError::Length(length));
        }
        let Some(body) = rest.get(..length) else { return Ok(None) };
        let message = M::from_frame(header[0], header[2], number(&header[4..8]), body)?;
        self.start += HEADER + length;
        Ok(Some(message))
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

fn header(out: &mut Vec<u8>, kind: u8, stream: u8, process: u32, length: usize) {
    out.extend_from_slice(&[kind, 0, stream, 0]);
    out.extend_from_slice(&process.to_le_bytes());
    out.extend_from_slice(&(length as u32).to_le_bytes());
    out.extend_from_slice(&[0; 4]);
}

fn raw(out: &mut Vec<u8>, kind: u8, process: u32, bytes: &[u8]) {
    header(out, kind, 0, process, bytes.len());
    out.extend_from_slice(bytes);
}

/// Appends an output message without an owned copy of its bytes.
pub fn encode_output(out: &mut Vec<u8>, process: u32, stream: Stream, at: u64, bytes: &[u8]) {
    header(out, kind::OUTPUT, stream as u8, process, 8 + bytes.len());
    out.extend_from_slice(&at.to_le_bytes());
    out.extend_from_slice(bytes);
}

fn json(out: &mut Vec<u8>, kind: u8, process: u32, body: &impl Serialize) {
    let start = out.len();
    header(out, kind, 0, process, 0);
    // Our own types serialise; a writer to memory doesn't fail.
    let _ = serde_json::to_writer(&mut *out, body);
    let length = (out.len() - start - HEADER) as u32;
    out[start + 8..start + 12].copy_from_slice(&length.to_le_bytes());
}

fn parse<T: DeserializeOwned>(kind: u8, body: &[u8]) -> Result<T, FrameError> {
    serde_json::from_slice(body).map_err(|source| FrameError::Json { kind, source })
}

mod kind {
    pub(super) const START: u8 = 1;
    pub(super) const STDIN: u8 = 2;
    pub(super) const CLOSE_STDIN: u8 = 3;
    pub(super) const RESIZE: u8 = 4;
    pub(super) const SIGNAL: u8 = 5;
    pub(super) const EXEC: u8 = 6;
    pub(super) const ACK: u8 = 7;
    pub(super) const HELLO: u8 = 64;
    pub(super) const CREATE_FAILED: u8 = 65;
    pub(super) const START_FAILED: u8 = 66;
    pub(super) const STARTED: u8 = 67;
    pub(super) const OUTPUT: u8 = 68;
    pub(super) const OUTPUT_END: u8 = 69;
    pub(super) const EXEC_STARTED: u8 = 70;
    pub(super) const EXEC_FAILED: u8 = 71;
    pub(super) const EXITED: u8 = 72;
    pub(super) const STDIN_TAKEN: u8 = 73;
    pub(super) const LOGGED: u8 = 74;
}

impl Message for ToGuard {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Start => raw(out, kind::START, 0, &[]),
            Self::Stdin { process, bytes } => raw(out, kind::STDIN, *process, bytes),
            Self::CloseStdin { process } => raw(out, kind::CLOSE_STDIN, *process, &[]),
            Self::Resize { process, size } => json(out, kind::RESIZE, *process, size),
            Self::Signal { process, signal } => json(out, kind::SIGNAL, *process, signal),
            Self::Exec { process, request } => json(out, kind::EXEC, *process, request),
            Self::Ack { process } => raw(out, kind::ACK, *process, &[]),
        }
    }

    fn from_frame(kind: u8, _stream: u8, process: u32, body: &[u8]) -> Result<Self, FrameError> {
        Ok(match kind {
            kind::START => Self::Start,
            kind::STDIN => Self::Stdin { process, bytes: body.to_vec() },
            kind::CLOSE_STDIN => Self::CloseStdin { process },
            kind::RESIZE => Self::Resize { process, size: parse::<WindowSize>(kind, body)? },
            kind::SIGNAL => Self::Signal { process, signal: parse(kind, body)? },
            kind::EXEC => Self::Exec { process, request: parse(kind, body)? },
            kind::ACK => Self::Ack { process },
            _ => return Err(FrameError::Kind(kind)),
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Hello {
    version: u32,
    state: State,
    execs: Vec<ExecState>,
}

#[derive(Serialize, Deserialize)]
struct Failed {
    kind: FailureKind,
    message: String,
}

#[derive(Serialize, Deserialize)]
struct Started {
    pid: i32,
    at: u64,
    spans: Vec<Span>,
    warnings: Vec<String>,
}

impl Message for FromGuard {
    fn encode(&self, out: &mut Vec<u8>) {
        let failed = |kind: &FailureKind, message: &str| Failed { kind: *kind, message: message.to_owned() };
        match self.clone() {
            Self::Hello { version, state, execs } => {
                json(out, kind::HELLO, 0, &Hello { version, state, execs });
            }
            Self::CreateFailed { kind, message } => {
                json(out, kind::CREATE_FAILED, 0, &failed(&kind, &message))
            }
            Self::StartFailed { kind, message } => json(out, kind::START_FAILED, 0, &failed(&kind, &message)),
            Self::Started { pid, at, spans, warnings } => {
                json(out, kind::STARTED, 0, &Started { pid, at, spans, warnings });
            }
            Self::Output { process, stream, at, bytes } => encode_output(out, process, stream, at, &bytes),
            Self::StdinTaken { process, bytes } => json(out, kind::STDIN_TAKEN, process, &bytes),
            Self::Logged => raw(out, kind::LOGGED, CONTAINER, &[]),
            Self::OutputEnd { process } => raw(out, kind::OUTPUT_END, process, &[]),
            Self::ExecStarted { process, pid } => json(out, kind::EXEC_STARTED, process, &pid),
            Self::ExecFailed { process, kind, message } => {
                json(out, kind::EXEC_FAILED, process, &failed(&kind, &message));
            }
            Self::Exited { process, exit } => json(out, kind::EXITED, process, &exit),
        }
    }

    fn from_frame(kind: u8, stream: u8, process: u32, body: &[u8]) -> Result<Self, FrameError> {
        Ok(match kind {
            kind::HELLO => {
                let Hello { version, state, execs } = parse(kind, body)?;
                Self::Hello { version, state, execs }
            }
            kind::CREATE_FAILED | kind::START_FAILED | kind::EXEC_FAILED => {
                let failed: Failed = parse(kind, body)?;
                let (reason, message) = (failed.kind, failed.message);
                match kind {
                    kind::CREATE_FAILED => Self::CreateFailed { kind: reason, message },
                    kind::START_FAILED => Self::StartFailed { kind: reason, message },
                    _ => Self::ExecFailed { process, kind: reason, message },
                }
            }
            kind::STARTED => {
                let Started { pid, at, spans, warnings } = parse(kind, body)?;
                Self::Started { pid, at, spans, warnings }
            }
            kind::OUTPUT => {
                let (time, bytes) = body.split_first_chunk().ok_or(FrameError::Length(body.len()))?;
                let stream = if stream == Stream::Stderr as u8 { Stream::Stderr } else { Stream::Stdout };
                Self::Output { process, stream, at: u64::from_le_bytes(*time), bytes: bytes.to_vec() }
            }
            kind::STDIN_TAKEN => Self::StdinTaken { process, bytes: parse(kind, body)? },
            kind::LOGGED => Self::Logged,
            kind::OUTPUT_END => Self::OutputEnd { process },
            kind::EXEC_STARTED => Self::ExecStarted { process, pid: parse(kind, body)? },
            kind::EXITED => Self::Exited { process, exit: parse::<ExitRecord>(kind, body)? },
            _ => return Err(FrameError::Kind(kind)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_survive_being_cut_anywhere() {
        let output =
            FromGuard::Output { process: 3, stream: Stream::Stderr, at: 9, bytes: b"hello\n".to_vec() };
        let failed = FromGuard::ExecFailed { process: 3, kind: FailureKind::NotFound, message: "no".into() };
        let mut bytes = Vec::new();
        output.encode(&mut bytes);
        failed.encode(&mut bytes);
        let mut decoder = Decoder::default();
        let mut got = Vec::new();
        for byte in bytes {
            decoder.feed(&[byte]);
            got.extend(decoder.next_message::<FromGuard>().unwrap());
        }
        assert_eq!(got, [output, failed]);
    }

    #[test]
    fn a_length_beyond_reason_is_refused() {
        let mut decoder = Decoder::default();
        let mut bytes = Vec::new();
        header(&mut bytes, kind::STDIN, 0, 0, LONGEST + 1);
        decoder.feed(&bytes);
        assert!(decoder.next_message::<ToGuard>().is_err());
    }
}
