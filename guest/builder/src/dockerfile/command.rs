//! Commands in shell and exec form: CMD, ENTRYPOINT, RUN, HEALTHCHECK, SHELL.

use berth_images::exec_form;
use berth_runtime::go_duration;

use super::flags::Flags;
use super::heredoc::Heredoc;
use super::lines::split_word;
use super::mount::{self, Mount};

/// A command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// For the shell.
    Shell(String),
    /// A program with its arguments.
    Exec(Vec<String>),
}

impl Command {
    /// `["a", "b"]` or anything else.
    pub(super) fn parse(text: &str) -> Self {
        exec_form(text).map_or_else(|| Self::Shell(text.to_owned()), Self::Exec)
    }

    /// The command as a process gets it.
    pub fn argv(&self, shell: &[String]) -> Vec<String> {
        match self {
            Self::Exec(argv) => argv.clone(),
            Self::Shell(line) => shell.iter().cloned().chain([line.clone()]).collect(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Shell(line) => line.is_empty(),
            Self::Exec(argv) => argv.is_empty(),
        }
    }
}

/// RUN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) command: Command,
    pub(crate) heredocs: Vec<Heredoc>,
    pub(crate) mounts: Vec<Mount>,
    pub(crate) network: Option<String>,
    pub(crate) security: Option<String>,
}

impl Run {
    pub(super) fn parse(text: &str, heredocs: &[Heredoc], escape: char) -> Result<Self, String> {
        let (mut flags, rest) = Flags::split(text, escape);
        let mounts = flags.list("mount")?.iter().map(|text| mount::parse(text)).collect::<Result<_, _>>()?;
        let network = flags.text("network")?;
        if let Some(mode) = network.as_deref().filter(|mode| !matches!(*mode, "default" | "none" | "host")) {
            return Err(format!("invalid network mode: {mode:?}"));
        }
        let security = flags.text("security")?;
        if let Some(mode) = security.as_deref().filter(|mode| !matches!(*mode, "sandbox" | "insecure")) {
            return Err(format!("security {mode:?} is not valid"));
        }
        flags.finish()?;
        let command = Command::parse(&rest);
        if command.is_empty() {
            return Err("RUN requires at least one argument".into());
        }
        let run = Self { command, heredocs: heredocs.to_vec(), mounts, network, security };
        Ok(run)
    }

    /// The process' arguments. A RUN that is nothing but a here-document runs that document: as a script when it
    /// names its interpreter, by the shell otherwise. Here-documents after a command are the shell's own.
    pub(crate) fn argv(&self, shell: &[String]) -> Vec<String> {
        let Command::Shell(line) = &self.command else { return self.command.argv(shell) };
        let Some(first) = self.heredocs.first() else { return self.command.argv(shell) };
        let whole = if line.trim() == first.word && !first.content.starts_with("#!") {
            first.content.clone()
        } else {
            let bodies: String = self.heredocs.iter().map(|h| format!("\n{}{}", h.content, h.name)).collect();
            format!("{line}{bodies}")
        };
        shell.iter().cloned().chain([whole]).collect()
    }

    /// The document that is a script of its own (`RUN <<EOF` whose first line is `#!…`).
    pub(crate) fn script(&self) -> Option<&Heredoc> {
        let Command::Shell(line) = &self.command else { return None };
        self.heredocs.first().filter(|h| line.trim() == h.word && h.content.starts_with("#!"))
    }
}

/// HEALTHCHECK.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// None, not even the base image's.
    None,
    /// A command, and times in nanoseconds; 0 is the default.
    Check {
        /// What to run.
        command: Command,
        /// Between two runs.
        interval: i64,
        /// Until a run counts as failed.
        timeout: i64,
        /// In which failures don't count.
        start_period: i64,
        /// Between two runs in the start period.
        start_interval: i64,
        /// Failures in a row.
        retries: i64,
    },
}

impl Healthcheck {
    pub(super) fn parse(text: &str, escape: char) -> Result<Self, String> {
        let (mut flags, rest) = Flags::split(text, escape);
        let (kind, command) = split_word(&rest);
        match kind.to_ascii_uppercase().as_str() {
            "" => Err("HEALTHCHECK requires at least one argument".into()),
            "NONE" if command.is_empty() => {
                flags.finish()?;
                Ok(Self::None)
            }
            "NONE" => Err("HEALTHCHECK NONE takes no arguments".into()),
            "CMD" => {
                let command = Command::parse(command);
                if command.is_empty() {
                    return Err("Missing command after HEALTHCHECK CMD".into());
                }
                let mut time = |name| flags.text(name)?.map_or(Ok(0), |text| duration(name, &text));
                let (interval, timeout) = (time("interval")?, time("timeout")?);
                let (start_period, start_interval) = (time("start-period")?, time("start-interval")?);
                let retries = flags.text("retries")?.map_or(Ok(0), |text| retries(&text))?;
                flags.finish()?;
                Ok(Self::Check { command, interval, timeout, start_period, start_interval, retries })
            }
            other => Err(format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
        }
    }
}

fn retries(text: &str) -> Result<i64, String> {
    match text.parse::<i64>() {
        Ok(count) if count >= 0 => Ok(count),
        Ok(count) => Err(format!("--retries cannot be negative (got {count})")),
        Err(_) => Err(format!("invalid value {text:?} for --retries")),
    }
}

/// A duration that isn't a mistake of units: Docker's own floor is a millisecond.
fn duration(name: &str, text: &str) -> Result<i64, String> {
    match go_duration::parse(text) {
        None => Err(format!("time: invalid duration {text:?}")),
        Some(1..1_000_000) => Err(format!("Interval {name:?} cannot be less than 1ms")),
        Some(nanoseconds) => Ok(nanoseconds),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        assert_eq!(duration("interval", "1m30s").unwrap(), 90_000_000_000);
        assert_eq!(duration("interval", "1.5s").unwrap(), 1_500_000_000);
        assert!(duration("interval", "5").is_err());
        assert!(duration("interval", "1us").is_err());
    }

    #[test]
    fn what_is_no_json_list_is_a_shells_line() {
        assert_eq!(Command::parse(r#"["a", "b"]"#), Command::Exec(vec!["a".into(), "b".into()]));
        assert_eq!(Command::parse("['a']"), Command::Shell("['a']".into()));
        assert_eq!(Command::parse("[ -f x ]"), Command::Shell("[ -f x ]".into()));
    }
}
