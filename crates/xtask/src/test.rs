//! `cargo xtask test`: the README's second command and all that CI runs.
//!
//! Order: the cheapest check first, so that a wrong space fails in seconds and not in minutes. Our own tests only:
//! other people's suites, benches, cross checks and long fuzzing are commands of their own.

mod machine;
pub(crate) mod skips;

use std::fs::{self, File};

use anyhow::{Context, anyhow};

use crate::step::{cargo, step, workspace_root};
use crate::{build, buildx, image, setup, tidy, window};

/// What `cargo xtask test` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Only these parts; all when none is named.
    parts: Vec<Part>,
}

/// A part of the tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Part {
    /// Format, lints, house rules, the window's types.
    Checks,
    /// Unit tests, and the black-box tests against an engine run natively, the window among them.
    Native,
    /// The same black-box tests against the engine in the VM.
    Machine,
}

/// Everything, in order.
const ALL: &[Part] = &[Part::Checks, Part::Native, Part::Machine];

/// Runs everything this machine can run; a skip prints its reason, a failure stops with a non-zero exit.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::run(&setup::Args::default())?;
    let parts = if args.parts.is_empty() { ALL } else { &args.parts };
    if parts.contains(&Part::Checks) {
        checks()?;
    }
    if parts.iter().any(|part| *part != Part::Checks) {
        build::run(&build::Args::default())?;
        image::run(&image::Args::default())?;
    }
    match (parts.contains(&Part::Native), parts.contains(&Part::Machine)) {
        (true, true) => beside_each_other(),
        (true, false) => native(),
        (false, true) => machine::run(None),
        (false, false) => Ok(()),
    }
}

/// This machine's tests and the VM's. Those of the VM take turns at one emulator, which leaves processors idle; what they
/// print comes last.
fn beside_each_other() -> anyhow::Result<()> {
    // Before both, for neither to build what the other runs.
    step("build the tests", cargo().args(["nextest", "run", "--workspace", "--no-run"]))?;
    let path = workspace_root().join("target/machine-tests.log");
    let log = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    let (native, machine) = std::thread::scope(|scope| {
        let machine = scope.spawn(|| machine::run(Some(&log)));
        (native(), machine.join().unwrap_or_else(|_| Err(anyhow!("the machine's tests: a panic"))))
    });
    let printed = fs::read(&path).with_context(|| format!("read {}", path.display()))?;
    println!("{}", String::from_utf8_lossy(&printed));
    match (native, machine) {
        (Err(native), Err(machine)) => Err(machine.context(native)),
        (native, machine) => native.and(machine),
    }
}

fn native() -> anyhow::Result<()> {
    let mut tests = cargo();
    tests.args(["nextest", "run", "--workspace", "--no-fail-fast"]);
    step("native tests", buildx::tell(&mut tests))?;
    skips::print("default")?;
    folders_over_a_stream()
}

/// The suite of shared folders once more, over a stream as a machine without a device for them has it.
fn folders_over_a_stream() -> anyhow::Result<()> {
    let mut tests = cargo();
    tests.args([
        "nextest",
        "run",
        "--workspace",
        "--no-fail-fast",
        "-E",
        "package(sharefs) and binary(suite)",
    ]);
    step("native tests of folders over a stream", tests.env("BERTH_TEST_SHARES_OVER", "vsock"))?;
    skips::print("default")
}

fn checks() -> anyhow::Result<()> {
    step("format", cargo().args(["fmt", "--all", "--check"]))?;
    tidy::run()?;
    window::check_page()?;
    let lints = ["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"];
    step("lints", cargo().args(lints))
}
