//! Values as dockerd's messages show them, and texts that several keys have in common.

use anyhow::{Context, bail};
use serde_json::Value;

/// As Go prints a value: lists in brackets without commas, texts without quotes.
pub(super) fn as_go(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", items.iter().map(as_go).collect::<Vec<_>>().join(" ")),
        other => other.to_string(),
    }
}

/// `64M`, `1g`, `1024`: bytes, with Docker's suffixes.
pub(super) fn bytes(text: &str) -> anyhow::Result<i64> {
    let invalid = || format!("invalid size: '{text}'");
    let lower = text.trim().to_ascii_lowercase();
    let plain = lower.strip_suffix('b').unwrap_or(&lower).trim_end_matches('i');
    let split = plain.find(|c: char| !c.is_ascii_digit()).unwrap_or(plain.len());
    let (digits, suffix) = plain.split_at(split);
    let shift = match suffix.trim() {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => bail!(invalid()),
    };
    let number: i64 = digits.parse().with_context(invalid)?;
    number.checked_mul(1 << shift).filter(|&bytes| bytes > 0).with_context(invalid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_suffixes() {
        assert_eq!(bytes("64M").unwrap(), 64 << 20);
        assert_eq!(bytes("1gib").unwrap(), 1 << 30);
        assert_eq!(bytes("4096").unwrap(), 4096);
        for wrong in ["", "0", "-1", "big", "1x", "99999999999t"] {
            assert!(bytes(wrong).is_err(), "{wrong}");
        }
    }
}
