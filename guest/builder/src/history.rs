//! What an image's history says of a step: in the words of the classic builder, or of BuildKit.

use berth_images::{Healthcheck, HistoryEntry};
use berth_runtime::go_duration;
use jiff::Timestamp;

/// Whose words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Classic,
    BuildKit,
}

impl Style {
    /// A step that changed the configuration alone: `ENV a=b`.
    pub(crate) fn setting(self, shell: &[String], text: &str) -> HistoryEntry {
        let created_by = match self {
            Self::Classic => format!("{} #(nop)  {text}", shell.join(" ")),
            Self::BuildKit => text.to_owned(),
        };
        self.entry(created_by, true)
    }

    /// RUN: the process' arguments with the build arguments that it saw.
    pub(crate) fn run(self, argv: &[String], arguments: &[(String, String)]) -> HistoryEntry {
        let seen: String = arguments.iter().map(|(name, value)| format!(" {name}={value}")).collect();
        let prefix =
            if arguments.is_empty() { String::new() } else { format!("|{}{seen} ", arguments.len()) };
        let line = format!("{prefix}{}", argv.join(" "));
        let created_by = match self {
            Self::Classic => line,
            Self::BuildKit => format!("RUN {line} # buildkit"),
        };
        self.entry(created_by, false)
    }

    /// COPY or ADD: what was copied (in each style's words).
    pub(crate) fn copy(self, shell: &[String], text: &str, copied: &str) -> HistoryEntry {
        let created_by = match self {
            Self::Classic => format!("{} #(nop) {copied} ", shell.join(" ")),
            Self::BuildKit => format!("{text} # buildkit"),
        };
        self.entry(created_by, false)
    }

    /// WORKDIR.
    pub(crate) fn folder(self, shell: &[String], path: &str) -> HistoryEntry {
        let created_by = match self {
            Self::Classic => format!("{} #(nop) WORKDIR {path}", shell.join(" ")),
            Self::BuildKit => format!("WORKDIR {path}"),
        };
        self.entry(created_by, false)
    }

    /// HEALTHCHECK, as Go prints the two builders' values.
    pub(crate) fn healthcheck(self, check: &Healthcheck) -> String {
        let times = [check.interval, check.timeout, check.start_period, check.start_interval];
        let times = times.map(go_duration::format);
        match self {
            Self::Classic => {
                format!("HEALTHCHECK &{{[{}] {} {}}}", check.test.join(" "), times.join(" "), check.retries)
            }
            Self::BuildKit => {
                let times = times.map(|time| format!("{time:?}")).join(" ");
                format!("HEALTHCHECK &{{{} {times} {}}}", listed(&check.test), as_character(check.retries))
            }
        }
    }

    fn entry(self, created_by: String, empty_layer: bool) -> HistoryEntry {
        let comment = match self {
            Self::Classic => String::new(),
            Self::BuildKit => "buildkit.dockerfile.v0".to_owned(),
        };
        HistoryEntry { created_by, comment, empty_layer, ..HistoryEntry::default() }
    }
}

/// `["a" "b"]`, as Go prints a list.
pub(crate) fn listed(words: &[String]) -> String {
    let quoted: Vec<String> =
        words.iter().map(|word| serde_json::Value::from(word.as_str()).to_string()).collect();
    format!("[{}]", quoted.join(" "))
}

/// A number as BuildKit writes that of retries: the character with this code, as Go quotes it.
fn as_character(number: i64) -> String {
    let character =
        u32::try_from(number).ok().and_then(char::from_u32).unwrap_or(char::REPLACEMENT_CHARACTER);
    let named = "\x07\x08\t\n\x0b\x0c\r'\\".chars().zip("abtnvfr'\\".chars());
    match named.into_iter().find(|(known, _)| *known == character) {
        Some((_, name)) => format!("'\\{name}'"),
        None if character.is_control() && character.is_ascii() => format!("'\\x{number:02x}'"),
        None => format!("'{character}'"),
    }
}

/// Gives every entry a time: its layer's, or of the layer before it; those before the first new layer get that one's.
/// So a build from the cache makes the same image again.
pub(crate) fn date(history: &mut [HistoryEntry]) {
    let mut at: Option<String> = None;
    let mut missing = false;
    for entry in history.iter() {
        if entry.created.is_some() {
            at.clone_from(&entry.created);
            if missing {
                break;
            }
        } else {
            missing = true;
        }
    }
    missing = false;
    for entry in history {
        if entry.created.is_some() {
            if missing {
                at.clone_from(&entry.created);
            }
        } else {
            missing = true;
            entry.created.clone_from(&at);
        }
    }
}

/// Gives all entries after the first `inherited` ones this time, and no other a later one.
pub(crate) fn fix(history: &mut [HistoryEntry], inherited: usize, epoch: Timestamp) {
    let is_later = |created: &String| created.parse::<Timestamp>().is_ok_and(|created| created > epoch);
    for (at, entry) in history.iter_mut().enumerate() {
        if at >= inherited || entry.created.as_ref().is_some_and(is_later) {
            entry.created = Some(epoch.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_build_notes_has_its_time_and_nothing_has_a_later_one() {
        let of =
            |created: &str| HistoryEntry { created: Some(created.to_owned()), ..HistoryEntry::default() };
        let (old, new, epoch) = ("1999-01-01T00:00:00Z", "2030-01-01T00:00:00Z", "2001-09-09T01:46:40Z");
        let mut history = [of(old), of(new), of(old), of(new)];
        fix(&mut history, 2, Timestamp::from_second(1_000_000_000).unwrap());
        let times: Vec<_> = history.iter().filter_map(|entry| entry.created.as_deref()).collect();
        assert_eq!(times, [old, epoch, epoch, epoch]);
    }

    #[test]
    fn health_checks_are_told_as_each_builder_does() {
        let test = ["CMD", "true"].map(str::to_owned).to_vec();
        let (interval, timeout, start_period) = (90_000_000_000, 3_000_000_000, 500_000_000);
        let mut check = Healthcheck { test, interval, timeout, start_period, start_interval: 0, retries: 4 };
        let told = Style::Classic.healthcheck(&check);
        assert_eq!(told, "HEALTHCHECK &{[CMD true] 1m30s 3s 500ms 0s 4}");
        for (retries, shown) in
            [(4, r"'\x04'"), (10, r"'\n'"), (39, r"'\''"), (65, "'A'"), (i64::MAX, "'\u{fffd}'")]
        {
            check.retries = retries;
            let told = Style::BuildKit.healthcheck(&check);
            assert_eq!(told, format!(r#"HEALTHCHECK &{{["CMD" "true"] "1m30s" "3s" "500ms" "0s" {shown}}}"#));
        }
    }
}
