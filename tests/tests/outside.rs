//! The way out of containers in the VM: to a machine beyond the host, and never to the host itself, but for what it opens.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::{need_program, need_root};
use e2e::machine;
use sha2::{Digest, Sha256};

/// The host's address on the way to the other machine, and that machine's (RFC 5737).
const NEAR: &str = "198.51.100.1";
const FAR: &str = "198.51.100.2";
/// The same by IPv6 (RFC 3849).
const NEAR6: &str = "2001:db8:99::1";
const FAR6: &str = "2001:db8:99::2";

/// Another machine: a network namespace behind a pair of cards. When dropped, it and what runs there are gone.
struct Machine {
    name: String,
    servers: Vec<Child>,
    /// What its web server has.
    folder: tempfile::TempDir,
}

impl Machine {
    /// One that this host has a route to; none, with the reason printed, where it can't be made.
    fn beyond_the_host() -> Option<Self> {
        if !need_root() || !need_program("ip") || !need_program("nsenter") {
            return None;
        }
        let name = format!("berth-far-{}", std::process::id());
        let card = format!("far{}", std::process::id());
        ip(&["netns", "add", &name]);
        let folder = tempfile::tempdir().expect("make a folder");
        let machine = Self { name: name.clone(), servers: Vec::new(), folder };
        ip(&["link", "add", &card, "type", "veth", "peer", "name", "eth0", "netns", &name]);
        ip(&["address", "add", &format!("{NEAR}/24"), "dev", &card]);
        ip(&["address", "add", &format!("{NEAR6}/64"), "nodad", "dev", &card]);
        ip(&["link", "set", &card, "up"]);
        ip(&["-n", &name, "address", "add", &format!("{FAR}/24"), "dev", "eth0"]);
        ip(&["-n", &name, "address", "add", &format!("{FAR6}/64"), "nodad", "dev", "eth0"]);
        ip(&["-n", &name, "link", "set", "eth0", "up"]);
        Some(machine)
    }

    /// One whose web server has `/page`, which says `here`.
    fn with_a_page() -> Option<Self> {
        let mut machine = Self::beyond_the_host()?;
        fs::write(machine.folder.path().join("page"), "here\n").expect("write a page");
        machine.serve();
        Some(machine)
    }

    /// Runs a web server there, for its folder.
    fn serve(&mut self) {
        let folder = self.folder.path().to_string_lossy().into_owned();
        self.start(&["httpd", "-f", "-p", "80", "-h", &folder], Stdio::null(), Stdio::null());
    }

    /// Runs busybox there, with a file as its input or output.
    fn start(&mut self, words: &[&str], input: Stdio, output: Stdio) {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/{}", self.name)).arg("/bin/busybox").args(words);
        self.servers.push(command.stdin(input).stdout(output).spawn().expect("run busybox"));
    }

    fn wait_for_last(&mut self) {
        let mut last = self.servers.pop().expect("something runs there");
        eventually("it ends", || last.try_wait().expect("ask whether it ended"));
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
        ip(&["netns", "delete", &self.name]);
    }
}

fn ip(words: &[&str]) {
    let output = Command::new("ip").args(words).output().expect("run ip");
    assert!(output.status.success(), "ip {words:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn sum_of(file: &Path) -> String {
    let bytes = fs::read(file).expect("read the file");
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// What a shell in a new container prints.
fn shell(engine: &Engine, script: &str) -> String {
    engine.ok(&["run", "--rm", "busybox", "sh", "-c", script])
}

#[test]
fn a_machine_beyond_the_host_is_reached_and_bytes_are_whole_both_ways() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let Some(mut far) = Machine::beyond_the_host() else { return };
    let (sent, arrived) = (far.folder.path().join("sent"), far.folder.path().join("arrived"));
    let bytes: Vec<u8> =
        (0..8_u32 << 20).map(|count| (count.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&sent, bytes).expect("write what is fetched");
    far.serve();
    let fetched = eventually("the far machine serves", || {
        let sum = shell(&engine, &format!("wget -q -O - http://{FAR}/sent | sha256sum"));
        (!sum.starts_with("e3b0c442")).then_some(sum)
    });
    assert_eq!(fetched.split(' ').next(), Some(sum_of(&sent).as_str()));

    let output = fs::File::create(&arrived).expect("make what arrives");
    // It would end with its input, before all has arrived.
    far.start(&["nc", "-l", "-p", "9000"], Stdio::piped(), output.into());
    let script = format!(
        "head -c 8388608 /dev/urandom > /f && sha256sum /f && \
         until nc {FAR} 9000 < /f; do sleep 0.1; done"
    );
    let said = shell(&engine, &script);
    far.wait_for_last();
    assert_eq!(said.split(' ').next(), Some(sum_of(&arrived).as_str()));
}

/// Who may ping: a range of groups, which the kernel keeps for each network namespace.
const PINGING_GROUPS: &str = "/proc/sys/net/ipv4/ping_group_range";

/// Lets the group of this user ping. When dropped, all is as before.
struct Pinging(String);

impl Pinging {
    fn permitted() -> Self {
        let before = fs::read_to_string(PINGING_GROUPS).expect("read who may ping");
        fs::write(PINGING_GROUPS, "0 0").expect("let this group ping");
        Self(before)
    }
}

impl Drop for Pinging {
    fn drop(&mut self) {
        drop(fs::write(PINGING_GROUPS, &self.0));
    }
}

#[test]
fn a_machine_beyond_the_host_answers_pings_and_is_reached_by_ipv6() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let Some(_far) = Machine::with_a_page() else { return };
    engine.ok(&["network", "create", "--ipv6", "both"]);
    let run = ["run", "--rm", "--network", "both", "busybox", "sh", "-c"];
    let get = format!("wget -q -O - http://[{FAR6}]/page || true");
    eventually("the far machine serves", || {
        (engine.ok(&[&run[..], &[&get]].concat()) == "here").then_some(())
    });
    let _pinging = Pinging::permitted();
    for address in [FAR, FAR6] {
        let said = engine.ok(&[&run[..], &[&format!("ping -c 3 -W 10 {address}")]].concat());
        assert!(said.contains("3 packets transmitted, 3 packets received"), "{said}");
    }
}

#[test]
fn the_host_answers_a_container_on_none_of_its_own_addresses() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let Some(_far) = Machine::beyond_the_host() else { return };
    // One that every neighbour of this host reaches.
    let secret = TcpListener::bind("0.0.0.0:0").expect("listen everywhere");
    let port = secret.local_addr().expect("its address").port();
    let own = fs::read_to_string("/proc/net/fib_trie").expect("this host's addresses");
    let mut addresses: Vec<&str> = vec![NEAR, "10.0.2.2", "10.0.2.100"];
    let lines: Vec<&str> = own.lines().collect();
    for pair in lines.windows(2).filter(|pair| pair[1].contains("/32 host LOCAL")) {
        addresses.extend(pair[0].split_whitespace().last().filter(|address| !address.starts_with("127.")));
    }
    addresses.sort_unstable();
    addresses.dedup();
    let tries: String = addresses
        .iter()
        .map(|address| format!("nc -w 2 {address} {port} < /dev/null && echo reached {address}; "))
        .collect();
    let said = shell(&engine, &format!("{tries} true"));
    assert!(!said.contains("reached"), "{said}");
    secret.set_nonblocking(true).expect("look without waiting");
    assert!(secret.accept().is_err(), "somebody connected");
}

#[test]
fn a_container_reaches_what_the_host_opens_by_the_host_s_names() {
    let Some(machine) = machine::Machine::stopped() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen on the loopback");
    let port = listener.local_addr().expect("its address").port();
    let settings = format!(r#"{{"host_ports": [{port}]}}"#);
    fs::write(machine.config_dir().join("settings.json"), settings).expect("open the port");
    std::thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let _ = client.write_all(b"the host\n");
        }
    });
    let datagrams = UdpSocket::bind(("127.0.0.1", port)).expect("listen by UDP, too");
    std::thread::spawn(move || {
        while let Ok((_, client)) = datagrams.recv_from(&mut [0; 600]) {
            // As TFTP has it (RFC 1350): data, the first and last block.
            let _ = datagrams.send_to(b"\0\x03\0\x01by datagrams\n", client);
        }
    });
    machine.start_with_busybox();
    let made = machine.docker(&["network", "create", "own"]);
    assert_eq!(made.code, 0, "{}", made.err);
    for network in ["bridge", "own"] {
        for name in ["host.docker.internal", "gateway.docker.internal"] {
            let script = format!(
                "nslookup -type=a {name} && tftp -g -l /got -r any {name} {port} && cat /got && \
                 nc -w 10 {name} {port} < /dev/null"
            );
            let run = ["run", "--rm", "--network", network, "busybox", "sh", "-c", &script];
            let said = machine.docker(&run);
            assert!(said.out.contains("10.0.2.100"), "{name} in {network}: {said:?}");
            assert!(said.out.ends_with("by datagrams\nthe host"), "{name} in {network}: {said:?}");
        }
    }
}

#[test]
fn a_hundred_connections_at_once_go_out() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let Some(_far) = Machine::with_a_page() else { return };
    let get = format!("wget -q -O - http://{FAR}/page");
    eventually("the far machine serves", || {
        (shell(&engine, &format!("{get} || true")) == "here").then_some(())
    });
    let script = format!("for i in $(seq 100); do {get} & done; wait");
    assert_eq!(shell(&engine, &script).lines().filter(|line| *line == "here").count(), 100);
}
