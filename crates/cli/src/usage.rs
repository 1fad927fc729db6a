//! A command line that can't be understood, in Docker's words.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::failure::Failure;

/// The usage line of each of Docker's commands.
const USAGES: &[(&str, &str)] = &[
    ("run", "[OPTIONS] IMAGE [COMMAND] [ARG...]"),
    ("exec", "[OPTIONS] CONTAINER COMMAND [ARG...]"),
    ("ps", "[OPTIONS]"),
    ("images", "[OPTIONS] [REPOSITORY[:TAG]]"),
    ("pull", "[OPTIONS] NAME[:TAG|@DIGEST]"),
    ("load", "[OPTIONS]"),
    ("logs", "[OPTIONS] CONTAINER"),
    ("stop", "[OPTIONS] CONTAINER [CONTAINER...]"),
    ("rm", "[OPTIONS] CONTAINER [CONTAINER...]"),
];

/// The usage line of one command.
fn usage(called: &str, command: &str) -> String {
    let known = USAGES.iter().find(|(name, _)| *name == command);
    format!("Usage:  {called} {command} {}", known.map_or("[OPTIONS]", |(_, usage)| usage))
}

/// Docker's end of such a message.
fn ending(called: &str, command: &str) -> String {
    format!("Run '{called} {command} --help' for more information")
}

/// What `run` itself, or the engine for it, refuses.
pub(crate) fn refused(called: &str, command: &str, message: &str) -> Failure {
    Failure::new(format!("{called}: {message}\n\n{}", ending(called, command))).with_code(125)
}

/// Too few arguments.
pub(crate) fn at_least_one(called: &str, command: &str) -> Failure {
    wrong_count(called, command, "requires at least 1 argument")
}

fn wrong_count(called: &str, command: &str, complaint: &str) -> Failure {
    let usage = usage(called, command);
    // The client's own unevenness, slip of the pen included.
    let verb = match complaint {
        _ if complaint.contains("at least") => "See",
        _ if complaint.contains("at most") => "SRun",
        _ => "Run",
    };
    let help = ending(called, command).replacen("Run", verb, 1);
    Failure::new(format!("{called}: '{called} {command}' {complaint}\n\n{usage}\n\n{help}"))
}

/// A flag that isn't one, or whose value isn't one.
fn wrong_flag(called: &str, command: &str, complaint: &str) -> Failure {
    let (usage, help) = (usage(called, command), ending(called, command));
    Failure::new(format!("{complaint}\n\n{usage}\n\n{help}")).with_code(125)
}

/// A flag's value that was looked at after all flags were read.
pub(crate) fn wrong_value(command: &str, flag: &str, value: &str, reason: &str) -> Failure {
    wrong_flag("docker", command, &format!("invalid argument \"{value}\" for \"{flag}\" flag: {reason}"))
}

/// What clap refuses, said as Docker says it; help and version are printed as they are.
pub(crate) fn explain(called: &str, words: &[OsString], error: &clap::Error, all: &clap::Command) -> Failure {
    let words: Vec<_> = words.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    let command = words.iter().find(|word| !word.starts_with('-')).map_or("", |word| word.as_ref());
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    let flag = context(ContextKind::InvalidArg);
    let flag = flag.split_whitespace().next().unwrap_or_default();
    let value = context(ContextKind::InvalidValue);
    match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            Failure::silent(0)
        }
        ErrorKind::UnknownArgument if !flag.starts_with('-') => {
            wrong_count(called, command, most_arguments(command))
        }
        ErrorKind::UnknownArgument => wrong_flag(called, command, &unknown(flag, &words)),
        ErrorKind::MissingRequiredArgument => wrong_count(called, command, least_arguments(command)),
        ErrorKind::InvalidSubcommand => Failure::new(format!(
            "{called}: unknown command: {called} {command}\n\nRun '{called} --help' for more information"
        )),
        ErrorKind::InvalidValue if value.is_empty() => {
            let last = words.last().map_or("", |word| word.as_ref());
            let complaint = match last.strip_prefix('-').and_then(|shorts| shorts.chars().last()) {
                Some(short) if !last.starts_with("--") => {
                    format!("flag needs an argument: '{short}' in {last}")
                }
                _ => format!("flag needs an argument: {flag}"),
            };
            wrong_flag(called, command, &complaint)
        }
        ErrorKind::ValueValidation | ErrorKind::InvalidValue | ErrorKind::TooManyValues => {
            let reason = std::error::Error::source(error).map(ToString::to_string);
            let reason =
                reason.unwrap_or_else(|| format!("strconv.ParseBool: parsing {value:?}: invalid syntax"));
            let named = in_full(all, command, flag);
            wrong_flag(called, command, &format!("invalid argument {value:?} for \"{named}\" flag: {reason}"))
        }
        _ => Failure::new(error.render().to_string().trim_end().to_owned()).with_code(125),
    }
}

/// A flag that there isn't.
fn unknown(flag: &str, words: &[std::borrow::Cow<'_, str>]) -> String {
    if flag.starts_with("--") {
        return format!("unknown flag: {}", flag.split('=').next().unwrap_or(flag));
    }
    let short = flag.chars().nth(1).unwrap_or('-');
    let holds = |word: &&std::borrow::Cow<'_, str>| {
        word.starts_with('-') && !word.starts_with("--") && word.contains(short)
    };
    format!(
        "unknown shorthand flag: '{short}' in {}",
        words.iter().find(holds).map_or(flag, |word| word.as_ref())
    )
}

/// `--memory` as `-m, --memory`.
fn in_full(all: &clap::Command, command: &str, flag: &str) -> String {
    let of_command = all.find_subcommand(command);
    let long = flag.trim_start_matches('-');
    let argument =
        of_command.and_then(|of| of.get_arguments().find(|argument| argument.get_long() == Some(long)));
    match argument.and_then(clap::Arg::get_short) {
        Some(short) => format!("-{short}, --{long}"),
        None => format!("--{long}"),
    }
}

fn least_arguments(command: &str) -> &'static str {
    match command {
        "exec" => "requires at least 2 arguments",
        "pull" | "logs" => "requires 1 argument",
        _ => "requires at least 1 argument",
    }
}

fn most_arguments(command: &str) -> &'static str {
    match command {
        "images" => "requires at most 1 argument",
        "pull" | "logs" => "requires 1 argument",
        _ => "accepts no arguments",
    }
}
