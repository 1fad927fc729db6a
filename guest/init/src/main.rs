//! `berth-guest`: the engine's program. As PID 1 it is the VM's init; as `berth-guest serve` it is the engine on
//! any Linux machine.

mod daemon_json;
mod listen;
mod pid1;
mod publish;
mod serve;
mod sys;

use clap::Parser;
use tracing_subscriber::EnvFilter;

/// Berth's container engine.
#[derive(Parser)]
#[command(name = "berth-guest", version)]
enum Command {
    /// Serves the Docker API on this Linux machine, without a VM.
    Serve(serve::Args),
}

fn main() -> anyhow::Result<()> {
    let filter = EnvFilter::try_from_env("BERTH_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    if std::process::id() == 1 {
        return pid1::run();
    }
    match Command::parse() {
        Command::Serve(args) => serve::run(args),
    }
}
