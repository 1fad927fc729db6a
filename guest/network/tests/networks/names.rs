//! The resolver at 127.0.0.11.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use berth_network::{EndpointWish, NetworkWish};
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use crate::world::{NEIGHBOUR, World, within};

/// What the resolver outside answers to everything.
const OUTSIDE: &str = "198.51.100.7";

#[test]
fn names_aliases_and_addresses_resolve() {
    let Some(world) = World::new() else { return };
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    world.networks.open_sandbox("server").unwrap();
    let at = world.networks.join("server", "mine", &named("web", &["www", "Shop"])).unwrap();
    let address = [at.ipv4.unwrap().0.to_string()];
    assert_eq!(look_up(&client, "web", RecordType::A), address);
    assert_eq!(look_up(&client, "WWW", RecordType::A), address);
    assert_eq!(look_up(&client, "shop.mine", RecordType::A), address);
    assert_eq!(look_up(&client, "3.0.18.172.in-addr.arpa", RecordType::PTR), ["web.mine."]);
    let other_kind = query(&client, "web", RecordType::AAAA, false);
    assert_eq!(other_kind.metadata.response_code, ResponseCode::NoError);
    assert!(other_kind.answers.is_empty(), "a known name without such a record");
    let stream = query(&client, "web", RecordType::A, true);
    assert_eq!(texts(&stream), address);
    world.networks.close_sandbox("server").unwrap();
    assert_eq!(query(&client, "web", RecordType::A, true).answers.len(), 0);
}

#[test]
fn many_under_one_name_take_turns_and_need_a_stream() {
    let Some(world) = World::new() else { return };
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    for number in 0..40 {
        let container = format!("web{number}");
        world.networks.open_sandbox(&container).unwrap();
        world.networks.join(&container, "mine", &named(&container, &["web"])).unwrap();
    }
    let cut = query(&client, "web", RecordType::A, false);
    assert!(cut.metadata.truncation);
    let (first, second) =
        (query(&client, "web", RecordType::A, true), query(&client, "web", RecordType::A, true));
    assert_eq!((first.answers.len(), second.answers.len()), (40, 40));
    assert_ne!(texts(&first)[0], texts(&second)[0]);
}

#[test]
fn names_stay_within_their_network() {
    let Some(world) = World::new() else { return };
    world.network("mine");
    world.network("other");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    world.networks.open_sandbox("server").unwrap();
    world.networks.join("server", "other", &named("web", &[])).unwrap();
    assert!(look_up(&client, "web", RecordType::A).is_empty());
    world.networks.join("server", "mine", &named("web", &[])).unwrap();
    assert_eq!(look_up(&client, "web", RecordType::A), ["172.18.0.3"]);
}

#[test]
fn other_names_are_asked_outside() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let folder = resolve_outside(&neighbour);
    world.network("mine");
    let inner = NetworkWish { name: "inner".to_owned(), internal: true, ..NetworkWish::default() };
    world.networks.create(inner).unwrap();
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    assert_eq!(look_up(&client, "example.com", RecordType::A), [OUTSIDE]);
    assert_eq!(texts(&query(&client, "example.com", RecordType::A, true)), [OUTSIDE]);
    let locked = world.networks.open_sandbox("locked").unwrap();
    world.networks.join("locked", "inner", &named("locked", &[])).unwrap();
    let refused = query(&locked, "example.com", RecordType::A, false);
    assert_eq!(refused.metadata.response_code, ResponseCode::ServFail, "no way out for names either");
    drop(folder);
}

#[test]
fn what_is_not_there_is_asked_outside_once_for_as_long_as_its_zone_says() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (_folder, asked) = nothing_outside(&neighbour);
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    for name in ["gone.for60", "GONE.for60"] {
        let answer = query(&client, name, RecordType::A, false);
        assert_eq!(answer.metadata.response_code, ResponseCode::NXDomain);
        assert_eq!(answer.authorities[0].name.to_utf8(), "for60.");
    }
    assert_eq!(asked.times("gone.for60"), 1);
    query(&client, "gone.for60", RecordType::A, true);
    assert_eq!(asked.times("gone.for60"), 1, "a stream is answered from the same");
    query(&client, "gone.for60", RecordType::AAAA, false);
    assert_eq!(asked.times("gone.for60"), 2, "another type is another question");

    let deadline = Instant::now() + Duration::from_secs(10);
    while asked.times("gone.for1") < 2 {
        assert!(Instant::now() < deadline, "not asked again");
        let answer = query(&client, "gone.for1", RecordType::A, false);
        assert_eq!(answer.authorities[0].ttl, 1);
        thread::sleep(Duration::from_millis(50));
    }
    // A second has passed.
    assert!(query(&client, "gone.for60", RecordType::A, false).authorities[0].ttl < 60);
}

#[test]
fn what_may_be_there_the_next_time_is_asked_outside_each_time() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (_folder, asked) = nothing_outside(&neighbour);
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    for name in ["bare.for60", "failing.for60", "cut.for60", "gone.for0"] {
        query(&client, name, RecordType::A, false);
        query(&client, name, RecordType::A, false);
        assert_eq!(asked.times(name), 2, "{name}");
    }
}

#[test]
fn a_container_is_found_at_once_where_nothing_was() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let (_folder, asked) = nothing_outside(&neighbour);
    world.network("for60");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "for60", &named("client", &[])).unwrap();
    for _ in 0..2 {
        assert!(look_up(&client, "web.for60", RecordType::A).is_empty());
    }
    assert_eq!(asked.times("web.for60"), 1);
    world.networks.open_sandbox("server").unwrap();
    world.networks.join("server", "for60", &named("web", &[])).unwrap();
    assert_eq!(look_up(&client, "web.for60", RecordType::A), ["172.18.0.3"]);
}

#[test]
fn a_resolver_that_is_down_is_passed_over() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let folder = resolve_outside(&neighbour);
    let resolvers = format!("nameserver 127.0.0.66\nnameserver {NEIGHBOUR}\n");
    std::fs::write(folder.path().join("resolv.conf"), resolvers).unwrap();
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    assert_eq!(look_up(&client, "example.com", RecordType::A), [OUTSIDE]);
}

#[test]
fn a_containers_own_name_servers_are_asked_instead_also_after_a_crash() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let folder = resolve_outside(&neighbour);
    std::fs::write(folder.path().join("resolv.conf"), "nameserver 127.0.0.66\n").unwrap();
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    let wish = EndpointWish { name_servers: vec![NEIGHBOUR.parse().unwrap()], ..named("client", &[]) };
    world.networks.join("client", "mine", &wish).unwrap();
    assert_eq!(look_up(&client, "example.com", RecordType::A), [OUTSIDE]);
    let alive = world.alive("client");
    let world = world.crash();
    world.networks.restore(vec![alive]).unwrap();
    assert_eq!(look_up(&client, "example.com", RecordType::A), [OUTSIDE]);
    assert_eq!(texts(&query(&client, "example.com", RecordType::A, true)), [OUTSIDE]);
}

#[test]
fn the_containers_own_port_53_stays_free() {
    let Some(world) = World::new() else { return };
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    let own = within(&client, || UdpSocket::bind("0.0.0.0:53")).unwrap();
    assert_eq!(look_up(&client, "client", RecordType::A), ["172.18.0.2"]);
    drop(own);
}

#[test]
fn names_are_back_after_a_crash() {
    let Some(world) = World::new() else { return };
    world.network("mine");
    let client = world.networks.open_sandbox("client").unwrap();
    world.networks.join("client", "mine", &named("client", &[])).unwrap();
    world.networks.open_sandbox("server").unwrap();
    world.networks.join("server", "mine", &named("web", &[])).unwrap();
    let alive = vec![world.alive("client"), world.alive("server")];
    let world = world.crash();
    world.networks.restore(alive).unwrap();
    assert_eq!(look_up(&client, "web", RecordType::A), ["172.18.0.3"]);
}

fn named(name: &str, aliases: &[&str]) -> EndpointWish {
    let aliases = aliases.iter().map(|&alias| alias.to_owned()).collect();
    EndpointWish { names: vec![name.to_owned()], aliases, ..EndpointWish::default() }
}

/// The data of all answers.
fn look_up(namespace: &Path, name: &str, kind: RecordType) -> Vec<String> {
    texts(&query(namespace, name, kind, false))
}

fn texts(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

/// Asks 127.0.0.11 from the namespace, by datagram or by stream.
fn query(namespace: &Path, name: &str, kind: RecordType, stream: bool) -> Message {
    let mut message = Message::new(0x1234, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(format!("{name}.")).unwrap(), kind));
    let message = message.to_vec().unwrap();
    let patience = Some(Duration::from_secs(5));
    let answer = within(namespace, || {
        if stream {
            let mut stream = TcpStream::connect("127.0.0.11:53")?;
            stream.set_read_timeout(patience)?;
            stream
                .write_all(&[&u16::try_from(message.len()).unwrap().to_be_bytes(), &message[..]].concat())?;
            let mut length = [0; 2];
            stream.read_exact(&mut length)?;
            let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut answer)?;
            return Ok(answer);
        }
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(patience)?;
        socket.connect("127.0.0.11:53")?;
        socket.send(&message)?;
        let mut answer = vec![0; 4096];
        let length = socket.recv(&mut answer)?;
        answer.truncate(length);
        Ok(answer)
    });
    let answer = Message::from_vec(&answer.unwrap()).unwrap();
    assert_eq!(answer.metadata.id, 0x1234);
    answer
}

/// The questions that the resolver outside was asked, in lower case.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<String>>>);

impl Asked {
    fn times(&self, name: &str) -> usize {
        self.0.lock().unwrap().iter().filter(|asked| *asked == name).count()
    }
}

/// Puts a resolver outside that knows nothing, says so for as many seconds as the zone's name has (`for60`), and counts.
/// Of some names it says it in a way that doesn't hold.
fn nothing_outside(neighbour: &Path) -> (tempfile::TempDir, Asked) {
    let asked = Asked::default();
    let counted = asked.clone();
    let answer = move |query: &[u8]| {
        let query = Message::from_vec(query).unwrap();
        let name = query.queries[0].name().to_utf8().to_ascii_lowercase();
        let name = name.trim_end_matches('.');
        counted.0.lock().unwrap().push(name.to_owned());
        let (first, zone) = name.split_once('.').unwrap();
        let seconds: u32 = zone.strip_prefix("for").unwrap().parse().unwrap();
        let mut answer = Message::response(query.metadata.id, OpCode::Query);
        answer.add_queries(query.queries);
        answer.metadata.truncation = first == "cut";
        let fails = first == "failing";
        answer.metadata.response_code = if fails { ResponseCode::ServFail } else { ResponseCode::NXDomain };
        if first != "bare" {
            let zone = Name::from_utf8(format!("{zone}.")).unwrap();
            let soa = SOA::new(zone.clone(), zone.clone(), 1, 2, 3, 4, seconds);
            answer.authorities.push(Record::from_rdata(zone, seconds, RData::SOA(soa)));
        }
        answer.to_vec().unwrap()
    };
    (resolve_outside_by(neighbour, answer), asked)
}

/// Puts a resolver outside, and names it in this test's own resolv.conf.
fn resolve_outside(neighbour: &Path) -> tempfile::TempDir {
    resolve_outside_by(neighbour, outside_answer)
}

/// As [`resolve_outside`], one that answers so.
fn resolve_outside_by(
    neighbour: &Path,
    answer: impl Fn(&[u8]) -> Vec<u8> + Clone + Send + 'static,
) -> tempfile::TempDir {
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("resolv.conf");
    std::fs::write(&file, format!("# a comment\nsearch example\nnameserver {NEIGHBOUR}\n")).unwrap();
    rustix::mount::mount_bind(&file, "/etc/resolv.conf").unwrap();
    let (socket, listener) =
        within(neighbour, || Ok((UdpSocket::bind("0.0.0.0:53")?, TcpListener::bind("0.0.0.0:53")?))).unwrap();
    let answer_stream = answer.clone();
    thread::spawn(move || {
        let mut query = [0; 4096];
        while let Ok((length, client)) = socket.recv_from(&mut query) {
            socket.send_to(&answer(&query[..length]), client).unwrap();
        }
    });
    thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            stream.read_exact(&mut query).unwrap();
            let answer = answer_stream(&query);
            let length = u16::try_from(answer.len()).unwrap().to_be_bytes();
            stream.write_all(&[&length, &answer[..]].concat()).unwrap();
        }
    });
    folder
}

fn outside_answer(query: &[u8]) -> Vec<u8> {
    let query = Message::from_vec(query).unwrap();
    let mut answer = Message::response(query.metadata.id, OpCode::Query);
    let name = query.queries[0].name().clone();
    answer.add_queries(query.queries);
    answer.add_answer(Record::from_rdata(name, 60, RData::A(A(OUTSIDE.parse().unwrap()))));
    answer.to_vec().unwrap()
}
