//! What a container finds when it tries every address around it at every port that anything listens on: no engine
//! (CVE-2025-9074), and of the host's loopback only what is named.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::process::Child;

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::perl;

/// Where engines are known to listen, where nobody should, and where names are asked.
const USUAL: &[u16] = &[53, 2375, 2376, 1024, 1025, 1026, 1027, 1028, 1029, 1030];

/// Tries each `address port` of `/x/targets` (an IPv6 address as 32 digits), many at once, with an engine's ping, and
/// tells `address port answer` of those that listen.
const SCAN: &str = include_str!("scan/scan.pl");

/// What the kernel tells of addresses and of who listens, of both families.
const TABLES: [&str; 4] = ["/proc/net/fib_trie", "/proc/net/if_inet6", "/proc/net/tcp", "/proc/net/tcp6"];

/// What an address is called in a target: IPv6 as its 32 digits.
fn digits(address: Ipv6Addr) -> String {
    address.octets().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}

/// What the kernel tells on the user's machine, and where the engine is.
fn tables(engine: &Engine) -> String {
    let beside = engine.beside("cat").args(TABLES).output().expect("run cat").stdout;
    let within = ["run", "--rm", "--network", "host", "busybox", "cat"];
    format!("{}\n{}", String::from_utf8_lossy(&beside), engine.ok(&[&within[..], &TABLES].concat()))
}

/// Every address of the host and of the VM, and those that stand for them.
fn addresses(tables: &str) -> BTreeSet<String> {
    let mut found: BTreeSet<String> =
        ["0.0.0.0", "127.0.0.1", "127.0.0.11", "127.1.2.3", "169.254.169.254", "10.0.2.2", "10.0.2.100"]
            .map(str::to_owned)
            .into();
    found.extend([Ipv6Addr::LOCALHOST, Ipv4Addr::LOCALHOST.to_ipv6_mapped()].map(digits));
    let lines: Vec<&str> = tables.lines().collect();
    let own = lines.windows(2).filter(|pair| pair[1].contains("/32 host LOCAL"));
    found.extend(own.filter_map(|pair| pair[0].split_whitespace().last().map(str::to_owned)));
    let first = lines.iter().filter_map(|line| line.split_whitespace().next());
    found.extend(first.filter(|word| word.len() == 32).map(str::to_owned));
    found
}

/// Every port at which something listens on the host or in the VM, at whatever address.
fn ports(tables: &str) -> BTreeSet<u16> {
    let port = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let listens = words.get(3) == Some(&"0A");
        u16::from_str_radix(words.get(1)?.rsplit_once(':')?.1, 16).ok().filter(|_| listens)
    };
    USUAL.iter().copied().chain(tables.lines().filter_map(port)).collect()
}

/// Every port that a container publishes now.
fn published(engine: &Engine) -> BTreeSet<u16> {
    let containers = engine.get("/v1.47/containers/json");
    let ports = containers.as_array().into_iter().flatten().filter_map(|one| one["Ports"].as_array());
    let public = ports.flatten().filter_map(|port| port["PublicPort"].as_u64()?.try_into().ok());
    public.collect()
}

/// Where the scan finds something that answers: address and port. The resolvers are left out, unless they are engines.
fn scan(engine: &Engine, scanner: &str, folder: &Path) -> BTreeSet<(String, u16)> {
    let bind = format!("{}:/x", folder.display());
    let run = ["run", "--rm", "--network", "wide", "-v", &bind, "busybox", "sh", "-c"];
    let said = engine.ok(&[&run[..], &[&format!("exec {scanner}")]].concat());
    let places = said.lines().filter_map(|line| {
        let [address, port, answer] = line.splitn(3, ' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let resolves = matches!((address, port), ("10.0.2.2" | "127.0.0.11", "53"));
        (!resolves || answer.contains("Api-Version"))
            .then(|| (address.to_owned(), port.parse().expect("a port")))
    });
    places.collect()
}

/// A server of the user's machine that answers like an engine; it ends when dropped.
struct Server(Child);

impl Server {
    fn at(engine: &Engine, address: &str, folder: &Path) -> Self {
        let mut command = engine.beside("/bin/busybox");
        command.args(["httpd", "-f", "-p", address, "-h"]).arg(folder);
        Self(command.spawn().expect("run httpd"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn no_engine_and_no_unnamed_service_of_the_host_answers_a_container_anywhere() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(scanner) = perl::script(folder.path(), "scan", SCAN) else { return };
    fs::write(folder.path().join("_ping"), "Api-Version: 1 OK").expect("write a page");
    // A container that is found, which shows that the scan finds engines.
    engine.ok(&["network", "create", "--ipv6", "wide"]);
    let ping = "mkdir /www; printf 'Api-Version: 1 OK' > /www/_ping; exec httpd -f -p 2375 -h /www";
    let run = ["run", "-d", "--name", "decoy", "--network", "wide", "-p", "18110:2375"];
    engine.ok(&[&run[..], &["busybox", "sh", "-c", ping]].concat());
    eventually("the decoy listens", || engine.fetch("127.0.0.1:18110"));
    let of_decoy = |field: &str| engine.inspect("decoy", &format!(".NetworkSettings.Networks.wide.{field}"));
    let six = |field: &str| digits(of_decoy(field).parse().expect("an IPv6 address"));
    let decoy = [of_decoy("IPAddress"), six("GlobalIPv6Address")];
    // On the host, a service on the loopback that nobody named; one that every neighbour reaches; in the VM, a named one.
    let mut servers = vec![
        Server::at(&engine, "127.0.0.1:18111", folder.path()),
        Server::at(&engine, "[::]:18112", folder.path()),
    ];
    let named = engine.host_port().map(|port| format!("127.0.0.1:{port}"));
    servers.extend(named.iter().map(|address| Server::at(&engine, address, folder.path())));
    for port in [18111, 18112].into_iter().chain(engine.host_port()) {
        eventually("the service listens", || engine.fetch(&format!("127.0.0.1:{port}")));
    }
    // Other tests' containers have ports, too: what came before the tables were read, or went after it.
    let mut published = published(&engine);
    let tables = tables(&engine);
    published.extend(self::published(&engine));
    let (mut targets, mut addresses, ports) = (String::new(), addresses(&tables), ports(&tables));
    addresses.extend(decoy.clone());
    assert!(ports.is_superset(&[18110, 18111, 18112].into()), "{ports:?}");
    for (address, port) in addresses.iter().flat_map(|address| ports.iter().map(move |port| (address, port)))
    {
        writeln!(targets, "{address} {port}").expect("write to a text");
    }
    fs::write(folder.path().join("targets"), &targets).expect("write the targets");
    let found = scan(&engine, &scanner, folder.path());
    let found: BTreeSet<(&str, u16)> =
        found.iter().map(|(address, port)| (address.as_str(), *port)).collect();
    let mut expected: BTreeSet<(&str, u16)> = decoy.iter().map(|address| (address.as_str(), 2375)).collect();
    if let Some(port) = engine.host_port() {
        expected.insert(("10.0.2.100", port));
    }
    // A published port answers at the addresses around its container. Natively the machine is the containers' neighbour, as
    // with every engine, so that its own services answer there, too, where they listen for all.
    let around = if engine.is_machine() { vec![18110] } else { vec![18110, 18112] };
    published.extend(&around);
    let elsewhere = found.iter().filter(|(_, port)| !published.contains(port));
    assert_eq!(elsewhere.copied().collect::<BTreeSet<_>>(), expected);
    let gateway = of_decoy("Gateway");
    assert!(around.iter().all(|port| found.contains(&(&gateway, *port))), "{found:?}");
    assert_eq!(found.contains(&("10.0.2.100", 18110)), engine.is_machine(), "by the host's name");
}
