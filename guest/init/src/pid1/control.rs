//! The host daemon's end of things: one conversation at a time ([`protocol::guest`]), the newest wins.
//!
//! What the host should know is kept here and told again to each new host, so that a host daemon that restarts
//! finds everything as it is.

use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, bail};
use protocol::frame;
use protocol::guest::{FromGuest, HostHello, ToGuest};
use protocol::port::Outcome;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Event, clock, vsock};

/// Where the host's first word lies for the engine: its path rules, shared folders, subnets and daemon.json.
pub(super) const HELLO_FILE: &str = "/run/berth/host.json";
/// A host that doesn't read for so long has lost its turn.
const PATIENCE: Duration = Duration::from_secs(2);
/// Describes the root image; its `inputs_sha256` says which image this guest is.
const IMAGE: &str = "/etc/berth-image.json";

/// The host, present or not.
pub(super) struct Host {
    state: Mutex<State>,
    greeted: Condvar,
    events: Sender<Event>,
}

#[derive(Default)]
struct State {
    stream: Option<UnixStream>,
    was_greeted: bool,
    shares_folders: bool,
    phases: Vec<FromGuest>,
    engine: Option<FromGuest>,
    publish: Option<FromGuest>,
    /// Towards the running engine.
    link: Option<UnixStream>,
}

/// Serves hosts for ever, on threads of its own.
pub(super) fn serve(host: &Arc<Host>, listener: OwnedFd) -> anyhow::Result<()> {
    let host = Arc::clone(host);
    vsock::serve_each("control", listener, move |stream| {
        if let Err(error) = host.converse(stream) {
            tracing::info!("the host left: {error:#}");
        }
    })
}

impl Host {
    pub(super) fn new(events: Sender<Event>) -> Self {
        Self { state: Mutex::default(), greeted: Condvar::new(), events }
    }

    /// A start-up phase ended now.
    pub(super) fn phase(&self, name: &str) {
        let phase = FromGuest::Phase { name: name.to_owned(), ended_at: clock::since_boot() };
        let mut state = self.lock();
        state.phases.push(phase.clone());
        state.say(&phase);
    }

    /// The engine came up or went down.
    pub(super) fn engine(&self, up: bool, starts: u32) {
        let mut state = self.lock();
        let message = FromGuest::Engine { up, starts };
        state.engine = Some(message.clone());
        state.say(&message);
    }

    /// The engine refused the configuration; it won't come up by itself.
    pub(super) fn configuration_refused(&self, message: FromGuest) {
        let mut state = self.lock();
        state.say(&message);
        state.engine = Some(message);
    }

    /// The engine's wanted set of ports.
    pub(super) fn publish(&self, set: FromGuest) {
        let mut state = self.lock();
        state.say(&set);
        state.publish = Some(set);
    }

    /// The last message.
    pub(super) fn powering_off(&self) {
        self.lock().say(&FromGuest::PoweringOff);
    }

    /// Where outcomes of published ports go.
    pub(super) fn link_engine(&self, link: Option<UnixStream>) {
        self.lock().link = link;
    }

    /// Waits for the first host's hello; gives up silently.
    pub(super) fn wait_for_hello(&self, most: Duration) {
        let waiting = |state: &mut State| !state.was_greeted;
        drop(self.greeted.wait_timeout_while(self.lock(), most, waiting));
    }

    /// Whether the host that was here last has folders for us.
    pub(super) fn shares_folders(&self) -> bool {
        self.lock().shares_folders
    }

    /// One conversation, until the host leaves.
    fn converse(&self, mut stream: UnixStream) -> anyhow::Result<()> {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        let ToGuest::Hello(mut hello) = read(&mut stream)? else { bail!("its first message isn't a hello") };
        write(&mut stream, &FromGuest::Hello { version: protocol::VERSION, image: image() })?;
        if !protocol::VERSION.understands(hello.version) {
            bail!("it speaks protocol {}, this guest {}", hello.version, protocol::VERSION);
        }
        stream.set_read_timeout(None)?;
        clock::follow(hello.unix_nanos);
        keep(&hello).context("keep its hello")?;
        self.lock().shares_folders = !hello.shares.is_empty();
        self.attach(stream.try_clone()?);
        loop {
            match read(&mut stream)? {
                ToGuest::Hello(_) => bail!("it greets twice"),
                ToGuest::Clock { unix_nanos } => clock::follow(unix_nanos),
                ToGuest::Subnets { host_subnets } => {
                    hello.host_subnets = host_subnets;
                    keep(&hello).context("keep its subnets")?;
                }
                ToGuest::Published { generation, outcomes } => self.lock().published(generation, outcomes),
                ToGuest::PowerOff => drop(self.events.send(Event::PowerOff)),
            }
        }
    }

    /// Makes `stream` the one that is spoken to, and tells it how things are.
    fn attach(&self, stream: UnixStream) {
        let mut state = self.lock();
        if let Some(old) = state.stream.replace(stream) {
            drop(old.shutdown(std::net::Shutdown::Both));
        }
        let known: Vec<_> = state.phases.iter().chain(&state.engine).chain(&state.publish).cloned().collect();
        for message in &known {
            state.say(message);
        }
        state.was_greeted = true;
        self.greeted.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Speaks to the host, if there is one; one that doesn't listen is dropped.
    fn say(&mut self, message: &FromGuest) {
        if let Some(stream) = &mut self.stream
            && let Err(error) = write(stream, message)
        {
            tracing::info!("the host doesn't listen: {error:#}");
            self.stream = None;
        }
    }

    /// Passes outcomes on to the engine. Ports that the host chose are noted in the kept set, so that the next host
    /// is asked for the same ones.
    fn published(&mut self, generation: u64, outcomes: Vec<Outcome>) {
        if let Some(FromGuest::Publish { generation: kept, ports }) = &mut self.publish
            && *kept == generation
        {
            for (wanted, outcome) in ports.iter_mut().zip(&outcomes) {
                if let Outcome::Bound { port } = outcome {
                    wanted.host_port = *port;
                }
            }
        }
        self.tell_engine(&ToGuest::Published { generation, outcomes });
    }

    fn tell_engine(&mut self, message: &ToGuest) {
        if let Some(link) = &mut self.link
            && let Err(error) = write(link, message)
        {
            tracing::warn!("the engine doesn't listen: {error:#}");
        }
    }
}

/// Reads one message.
pub(crate) fn read<T: DeserializeOwned>(stream: &mut impl Read) -> anyhow::Result<T> {
    let mut prefix = [0; frame::PREFIX];
    stream.read_exact(&mut prefix)?;
    let mut body = vec![0; frame::body_length(prefix)?];
    stream.read_exact(&mut body)?;
    Ok(frame::decode(&body)?)
}

/// Writes one message.
pub(crate) fn write(stream: &mut impl Write, message: &impl Serialize) -> anyhow::Result<()> {
    Ok(stream.write_all(&frame::encode(message)?)?)
}

fn keep(hello: &HostHello) -> anyhow::Result<()> {
    std::fs::create_dir_all("/run/berth")?;
    let fresh = format!("{HELLO_FILE}.new");
    drop(std::fs::remove_file(&fresh));
    // It may hold a private key.
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&fresh)?;
    file.write_all(&serde_json::to_vec(hello)?)?;
    Ok(std::fs::rename(fresh, HELLO_FILE)?)
}

/// The hash of the root image's inputs; empty in an image that doesn't say.
fn image() -> String {
    let read = || -> io::Result<String> {
        let manifest: serde_json::Value = serde_json::from_slice(&std::fs::read(IMAGE)?)?;
        Ok(manifest["root"]["inputs_sha256"].as_str().unwrap_or_default().to_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use protocol::port::{Transport, Wanted};

    fn door() -> protocol::port::Door {
        let hidden = ("10.0.2.2".parse().unwrap(), "fd62:6572:7468::2".parse().unwrap());
        protocol::port::Door { hardware: [2; 6], hidden, router: "fe80::2".parse().unwrap() }
    }

    fn hello(host: &mut UnixStream) {
        let hello = HostHello {
            // One that this guest doesn't understand ends before anything of the machine is touched.
            version: protocol::Version { major: protocol::VERSION.major + 1, minor: 0 },
            unix_nanos: 0,
            os: protocol::guest::HostOs::Linux,
            shares: Vec::new(),
            door: door(),
            host_subnets: Vec::new(),
            daemon_json: String::new(),
            files: BTreeMap::new(),
            certificates: BTreeMap::new(),
            proxies: BTreeMap::new(),
        };
        write(host, &ToGuest::Hello(hello)).unwrap();
    }

    #[test]
    fn a_host_of_another_protocol_is_answered_with_ours_and_left() {
        let (mut host, ours) = UnixStream::pair().unwrap();
        let guest = Host::new(std::sync::mpsc::channel().0);
        let conversation = std::thread::spawn(move || guest.converse(ours));
        hello(&mut host);
        let answer: FromGuest = read(&mut host).unwrap();
        assert!(matches!(answer, FromGuest::Hello { version: protocol::VERSION, .. }), "{answer:?}");
        assert!(conversation.join().unwrap().unwrap_err().to_string().contains("speaks protocol"));
    }

    #[test]
    fn a_new_host_hears_how_things_are_and_is_asked_for_the_ports_that_the_last_one_chose() {
        let guest = Host::new(std::sync::mpsc::channel().0);
        guest.engine(true, 2);
        let wanted = Wanted {
            transport: Transport::Tcp,
            host_ip: "0.0.0.0".parse().unwrap(),
            host_port: 0,
            target: "172.17.0.2:80".parse().unwrap(),
        };
        guest.publish(FromGuest::Publish { generation: 7, ports: vec![wanted] });
        guest.lock().published(7, vec![Outcome::Bound { port: 49153 }]);
        let (mut host, ours) = UnixStream::pair().unwrap();
        guest.attach(ours);
        assert_eq!(read::<FromGuest>(&mut host).unwrap(), FromGuest::Engine { up: true, starts: 2 });
        let FromGuest::Publish { ports, .. } = read(&mut host).unwrap() else { panic!("no set") };
        assert_eq!(ports[0].host_port, 49153);
    }
}
