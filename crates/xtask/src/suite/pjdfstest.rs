//! pjdfstest: what POSIX says of files, asked of a shared folder, by its device and over vsock, of the published virtiofsd's,
//! and of a volume.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

use super::scoreboard::{self, Score};
use crate::container_image::ContainerImage;
use crate::folders::{Folders, PLACES};
use crate::step::{cargo, step, workspace_root};

/// What `cargo xtask suite pjdfstest` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A checkout of saidsay-so/pjdfstest, the suite's rewrite in Rust.
    #[arg(long)]
    source: PathBuf,
    /// The virtiofsd to run beside.
    #[arg(long)]
    virtiofsd: Option<PathBuf>,
    /// Only tests whose name holds this; what they say is printed, and nothing is noted.
    #[arg(long)]
    only: Option<String>,
}

/// Times are as exact as the kernels' ticks are: 10 ms in the guest.
const CONFIGURATION: &[u8] =
    b"[settings]\nnaptime = 0.03\n\n[dummy_auth]\nentries = [\n  [\"nobody\", \"nobody\"],\n  \
    [\"tests\", \"tests\"],\n]\n";
const USERS: &[u8] =
    b"root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\ntests:x:1000:1000::/:/bin/sh\n";
const GROUPS: &[u8] = b"root:x:0:\nnobody:x:65534:\ntests:x:1000:\n";
/// A file system other than those under test.
const ELSEWHERE: &str = "/dev/shm";
/// It ends with 1 when a test failed: that is what is counted here.
const SCRIPT: &str = "cd \"$1\" && shift && timeout 1200 pjdfstest \"$@\"; [ $? -lt 2 ]";

/// Builds it, runs it in each place in turn, and notes what passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folders = Folders::start(&image(&build(&args.source)?)?, args.virtiofsd.as_deref())?;
    for place in PLACES {
        let name = place.name;
        println!("==> the suite runs in {name}");
        let mut words = vec!["env", "NO_COLOR=1", "sh", "-c", SCRIPT, "sh", place.folder];
        words.extend(["--configuration-file", "/etc/pjdfstest.toml", "--secondary-fs", ELSEWHERE]);
        words.extend(args.only.as_deref());
        let printed = folders.exec(&place, &words).with_context(|| format!("run pjdfstest in {name}"))?;
        if args.only.is_some() {
            println!("{printed}");
        } else {
            scoreboard::note("pjdfstest", name, "ext4", read(&printed))?;
        }
    }
    Ok(())
}

/// Builds it; returns the program.
fn build(source: &Path) -> anyhow::Result<PathBuf> {
    let manifest = source.join("rust/Cargo.toml");
    if !manifest.is_file() {
        bail!("{} isn't a checkout of saidsay-so/pjdfstest: it has no rust/Cargo.toml", source.display());
    }
    let target = workspace_root().join("target/suites/pjdfstest");
    let mut build = cargo();
    build.args(["build", "--quiet", "--locked", "--release", "--manifest-path"]).arg(manifest);
    build.arg("--target-dir").arg(&target);
    // What it measures isn't speed.
    build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0");
    // Whatever toolchain the suite asks for, this machine's is used.
    build.env("RUSTUP_TOOLCHAIN", std::env::var_os("RUSTUP_TOOLCHAIN").unwrap_or_default());
    step("build pjdfstest", &mut build)?;
    Ok(target.join("release/pjdfstest"))
}

/// busybox, the suite, and the users that it becomes.
fn image(program: &Path) -> anyhow::Result<ContainerImage> {
    let files = [("etc/pjdfstest.toml", CONFIGURATION), ("etc/passwd", USERS), ("etc/group", GROUPS)];
    let files = files.map(|(name, bytes)| (name.to_owned(), bytes.to_vec()));
    ContainerImage::with_programs(&[program], files.into())
}

/// Counts lines like `chmod::ctime::regular   ok`.
fn read(printed: &str) -> Score {
    let mut score = Score::default();
    for line in printed.lines().filter(|line| !line.starts_with(char::is_whitespace)) {
        let words: Vec<_> = line.split_whitespace().collect();
        match words[..] {
            [_, "ok"] => score.passed += 1,
            [_, "skipped"] => score.skipped += 1,
            [test, "FAILED"] => drop(score.failed.insert(test.to_owned())),
            _ => {}
        }
    }
    score
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_are_counted_by_their_words() {
        let printed = "chmod::a    ok\nchmod::b    FAILED\n\tassertion failed: ok\nchmod::c   skipped\n\trequires x\n\n\
            Summary: 1 failed, 1 skipped, 1 passed, 3 total\n";
        let score = read(printed);
        assert_eq!((score.passed, score.skipped), (1, 1));
        assert_eq!(score.failed.into_iter().collect::<Vec<_>>(), ["chmod::b"]);
    }
}
