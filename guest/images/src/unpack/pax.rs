//! PAX extended header records: `length key=value\n`, values being any bytes (POSIX.1-2001, "pax Extended Header").

use crate::{Error, Result};

/// The records of one extended header.
#[derive(Debug, Default)]
pub(crate) struct Pax {
    records: Vec<(String, Vec<u8>)>,
}

impl Pax {
    /// Reads a header's content. Values may hold newlines, so the length alone says where a record ends.
    pub(crate) fn parse(mut bytes: &[u8]) -> Result<Self> {
        const WRONG: Error = Error::InvalidLayer("malformed PAX record");
        let mut records = Vec::new();
        // Some writers pad with NULs.
        while bytes.first().is_some_and(|byte| *byte != 0) {
            let space = bytes.iter().take(20).position(|byte| *byte == b' ').ok_or(WRONG)?;
            let digits = str::from_utf8(&bytes[..space]).map_err(|_| WRONG)?;
            let length: usize = digits.parse().map_err(|_| WRONG)?;
            if length <= space + 1 || length > bytes.len() || bytes[length - 1] != b'\n' {
                return Err(WRONG);
            }
            let record = &bytes[space + 1..length - 1];
            let equals = record.iter().position(|byte| *byte == b'=').ok_or(WRONG)?;
            let key = str::from_utf8(&record[..equals]).map_err(|_| WRONG)?;
            records.push((key.to_owned(), record[equals + 1..].to_vec()));
            bytes = &bytes[length..];
        }
        Ok(Self { records })
    }

    /// The last value of a key; an empty one deletes the record.
    pub(crate) fn get(&self, key: &str) -> Option<&[u8]> {
        let (_, value) = self.records.iter().rev().find(|(name, _)| name == key)?;
        (!value.is_empty()).then_some(value.as_slice())
    }

    /// A key's value as a number.
    pub(crate) fn number(&self, key: &str) -> Result<Option<u64>> {
        let parse = |value: &[u8]| str::from_utf8(value).ok().and_then(|text| text.parse().ok());
        self.get(key)
            .map(|value| parse(value).ok_or(Error::InvalidLayer("a PAX number isn't one")))
            .transpose()
    }

    /// A key's value as seconds and nanoseconds.
    pub(crate) fn time(&self, key: &str) -> Result<Option<(i64, u32)>> {
        self.get(key)
            .map(|value| parse_time(value).ok_or(Error::InvalidLayer("a PAX time isn't one")))
            .transpose()
    }

    /// Extended attributes, name and value.
    pub(crate) fn xattrs(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.records
            .iter()
            .filter_map(|(key, value)| Some((key.strip_prefix("SCHILY.xattr.")?, value.as_slice())))
    }
}

/// `seconds[.fraction]`, possibly negative.
fn parse_time(value: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(value).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let nine: String = fraction.chars().chain("000000000".chars()).take(9).collect();
    let nanoseconds: u32 = nine.parse().ok()?;
    if whole.starts_with('-') && nanoseconds > 0 {
        return Some((seconds.checked_sub(1)?, 1_000_000_000 - nanoseconds));
    }
    Some((seconds, nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_newlines_and_nuls() {
        let pax = Pax::parse(b"36 SCHILY.xattr.security.cap=\x01\n\x00\n=a\n").unwrap();
        assert_eq!(pax.xattrs().next().unwrap(), ("security.cap", b"\x01\n\x00\n=a".as_slice()));
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert!(Pax::parse(b"99 path=a\n").is_err());
        assert!(Pax::parse(b"3 \n").is_err());
        assert!(Pax::parse(b"path=a\n").is_err());
    }

    #[test]
    fn times_before_the_epoch_round_down() {
        assert_eq!(parse_time(b"1.5"), Some((1, 500_000_000)));
        assert_eq!(parse_time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(parse_time(b"12.1234567891"), Some((12, 123_456_789)));
        assert_eq!(parse_time(b"x"), None);
    }
}
