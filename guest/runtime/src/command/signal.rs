//! Signals by name or number.

use crate::error::Error;

/// signal(7), as Linux numbers them on x86 and ARM.
const NAMES: [(&str, i32); 34] = [
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];
/// The real-time signals that the C library leaves to programs.
const FIRST_REAL_TIME: i32 = 34;
const LAST_REAL_TIME: i32 = 64;

/// `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`, `RTMAX-1`.
pub(super) fn parse(text: &str) -> Result<i32, Error> {
    number(text).ok_or_else(|| Error::Value { what: "unknown signal", value: text.into() })
}

fn number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..=LAST_REAL_TIME).contains(&number).then_some(number);
    }
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    if let Some((_, number)) = NAMES.iter().find(|(each, _)| *each == name) {
        return Some(*number);
    }
    let distance = |rest: &str, sign| match rest {
        "" => Some(0),
        rest => rest.strip_prefix(sign)?.parse::<i32>().ok(),
    };
    let number = match (name.strip_prefix("RTMIN"), name.strip_prefix("RTMAX")) {
        (Some(rest), _) => FIRST_REAL_TIME.checked_add(distance(rest, '+')?)?,
        (_, Some(rest)) => LAST_REAL_TIME.checked_sub(distance(rest, '-')?)?,
        _ => return None,
    };
    (FIRST_REAL_TIME..=LAST_REAL_TIME).contains(&number).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_are_signals() {
        let numbers = ["9", "KILL", "SIGKILL", "sigterm", "SIGRTMIN+3", "RTMAX-1", "0"].map(number);
        assert_eq!(numbers, [Some(9), Some(9), Some(9), Some(15), Some(37), Some(63), Some(0)]);
    }

    #[test]
    fn other_words_are_not() {
        for text in ["", "SIG", "65", "-1", "RTMIN-1", "RTMIN+31", "RTMAX+1", "KILLALL"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
