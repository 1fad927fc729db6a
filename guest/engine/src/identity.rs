//! Random identities: 64 hexadecimal digits, as Docker's ids are.

use std::fmt::Write;

use crate::Error;

/// A fresh id. Its first twelve digits are never all decimal: they become a host name, and a client may take
/// a number for something else.
pub(crate) fn fresh() -> Result<String, Error> {
    loop {
        let mut bytes = [0; 32];
        getrandom::fill(&mut bytes).map_err(|_| Error::Random)?;
        let id = bytes.iter().fold(String::with_capacity(64), |mut id, byte| {
            // Writing into a String can't fail.
            let _ = write!(id, "{byte:02x}");
            id
        });
        if !id[..12].bytes().all(|digit| digit.is_ascii_digit()) {
            return Ok(id);
        }
    }
}

/// A random number.
pub(crate) fn random_u64() -> Result<u64, Error> {
    getrandom::u64().map_err(|_| Error::Random)
}
