//! `cargo xtask suite …`: other people's tests against our engine, beside the same run against a reference.
//!
//! A suite that nobody else wrote proves more than our own; what fails with the reference too doesn't count. The counts
//! go into tests/scoreboard.json.

mod contest;
mod docker_py;
mod dockerfiles;
mod engines;
mod pjdfstest;
mod python;
mod runtime;
mod runtime_tools;
mod scoreboard;

use crate::setup;

/// What `cargo xtask suite` takes.
#[derive(clap::Subcommand)]
pub(crate) enum Args {
    /// docker-py's integration tests: a Docker client's view of the whole API.
    DockerPy(docker_py::Args),
    /// Our own corpus of Dockerfiles: what our engine, dockerd's classic builder and BuildKit make of each.
    Dockerfiles(dockerfiles::Args),
    /// youki's contest: an OCI runtime's view of its specification.
    Contest(contest::Args),
    /// Others' engines on our runtime: what they run, exec, stop and log with it.
    Engines(engines::Args),
    /// pjdfstest: what POSIX says of files, in a shared folder and on a volume.
    Pjdfstest(pjdfstest::Args),
    /// The validation of the OCI's runtime-tools.
    RuntimeTools(runtime_tools::Args),
}

/// Runs a suite.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    match args {
        Args::DockerPy(args) => docker_py::run(args),
        Args::Dockerfiles(args) => dockerfiles::run(args),
        Args::Contest(args) => contest::run(args),
        Args::Engines(args) => engines::run(args),
        Args::Pjdfstest(args) => pjdfstest::run(args),
        Args::RuntimeTools(args) => runtime_tools::run(args),
    }
}
