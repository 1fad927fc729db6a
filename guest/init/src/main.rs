//! `berth-guest`: the engine's program. As PID 1 it is the VM's init; as `berth-guest serve` it is the engine on
//! any Linux machine.

mod daemon_json;
mod listen;
mod logs;
mod pid1;
mod publish;
mod serve;
mod sys;

use clap::Parser;

/// Berth's container engine.
#[derive(Parser)]
#[command(name = "berth-guest", version)]
enum Command {
    /// Serves the Docker API on this Linux machine, without a VM.
    Serve(Box<serve::Args>),
}

fn main() -> anyhow::Result<()> {
    if std::process::id() == 1 {
        logs::Logs::begin(&daemon_json::DaemonJson::default())?;
        return pid1::run();
    }
    match Command::parse() {
        Command::Serve(args) => serve::run(*args),
    }
}
