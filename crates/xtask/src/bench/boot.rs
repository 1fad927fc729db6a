//! `cargo xtask bench boot`: how long until the Docker API answers, and how long the machine alone takes.
//!
//! The floor is the same emulator with the same arguments and kernel, without our devices; its root holds busybox,
//! whose shell prints a mark on the console. Both are measured in turns, so that a loaded machine slows both.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use serde_json::json;

use super::{median, memory};
use crate::demo;
use crate::step::programs_dir;

/// What `cargo xtask bench boot` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// How often.
    #[arg(long, default_value_t = 10)]
    runs: usize,
}

const MARK: &str = "the shell runs";
const INIT: &str = "#!/bin/busybox sh\n/bin/busybox mount -t devtmpfs dev /dev\n\
                    echo 'the shell runs' > /dev/console\n/bin/busybox reboot -f\n";
/// No start takes longer.
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let folder = tempfile::tempdir().context("make a folder for the measured machine")?;
    let machine = Machine { folder: folder.path().to_path_buf() };
    // The first boot makes the data disk; it isn't measured, and its emulator's arguments are the floor's.
    machine.start()?;
    let emulator = machine.emulator_arguments()?;
    let archive = demo::image::make(&machine.folder)?;
    machine.berth(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
    machine.berth(&["stop"])?;
    let floor = Floor::new(&emulator, &machine.folder)?;
    let (mut ours, mut floors, mut sizes) = (Vec::new(), Vec::new(), Vec::new());
    for run in 1..=args.runs {
        let (api, shell) = (machine.start()?.as_secs_f64(), {
            sizes = memory::of_machine(&machine.processes()?)?;
            sizes.push(("guest in use", machine.guest_memory()?));
            machine.berth(&["stop"])?;
            floor.boot()?.as_secs_f64()
        });
        println!("  {run:>2}: API {api:.3} s, shell {shell:.3} s");
        ours.push(api);
        floors.push(shell);
    }
    let (api, shell) = (median(ours.clone()), median(floors.clone()));
    println!("\n  launch to API answers   {api:>8.3} s   median of {}", args.runs);
    println!("  kernel to busybox shell {shell:>8.3} s   the floor, in the same machine");
    println!("  ratio                   {:>8.2}", api / shell);
    for (name, bytes) in &sizes {
        println!("  {name:<23} {:>8.1} MiB", *bytes as f64 / f64::from(1 << 20));
    }
    let memory: serde_json::Map<String, serde_json::Value> =
        sizes.iter().map(|(name, bytes)| ((*name).to_owned(), json!(bytes))).collect();
    println!(
        "{}",
        json!({ "bench": "boot", "runs": args.runs, "api_s": api, "floor_s": shell, "ratio": api / shell,
                "all_api_s": ours, "all_floor_s": floors, "bytes": memory })
    );
    Ok(())
}

/// A user with a machine of its own.
struct Machine {
    folder: PathBuf,
}

impl Machine {
    fn berth(&self, args: &[&str]) -> anyhow::Result<String> {
        let mut command = Command::new(programs_dir().join("berth"));
        command
            .args(args)
            .env("HOME", &self.folder)
            .env("XDG_RUNTIME_DIR", &self.folder)
            .stdin(Stdio::null());
        for name in ["DOCKER_HOST", "DOCKER_CONFIG", "XDG_CONFIG_HOME"] {
            command.env_remove(name);
        }
        let output = command.output().context("run target/berth/berth: `cargo xtask build` makes it")?;
        if !output.status.success() {
            bail!("berth {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Starts it; returns how long it took until the API answered a ping.
    fn start(&self) -> anyhow::Result<Duration> {
        let began = Instant::now();
        self.berth(&["start"])?;
        let mut stream = UnixStream::connect(self.folder.join("berth/docker.sock"))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"GET /_ping HTTP/1.1\r\nHost: docker\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        if !answer.starts_with("HTTP/1.1 200") {
            bail!("the API answers {answer}");
        }
        Ok(began.elapsed())
    }

    /// The daemon, the vmm process and the emulator.
    fn processes(&self) -> anyhow::Result<Vec<(&'static str, u32)>> {
        let daemon: u32 = fs::read_to_string(self.folder.join("berth/hostd.lock"))?.trim().parse()?;
        let vmm = memory::child_of(daemon).context("the daemon has no machine")?;
        let emulator = memory::child_of(vmm).context("the machine has no emulator")?;
        Ok(vec![("hostd PSS", daemon), ("vmm PSS", vmm), ("QEMU PSS", emulator)])
    }

    /// How the emulator was called.
    fn emulator_arguments(&self) -> anyhow::Result<Vec<String>> {
        let (_, emulator) = self.processes()?.pop().context("no emulator")?;
        let line = fs::read(format!("/proc/{emulator}/cmdline"))?;
        let words = line.split(|byte| *byte == 0).filter(|word| !word.is_empty());
        Ok(words.map(|word| String::from_utf8_lossy(word).into_owned()).collect())
    }

    /// Bytes in use in the guest, as a container sees them.
    fn guest_memory(&self) -> anyhow::Result<u64> {
        let run = ["run", "--rm", "--network", "none", demo::image::NAME, "cat", "/proc/meminfo"];
        let text = self.berth(&run)?;
        let value = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<u64>().ok()
        };
        let (all, free) = (value("MemTotal:"), value("MemAvailable:"));
        Ok((all.context("no MemTotal")? - free.context("no MemAvailable")?) * 1024)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(self.berth(&["stop"]));
    }
}

/// The same machine with nothing but a shell.
struct Floor {
    arguments: Vec<String>,
}

impl Floor {
    fn new(emulator: &[String], folder: &Path) -> anyhow::Result<Self> {
        let root = root(folder)?;
        let mut arguments = Vec::new();
        let mut words = emulator.iter();
        while let Some(word) = words.next() {
            let Some(value) =
                words.clone().next().filter(|value| word.starts_with('-') && !value.starts_with('-'))
            else {
                arguments.push(word.clone());
                continue;
            };
            words.next();
            // The data disk, and what our own processes serve.
            if ["id=data", "drive=data", "socket,", "vhost-user"].iter().any(|ours| value.contains(ours)) {
                continue;
            }
            let value = match word.as_str() {
                "-serial" => "stdio".to_owned(),
                "-drive" => format!("if=none,format=raw,id=root,readonly=on,file={}", root.display()),
                _ => value.clone(),
            };
            arguments.extend([word.clone(), value]);
        }
        Ok(Self { arguments })
    }

    /// From launch to the mark on the console.
    fn boot(&self) -> anyhow::Result<Duration> {
        let (program, arguments) = self.arguments.split_first().context("no emulator")?;
        let began = Instant::now();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("start the emulator")?;
        let console = child.stdout.take().context("no console")?;
        let mut lines = BufReader::new(console).lines().map_while(Result::ok);
        // The guest ends itself in any case: it reboots, or panics and reboots.
        let seen = lines.any(|line| line.contains(MARK));
        let took = began.elapsed();
        child.kill()?;
        let output = child.wait_with_output()?;
        if !seen {
            bail!("the shell never ran: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(took)
    }
}

/// A root image with busybox and our init.
fn root(folder: &Path) -> anyhow::Result<PathBuf> {
    let tree = folder.join("floor");
    for name in ["bin", "dev", "sbin"] {
        fs::create_dir_all(tree.join(name))?;
    }
    fs::copy("/bin/busybox", tree.join("bin/busybox")).context("busybox-static isn't installed")?;
    let init = tree.join("sbin/init");
    fs::write(&init, INIT)?;
    fs::set_permissions(&init, fs::Permissions::from_mode(0o755))?;
    let image = folder.join("floor.erofs");
    let made = Command::new("mkfs.erofs")
        .arg(&image)
        .arg(&tree)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    if !made.context("run mkfs.erofs")?.success() {
        bail!("mkfs.erofs failed");
    }
    Ok(image)
}
