//! `ps`: the processes of a container.

use std::process::Command;

use super::list::Format;
use super::store::Store;
use super::{Ended, place, print, print_json};
use crate::error::{Doing, Error};

/// Shows the processes of a container.
#[derive(clap::Args)]
pub(super) struct Args {
    /// As what: ps(1)'s lines, or their numbers.
    #[arg(short, long, value_enum, default_value = "table")]
    format: Format,
    /// The container.
    id: String,
    /// For ps(1), instead of -ef.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    options: Vec<String>,
}

/// Shows them.
pub(super) fn run(args: &Args, store: &Store) -> Ended {
    let pids = place::cgroup(&store.record(&args.id)?.cgroup)?.pids_below()?;
    if args.format == Format::Json {
        return print_json(&pids);
    }
    let mut ps = Command::new("ps");
    if args.options.is_empty() {
        ps.arg("-ef")
    } else {
        ps.args(&args.options)
    };
    let output = ps.output().doing("run ps")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let head = text.lines().next().unwrap_or_default();
    let column = head.split_whitespace().position(|word| word == "PID");
    let column = column.ok_or_else(|| Error::Refused("ps shows no column PID".into()))?;
    let is_ours = |line: &&str| {
        let pid = line.split_whitespace().nth(column).and_then(|word| word.parse().ok());
        pid.is_some_and(|pid: i32| pids.contains(&pid))
    };
    let lines = std::iter::once(head).chain(text.lines().skip(1).filter(is_ours));
    print(&lines.map(|line| format!("{line}\n")).collect::<String>())
}
