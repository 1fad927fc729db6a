//! Durations as Go reads and prints them, which is how Docker's clients, files and messages have them: `1h30m`, `1.5s`.

/// Units and their nanoseconds.
const UNITS: [(&str, f64); 7] =
    [("ns", 1.0), ("us", 1e3), ("µs", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
/// More nanoseconds than any duration has.
const TOO_LONG: f64 = 9.2e18;

/// The nanoseconds of a duration that isn't negative; `None` if it isn't one, or is longer than Go's longest.
pub fn parse(text: &str) -> Option<i64> {
    if text == "0" {
        return Some(0);
    }
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let (mut rest, mut sum) = (text, 0.0);
    while !rest.is_empty() {
        let (number, after) = rest.split_at(rest.find(|c| !is_digit(c))?);
        let (unit, after) = after.split_at(after.find(is_digit).unwrap_or(after.len()));
        let (_, nanoseconds) = UNITS.iter().find(|(name, _)| *name == unit)?;
        sum += number.parse::<f64>().ok()? * nanoseconds;
        rest = after;
    }
    (!text.is_empty() && sum < TOO_LONG).then_some(sum as i64)
}

/// The duration of so many nanoseconds, of a millisecond at least unless it is 0.
pub fn format(nanoseconds: i64) -> String {
    let seconds = nanoseconds / 1_000_000_000;
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if seconds == 0 {
        return format!("{}ms", nanoseconds as f64 / 1e6);
    }
    let rest = (nanoseconds % 60_000_000_000) as f64 / 1e9;
    match (seconds / 3600, seconds / 60 % 60) {
        (0, 0) => format!("{rest}s"),
        (0, minutes) => format!("{minutes}m{rest}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{rest}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_go_reads_is_read() {
        for (text, nanoseconds) in
            [("0", 0), ("1m30s", 90_000_000_000), ("1.5s", 1_500_000_000), ("1us", 1_000), ("2µs1ns", 2_001)]
        {
            assert_eq!(parse(text), Some(nanoseconds), "{text}");
        }
        for wrong in ["", "5", "s", "1x", "-1s", "1s5", "1.2.3s", "9999999h"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn what_go_prints_is_printed() {
        for text in ["0s", "1.5ms", "2s", "1m30s", "1h0m0.5s"] {
            assert_eq!(parse(text).map(format).as_deref(), Some(text));
        }
    }
}
