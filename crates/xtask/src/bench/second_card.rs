//! QEMU's own ways into the guest and out of it, to compare with: a second card of the machine, on QEMU's user network. One
//! of its forwarded ports leads to an address of the guest and from there, translated as Docker's engines do, to the published
//! container on its bridge. The other leads to a container's own interface on the card, which has its way out there: no
//! bridge, rule or translation lies between.

use std::path::{Path, PathBuf};

use anyhow::Context;

use super::load::{IMAGE, Load, PORT};
use super::site::Site;
use crate::container_image::ContainerImage;
use crate::emulator;
use crate::step::find_program;

/// The card as the guest names it: its own is the first.
const CARD: &str = "eth1";
const SUBNET: &str = "10.0.9.0/24";
/// Leads to this machine's loopback.
pub(super) const GATEWAY: &str = "10.0.9.2";
const ADDRESS: &str = "10.0.9.15";
/// The guest's own there.
const GUEST: &str = "10.0.9.16";
/// What writes the guest's rules for it.
const RULES: &str = "rules:latest";
/// How often a figure is tried: under load QEMU's network leaves a connection without an answer now and then.
const TRIES: usize = 5;
/// Where QEMU listens for the container on the card,
pub(super) const BARE: &str = "127.0.0.1:18401";
/// and for the published one.
pub(super) const FORWARDED: &str = "127.0.0.1:18403";
/// The container there, which serves.
pub(super) const CONTAINER: &str = "other-server";

/// Lays an emulator whose machine has the second card in a folder of its own, beneath `folder`.
pub(super) fn lay_emulator(folder: &Path) -> anyhow::Result<PathBuf> {
    let programs = folder.join("emulator");
    let forward = |from, to| format!("hostfwd=tcp:{from}-{to}:{PORT}");
    let forwards = [forward(BARE, ADDRESS), forward(FORWARDED, GUEST)].join(",");
    let network = format!("user,id=other,net={SUBNET},host={GATEWAY},{forwards}");
    let card = format!("-netdev {network} -device virtio-net-device,netdev=other");
    emulator::lay(&programs, &card)?;
    Ok(programs)
}

/// Gives the guest an address there that leads to the published server, and starts one more server on the card.
pub(super) fn serve(site: &Site, folder: &Path) -> anyhow::Result<()> {
    let archive = folder.join("rules.tar");
    let nft = find_program("nft").context("nftables isn't installed (cargo xtask setup)")?;
    ContainerImage::with_programs(&[&nft], Vec::new())?.save(RULES, &archive)?;
    site.docker(&["load", "--quiet", "--input", &archive.to_string_lossy()])?;
    let chain = "{ type nat hook prerouting priority dstnat; }";
    let translation = format!("ip daddr {GUEST} tcp dport {PORT} dnat to {}", site.bridge);
    let rules = format!(
        "add table ip second; add chain ip second prerouting {chain}; add rule ip second prerouting {translation}"
    );
    let card = format!("ip link set {CARD} up && ip address add {GUEST}/24 dev {CARD}");
    let script = format!("{card} && nft '{rules}'");
    site.docker(&["run", "--rm", "--privileged", "--network", "host", RULES, "sh", "-c", &script])?;
    let parent = format!("parent={CARD}");
    let network = ["network", "create", "--driver", "macvlan", "--opt", &parent, "--subnet", SUBNET];
    site.docker(&[&network[..], &["--gateway", GATEWAY, "card"]].concat())?;
    let server = ["run", "--detach", "--name", CONTAINER, "--network", "card", "--ip", ADDRESS, IMAGE];
    site.docker(&server).map(drop)
}

/// A figure of a forwarded port.
pub(super) fn figure(site: &Site, load: &Load, address: &str, work: &[&str]) -> anyhow::Result<f64> {
    let mut tried = site.outside(load, address, work);
    for _ in 1..TRIES {
        if tried.is_ok() {
            break;
        }
        tried = site.outside(load, address, work);
    }
    tried
}
