//! The emulator, the host daemon and the engine in the VM are killed at random moments, with files and connections
//! open: what was synced through a share and on a volume is there, ports and mounts come back, and nobody hangs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use e2e::chance::{Chance, repeats};
use e2e::condition::eventually;
use e2e::machine::Machine;

/// Names how often something is killed.
const KILLS: &str = "BERTH_E2E_MACHINE_KILLS";
/// Some three minutes of them.
const SOME: u32 = 50;
/// One of so many is with folders over vsock.
const OVER_VSOCK: u32 = 5;
/// After the first number, in which some more are synced.
const MOMENTS: Duration = Duration::from_millis(1500);
/// A connection that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(20);

/// What it says to whoever connects: the last number on the volume, then each further one once it is synced in both
/// places.
const COUNT: &str = "touch /volume/log; exec 3>>/share/held 4>>/volume/held; \
    last=$(tail -n 1 /volume/log); i=${last:-0}; echo $i; \
    while :; do i=$((i+1)); for log in /share/log /volume/log; do \
    echo $i | dd of=$log oflag=append conv=notrunc,fsync 2>/dev/null || exit; done; \
    echo $i >&3; echo $i >&4; echo $i || exit; done";

/// What is killed.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Emulator,
    Daemon,
    Engine,
}

/// The engine is back in a moment, the machine takes seconds.
const VICTIMS: &[Victim] =
    &[Victim::Emulator, Victim::Engine, Victim::Daemon, Victim::Engine, Victim::Engine, Victim::Engine];

#[test]
fn what_was_synced_survives_any_kill_and_ports_and_mounts_come_back() {
    let rounds = repeats(KILLS, SOME);
    survives("virtio-fs", rounds - rounds / OVER_VSOCK);
}

#[test]
fn the_same_of_folders_over_vsock() {
    survives("vsock", repeats(KILLS, SOME) / OVER_VSOCK);
}

fn survives(shares_over: &str, rounds: u32) {
    let Some(machine) = Machine::stopped() else { return };
    let settings = format!(r#"{{"shares_over": "{shares_over}"}}"#);
    fs::write(machine.config_dir().join("settings.json"), settings).expect("choose how folders come");
    machine.start_with_busybox();
    let mut chance = Chance::seeded(3);
    let (folder, port) = (machine.folder("share"), free_port());
    run_counter(&machine, &folder, port);
    let mut told = 0;
    for round in 0..rounds {
        // The first rounds kill each once, whatever the seed.
        let next = if round < 3 { u64::from(round) } else { chance.number(VICTIMS.len() as u64) };
        let victim = VICTIMS[usize::try_from(next).expect("one of a few")];
        let what = format!("round {round}: {victim:?}, after {told}");
        eprintln!("{what}");
        let listener = Listener::connect(port, &what);
        assert!(listener.began_at >= told, "{what}: the volume is at {}", listener.began_at);
        let mut client = exec(&machine);
        std::thread::sleep(chance.moment(MOMENTS));
        strike(&machine, victim);
        told = listener.end(victim, &what);
        eventually(&format!("{what}: the client of an exec ends"), || {
            client.try_wait().expect("ask for its end")
        });
        assert_whole(&folder, told, &what);
        let state = machine.inspect("counter", "{{.State.Status}}");
        assert_eq!(state, "running", "{what}");
    }
    machine.ok(&["stop", "--time", "0", "counter"]);
    let volume =
        ["run", "--rm", "--network", "none", "--volumes-from", "counter", "busybox", "cat", "/volume/log"];
    assert_holds(&machine.ok(&volume), told, "the volume in the end");
}

fn run_counter(machine: &Machine, folder: &Path, port: u16) {
    let (share, published) = (format!("{}:/share", folder.display()), format!("127.0.0.1:{port}:80"));
    // It doesn't listen to the signal that asks it to stop: a machine that is told to stop waits for it.
    let run = ["run", "-d", "--name", "counter", "--restart", "always", "--stop-timeout", "1"];
    let folders = ["-v", &share, "-v", "kept:/volume"];
    let serve = ["-p", &published, "busybox", "nc", "-ll", "-p", "80", "-e", "sh", "-c", COUNT];
    machine.ok(&[&run[..], &folders, &serve].concat());
}

/// A client that waits for something that doesn't end by itself.
fn exec(machine: &Machine) -> Child {
    let mut client = machine.client("docker", &["exec", "counter", "sleep", "1000"]);
    client.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("run docker")
}

/// Kills it; returns when the machine serves again.
fn strike(machine: &Machine, victim: Victim) {
    match victim {
        Victim::Emulator => machine.lose_emulator(),
        Victim::Daemon => machine.lose_daemon(),
        Victim::Engine => {
            let kill =
                "kill -9 $(ps -o pid,args | grep '[b]erth-guest serve' | awk '{ print $1 }'); sleep 1000";
            let run =
                ["run", "--rm", "--privileged", "--pid", "host", "--network", "none", "--name", "killer"];
            let said = machine.docker(&[&run[..], &["busybox", "sh", "-c", kill]].concat());
            assert_ne!(said.code, 0, "the connection of its client ends with the engine");
        }
    }
    // Too many crashes in a row leave it to its user to start it, and a daemon that hasn't noticed one has nothing to do.
    eventually("the engine answers", || {
        (machine.berth(&["start"]).code == 0 && machine.docker(&["version"]).code == 0).then_some(())
    });
    machine.docker(&["rm", "-f", "killer"]);
    eventually("the container runs", || {
        (machine.inspect("counter", "{{.State.Status}}") == "running").then_some(())
    });
}

/// Somebody at the published port, who notes the highest number that he was told.
struct Listener {
    began_at: u64,
    told: Arc<AtomicU64>,
    thread: JoinHandle<std::io::Result<()>>,
    connection: TcpStream,
}

impl Listener {
    fn connect(port: u16, what: &str) -> Self {
        let (connection, mut lines, first) = eventually(&format!("{what}: the port answers"), || {
            let connection = TcpStream::connect(("127.0.0.1", port)).ok()?;
            connection.set_read_timeout(Some(SILENCE)).ok()?;
            let mut lines = BufReader::new(connection.try_clone().ok()?).lines();
            let first = lines.next()?.ok()?;
            Some((connection, lines, first))
        });
        let began_at = number(&first);
        let told = Arc::new(AtomicU64::new(began_at));
        let noted = Arc::clone(&told);
        let thread = std::thread::spawn(move || {
            lines.try_for_each(|line| {
                noted.store(number(&line?), Ordering::SeqCst);
                Ok(())
            })
        });
        eventually(&format!("{what}: a number is told"), || {
            (told.load(Ordering::SeqCst) > began_at).then_some(())
        });
        Self { began_at, told, thread, connection }
    }

    /// The highest number that he was told. The connection has ended with what carried it, and goes on without the engine.
    fn end(self, victim: Victim, what: &str) -> u64 {
        if matches!(victim, Victim::Engine) {
            let before = self.told.load(Ordering::SeqCst);
            eventually(&format!("{what}: the connection goes on"), || {
                (self.told.load(Ordering::SeqCst) > before).then_some(())
            });
            self.connection.shutdown(std::net::Shutdown::Both).expect("hang up");
        }
        eventually(&format!("{what}: the connection ends"), || self.thread.is_finished().then_some(()));
        match self.thread.join().expect("no panic") {
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                panic!("{what}: the connection hung")
            }
            _ => self.told.load(Ordering::SeqCst),
        }
    }
}

fn number(line: &str) -> u64 {
    line.parse().unwrap_or_else(|_| panic!("`{line}` is no number"))
}

/// Every number that was told is in the folder on the host.
fn assert_whole(folder: &Path, told: u64, what: &str) {
    let log = fs::read_to_string(folder.join("log")).expect("the host has the log");
    assert_holds(&log, told, what);
}

fn assert_holds(log: &str, told: u64, what: &str) {
    let numbers: BTreeSet<u64> = log.lines().map(number).collect();
    let missing: Vec<u64> = (1..=told).filter(|number| !numbers.contains(number)).collect();
    assert!(missing.is_empty(), "{what}: {missing:?} were synced and are gone");
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("find a free port");
    listener.local_addr().expect("its address").port()
}
