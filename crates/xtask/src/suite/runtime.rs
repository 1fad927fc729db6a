//! Where an OCI runtime is tested, and which one: on this machine, or in a privileged container of the VM, whose kernel
//! has every cgroup controller.
//!
//! A suite is a folder of programs and a script. The script finds the runtime in `$RUNTIME`, runs in the folder, and
//! what it prints is read.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;

use super::scoreboard::{self, Score};
use crate::container_image::ContainerImage;
use crate::interrupt;
use crate::peer::{Engine, Peer};
use crate::step::{find_program, programs_dir, workspace_root};

/// What each suite of runtimes takes.
#[derive(clap::Args)]
// A group is named after its type, and the suite's own type has this name, too.
#[group(skip)]
pub(super) struct Args {
    /// The runtime under test.
    #[arg(long, value_enum, default_value = "berth")]
    runtime: Runtime,
    /// Where it runs.
    #[arg(long, value_enum, default_value = "native")]
    place: Place,
}

/// Which runtime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// Ours.
    Berth,
    /// Debian's runc, the reference.
    Runc,
    /// Debian's crun.
    Crun,
}

/// Where.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Place {
    /// On this machine, as it is.
    Native,
    /// In the VM.
    Machine,
}

/// The VM's image of a suite.
const IMAGE: &str = "berth/suite:latest";
/// Where the suite lies in it.
const FOLDER: &str = "suite";
/// A suite that takes longer hangs; the emulated machine is ten times slower than this one.
const SECONDS: &str = "3600";
/// No registry is asked; the machine needs a port to be started with.
const NO_REGISTRY: u16 = 5000;

impl Args {
    /// Runs `script` of `suite` beside the files of `folder`; returns what it prints, which is kept as well.
    pub(super) fn run(&self, suite: &str, folder: &Path, script: &str) -> anyhow::Result<String> {
        let program = self.program()?;
        let printed = match self.place {
            Place::Native => native(self.runtime, &program, folder, script),
            Place::Machine => in_machine(&program, folder, script),
        }?;
        let name = format!("{suite} {} {}.log", word(self.runtime), word(self.place)).replace(' ', "-");
        let kept = workspace_root().join("target/suites").join(name);
        fs::write(&kept, &printed).with_context(|| format!("write {}", kept.display()))?;
        println!("What the suite printed is in {}", kept.display());
        Ok(printed)
    }

    /// Puts `score` on the board, beside runc's of the same place.
    pub(super) fn note(&self, suite: &str, score: Score) -> anyhow::Result<()> {
        let name = |runtime: Runtime| format!("{} {}", word(runtime), word(self.place));
        scoreboard::note(suite, &name(self.runtime), &name(Runtime::Runc), score)
    }

    fn program(&self) -> anyhow::Result<PathBuf> {
        if self.runtime == Runtime::Berth {
            let program = programs_dir().join("berth-runtime");
            if !program.is_file() {
                bail!("berth-runtime isn't built: `cargo xtask build` makes it");
            }
            return Ok(program);
        }
        let name = word(self.runtime);
        find_program(&name).with_context(|| format!("{name} isn't installed"))
    }
}

/// A value as the command line has it.
fn word(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

fn native(runtime: Runtime, program: &Path, folder: &Path, script: &str) -> anyhow::Result<String> {
    let mut tests = Command::new("timeout");
    // What a test leaves mounted or running, created and never started say, goes with the namespaces.
    tests.args(["--signal", "KILL", SECONDS, "unshare", "--mount", "--propagation", "private"]);
    tests.args(["--pid", "--mount-proc", "--fork", "--kill-child", "sh", "-c"]);
    if runtime == Runtime::Crun {
        // Where the machine has the v2 hierarchy beside those of v1, crun gives up.
        tests.arg(format!("umount --quiet /sys/fs/cgroup/unified; {script}"));
    } else {
        tests.arg(script);
    }
    tests.current_dir(folder).env("RUNTIME", program);
    words_of(&mut tests)
}

fn in_machine(program: &Path, folder: &Path, script: &str) -> anyhow::Result<String> {
    let home = tempfile::tempdir().context("make a home for the machine")?;
    let archive = home.path().join("suite.tar");
    image(program, folder)?.save(IMAGE, &archive)?;
    let peer = Peer::start(Engine::Machine, home.path(), NO_REGISTRY)?;
    interrupt::output(peer.berth(&["load", "--quiet", "--input"]).arg(&archive))?;
    let run = ["run", "--rm", "--privileged", "--cgroupns", "host", "--tmpfs", "/tmp:exec", "--workdir"];
    let mut tests = peer.berth(&run);
    tests.arg(format!("/{FOLDER}")).arg("--env").arg(format!("RUNTIME={}", program_in_image(program)));
    tests.args([IMAGE, "timeout", SECONDS, "sh", "-c", script]);
    words_of(&mut tests)
}

/// What `tests` print, whatever they end with: it is what they print that counts.
fn words_of(tests: &mut Command) -> anyhow::Result<String> {
    println!("==> the suite runs (minutes)");
    let child = tests.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn();
    let output = child.context("run the suite")?.wait_with_output()?;
    interrupt::check()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn program_in_image(program: &Path) -> String {
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    format!("/usr/bin/{name}")
}

/// busybox, the runtime with the libraries it loads, and the suite.
fn image(program: &Path, folder: &Path) -> anyhow::Result<ContainerImage> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let bytes = fs::read(entry.path()).with_context(|| format!("read {}", entry.path().display()))?;
        files.push((format!("{FOLDER}/{}", entry.file_name().to_string_lossy()), bytes));
    }
    ContainerImage::with_programs(&[program], files)
}
