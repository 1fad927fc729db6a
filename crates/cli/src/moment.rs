//! Points in time as Docker writes and reads them.

use jiff::{SignedDuration, Timestamp};

/// How long ago something was, in a few words: `3 minutes`.
pub(crate) fn since(then: i64) -> String {
    duration(Timestamp::now().as_second() - then)
}

/// Seconds in a few words.
fn duration(seconds: i64) -> String {
    let hours = (seconds as f64 / 3600.0 + 0.5) as i64;
    match seconds {
        ..1 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        2..60 => format!("{seconds} seconds"),
        60..120 => "About a minute".to_owned(),
        120..3600 => format!("{} minutes", seconds / 60),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 24 * 7 * 2 => format!("{} days", hours / 24),
        _ if hours < 24 * 30 * 2 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 24 * 365 * 2 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / 3600 / 24 / 365),
    }
}

/// `10m`, `2024-01-02T03:04:05Z`, `2024-01-02` or seconds since 1970, as the API takes it.
pub(crate) fn for_api(text: &str) -> String {
    if text.is_empty() || text.parse::<f64>().is_ok() {
        return text.to_owned();
    }
    let at = if let Ok(ago) = text.parse::<SignedDuration>() {
        Timestamp::now().checked_sub(ago).ok()
    } else {
        let here = || text.parse::<jiff::civil::DateTime>().ok()?.to_zoned(jiff::tz::TimeZone::system()).ok();
        text.parse::<Timestamp>().ok().or_else(|| Some(here()?.timestamp()))
    };
    // What isn't understood is the engine's to refuse.
    at.map_or_else(|| text.to_owned(), |at| format!("{}.{:09}", at.as_second(), at.subsec_nanosecond()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_said_as_docker_says_them() {
        assert_eq!(duration(0), "Less than a second");
        assert_eq!(duration(59), "59 seconds");
        assert_eq!(duration(90), "About a minute");
        assert_eq!(duration(3700), "About an hour");
        assert_eq!(duration(49 * 3600), "2 days");
        assert_eq!(duration(3 * 365 * 86400), "3 years");
    }

    #[test]
    fn a_date_becomes_seconds_since_1970() {
        assert_eq!(for_api("2024-01-02T03:04:05Z"), "1704164645.000000000");
        assert_eq!(for_api("1704164645"), "1704164645");
    }
}
