//! `berth status`.

use std::io::Write;
use std::process::ExitCode;

use protocol::control::{Status, Wish};
use protocol::machine::{Kind, State};

use crate::control::Conversation;
use crate::daemon;
use crate::failure::{Failure, Outcome};
use crate::start::seconds;
use crate::table::Table;

/// Shows the machine's state and every phase of its start: when it began, how long it took, when it is given up and
/// what it waits for.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Prints the daemon's status; without a daemon the machine is stopped.
pub(crate) async fn run(args: Args) -> Outcome {
    let settings = daemon::settings()?;
    let status = match daemon::running(&settings).await {
        Some(daemon) => Conversation::begin(daemon, Wish::Status).await?.next().await?,
        None => None,
    };
    let status = status.unwrap_or_else(|| Status {
        version: protocol::VERSION,
        state: State::Stopped,
        machine: None,
        problem: None,
        phases: Vec::new(),
        docker_socket: settings.docker_socket().display().to_string(),
        ports: Vec::new(),
    });
    let text = if args.json {
        format!("{}\n", serde_json::to_string_pretty(&status).map_err(Failure::from_error)?)
    } else {
        shown(&status)
    };
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn shown(status: &Status) -> String {
    let state = match status.state {
        State::Stopped => "stopped",
        State::Starting => "starting",
        State::Running => "running",
        State::Stopping => "stopping",
        State::Failed => "failed",
    };
    let kind = match status.machine {
        Some(Kind::Emulated) if status.state != State::Stopped => " (an emulated machine)",
        _ => "",
    };
    let mut text = format!("State:   {state}{kind}\nSocket:  unix://{}\n", status.docker_socket);
    if let Some(problem) = &status.problem {
        text.push_str(&format!("Problem: {}\n", problem.message));
    }
    for port in &status.ports {
        text.push_str(&format!("Port:    {port}\n"));
    }
    if !status.phases.is_empty() {
        let mut table = Table::new(&["PHASE", "BEGAN", "TOOK", "DEADLINE", "WAITS FOR"]);
        for phase in &status.phases {
            let took =
                phase.took_ms.map_or_else(|| "...".to_owned(), |took| format!("{:.3} s", seconds(took)));
            table.row(vec![
                phase.name.clone(),
                format!("{:.3} s", seconds(phase.began_ms)),
                took,
                format!("{:.0} s", seconds(phase.deadline_ms)),
                phase.waits_for.clone(),
            ]);
        }
        text.push('\n');
        text.push_str(&table.to_string());
    }
    text
}
