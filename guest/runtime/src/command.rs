//! `berth-runtime` as an OCI runtime command: the verbs of the OCI runtime specification with runc's command line, as
//! containerd, dockerd and podman call it. One file per verb.
//!
//! A container belongs to its caller: `create` leaves a process that waits at a socket and ends itself. What is known
//! of it lies in a folder below `--root` ([`store`]); nothing else remembers it, and no daemon watches it.

mod check;
mod console;
mod create;
mod delete;
mod exec;
mod features;
mod foreground;
mod kill;
mod list;
mod mount;
mod pause;
mod place;
mod process;
mod ps;
mod report;
mod run;
mod signal;
mod spec;
mod start;
mod state;
mod store;
mod update;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ArgAction, Parser, Subcommand, ValueEnum};

use crate::error::{Doing, Error};
use report::Report;
use store::Store;

/// The version of the OCI runtime specification that is followed.
const SPEC_VERSION: &str = "1.2.0";
/// As runc tells it; the program's name is put before it.
const VERSION: &str = concat!("version ", env!("CARGO_PKG_VERSION"), "\nspec: 1.2.0");

/// What a verb ends with: the exit code of this program.
type Ended = Result<u8, Error>;

/// Runs containers as the OCI runtime specification describes them.
#[derive(Parser)]
#[command(name = "berth-runtime", version = VERSION, disable_version_flag = true)]
struct Command {
    /// Where containers are recorded.
    #[arg(long, default_value = "/run/berth-runtime")]
    root: PathBuf,
    /// The file that errors are appended to, besides standard error.
    #[arg(long)]
    log: Option<PathBuf>,
    /// How they are written there.
    #[arg(long, value_enum, default_value = "text")]
    log_format: LogFormat,
    /// Tell what is done, too.
    #[arg(long)]
    debug: bool,
    /// Let systemd make the cgroups (not supported).
    #[arg(long)]
    systemd_cgroup: bool,
    /// Whether to do without root's privileges (not supported): true, false or auto.
    #[arg(long, default_value = "auto", value_name = "true|false|auto")]
    rootless: String,
    /// Print the version.
    #[arg(short = 'v', long = "version", action = ArgAction::Version)]
    version: (),
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum LogFormat {
    Text,
    Json,
}

#[derive(Subcommand)]
enum Verb {
    Create(create::Args),
    Start(start::Args),
    State(state::Args),
    Kill(kill::Args),
    Delete(delete::Args),
    Run(run::Args),
    Exec(exec::Args),
    Ps(ps::Args),
    Pause(pause::Pause),
    Resume(pause::Resume),
    Update(update::Args),
    List(list::Args),
    /// Prints what this runtime supports, as JSON.
    Features,
    Spec(spec::Args),
}

/// Runs the verb that this program's arguments name.
pub fn run() -> ExitCode {
    let command = match Command::try_parse() {
        Ok(command) => command,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { 1 } else { 0 });
        }
    };
    let report = Report::new(command.log.as_deref(), command.log_format, command.debug);
    match run_verb(&command, &report) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            report.error(&error.describe());
            // As runc: a failed exec must not look like its program's own ending.
            ExitCode::from(if matches!(command.verb, Verb::Exec(_)) { 255 } else { 1 })
        }
    }
}

fn run_verb(command: &Command, report: &Report) -> Ended {
    refuse_global(command)?;
    let store = Store::new(&command.root)?;
    if matches!(command.verb, Verb::Create(_) | Verb::Run(_) | Verb::Exec(_)) {
        crate::protect::run_from_readonly_mount()?;
    }
    match &command.verb {
        Verb::Create(args) => create::run(args, &store, report),
        Verb::Start(args) => start::run(args, &store, report),
        Verb::State(args) => state::run(args, &store),
        Verb::Kill(args) => kill::run(args, &store),
        Verb::Delete(args) => delete::run(args, &store, report),
        Verb::Run(args) => run::run(args, &store, report),
        Verb::Exec(args) => exec::run(args, &store, report),
        Verb::Ps(args) => ps::run(args, &store),
        Verb::Pause(args) => pause::pause(args, &store),
        Verb::Resume(args) => pause::resume(args, &store),
        Verb::Update(args) => update::run(args, &store, report),
        Verb::List(args) => list::run(args, &store),
        Verb::Features => features::run(),
        Verb::Spec(args) => spec::run(args),
    }
}

/// One JSON value and a newline on standard output.
fn print_json(value: &impl serde::Serialize) -> Ended {
    let text = serde_json::to_string_pretty(value).map_err(Error::Handshake)?;
    print(&(text + "\n"))
}

/// A reader that has gone away is no failure of the verb.
fn print(text: &str) -> Ended {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(error).doing("write to standard output")
        }
        _ => Ok(0),
    }
}

fn refuse_global(command: &Command) -> Result<(), Error> {
    if command.systemd_cgroup {
        return Err(Error::Refused("--systemd-cgroup isn't supported: use the cgroupfs driver".into()));
    }
    match command.rootless.as_str() {
        "false" | "auto" => Ok(()),
        "true" => Err(Error::Refused("--rootless isn't supported: this runtime needs root".into())),
        other => Err(Error::Value { what: "--rootless takes true, false or auto, not", value: other.into() }),
    }
}
