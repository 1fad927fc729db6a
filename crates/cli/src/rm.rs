//! `rm`.

use std::io::Write;
use std::process::ExitCode;

use bollard::query_parameters::RemoveContainerOptionsBuilder;

use crate::engine;
use crate::failure::{Failure, Outcome};
use crate::global::Global;

/// Remove one or more containers
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove the specified link
    #[arg(short, long)]
    link: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
    /// The containers.
    #[arg(value_name = "CONTAINER", required = true)]
    containers: Vec<String>,
}

/// Removes each; one that can't be removed doesn't keep the others.
pub(crate) async fn run(args: Args, global: &Global) -> Outcome {
    let engine = engine::connect(global).await?;
    let mut failures = Vec::new();
    for name in &args.containers {
        let trimmed = name.trim_matches('/');
        if trimmed.is_empty() {
            failures.push("container name cannot be empty".to_owned());
            continue;
        }
        let options = RemoveContainerOptionsBuilder::new().force(args.force).v(args.volumes).link(args.link);
        match engine.docker.remove_container(trimmed, Some(options.build())).await {
            Ok(()) => writeln!(std::io::stdout().lock(), "{name}")?,
            // With --force, a container that isn't there is as removed as can be; it is said all the same.
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, message })
                if args.force =>
            {
                writeln!(std::io::stderr().lock(), "Error response from daemon: {message}")?;
            }
            Err(error) => failures.push(Failure::from(error).message().to_owned()),
        }
    }
    if failures.is_empty() { Ok(ExitCode::SUCCESS) } else { Err(Failure::new(failures.join("\n"))) }
}
