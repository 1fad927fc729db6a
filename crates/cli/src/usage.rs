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
fn see_help(called: &str, command: &str) -> String {
    format!("Run '{called} {command} --help' for more information")
}

/// A flag's value that the client itself refuses.
pub(crate) fn invalid(called: &str, command: &str, message: &str) -> Failure {
    Failure::new(format!("{called}: {message}\n\n{}", see_help(called, command))).with_code(125)
}

/// Too few arguments.
pub(crate) fn at_least_one(called: &str, command: &str) -> Failure {
    wrong_count(called, command, "requires at least 1 argument")
}

fn wrong_count(called: &str, command: &str, complaint: &str) -> Failure {
    Failure::new(format!(
        "{called}: '{called} {command}' {complaint}\n\n{}\n\n{}",
        usage(called, command),
        see_help(called, command)
    ))
}

/// What clap refuses, said as Docker says it; help and version are printed as they are.
pub(crate) fn explain(called: &str, words: &[OsString], error: &clap::Error) -> Failure {
    let words: Vec<_> = words.iter().skip(1).map(|word| word.to_string_lossy()).collect();
    let command = words.iter().find(|word| !word.starts_with('-')).map_or("", |word| word.as_ref());
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => text.clone(),
        Some(ContextValue::Strings(texts)) => texts.join(" "),
        _ => String::new(),
    };
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Failure::silent(0)
        }
        ErrorKind::UnknownArgument => {
            let flag = context(ContextKind::InvalidArg);
            let complaint = if flag.starts_with("--") {
                format!("unknown flag: {}", flag.split('=').next().unwrap_or(&flag))
            } else if let Some(short) = flag.strip_prefix('-').and_then(|rest| rest.chars().next()) {
                let given = words.iter().find(|word| !word.starts_with("--") && word.starts_with('-') && word.contains(short));
                format!("unknown shorthand flag: '{short}' in {}", given.map_or(flag.as_str(), |word| word.as_ref()))
            } else {
                return wrong_count(called, command, if command == "ps" || command == "load" { "accepts no arguments" } else { "requires 1 argument" });
            };
            let text = format!("{complaint}\n\n{}\n\n{}", usage(called, command), see_help(called, command));
            Failure::new(text).with_code(125)
        }
        ErrorKind::MissingRequiredArgument => wrong_count(called, command, least_arguments(command)),
        ErrorKind::InvalidSubcommand => Failure::new(format!(
            "{called}: unknown command: {called} {command}\n\nRun '{called} --help' for more information"
        )),
        ErrorKind::InvalidValue if context(ContextKind::InvalidValue).is_empty() => {
            let flag = context(ContextKind::InvalidArg);
            let name = flag.split_whitespace().next().unwrap_or_default();
            let text = format!(
                "flag needs an argument: {name}\n\n{}\n\n{}",
                usage(called, command),
                see_help(called, command)
            );
            Failure::new(text).with_code(125)
        }
        _ => Failure::new(error.render().to_string().trim_end().to_owned()).with_code(125),
    }
}

fn least_arguments(command: &str) -> &'static str {
    match command {
        "exec" => "requires at least 2 arguments",
        "pull" | "logs" => "requires 1 argument",
        _ => "requires at least 1 argument",
    }
}
