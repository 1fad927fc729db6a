//! `berth`: the command line of Berth, which is also `docker` when called so, and the host daemon's program.
//!
//! Each command is one file of the same name. The doc comment of its arguments is its help text.

mod anatomy;
mod attach;
mod control;
mod daemon;
mod detach_keys;
mod endpoint;
mod engine;
mod exec;
mod failure;
mod global;
mod images;
mod load;
mod logs;
mod moment;
mod progress;
mod ps;
mod pull;
mod quantity;
mod raw;
mod registry_auth;
mod rm;
mod run;
mod start;
mod status;
mod stop;
mod switches;
mod table;
mod template;
mod terminal;
mod usage;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Parser;

use crate::failure::{Failure, Outcome};
use crate::global::Global;

/// A container desktop with an engine of its own.
#[derive(Parser)]
#[command(name = "berth", version, disable_help_subcommand = true, after_help = global::HELP)]
enum Command {
    Start(start::Args),
    Stop(stop::Args),
    Status(status::Args),
    Anatomy(anatomy::Args),
    #[command(flatten)]
    Docker(Docker),
    /// The host daemon. `berth start` starts it.
    #[command(hide = true)]
    Daemon,
    /// The machine's process. The daemon starts it.
    #[command(hide = true)]
    Vmm {
        /// What it is made of.
        config: PathBuf,
    },
}

/// The subset of Docker's commands that both names have.
#[derive(clap::Subcommand)]
enum Docker {
    Run(Box<run::Args>),
    Exec(exec::Args),
    Ps(ps::Args),
    Images(images::Args),
    Pull(pull::Args),
    Load(load::Args),
    Logs(logs::Args),
    Rm(rm::Args),
}

/// A client of containers and images.
#[derive(Parser)]
#[command(name = "docker", version, disable_help_subcommand = true, after_help = global::HELP)]
enum AsDocker {
    Stop(stop::Args),
    #[command(flatten)]
    Docker(Docker),
}

fn main() -> ExitCode {
    let words: Vec<std::ffi::OsString> = std::env::args_os().collect();
    let called = words.first().map(Path::new).and_then(Path::file_stem).unwrap_or_default();
    let outcome = if called == "docker" {
        parse::<AsDocker>("docker", &words).and_then(|(global, command)| docker(global, command))
    } else {
        parse::<Command>("berth", &words).and_then(|(global, command)| berth(global, command))
    };
    match outcome {
        Ok(code) => code,
        Err(failure) => failure.tell(),
    }
}

/// Reads the command line; what can't be understood is said in Docker's words.
fn parse<T: Parser>(called: &str, words: &[std::ffi::OsString]) -> Result<(Global, T), Failure> {
    let (global, words) = Global::take(called, words)?;
    let command = T::command();
    let words = switches::plain(&command, &words);
    let parsed = T::try_parse_from(&words);
    Ok((global, parsed.map_err(|error| usage::explain(called, &words, &error, &command))?))
}

fn berth(global: Global, command: Command) -> Outcome {
    match command {
        Command::Daemon => daemon::serve(),
        Command::Vmm { config } => done(hostd::machine(&config)),
        Command::Start(args) => wait_for(start::run(args)),
        Command::Stop(args) => wait_for(stop::run(args, true, &global)),
        Command::Status(args) => wait_for(status::run(args)),
        Command::Anatomy(args) => wait_for(anatomy::run(args, &global)),
        Command::Docker(command) => wait_for(run_docker(command, "berth", &global)),
    }
}

fn docker(global: Global, command: AsDocker) -> Outcome {
    match command {
        AsDocker::Stop(args) => wait_for(stop::run(args, false, &global)),
        AsDocker::Docker(command) => wait_for(run_docker(command, "docker", &global)),
    }
}

async fn run_docker(command: Docker, called: &'static str, global: &Global) -> Outcome {
    match command {
        Docker::Run(args) => run::run(*args, called, global).await,
        Docker::Exec(args) => exec::run(args, global).await,
        Docker::Ps(args) => ps::run(args, global).await,
        Docker::Images(args) => images::run(args, global).await,
        Docker::Pull(args) => pull::run(args, global).await,
        Docker::Load(args) => load::run(args, global).await,
        Docker::Logs(args) => logs::run(args, global).await,
        Docker::Rm(args) => rm::run(args, global).await,
    }
}

/// Runs a command on one thread: it waits for streams and does nothing in parallel.
fn wait_for(command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(command);
    // A thread may still wait for standard input; it must not keep the command alive.
    runtime.shutdown_background();
    outcome
}

fn done<E: std::error::Error + Send + Sync + 'static>(result: Result<(), E>) -> Outcome {
    result.map_err(Failure::from_error)?;
    Ok(ExitCode::SUCCESS)
}
