//! Sizes and fractions as Docker writes and reads them.

/// Decimal units, for what is shown.
const SHOWN: &[&str] = &["B", "kB", "MB", "GB", "TB", "PB", "EB"];

/// A size with so many significant digits: `4.27MB`.
pub(crate) fn shown(bytes: i64, digits: usize) -> String {
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1000.0 && unit + 1 < SHOWN.len() {
        size /= 1000.0;
        unit += 1;
    }
    format!("{}{}", significant(size, digits), SHOWN[unit])
}

/// C's `%.{digits}g` of a number that is at most 1000.
fn significant(value: f64, digits: usize) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    let magnitude = format!("{value:.*e}", digits.saturating_sub(1));
    let exponent: i32 =
        magnitude.rsplit_once('e').and_then(|(_, exponent)| exponent.parse().ok()).unwrap_or(0);
    let before = usize::try_from(exponent + 1).unwrap_or(0);
    if before > digits {
        // As in `1e+03`, which is what Docker prints for 999.9.
        let (mantissa, _) = magnitude.split_once('e').unwrap_or((&magnitude, ""));
        return format!("{}e+{exponent:02}", trimmed(mantissa));
    }
    let decimals = usize::try_from(i32::try_from(digits).unwrap_or(0) - exponent - 1).unwrap_or(0);
    trimmed(&format!("{value:.decimals$}"))
}

fn trimmed(number: &str) -> String {
    if number.contains('.') {
        number.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        number.to_owned()
    }
}

/// `512m`, `1.5g`, `100`: bytes, in powers of 1024.
pub(crate) fn bytes(text: &str) -> Result<i64, String> {
    let invalid = || format!("invalid size: '{text}'");
    let end = text.rfind(|letter: char| letter.is_ascii_digit() || letter == '.').ok_or_else(invalid)?;
    let (number, unit) = text.split_at(end + 1);
    let number: f64 = number.trim().parse().map_err(|_| invalid())?;
    let unit = unit.trim().to_ascii_lowercase();
    let unit = unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit);
    let power = match unit {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(format!("invalid suffix: '{unit}'")),
    };
    if number < 0.0 {
        return Err(invalid());
    }
    Ok((number * 1024_f64.powi(power)) as i64)
}

/// As [`bytes`], or -1 for no limit.
pub(crate) fn bytes_or_unlimited(text: &str) -> Result<i64, String> {
    if text == "-1" { Ok(-1) } else { bytes(text) }
}

/// `1.5` CPUs as billionths.
pub(crate) fn cpus(text: &str) -> Result<i64, String> {
    let failed = || format!("failed to parse {text} as a rational number");
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    if fraction.len() > 9 {
        return Err("value is too precise".to_owned());
    }
    let whole: i64 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| failed())? };
    let fraction: i64 = format!("{fraction:0<9}").parse().map_err(|_| failed())?;
    whole.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(fraction)).ok_or_else(failed)
}

/// A whole number, refused in the words of the library that Docker's client uses.
pub(crate) fn integer(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.ParseInt: parsing {text:?}: invalid syntax"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_shown_as_docker_shows_them() {
        assert_eq!(shown(0, 3), "0B");
        assert_eq!(shown(999, 3), "999B");
        assert_eq!(shown(1_966_080, 3), "1.97MB");
        assert_eq!(shown(133_000_000, 3), "133MB");
        assert_eq!(shown(1_000_000, 4), "1MB");
    }

    #[test]
    fn sizes_are_read_in_powers_of_1024() {
        assert_eq!(bytes("512m"), Ok(512 << 20));
        assert_eq!(bytes("1.5GB"), Ok(3 << 29));
        assert_eq!(bytes("lots"), Err("invalid size: 'lots'".to_owned()));
    }

    #[test]
    fn cpus_are_exact() {
        assert_eq!(cpus("1.5"), Ok(1_500_000_000));
        assert_eq!(cpus(".25"), Ok(250_000_000));
        assert!(cpus("many").is_err());
    }
}
