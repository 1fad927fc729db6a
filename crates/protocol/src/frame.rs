//! How a message becomes bytes: a little-endian `u32` length, then that many bytes of JSON.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The longest message, in bytes. The largest real one is a set of published ports (about 120 bytes each); a
/// peer that announces more is broken or hostile.
pub const LONGEST: usize = 1 << 20;

/// Length of the length.
pub const PREFIX: usize = 4;

/// Why bytes aren't a message.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The announced or produced length is over [`LONGEST`].
    #[error("a message of {0} bytes is over the limit of {LONGEST}")]
    TooLong(usize),
    /// The bytes aren't the JSON that was expected.
    #[error("a message can't be decoded")]
    Json(#[from] serde_json::Error),
}

/// The whole frame of `message`, ready to be written.
///
/// # Errors
/// When the message is too long.
pub fn encode(message: &impl Serialize) -> Result<Vec<u8>, Error> {
    let mut frame = vec![0; PREFIX];
    serde_json::to_writer(&mut frame, message)?;
    let length = body_length_checked(frame.len() - PREFIX)?;
    frame[..PREFIX].copy_from_slice(&length.to_le_bytes());
    Ok(frame)
}

/// How many bytes follow this prefix.
///
/// # Errors
/// When the peer announces more than [`LONGEST`].
pub fn body_length(prefix: [u8; PREFIX]) -> Result<usize, Error> {
    let length = u32::from_le_bytes(prefix) as usize;
    body_length_checked(length).map(|length| length as usize)
}

/// Decodes a body of the announced length.
///
/// # Errors
/// When the bytes aren't the expected JSON.
pub fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    Ok(serde_json::from_slice(body)?)
}

fn body_length_checked(length: usize) -> Result<u32, Error> {
    u32::try_from(length).ok().filter(|_| length <= LONGEST).ok_or(Error::TooLong(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_survives_the_journey() {
        let frame = encode(&"hello").unwrap();
        let length = body_length(frame[..PREFIX].try_into().unwrap()).unwrap();
        assert_eq!(decode::<String>(&frame[PREFIX..PREFIX + length]).unwrap(), "hello");
    }

    #[test]
    fn an_announced_gigabyte_is_refused() {
        assert!(matches!(body_length((1u32 << 30).to_le_bytes()), Err(Error::TooLong(_))));
    }
}
