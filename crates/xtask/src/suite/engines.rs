//! Other people's engines on our runtime: `dockerd --add-runtime berth=…` and `podman --runtime …` run, exec, limit,
//! stop and log containers with it. Each check is a row of words for their command line, which both share.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, bail};
use clap::ValueEnum;
use serde_json::json;

use super::scoreboard::{self, Score};
use crate::container_image::ContainerImage;
use crate::peer::Peer;
use crate::step::{find_program, programs_dir};

/// What `cargo xtask suite engines` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Whose engine.
    #[arg(long, value_enum)]
    engine: Whose,
    /// The runtime under test: ours, or the engine's own.
    #[arg(long, value_enum, default_value = "berth")]
    runtime: Runtime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Whose {
    /// Debian's dockerd.
    Dockerd,
    /// Debian's podman.
    Podman,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Runtime {
    /// Ours.
    Berth,
    /// Debian's runc, the reference.
    Runc,
}

/// A check: its name, the commands, what the last one prints and ends with. `RUN` begins a container of the image.
type Check = (&'static str, &'static [&'static [&'static str]], &'static str, i32);

const IMAGE: &str = "localhost/berth/suite:latest";
/// No registry is asked.
const NO_REGISTRY: u16 = 5000;
/// No command takes longer.
const SECONDS: &str = "60";
/// A container's command that waits for a TERM.
const WAITS: &str = "trap 'echo got TERM; exit 5' TERM; echo up; while :; do sleep 0.1; done";

const CHECKS: &[Check] = &[
    ("run", &[&["RUN", "--rm", "IMAGE", "echo", "hello"]], "hello", 0),
    ("exit_code", &[&["RUN", "--rm", "IMAGE", "sh", "-c", "exit 7"]], "", 7),
    ("terminal", &[&["RUN", "--rm", "-t", "IMAGE", "sh", "-c", "test -t 1 && echo is one"]], "is one", 0),
    (
        "init",
        &[&["RUN", "--rm", "--init", "IMAGE", "sh", "-c", "echo $$ | grep -vx 1 >/dev/null && echo child"]],
        "child",
        0,
    ),
    (
        "user",
        &[&["RUN", "--rm", "--user", "1000:1001", "IMAGE", "sh", "-c", "id -u; id -g"]],
        "1000\n1001",
        0,
    ),
    (
        "read_only",
        &[&[
            "RUN",
            "--rm",
            "--read-only",
            "--tmpfs",
            "/scratch",
            "IMAGE",
            "sh",
            "-c",
            "touch /scratch/x && ! touch /x 2>/dev/null && echo both",
        ]],
        "both",
        0,
    ),
    (
        "privileged",
        &[&["RUN", "--rm", "--privileged", "IMAGE", "sh", "-c", "mount -t tmpfs x /mnt && echo mounted"]],
        "mounted",
        0,
    ),
    (
        "capabilities",
        &[&["RUN", "--rm", "--cap-drop", "ALL", "IMAGE", "grep", "CapEff", "/proc/self/status"]],
        "CapEff:\t0000000000000000",
        0,
    ),
    ("ulimit", &[&["RUN", "--rm", "--ulimit", "nofile=100:200", "IMAGE", "sh", "-c", "ulimit -n"]], "100", 0),
    (
        "oom_score",
        &[&["RUN", "--rm", "--oom-score-adj", "500", "IMAGE", "cat", "/proc/self/oom_score_adj"]],
        "500",
        0,
    ),
    (
        "limits",
        &[&["RUN", "--rm", "--memory", "64m", "--pids-limit", "50", "IMAGE", "echo", "limited"]],
        "limited",
        0,
    ),
    ("missing_program", &[&["RUN", "--rm", "IMAGE", "no-such-program"]], "", 127),
    ("folder_as_program", &[&["RUN", "--rm", "IMAGE", "/etc"]], "", 126),
    (
        "exec",
        &[
            &["RUN", "-d", "--name", "exec-one", "IMAGE", "sh", "-c", WAITS],
            &["exec", "exec-one", "sh", "-c", "echo in; exit 4"],
        ],
        "in",
        4,
    ),
    (
        "exec_terminal",
        &[
            &["RUN", "-d", "--name", "exec-tty", "IMAGE", "sh", "-c", WAITS],
            &["exec", "-t", "exec-tty", "sh", "-c", "test -t 1 && echo is one"],
        ],
        "is one",
        0,
    ),
    (
        "exec_user",
        &[
            &["RUN", "-d", "--name", "exec-user", "IMAGE", "sh", "-c", WAITS],
            &[
                "exec",
                "-u",
                "1000",
                "-w",
                "/bin",
                "-e",
                "A=b",
                "exec-user",
                "sh",
                "-c",
                "id -u; pwd; echo $A",
            ],
        ],
        "1000\n/bin\nb",
        0,
    ),
    (
        "pause",
        &[
            &["RUN", "-d", "--name", "pause-one", "IMAGE", "sh", "-c", WAITS],
            &["pause", "pause-one"],
            &["unpause", "pause-one"],
            &["exec", "pause-one", "echo", "goes on"],
        ],
        "goes on",
        0,
    ),
    (
        "kill",
        &[
            &["RUN", "-d", "--name", "kill-one", "IMAGE", "sleep", "1000"],
            &["kill", "kill-one"],
            &["wait", "kill-one"],
        ],
        "137",
        0,
    ),
    (
        "stop_and_logs",
        &[
            &["RUN", "-d", "--name", "stop-one", "IMAGE", "sh", "-c", WAITS],
            &["stop", "stop-one"],
            &["logs", "stop-one"],
        ],
        "up\ngot TERM",
        0,
    ),
    (
        "start_again",
        &[&["RUN", "--name", "again", "IMAGE", "echo", "once"], &["start", "-a", "again"]],
        "once",
        0,
    ),
    ("top", &[&["RUN", "-d", "--name", "top-one", "IMAGE", "sleep", "1000"], &["top", "top-one"]], "", 0),
];

/// Runs every check and notes what passed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let home = tempfile::tempdir().context("make a folder for the engine")?;
    let archive = home.path().join("image.tar");
    // podman reads it, too, and wants it to be there.
    fs::write(home.path().join("config.json"), "{}")?;
    ContainerImage::new(&json!({ "Env": ["PATH=/bin"] }), &[("mnt/", b"", 0o755)])?.save(IMAGE, &archive)?;
    let client = Client::start(args, home.path())?;
    let loaded = client.call(&["load", "--input", &archive.to_string_lossy()])?;
    if !loaded.status.success() {
        bail!("the engine doesn't load the image: {}", String::from_utf8_lossy(&loaded.stderr).trim());
    }
    let mut score = Score::default();
    for check in CHECKS {
        match client.check(check) {
            Ok(()) => score.passed += 1,
            Err(why) => {
                println!("  {}: {why:#}", check.0);
                score.failed.insert(check.0.to_owned());
            }
        }
    }
    let word = |value: Option<clap::builder::PossibleValue>| {
        value.map(|value| value.get_name().to_owned()).unwrap_or_default()
    };
    let engine = word(args.engine.to_possible_value());
    let name = |runtime: Runtime| format!("{engine} on {}", word(runtime.to_possible_value()));
    scoreboard::note("engines", &name(args.runtime), &name(Runtime::Runc), score)
}

/// The engine's own command line. When dropped, the engine ends, if there is one that runs.
struct Client {
    command: Vec<String>,
    /// Before the words of `run`.
    runs_with: Vec<String>,
    folder: PathBuf,
    peer: Option<Peer>,
}

impl Client {
    fn start(args: &Args, folder: &Path) -> anyhow::Result<Self> {
        let runtime = match args.runtime {
            Runtime::Berth => programs_dir().join("berth-runtime"),
            Runtime::Runc => find_program("runc").context("runc isn't installed")?,
        };
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        if args.engine == Whose::Podman {
            let at = |name: &str| folder.join(name).display().to_string();
            let mut command = words(&["unshare", "--mount", "--propagation", "private", "podman"]);
            command.extend(["--root".into(), at("root"), "--runroot".into(), at("run")]);
            command.extend(["--runtime".into(), runtime.display().to_string()]);
            command.extend(words(&["--cgroup-manager", "cgroupfs", "--events-backend", "file"]));
            // What it asks for by default is more than a machine may give.
            let limits = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
            fs::write(folder.join("containers.conf"), limits)?;
            let runs_with = words(&["--network", "none", "--cgroups", "enabled"]);
            return Ok(Self { command, runs_with, folder: folder.to_path_buf(), peer: None });
        }
        let engine = folder.join("engine");
        fs::create_dir(&engine)?;
        let peer = Peer::start_with_runtime(&engine, NO_REGISTRY, &runtime)?;
        let command = vec!["docker".into(), "--host".into(), format!("unix://{}", peer.socket().display())];
        let runs_with = words(&["--runtime", "under-test", "--network", "none"]);
        Ok(Self { command, runs_with, folder: folder.to_path_buf(), peer: Some(peer) })
    }

    /// Calls; an error only where nothing could be called at all.
    fn call(&self, words: &[&str]) -> anyhow::Result<Output> {
        let mut command = Command::new("timeout");
        command.arg(SECONDS).args(&self.command);
        for word in words {
            match *word {
                "RUN" => command.arg("run").args(&self.runs_with),
                "IMAGE" => command.arg(IMAGE),
                word => command.arg(word),
            };
        }
        command.env("DOCKER_CONFIG", &self.folder).env_remove("DOCKER_HOST");
        command.env("CONTAINERS_CONF", self.folder.join("containers.conf")).stdin(Stdio::null());
        command.output().with_context(|| format!("call {}", self.command.join(" ")))
    }

    fn check(&self, (_, commands, prints, code): &Check) -> anyhow::Result<()> {
        let Some((last, before)) = commands.split_last() else { return Ok(()) };
        for words in before {
            let output = self.call(words)?;
            if !output.status.success() {
                bail!("{}: {}", words.join(" "), String::from_utf8_lossy(&output.stderr).trim());
            }
        }
        let output = self.call(last)?;
        let text = String::from_utf8_lossy(&output.stdout).replace('\r', "");
        let is_as_told = prints.is_empty() || text.trim() == *prints;
        if output.status.code() == Some(*code) && is_as_told {
            return Ok(());
        }
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        bail!(
            "{} printed {:?} and ended with {}: {}",
            last.join(" "),
            text.trim(),
            output.status,
            error.trim()
        )
    }

    fn remove_all(&self) -> anyhow::Result<()> {
        let listed = self.call(&["ps", "--all", "--quiet"])?;
        for id in String::from_utf8_lossy(&listed.stdout).split_whitespace() {
            self.call(&["rm", "--force", id])?;
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        // A daemon that has ended takes its containers with it; podman has none.
        drop(self.remove_all());
        drop(self.peer.take());
    }
}
