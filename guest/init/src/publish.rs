//! The engine's published ports, in a VM: PID 1 passes the wanted set to the host daemon, and its answer back.

use std::os::unix::net::UnixStream;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use berth_network::publish::{Outcome, PortPublisher, Refusal, Transport, Wanted};
use protocol::guest::{FromGuest, ToGuest};
use protocol::port;

use crate::pid1;

/// How long the host may take; a start waits for this.
const PATIENCE: Duration = Duration::from_secs(5);

/// The engine's link to PID 1.
pub(crate) struct HostPublisher {
    link: Mutex<Link>,
}

struct Link {
    stream: UnixStream,
    generation: u64,
}

impl HostPublisher {
    /// Speaks over a stream that PID 1 made.
    pub(crate) fn new(stream: UnixStream) -> Self {
        Self { link: Mutex::new(Link { stream, generation: 0 }) }
    }

    /// Tells PID 1 that the API answers.
    pub(crate) fn engine_is_up(&self) -> anyhow::Result<()> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        // PID 1 knows the count.
        pid1::write(&mut link.stream, &FromGuest::Engine { up: true, starts: 0 })
    }

    /// Tells PID 1 that the engine can't take the user's configuration.
    pub(crate) fn refuse_configuration(&self, problem: &str) -> anyhow::Result<()> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        pid1::write(&mut link.stream, &FromGuest::ConfigurationRefused { problem: problem.to_owned() })
    }
}

impl PortPublisher for HostPublisher {
    fn reconcile(&self, wanted: &[Wanted]) -> Vec<Outcome> {
        let mut link = self.link.lock().unwrap_or_else(PoisonError::into_inner);
        // What the host's protocol can't name is refused here; the others keep their order.
        let known: Vec<Option<port::Wanted>> = wanted.iter().map(to_wire).collect();
        let ports = known.iter().flatten().cloned().collect();
        let mut answers = link.ask(ports).unwrap_or_else(|error| {
            tracing::warn!("the host doesn't answer for published ports: {error:#}");
            Vec::new()
        });
        answers.reverse();
        known
            .iter()
            .map(|port| match port {
                None => Outcome::Refused(Refusal::Unsupported),
                Some(_) => answers.pop().map_or(Outcome::Refused(Refusal::NoAnswer), from_wire),
            })
            .collect()
    }
}

impl Link {
    /// Sends one set and waits for its outcomes; answers to earlier sets are passed over.
    fn ask(&mut self, ports: Vec<port::Wanted>) -> anyhow::Result<Vec<port::Outcome>> {
        self.generation += 1;
        let count = ports.len();
        self.stream.set_write_timeout(Some(PATIENCE))?;
        pid1::write(&mut self.stream, &FromGuest::Publish { generation: self.generation, ports })?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.stream.set_read_timeout(Some(left))?;
            match pid1::read(&mut self.stream)? {
                ToGuest::Published { generation, outcomes }
                    if generation == self.generation && outcomes.len() == count =>
                {
                    return Ok(outcomes);
                }
                _ => {}
            }
        }
    }
}

fn to_wire(wanted: &Wanted) -> Option<port::Wanted> {
    let transport = match wanted.transport {
        Transport::Tcp => port::Transport::Tcp,
        Transport::Udp => port::Transport::Udp,
        Transport::Sctp => return None,
    };
    let Wanted { host_ip, host_port, target, transport: _ } = *wanted;
    Some(port::Wanted { transport, host_ip, host_port, target })
}

fn from_wire(outcome: port::Outcome) -> Outcome {
    match outcome {
        port::Outcome::Bound { port } => Outcome::Bound(port),
        port::Outcome::Refused { reason } => Outcome::Refused(match reason {
            port::Refusal::InUse => Refusal::InUse,
            port::Refusal::NotPermitted => Refusal::NotPermitted,
            port::Refusal::NoSuchAddress => Refusal::NoSuchAddress,
            port::Refusal::Unsupported => Refusal::Unsupported,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(transport: Transport, host_port: u16) -> Wanted {
        let host_ip = "0.0.0.0".parse().unwrap();
        Wanted { transport, host_ip, host_port, target: "172.17.0.2:80".parse().unwrap() }
    }

    #[test]
    fn outcomes_come_back_in_order_and_stale_answers_are_passed_over() {
        let (ours, mut pid1) = UnixStream::pair().unwrap();
        let host = std::thread::spawn(move || {
            let set: FromGuest = pid1::read(&mut pid1).unwrap();
            let FromGuest::Publish { generation, ports } = set else { panic!("{set:?}") };
            assert_eq!(ports.len(), 2);
            let stale = ToGuest::Published { generation: generation - 1, outcomes: Vec::new() };
            pid1::write(&mut pid1, &stale).unwrap();
            let in_use = port::Outcome::Refused { reason: port::Refusal::InUse };
            let outcomes = vec![port::Outcome::Bound { port: 8080 }, in_use];
            pid1::write(&mut pid1, &ToGuest::Published { generation, outcomes }).unwrap();
        });
        let set = [wanted(Transport::Tcp, 8080), wanted(Transport::Sctp, 1), wanted(Transport::Tcp, 9090)];
        let outcomes = HostPublisher::new(ours).reconcile(&set);
        host.join().unwrap();
        assert_eq!(
            outcomes,
            [Outcome::Bound(8080), Outcome::Refused(Refusal::Unsupported), Outcome::Refused(Refusal::InUse)]
        );
    }

    #[test]
    fn a_link_that_ends_refuses_all() {
        let (ours, pid1) = UnixStream::pair().unwrap();
        drop(pid1);
        let outcomes = HostPublisher::new(ours).reconcile(&[wanted(Transport::Tcp, 80)]);
        assert_eq!(outcomes, [Outcome::Refused(Refusal::NoAnswer)]);
    }
}
