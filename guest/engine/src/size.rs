//! Sizes as Docker's clients and options write them (go-units): `10m`, `1.5 GB`, `4KiB`.

/// With suffixes that are powers of 1000.
///
/// # Errors
/// With the words of go-units.
pub(crate) fn decimal(text: &str) -> Result<u64, String> {
    parse(text, 1000.0)
}

/// With suffixes that are powers of 1024.
///
/// # Errors
/// With the words of go-units.
pub(crate) fn binary(text: &str) -> Result<u64, String> {
    parse(text, 1024.0)
}

fn parse(text: &str, unit: f64) -> Result<u64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|c: char| c.is_ascii_digit() || matches!(c, '.' | ' ')).ok_or_else(invalid)? + 1;
    let (number, suffix) = text.split_at(end);
    let number: f64 = number.strip_suffix(' ').unwrap_or(number).parse().map_err(|_| invalid())?;
    if !number.is_finite() || number < 0.0 {
        return Err(invalid());
    }
    let power = power(&suffix.to_ascii_lowercase()).ok_or_else(|| format!("invalid suffix: '{suffix}'"))?;
    // A number beyond the type's becomes its greatest.
    Ok((number * unit.powi(power)) as u64)
}

fn power(suffix: &str) -> Option<i32> {
    let letter = match suffix {
        "" | "b" => return Some(0),
        _ => suffix.strip_suffix("ib").or(suffix.strip_suffix('b')).unwrap_or(suffix),
    };
    let place = ["k", "m", "g", "t", "p"].iter().position(|known| *known == letter)?;
    Some(place as i32 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_suffixes() {
        assert_eq!(decimal("10m"), Ok(10_000_000));
        assert_eq!(binary("5kb"), Ok(5 << 10));
        assert_eq!(binary("1.5 GiB"), Ok(3 << 29));
        assert_eq!(decimal("0"), Ok(0));
        for wrong in ["", "big", "-1", "1x", "1kibi", "nan1", "1bb"] {
            assert!(decimal(wrong).is_err(), "{wrong}");
        }
    }
}
