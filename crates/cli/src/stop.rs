//! `stop`: containers by name; `berth stop` without a name stops the machine.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use bollard::query_parameters::StopContainerOptionsBuilder;
use protocol::control::Wish;

use crate::control::Conversation;
use crate::engine;
use crate::failure::{Failure, Outcome};
use crate::global::Global;
use crate::{daemon, quantity, usage};

/// How long a daemon without a machine may take to end.
const GONE: Duration = Duration::from_secs(5);

/// Stop one or more running containers
#[derive(clap::Args)]
#[command(after_help = "Without a container, `berth stop` stops the machine and the daemon.")]
pub(crate) struct Args {
    /// Signal to send to the container
    #[arg(short, long)]
    signal: Option<String>,
    /// Seconds to wait before killing the container
    #[arg(short, long, visible_alias = "time", allow_hyphen_values = true, value_parser = quantity::integer)]
    timeout: Option<i64>,
    /// The containers.
    #[arg(value_name = "CONTAINER")]
    containers: Vec<String>,
}

/// Stops containers, or the machine when `may_be_machine` and none is named.
pub(crate) async fn run(args: Args, may_be_machine: bool, global: &Global) -> Outcome {
    if args.containers.is_empty() {
        return if may_be_machine { machine().await } else { Err(usage::at_least_one("docker", "stop")) };
    }
    let engine = engine::connect(global).await?;
    let mut failures = Vec::new();
    for name in &args.containers {
        let mut options = StopContainerOptionsBuilder::new();
        if let Some(signal) = &args.signal {
            options = options.signal(signal);
        }
        if let Some(seconds) = args.timeout {
            options = options.t(i32::try_from(seconds).unwrap_or(i32::MAX));
        }
        match engine.docker.stop_container(name, Some(options.build())).await {
            Ok(()) => writeln!(std::io::stdout().lock(), "{name}")?,
            Err(error) => failures.push(Failure::from(error).message().to_owned()),
        }
    }
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Failure::new(failures.join("\n"))) }
}

async fn machine() -> Outcome {
    let settings = daemon::settings()?;
    let Some(stream) = daemon::running(&settings).await else {
        writeln!(std::io::stdout().lock(), "The machine doesn't run.")?;
        return Ok(ExitCode::SUCCESS);
    };
    let mut conversation = Conversation::begin(stream, Wish::Stop).await?;
    while conversation.next().await?.is_some() {}
    let deadline = Instant::now() + GONE;
    while !hostd::is_gone(&settings).map_err(Failure::from_error)? {
        if Instant::now() > deadline {
            return Err(Failure::new("the machine is stopped, but its daemon doesn't end"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    writeln!(std::io::stdout().lock(), "The machine is stopped.")?;
    Ok(ExitCode::SUCCESS)
}
