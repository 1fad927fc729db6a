//! Connections and datagrams through published ports that aren't a page and its end: slow ones, half-closed ones,
//! ones whose reader stalls.

use std::io::{Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::need_program;
use e2e::perl;
use sha2::{Digest, Sha256};

/// Bytes that are more than what sockets and pipes on the way hold.
const LARGE: usize = 24 << 20;

/// A connection of the user's machine, through busybox's nc: the end of its input closes the writing side alone.
struct Connection {
    process: Child,
    to: Option<ChildStdin>,
    from: ChildStdout,
}

impl Connection {
    fn open(engine: &Engine, host: &str, port: &str) -> Self {
        let mut command = engine.beside("/bin/busybox");
        command.args(["nc", host, port]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("run nc");
        let to = process.stdin.take();
        let from = process.stdout.take().expect("its output");
        Self { process, to, from }
    }

    fn say(&mut self, bytes: &[u8]) {
        self.to.as_mut().expect("a writing side").write_all(bytes).expect("write");
    }

    /// Closes the writing side.
    fn said_all(&mut self) {
        self.to = None;
    }

    fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.from.read_to_end(&mut bytes).expect("read");
        bytes
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs a server in a container: the script is a connection's, whose bytes are its input and output.
fn serve(engine: &Engine, name: &str, publish: &str, script: &str) {
    let run = ["run", "-d", "--name", name, "-p", publish, "busybox", "nc", "-ll", "-p", "80", "-e"];
    engine.ok(&[&run[..], &["sh", "-c", script]].concat());
    let listens = || engine.ok(&["exec", name, "netstat", "-tln"]).contains(":80 ");
    eventually("it listens", || listens().then_some(()));
}

fn sum(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

#[test]
fn a_connection_that_was_said_all_to_still_gets_the_whole_answer() {
    let Some(engine) = Engine::with_busybox() else { return };
    // Nothing is said before the other side has said all.
    serve(&engine, "half", "18100:80", "cat > /tmp/all; sha256sum < /tmp/all; cat /tmp/all");
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    for host in ["127.0.0.1", "::1"] {
        if host == "::1" && engine.ok(&["port", "half"]).lines().all(|line| !line.contains("[::]")) {
            continue;
        }
        let mut connection = Connection::open(&engine, host, "18100");
        connection.say(&bytes);
        connection.said_all();
        let answer = connection.read_to_end();
        assert_eq!(String::from_utf8_lossy(&answer[..64]), sum(&bytes), "{host}");
        assert!(answer.ends_with(&bytes), "{host}: {} bytes", answer.len());
    }
}

#[test]
fn a_connection_of_single_bytes_carries_each_at_once() {
    let Some(engine) = Engine::with_busybox() else { return };
    serve(&engine, "echo", "18101:80", "cat");
    let mut connection = Connection::open(&engine, "127.0.0.1", "18101");
    for byte in 0..=255_u8 {
        connection.say(&[byte]);
        let mut answer = [0];
        connection.from.read_exact(&mut answer).expect("its echo");
        assert_eq!(answer, [byte]);
    }
    connection.said_all();
    assert_eq!(connection.read_to_end(), b"", "both sides end");
}

#[test]
fn a_reader_that_stalls_gets_all_of_it_once_it_reads_and_delays_nobody() {
    let Some(engine) = Engine::with_busybox() else { return };
    let fill = format!("[ -e /tmp/all ] || head -c {LARGE} /dev/urandom > /tmp/all; cat /tmp/all");
    serve(&engine, "flood", "18102:80", &fill);
    let mut stalled = Connection::open(&engine, "127.0.0.1", "18102");
    let waiting = || {
        let sockets = engine.ok(&["exec", "flood", "netstat", "-tn"]);
        let line = sockets.lines().find(|line| line.contains(":80 ") && line.contains("ESTABLISHED"))?;
        line.split_whitespace().nth(2)?.parse::<u64>().ok().filter(|bytes| *bytes > 0)
    };
    eventually("all on the way is full", || {
        let before = waiting()?;
        (Some(before) == waiting() && Some(before) == waiting()).then_some(())
    });
    let mut other = Connection::open(&engine, "127.0.0.1", "18102");
    let whole = other.read_to_end();
    assert_eq!(whole.len(), LARGE, "another's connection goes on meanwhile");
    let late = stalled.read_to_end();
    assert_eq!(late.len(), LARGE);
    assert!(late == whole, "and each byte is in its place");
}

/// Answers each datagram at port 53 with its sender's bytes turned around, at any address of either family.
const TURN: &str = include_str!("published/turn.pl");

/// Sends one datagram after the other and prints the answers: to an address of either family.
const SEND: &str = include_str!("published/send.pl");

#[test]
fn datagrams_to_a_published_port_are_answered_over_both_families() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(turn) = perl::script(folder.path(), "turn", TURN) else { return };
    let bind = format!("{}:/x", folder.path().display());
    engine.ok(&["network", "create", "--ipv6", "both"]);
    let run = ["run", "-d", "--name", "turns", "--network", "both", "-p", "18103:53/udp", "-v", &bind];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", &format!("exec {turn}")]].concat());
    assert!(engine.ok(&["port", "turns"]).contains("53/udp -> 0.0.0.0:18103"));
    let large = "ab".repeat(700);
    let send = |version: &str, words: &[&str]| {
        let mut command = engine.beside("perl");
        let output = command.args(["-e", SEND, version, "18103"]).args(words).output().expect("run perl");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    for version in ["4", "6"] {
        eventually("an answer comes", || (send(version, &["hello"]) == "olleh\n").then_some(()));
        let turned = large.chars().rev().collect::<String>();
        assert_eq!(send(version, &["one", "two", &large, "four"]), format!("eno\nowt\n{turned}\nruof\n"));
    }
    engine.ok(&["rm", "-f", "turns"]);
    assert_eq!(send("4", &["hello"]), "", "the port closes with its container");
}

/// Starts a server of pages that say its name, and publishes it as these options say.
fn page(engine: &Engine, name: &str, options: &[&str]) {
    let script = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 80 -h /www";
    let run = ["run", "-d", "--name", name, "--hostname", name];
    engine.ok(&[&run[..], options, &["busybox", "sh", "-c", script]].concat());
}

fn says(engine: &Engine, address: &str, name: &str) {
    let page = eventually("the page comes", || engine.fetch(address));
    assert_eq!(page, format!("{name}\n"), "{address}");
}

#[test]
fn a_port_that_a_program_of_the_host_has_is_refused_until_it_ends() {
    let Some(engine) = Engine::with_busybox() else { return };
    let mut command = engine.beside("/bin/busybox");
    let holds = command.args(["httpd", "-f", "-p", "127.0.0.1:18150", "-h", "/"]);
    let mut holder = holds.stdin(Stdio::null()).spawn().expect("run httpd");
    let knock = ["nc", "-w", "1", "127.0.0.1", "18150"];
    let knock = || engine.beside("/bin/busybox").args(knock).stdin(Stdio::null()).status().expect("run nc");
    eventually("the host's program listens", || knock().success().then_some(()));
    engine.ok(&["create", "--name", "web", "-p", "18150:80", "busybox", "sleep", "1000"]);
    let said = engine.docker(&["start", "web"]);
    let expected = "failed to bind host port for 0.0.0.0:18150:";
    assert!(said.code == 1 && said.err.contains(expected), "{said:?}");
    assert!(said.err.contains(":80/tcp: address already in use"), "{said:?}");
    assert_eq!(engine.inspect("web", ".State.Status"), "created");
    holder.kill().expect("end the host's program");
    holder.wait().expect("it ends");
    engine.ok(&["start", "web"]);
    assert!(engine.ok(&["port", "web"]).contains("80/tcp -> 0.0.0.0:18150"));
}

#[test]
fn ranges_are_port_by_port_or_as_many_as_there_are() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "both", "-p", "18151-18153:81-83", "busybox", "sleep", "1000"]);
    let shown = engine.ok(&["port", "both"]);
    let lines: Vec<&str> = shown.lines().filter(|line| line.contains("0.0.0.0")).collect();
    let pairs = ["81/tcp -> 0.0.0.0:18151", "82/tcp -> 0.0.0.0:18152", "83/tcp -> 0.0.0.0:18153"];
    assert_eq!(lines, pairs);
    // Of a range for one port the first that is free is taken.
    for (name, port) in [("first", "18154"), ("second", "18155")] {
        page(&engine, name, &["-p", "127.0.0.1:18154-18155:80"]);
        assert_eq!(engine.ok(&["port", name, "80"]), format!("127.0.0.1:{port}"));
        says(&engine, &format!("127.0.0.1:{port}"), name);
    }
    let run = ["run", "--name", "third", "-p", "127.0.0.1:18154-18155:80", "busybox", "true"];
    let said = engine.docker(&run);
    assert!(said.code == 125 && said.err.contains("all ports are allocated"), "{said:?}");
    engine.ok(&["rm", "-f", "first"]);
    page(&engine, "again", &["-p", "127.0.0.1:18154-18155:80"]);
    says(&engine, "127.0.0.1:18154", "again");
}

#[test]
fn one_number_is_anothers_at_another_address_or_by_another_transport_but_not_at_all_of_them() {
    let Some(engine) = Engine::with_busybox() else { return };
    page(&engine, "one", &["-p", "127.0.0.1:18156:80", "-p", "127.0.0.1:18156:80/udp"]);
    page(&engine, "two", &["-p", "127.0.0.2:18156:80", "-p", "127.0.0.2:18157:80"]);
    says(&engine, "127.0.0.1:18156", "one");
    says(&engine, "127.0.0.2:18156", "two");
    says(&engine, "127.0.0.2:18157", "two");
    for (publish, holder) in [("18157:80", "127.0.0.2:18157"), ("127.0.0.1:18156:81", "127.0.0.1:18156")] {
        let said = engine.docker(&["run", "--rm", "-p", publish, "busybox", "true"]);
        let expected = format!("Bind for {holder} failed: port is already allocated");
        assert!(said.code == 125 && said.err.contains(&expected), "{said:?}");
    }
    let said = engine.docker(&["run", "--rm", "-p", "192.0.2.77:18156:80", "busybox", "true"]);
    let expected =
        ["failed to bind host port for 192.0.2.77:18156:", ":80/tcp: cannot assign requested address"];
    assert!(said.code == 125 && expected.iter().all(|words| said.err.contains(words)), "{said:?}");
}

#[test]
fn every_exposed_port_is_published_when_all_are_to_be() {
    let Some(engine) = Engine::with_busybox() else { return };
    page(&engine, "web", &["-P", "--expose", "80", "--expose", "90-91/udp", "-p", "127.0.0.1:18158:81"]);
    let address = engine.ok(&["port", "web", "80/tcp"]).lines().next().expect("an address").to_owned();
    says(&engine, &address.replace("0.0.0.0", "127.0.0.1"), "web");
    for port in ["90/udp", "91/udp"] {
        assert!(engine.ok(&["port", "web", port]).starts_with("0.0.0.0:"));
    }
    assert_eq!(engine.ok(&["port", "web", "81"]), "127.0.0.1:18158");
    let said = engine.docker(&["port", "web", "82"]);
    assert!(said.code == 1 && said.err.contains("No public port '82' published for web"), "{said:?}");
    let shown = engine.ok(&["ps", "--format", "{{.Ports}}"]);
    assert!(shown.contains("127.0.0.1:18158->81/tcp") && shown.contains("->91/udp"), "{shown}");
    let filtered = |filter: &str| engine.ok(&["ps", "--format", "{{.Names}}", "--filter", filter]);
    assert_eq!(
        [filtered("publish=18158"), filtered("publish=1"), filtered("expose=90/udp")],
        ["web", "", "web"]
    );
    engine.ok(&["stop", "-t", "0", "web"]);
    assert_eq!(engine.ok(&["port", "web"]), "", "it isn't open at rest");
}

#[test]
fn a_networks_ports_are_open_at_the_address_that_its_option_names() {
    let Some(engine) = Engine::with_busybox() else { return };
    let binding = "com.docker.network.bridge.host_binding_ipv4=127.0.0.2";
    engine.ok(&["network", "create", "-o", binding, "bound"]);
    page(&engine, "web", &["--network", "bound", "-p", "18159:80", "-p", "127.0.0.3:18159:80"]);
    assert_eq!(engine.ok(&["port", "web"]), "80/tcp -> 127.0.0.2:18159\n80/tcp -> 127.0.0.3:18159");
    says(&engine, "127.0.0.2:18159", "web");
    says(&engine, "127.0.0.3:18159", "web");
    assert_eq!(engine.fetch("127.0.0.1:18159"), None);
}

/// Connects to a port, from an address that may be none. Tells the peer as the connection has it, the peer as the kernel's
/// own list has it (proc(5): `/proc/net/tcp`), and the first line that it says.
const PEERS: &str = r#"
    use IO::Socket::INET;
    my ($port, $from) = @ARGV;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", LocalAddr => $from || undef) or die "connect: $!";
    print $socket->peerhost, ":", $socket->peerport, " ";
    my $own = sprintf ":%04X", $socket->sockport;
    open my $list, "<", "/proc/net/tcp";
    for (<$list>) { my (undef, $local, $peer) = split; print "$peer " if $local =~ /$own$/; }
    print scalar <$socket>;
"#;

#[test]
fn this_machines_connections_lead_straight_into_the_container_though_it_is_not_seen() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    if !need_program("perl") {
        return;
    }
    let symbols = std::fs::read_to_string("/proc/kallsyms").unwrap_or_default();
    if !symbols.contains("__cgroup_bpf_run_filter_sock_addr") {
        eprintln!("skipped: this kernel has no programs at cgroups (CONFIG_CGROUP_BPF)");
        return;
    }
    let connect = |from: &str| {
        let mut perl = engine.beside("perl");
        let told = perl.args(["-e", PEERS, "18160", from]).output().expect("run perl");
        (told.status.success(), String::from_utf8_lossy(&told.stdout).trim().to_owned())
    };
    serve(&engine, "near", "18160:80", "echo hello");
    let address = engine.inspect("near", ".NetworkSettings.Networks.bridge.IPAddress");
    let address: std::net::Ipv4Addr = address.parse().expect("an address");
    let listed = format!("{:08X}:0050", u32::from_ne_bytes(address.octets()));
    assert_eq!(connect(""), (true, format!("127.0.0.1:18160 {listed} hello")));
    // Who has a loopback address is translated: from there, no container is reached.
    assert_eq!(connect("127.0.0.1"), (true, "127.0.0.1:18160 0100007F:46F0 hello".to_owned()));
    let elsewhere = engine.docker(&["run", "--rm", "busybox", "nc", "-w", "2", "127.0.0.1", "18160"]);
    assert_ne!(elsewhere.code, 0, "a container's loopback is its own: {elsewhere:?}");
    engine.ok(&["stop", "-t", "0", "near"]);
    assert!(!connect("").0, "what has stopped isn't reached");
}
