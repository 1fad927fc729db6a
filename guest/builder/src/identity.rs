//! Names that nobody else has.

use crate::{Error, Result};

/// Sixty-four random bits in hexadecimal.
pub(crate) fn fresh() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|error| Error::file("read", "/dev/urandom")(error.into()))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}
