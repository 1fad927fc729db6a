//! Signals by name and number, as Docker's flags take them.

use crate::Error;

/// One signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signal(i32);

impl Signal {
    /// Asks a program to end.
    pub(crate) const TERM: Self = Self(15);
    /// Ends a program.
    pub(crate) const KILL: Self = Self(9);

    /// `SIGTERM`, `term`, `15` or `RTMIN+3`.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        let invalid = || Error::InvalidRequest(format!("invalid signal: {text}"));
        if let Ok(number) = text.parse() {
            return match number {
                1..=64 => Ok(Self(number)),
                0 => Err(invalid()),
                _ => {
                    let text = format!("the linux daemon does not support signal {number}");
                    Err(Error::InvalidRequest(text))
                }
            };
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Self(*number));
        }
        let real_time = |prefix: &str, from: i32, sign: i32| {
            let rest = name.strip_prefix(prefix)?;
            let offset: i32 = if rest.is_empty() { 0 } else { rest.get(1..)?.parse().ok()? };
            Some(from + sign * offset).filter(|number| (34..=64).contains(number))
        };
        real_time("RTMIN", 34, 1).or_else(|| real_time("RTMAX", 64, -1)).map(Self).ok_or_else(invalid)
    }

    /// Its number on x86-64 and arm64.
    pub(crate) fn number(self) -> i32 {
        self.0
    }
}

const NAMES: &[(&str, i32)] = &[
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_mean_the_same() {
        for text in ["15", "TERM", "term", "SIGTERM", "sigterm"] {
            assert_eq!(Signal::parse(text).unwrap(), Signal::TERM, "{text}");
        }
        assert_eq!(Signal::parse("SIGRTMIN+3").unwrap().number(), 37);
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for text in ["", "0", "65", "SIGNOPE", "RTMIN+99", "-1"] {
            let error = Signal::parse(text).unwrap_err();
            assert!(error.to_string().contains(text), "{error}");
        }
    }
}
