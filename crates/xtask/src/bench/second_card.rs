//! QEMU's own ways into the guest and out of it, to compare with: a second card of the machine, on QEMU's user network. One
//! of its forwarded ports leads to a container's own interface on that card, which has its way out there. No bridge, rule or
//! translation lies between.

use std::path::{Path, PathBuf};

use super::load::{IMAGE, Load, PORT};
use super::site::Site;
use crate::emulator;

/// The card as the guest names it: its own is the first.
const CARD: &str = "eth1";
const SUBNET: &str = "10.0.9.0/24";
/// Leads to this machine's loopback.
pub(super) const GATEWAY: &str = "10.0.9.2";
const ADDRESS: &str = "10.0.9.15";
/// How often a figure is tried: under load QEMU's network leaves a connection without an answer now and then.
const TRIES: usize = 5;
/// Where QEMU listens.
pub(super) const FORWARDED: &str = "127.0.0.1:18401";
/// The container there, which serves.
pub(super) const CONTAINER: &str = "other-server";

/// Lays an emulator whose machine has the second card in a folder of its own, beneath `folder`.
pub(super) fn lay_emulator(folder: &Path) -> anyhow::Result<PathBuf> {
    let programs = folder.join("emulator");
    let forwards = format!("net={SUBNET},host={GATEWAY},hostfwd=tcp:{FORWARDED}-{ADDRESS}:{PORT}");
    let card = format!("-netdev user,id=other,{forwards} -device virtio-net-device,netdev=other");
    emulator::lay(&programs, &card)?;
    Ok(programs)
}

/// Starts one more server, on the card.
pub(super) fn serve(site: &Site) -> anyhow::Result<()> {
    let up = ["ip", "link", "set", CARD, "up"];
    let here = ["run", "--rm", "--privileged", "--network", "host", IMAGE, "/bin/busybox"];
    site.docker(&[&here[..], &up].concat())?;
    let parent = format!("parent={CARD}");
    let network = ["network", "create", "--driver", "macvlan", "--opt", &parent, "--subnet", SUBNET];
    site.docker(&[&network[..], &["--gateway", GATEWAY, "card"]].concat())?;
    let server = ["run", "--detach", "--name", CONTAINER, "--network", "card", "--ip", ADDRESS, IMAGE];
    site.docker(&server).map(drop)
}

/// A figure of the forwarded port.
pub(super) fn figure(site: &Site, load: &Load, work: &[&str]) -> anyhow::Result<f64> {
    let mut tried = site.outside(load, FORWARDED, work);
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        tried = site.outside(load, FORWARDED, work);
    }
    tried
}
