//! Where the engine listens: `unix://PATH`, `tcp://ADDRESS:PORT` when its user says so, or `fd://N` for a listener that
//! PID 1 keeps.

mod inherited;
mod secure;
mod unix;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use tokio::net::TcpListener;

pub(crate) use inherited::Inherited;
pub(crate) use secure::Secure;
pub(crate) use unix::unix;

/// Docker's port where an address names none.
const PORT: u16 = 2375;

/// An address to listen on, as `--listen` and `hosts` have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    /// `unix://PATH`: a socket that only its owner, and a group that is named, may open.
    Unix(PathBuf),
    /// `tcp://ADDRESS:PORT`: an address of this machine, or of a VM's host.
    Tcp(String),
    /// `fd://N`: a listening stream socket, unix or vsock, that the parent left open.
    Inherited(RawFd),
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = |why: &str| format!("invalid bind address ({text}): {why}");
        match text.split_once("://") {
            Some(("unix", path)) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(("unix", _)) => Err(invalid("expected unix:///absolute/path")),
            Some(("tcp", address)) => tcp_address(address).map(Self::Tcp).map_err(|why| invalid(&why)),
            Some(("fd", number)) => number
                .parse()
                .map(Self::Inherited)
                .map_err(|_| invalid("expected fd:// and a descriptor's number")),
            Some((other, _)) => Err(invalid(&format!("unsupported proto '{other}'"))),
            None => Err(invalid("expected unix:///absolute/path or tcp://address:port")),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(formatter, "unix://{}", path.display()),
            Self::Tcp(address) => write!(formatter, "tcp://{address}"),
            Self::Inherited(number) => write!(formatter, "fd://{number}"),
        }
    }
}

/// `address:port` with what is left out filled in. Names of machines aren't looked up: whoever listens means one of this
/// machine's own addresses.
fn tcp_address(text: &str) -> Result<String, String> {
    if text.contains('/') {
        return Err("should not contain a path element".to_owned());
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let port = match port {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port > 0).ok_or_else(|| format!("invalid port: {port}"))?,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = match host {
        "" | "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        host => host.parse().map_err(|_| format!("{host} isn't an IP address or localhost"))?,
    };
    Ok(SocketAddr::new(host, port).to_string())
}

/// Opens an address of this machine.
pub(crate) async fn tcp(address: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("listen on tcp://{address}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absolute_unix_paths_are_addresses() {
        assert_eq!("unix:///run/b.sock".parse(), Ok(Address::Unix("/run/b.sock".into())));
        assert!("unix://b.sock".parse::<Address>().is_err());
        assert!("/run/b.sock".parse::<Address>().is_err());
    }

    #[test]
    fn an_inherited_listener_is_named_by_its_number() {
        assert_eq!("fd://7".parse(), Ok(Address::Inherited(7)));
        assert!("fd://seven".parse::<Address>().is_err());
    }

    #[test]
    fn a_tcp_address_is_one_of_this_machine() {
        let tcp = |text: &str| text.parse::<Address>().map(|address| address.to_string());
        assert_eq!(tcp("tcp://0.0.0.0:2376").unwrap(), "tcp://0.0.0.0:2376");
        assert_eq!(tcp("tcp://:2375").unwrap(), "tcp://127.0.0.1:2375");
        assert_eq!(tcp("tcp://localhost").unwrap(), "tcp://127.0.0.1:2375");
        assert_eq!(tcp("tcp://[::1]:99").unwrap(), "tcp://[::1]:99");
        assert_eq!(tcp("tcp://[::1]").unwrap(), "tcp://[::1]:2375");
        for wrong in ["tcp://a.example:1", "tcp://127.0.0.1:0", "tcp://127.0.0.1:x", "tcp://127.0.0.1:1/p"] {
            let refused = tcp(wrong).unwrap_err();
            assert!(refused.starts_with(&format!("invalid bind address ({wrong}): ")), "{refused}");
        }
    }
}
