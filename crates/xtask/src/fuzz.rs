//! `cargo xtask fuzz TARGET`: searches for bytes that break a decoder, with libFuzzer and the pinned toolchain.
//!
//! The coverage counters come from compiler passes that stable has; the sanitizers of nightly aren't needed for code
//! that is safe.

use std::fs;
use std::process::Command;

use anyhow::Context;

use crate::step::{cargo, step, workspace_root};

/// What `cargo xtask fuzz` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A folder of tests/fuzz/corpus; each in turn when none is named.
    target: Option<String>,
    /// How long each target is fuzzed.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
const COVERAGE: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 -Cdebug-assertions=on";
/// A decoder that needs more is broken.
const MEMORY_MIB: u32 = 2048;
const SECONDS_PER_INPUT: u32 = 10;

/// Fuzzes; fails at the first input that breaks a target.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = workspace_root().join("target/fuzz");
    let mut build = cargo();
    build.args(["build", "--package", "fuzz", "--features", "libfuzzer", "--target", TARGET]);
    build.arg("--target-dir").arg(&folder);
    build.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", COVERAGE);
    step("build the fuzz targets", &mut build)?;
    let corpora = workspace_root().join("tests/fuzz/corpus");
    let mut targets: Vec<String> = match &args.target {
        Some(target) => vec![target.clone()],
        None => fs::read_dir(&corpora)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<anyhow::Result<_>>()?,
    };
    targets.sort();
    for target in targets {
        let seeds = corpora.join(&target);
        fs::metadata(&seeds).with_context(|| format!("there is no target {target}"))?;
        // What is found stays between runs; only what broke something goes into the repository.
        let found = folder.join("corpus").join(&target);
        fs::create_dir_all(&found)?;
        let mut fuzz = Command::new(folder.join(TARGET).join("debug/fuzz"));
        fuzz.env("BERTH_FUZZ_TARGET", &target).arg(&found).arg(&seeds);
        fuzz.arg(format!("-max_total_time={}", args.seconds)).arg("-print_final_stats=1");
        fuzz.arg(format!("-rss_limit_mb={MEMORY_MIB}")).arg(format!("-timeout={SECONDS_PER_INPUT}"));
        fuzz.arg(format!("-artifact_prefix={}/", seeds.display()));
        step(&format!("fuzz {target}"), &mut fuzz)
            .with_context(|| format!("the input lies in {}: keep it there as a test", seeds.display()))?;
    }
    Ok(())
}
