//! `cargo xtask suite …`: other people's tests against our engine, beside the same run against a reference.
//!
//! A suite that nobody else wrote proves more than our own; what fails with the reference too doesn't count. The counts
//! go into tests/scoreboard.json.

mod docker_py;
mod scoreboard;

/// What `cargo xtask suite` takes.
#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// docker-py's integration tests: a Docker client's view of the whole API.
    DockerPy(docker_py::Args),
}

/// Runs a suite.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    match args {
        Args::DockerPy(args) => docker_py::run(args),
    }
}
