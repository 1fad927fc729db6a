//! A container that came tells its neighbours its card's address. They may remember whoever had its addresses before, and
//! would speak to that one's card for half a minute and more.

use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use super::hang;
use crate::endpoint::{Endpoint, Mac};
use crate::error::Result;
use crate::namespace;
use crate::route::Kernel;

/// A bridge takes up a new port within a millisecond or two of its other end; a loaded machine may need more.
const PATIENCE: Duration = Duration::from_millis(200);

/// Tells the neighbours, once the port outside passes packets on. Nobody misses it where the card's address is that of
/// every container with this IPv4 address. Neighbours that can't be told find out by themselves.
pub(super) fn announce(links: &mut Kernel, outside: Option<&str>, endpoint: &Endpoint, sandbox: &Path) {
    let usual = |(address, _)| match address {
        IpAddr::V4(address) => endpoint.mac == Some(Mac::of(address)),
        IpAddr::V6(_) => false,
    };
    let Some(mac) = endpoint.mac.filter(|_| !endpoint.addresses().all(usual)) else { return };
    if let Some(outside) = outside {
        wait_until_open(links, outside);
    }
    if let Err(error) = tell(&endpoint.interface, mac, sandbox) {
        tracing::debug!(error = &error as &dyn std::error::Error, "neighbours aren't told of a card");
    }
}

fn wait_until_open(links: &mut Kernel, outside: &str) {
    let deadline = Instant::now() + PATIENCE;
    while !links.is_running(outside).unwrap_or(true) && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(1));
    }
}

/// Gives the card the address that it has: with these settings the kernel tells the neighbours so (ip-sysctl.rst).
fn tell(interface: &str, mac: Mac, sandbox: &Path) -> Result<()> {
    let settings = ["ipv4/conf", "ipv6/conf"].into_iter().zip(["arp_notify", "ndisc_notify"]);
    let settings: Vec<String> =
        settings.map(|(family, name)| format!("/proc/sys/net/{family}/{interface}/{name}")).collect();
    let set = |value: &str| {
        namespace::within(sandbox, || {
            settings.iter().try_for_each(|setting| match fs::write(setting, value) {
                // A kernel without IPv6.
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                written => written,
            })
        })
    };
    let (mut inside, index) = hang::find(interface, sandbox)?;
    set("1")?;
    let told = inside.set_mac(index, mac).map_err(super::kernel("announce the address of", interface));
    set("0")?;
    told
}
