//! `cargo xtask test`: the README's second command and all that CI runs.
//!
//! Order: the cheapest check first, so that a wrong space fails in seconds and not in minutes.

use crate::step::{cargo, step};
use crate::{build, image, setup, tidy};

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Neither format, lints nor tidy.
    #[arg(long)]
    only_tests: bool,
}

/// Runs everything this machine can run; a skip prints its reason, a failure stops with a non-zero exit.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run(&setup::Args::default())?;
    if !args.only_tests {
        step("format", cargo().args(["fmt", "--all", "--check"]))?;
        tidy::run()?;
        step(
            "lints",
            cargo().args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]),
        )?;
    }
    build::run(&build::Args::default())?;
    image::run(&image::Args::default())?;
    step("tests", cargo().args(["nextest", "run", "--workspace", "--no-fail-fast", "--no-tests=fail"]))
}
