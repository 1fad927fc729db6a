//! QEMU's own way into the guest, to compare with: a second card of the machine, on QEMU's user network, one of whose
//! forwarded ports leads to a container's own interface on that card. No bridge, rule or translation lies between.

use std::path::{Path, PathBuf};

use super::site::{CONTAINER_PORT, Site};
use crate::emulator;

/// The card as the guest names it: its own is the first.
const CARD: &str = "eth1";
const SUBNET: &str = "10.0.9.0/24";
const GATEWAY: &str = "10.0.9.2";
const CONTAINER: &str = "10.0.9.15";
/// How often a figure is tried: under load QEMU's network leaves a connection without an answer now and then.
const TRIES: usize = 5;
/// Where QEMU listens.
pub(super) const ADDRESS: &str = "127.0.0.1:18401";

/// Lays an emulator whose machine has the second card in a folder of its own, beneath `folder`.
pub(super) fn lay_emulator(folder: &Path) -> anyhow::Result<PathBuf> {
    let programs = folder.join("emulator");
    let forwards = format!("net={SUBNET},host={GATEWAY},hostfwd=tcp:{ADDRESS}-{CONTAINER}:{CONTAINER_PORT}");
    let card = format!("-netdev user,id=other,{forwards} -device virtio-net-device,netdev=other");
    emulator::lay(&programs, &card)?;
    Ok(programs)
}

/// Starts one more server, on the card.
pub(super) fn serve(site: &Site, image: &str) -> anyhow::Result<()> {
    let up = ["ip", "link", "set", CARD, "up"];
    let here = ["run", "--rm", "--privileged", "--network", "host", image, "/bin/busybox"];
    site.docker(&[&here[..], &up].concat())?;
    let parent = format!("parent={CARD}");
    let network = ["network", "create", "--driver", "macvlan", "--opt", &parent, "--subnet", SUBNET];
    site.docker(&[&network[..], &["--gateway", GATEWAY, "card"]].concat())?;
    site.docker(&["run", "--detach", "--network", "card", "--ip", CONTAINER, image]).map(drop)
}

/// A figure of the forwarded port.
pub(super) fn figure(site: &Site, load: &Path, work: &[&str]) -> anyhow::Result<f64> {
    let mut tried = site.outside(load, ADDRESS, work);
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        tried = site.outside(load, ADDRESS, work);
    }
    tried
}
