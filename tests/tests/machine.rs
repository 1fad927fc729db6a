//! What only the VM has: a kernel of our own, and an engine that its PID 1 starts again.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use e2e::condition::eventually;
use e2e::engine::Engine;

/// A shell that sees and may end every process of the machine.
const ROOT: &[&str] =
    &["run", "--rm", "--privileged", "--pid", "host", "--network", "none", "busybox", "sh", "-c"];

/// A connection that says nothing for so long hangs.
const SILENCE: Duration = Duration::from_secs(20);

/// The machine's processes whose command line begins with a pattern.
fn processes(engine: &Engine, pattern: &str) -> String {
    let script = format!(
        "for p in /proc/[0-9]*; do tr '\\0' ' ' < $p/cmdline 2>/dev/null | grep -q '^{pattern}' && \
         echo ${{p#/proc/}}; done; true"
    );
    engine.ok(&[ROOT, &[&script]].concat())
}

/// Kills such a process, of which there must be exactly one; returns which it was.
fn kill(engine: &Engine, pattern: &str) -> String {
    let process = processes(engine, pattern);
    assert_eq!(process.lines().count(), 1, "{pattern}: {process}");
    // The engine's own client is cut off when the engine is what ends.
    engine.docker(&[ROOT, &[&format!("kill -9 {process}")]].concat());
    process
}

#[test]
fn containers_outlive_the_engine_in_the_guest_with_every_line_and_exit_code() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let script = "i=0; while [ ! -e /go ]; do i=$((i+1)); echo $i; sleep 0.05; done; exit 9";
    engine.ok(&["run", "-d", "--name", "counter", "--network", "none", "busybox", "sh", "-c", script]);
    let started = engine.inspect("counter", ".State.StartedAt");
    const ENGINE: &str = "/bin/berth-guest serve ";
    let killed = kill(&engine, ENGINE);
    eventually("the engine is back", || {
        (engine.docker(&["inspect", "--format", "{{.State.Status}}", "counter"]).out == "running")
            .then_some(())
    });
    assert_ne!(processes(&engine, ENGINE), killed);
    assert_eq!(engine.inspect("counter", ".State.StartedAt"), started);
    // The container's end may come before that of its `touch`, which it then ends too.
    engine.docker(&["exec", "counter", "touch", "/go"]);
    assert_eq!(engine.ok(&["wait", "counter"]), "9");
    let log = engine.ok(&["logs", "counter"]);
    let lines: Vec<usize> = log.lines().map(|line| line.parse().expect("a whole line")).collect();
    assert_eq!(lines, (1..=lines.len()).collect::<Vec<_>>(), "a line is lost or told twice");
}

#[test]
fn a_clock_that_is_wrong_by_hours_is_set_right_and_published_connections_go_on() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let echo = ["nc", "-ll", "-p", "7", "-e", "cat"];
    engine.ok(&[&["run", "-d", "--name", "echo", "-p", "127.0.0.1::7", "busybox"], &echo[..]].concat());
    let port = engine.ok(&["port", "echo", "7"]);
    let connect = || {
        eventually("the port answers", || {
            let mut client = TcpStream::connect(&port).ok()?;
            client.set_read_timeout(Some(SILENCE)).expect("a timeout is set");
            hears_itself(&mut client).ok().map(|()| client)
        })
    };
    let mut kept = connect();
    let seconds = || {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("after 1970");
        now.as_secs()
    };
    for jump in ["+ 36000", "- 36000"] {
        engine.ok(&[ROOT, &[&format!("date -s @$(($(date +%s) {jump})) > /dev/null")]].concat());
        hears_itself(&mut kept).expect("the connection from before goes on");
        drop(connect());
        eventually("the guest's clock is right", || {
            let before = seconds();
            let guest: u64 =
                engine.ok(&["run", "--rm", "--network", "none", "busybox", "date", "+%s"]).parse().ok()?;
            (before - 1..=seconds() + 1).contains(&guest).then_some(())
        });
        hears_itself(&mut kept).expect("the connection from before goes on");
    }
}

/// Says a word to an echo and waits for it.
fn hears_itself(client: &mut TcpStream) -> std::io::Result<()> {
    client.write_all(b"hello")?;
    let mut heard = [0; 5];
    client.read_exact(&mut heard)?;
    assert_eq!(&heard, b"hello");
    Ok(())
}

#[test]
fn a_container_in_the_guest_dies_with_its_guard_and_says_why() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let id = engine.ok(&["run", "-d", "--name", "held", "--network", "none", "busybox", "sleep", "1000"]);
    kill(&engine, &format!("/.*berth-guard .*{id}"));
    eventually("its end is noticed", || (engine.inspect("held", ".State.Status") == "exited").then_some(()));
    assert_eq!(engine.inspect("held", ".State.ExitCode"), "137");
    assert!(engine.inspect("held", ".State.Error").contains("guard"));
}

#[test]
fn the_kernel_has_what_the_engine_needs() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let configuration = engine.ok(&[ROOT, &["zcat /proc/config.gz"]].concat());
    let has = |name: &&str| configuration.lines().any(|line| line == format!("CONFIG_{name}=y"));
    let missing: Vec<_> = NEEDED.iter().filter(|name| !has(name)).collect();
    assert!(missing.is_empty(), "the kernel lacks {missing:?}");
    // By this, a container without a system call filter would reach the engine.
    assert!(!has(&"VSOCKETS_LOOPBACK"), "vsock leads from the guest to itself");
}

/// By what a container gets from each: namespaces, limits, files, network, safety, the machine's devices.
const NEEDED: &[&str] = &[
    "UTS_NS",
    "IPC_NS",
    "USER_NS",
    "PID_NS",
    "NET_NS",
    "TIME_NS",
    "CGROUPS",
    "MEMCG",
    "BLK_CGROUP",
    "CFS_BANDWIDTH",
    "CGROUP_PIDS",
    "CGROUP_FREEZER",
    "CGROUP_HUGETLB",
    "CPUSETS",
    "CGROUP_BPF",
    "PSI",
    "OVERLAY_FS",
    "EROFS_FS",
    "EXT4_FS",
    "EXT4_FS_SECURITY",
    "TMPFS",
    "TMPFS_XATTR",
    "FUSE_FS",
    "VIRTIO_FS",
    "NFS_V4",
    "POSIX_MQUEUE",
    "INOTIFY_USER",
    "FANOTIFY",
    "BINFMT_MISC",
    "VETH",
    "BRIDGE",
    "MACVLAN",
    "IPVLAN",
    "VXLAN",
    "NET_CLS_ACT",
    "IPV6",
    "NF_TABLES_INET",
    "NF_CONNTRACK",
    "NFT_NAT",
    "NFT_MASQ",
    "NFT_CT",
    "NFT_FIB_INET",
    "NFT_NUMGEN",
    "SECCOMP_FILTER",
    "SECURITY_LANDLOCK",
    "CPU_MITIGATIONS",
    "RANDOMIZE_BASE",
    "VIRTIO_BLK",
    "VIRTIO_NET",
    "VIRTIO_BALLOON",
    "PAGE_REPORTING",
    "VIRTIO_VSOCKETS",
    "HW_RANDOM_VIRTIO",
    "IKCONFIG_PROC",
];
