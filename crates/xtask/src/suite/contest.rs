//! youki's contest: create, start, state, kill, delete and every field of the specification, seen from outside and by
//! a program inside.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::runtime;
use super::scoreboard::Score;
use crate::step::{cargo, step, workspace_root};

/// What `cargo xtask suite contest` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkout of youki.
    #[arg(long)]
    source: PathBuf,
    /// Only these groups of tests; nothing is noted then.
    #[arg(long, value_delimiter = ',')]
    groups: Vec<String>,
    #[command(flatten)]
    runtime: runtime::Args,
}

const TARGET: &str = "x86_64-unknown-linux-gnu";
/// Each group in a process of its own: a test that panics takes what runs beside it with it. The group left out asks for
/// more than a runtime has: it tests the suite itself. Contest excuses what runc can't do when it is told that this is
/// runc; nothing here is excused.
const SCRIPT: &str = "for group in ${GROUPS_WANTED:-$(./contest list)}; do [ $group = example ] && continue; echo \"# test $group\"; \
    timeout 300 ./contest run --runtime \"$RUNTIME\" --runtimetest ./runtimetest --tests $group; \
    echo \"# code $?\"; done";

/// Builds contest, runs it and notes what passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let contest = args.source.join("tests/contest");
    if !contest.is_dir() {
        bail!("{} isn't a checkout of youki: it has no tests/contest", args.source.display());
    }
    let folder = tempfile::tempdir().context("make a folder for the suite")?;
    build(&args.source, folder.path())?;
    fs::copy(contest.join("contest/bundle.tar.gz"), folder.path().join("bundle.tar.gz"))
        .context("copy contest's bundle")?;
    let script = format!("GROUPS_WANTED=\"{}\"; {SCRIPT}", args.groups.join(" "));
    let printed = args.runtime.run("contest", folder.path(), &script)?;
    if !printed.contains("# End group") {
        bail!("contest didn't run: {}", printed.lines().last().unwrap_or("it printed nothing"));
    }
    let score = read(&printed);
    if !args.groups.is_empty() {
        println!("{} passed, {} skipped, failed: {:?}", score.passed, score.skipped, score.failed);
        return Ok(());
    }
    args.runtime.note("contest", score)
}

/// Builds contest and what it runs in containers, both static, into `folder`.
fn build(source: &Path, folder: &Path) -> anyhow::Result<()> {
    let target = workspace_root().join("target/suites/contest");
    let mut build = cargo();
    build.args(["build", "--quiet", "--release", "--target", TARGET, "--package", "contest"]);
    build.args(["--package", "runtimetest", "--manifest-path"]).arg(source.join("Cargo.toml"));
    build.arg("--target-dir").arg(&target);
    build.env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS", "-Ctarget-feature=+crt-static");
    build.env("LIBSECCOMP_LINK_TYPE", "static").env("LIBSECCOMP_LIB_PATH", "/usr/lib/x86_64-linux-gnu");
    // What it measures isn't speed, and link-time optimisation takes minutes; but an emulated machine unpacks the bundle
    // for each test, and groups of tests have a deadline.
    build.env("CARGO_PROFILE_RELEASE_LTO", "off").env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1");
    // Whatever toolchain the suite asks for, this machine's is used.
    build.env("RUSTUP_TOOLCHAIN", std::env::var_os("RUSTUP_TOOLCHAIN").unwrap_or_default());
    step("build contest", &mut build)?;
    for program in ["contest", "runtimetest"] {
        let built = target.join(TARGET).join("release").join(program);
        step(
            &format!("lay {program}"),
            Command::new("strip").arg("-o").arg(folder.join(program)).arg(built),
        )?;
    }
    Ok(())
}

/// Counts lines like `1 / 5 : test_name : ok` beneath `# test NAME`; a group that didn't get to its end is one failure.
fn read(printed: &str) -> Score {
    let mut score = Score::default();
    let mut group = "";
    for line in printed.lines() {
        if let Some(name) = line.strip_prefix("# test ") {
            group = name;
        }
        if line.strip_prefix("# code ").is_some_and(|code| code != "0") {
            score.failed.insert(group.to_owned());
        }
        let words: Vec<_> = line.split(" : ").collect();
        let [_, test, result] = words[..] else { continue };
        match result.trim() {
            "ok" => score.passed += 1,
            "skipped" => score.skipped += 1,
            _ => drop(score.failed.insert(format!("{group}.{test}"))),
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_contest_prints_is_counted() {
        let printed = "# test a\n# Start group a\n1 / 3 : one : ok\n2 / 3 : two : not ok\n\twhy : so\n\
            3 / 3 : three : skipped\n\tno\n# End group a\n\n# code 0\n# test b\n# code 101\n";
        let score = read(printed);
        assert_eq!((score.passed, score.skipped), (1, 1));
        assert_eq!(score.failed.into_iter().collect::<Vec<_>>(), ["a.two", "b"]);
    }
}
