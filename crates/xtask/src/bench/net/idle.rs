//! Thousands of connections of a container at once, of which none says anything: what the machine's process takes for them,
//! whether all of them still answer, and whether nothing of them is left.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};

use super::super::load::{IMAGE, PROGRAM};
use super::super::{mebibytes, memory};
use crate::bench::site::Site;

/// Descriptors of a process beside those of connections.
const BESIDE: u64 = 100;
/// What ended is gone by then.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);

/// Lets this process and those that it starts have a descriptor for each connection.
pub(super) fn make_room(flows: usize) -> anyhow::Result<()> {
    let limit = getrlimit(Resource::Nofile);
    let wanted = flows as u64 + BESIDE;
    if limit.maximum.is_some_and(|most| most < wanted) {
        bail!(
            "{flows} connections take {wanted} descriptors, more than `ulimit -Hn` allows: ask for fewer (--flows)"
        );
    }
    Ok(setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })?)
}

/// Holds so many to a server at that address; says what they took.
pub(super) fn hold(site: &Site, address: &str, flows: usize) -> anyhow::Result<Value> {
    let machine = site.machine()?;
    let before = Taken::by(machine)?;
    let mut client = Client::start(site, address, flows)?;
    let held = client.count()?;
    let with = Taken::by(machine)?;
    client.ask()?;
    let answered = client.count()?;
    client.end()?;
    let deadline = Instant::now() + PATIENCE;
    let mut after = Taken::by(machine)?;
    while after.descriptors > before.descriptors && Instant::now() < deadline {
        std::thread::sleep(PAUSE);
        after = Taken::by(machine)?;
    }
    println!(
        "  {held} idle connections: {answered} still answer; the machine's process grows by {:.1} MiB (PSS by {:.1} MiB)\n  \
         and {} descriptors; of these {} are left when they are over, and {:.1} MiB",
        mebibytes(with.own.saturating_sub(before.own)),
        mebibytes(with.pss.saturating_sub(before.pss)),
        with.descriptors.saturating_sub(before.descriptors),
        after.descriptors.saturating_sub(before.descriptors),
        mebibytes(after.own.saturating_sub(before.own)),
    );
    let figures =
        |taken: &Taken| json!({ "own": taken.own, "pss": taken.pss, "descriptors": taken.descriptors });
    let [before, with, after] = [before, with, after].map(|taken| figures(&taken));
    Ok(json!({ "held": held, "answered": answered, "before": before, "with": with, "after": after }))
}

/// What a process has, in bytes and in number.
struct Taken {
    own: u64,
    pss: u64,
    descriptors: usize,
}

impl Taken {
    fn by(process: u32) -> anyhow::Result<Self> {
        let descriptors = fs::read_dir(format!("/proc/{process}/fd")).context("count descriptors")?.count();
        Ok(Self { own: memory::own(process)?, pss: memory::pss(process)?, descriptors })
    }
}

/// The client in its container; it ends with the value, and its connections with it.
struct Client {
    process: Child,
    says: BufReader<ChildStdout>,
    hears: Option<ChildStdin>,
}

impl Client {
    fn start(site: &Site, address: &str, flows: usize) -> anyhow::Result<Self> {
        let (count, files) = (flows.to_string(), format!("nofile={}", flows as u64 + BESIDE));
        let run = ["run", "--rm", "--interactive", "--ulimit", &files, IMAGE, PROGRAM];
        let mut docker = site.client(&[&run[..], &["idle", address, &count]].concat());
        let mut process =
            docker.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("run docker")?;
        let (hears, says) = (process.stdin.take(), process.stdout.take().context("docker has no output")?);
        Ok(Self { process, says: BufReader::new(says), hears })
    }

    /// Asks each connection once more.
    fn ask(&mut self) -> anyhow::Result<()> {
        Ok(self.hears.as_mut().context("the client's input is closed")?.write_all(b"\n")?)
    }

    fn count(&mut self) -> anyhow::Result<usize> {
        let mut line = String::new();
        self.says.read_line(&mut line)?;
        line.trim().parse().context("the client holds no connections")
    }

    fn end(&mut self) -> anyhow::Result<()> {
        drop(self.hears.take());
        if !self.process.wait()?.success() {
            bail!("the client failed");
        }
        Ok(())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}
