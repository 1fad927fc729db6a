//! `cargo xtask bench ports`: what a published port carries, natively beside the bridge's own address and dockerd's ports,
//! and in the VM beside a client in the guest that asks at the bridge's address and QEMU's own forwarding of ports. Client
//! and server are one program of ours (`src/bin/load.rs`), the same everywhere; all take turns.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use serde_json::json;

use super::load::Load;
use super::second_card;
use super::site::Site;
use super::turns::{Extent, Figures, Way, Work, measure};
use crate::build::{self, Profile};
use crate::peer::Engine;
use crate::{image, setup};

/// What `cargo xtask bench ports` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    extent: Extent,
    /// How many clients ask at once.
    #[arg(long, default_value_t = 32)]
    clients: usize,
    /// How many bytes a download has.
    #[arg(long, default_value_t = 256 << 20)]
    bytes: u64,
    /// Only these places; both when none is named.
    #[arg(long, value_enum)]
    place: Option<Place>,
}

/// Where an engine runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Place {
    Native,
    Machine,
}

/// Measures and prints.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    setup::for_peers()?;
    let folder = tempfile::tempdir().context("make a folder for the measured engines")?;
    let load = Load::make(folder.path())?;
    let mut all = BTreeMap::new();
    if args.place != Some(Place::Machine) {
        all.insert("natively", natively(args, folder.path(), &load)?);
    }
    if args.place != Some(Place::Native) {
        all.insert("in the VM", in_the_machine(args, folder.path(), &load)?);
    }
    println!(
        "{}",
        json!({ "bench": "ports", "runs": args.extent.runs, "clients": args.clients, "medians": all })
    );
    Ok(())
}

fn natively(args: &Args, folder: &Path, load: &Load) -> anyhow::Result<Figures> {
    if !args.extent.built {
        build::guest_programs(Profile::Release)?;
    }
    let ours = Site::open(Engine::Native, folder, load)?;
    let theirs = Site::open(Engine::Dockerd, folder, load)?;
    let ways: [Way<'_>; 4] = [
        ("published", Box::new(|work| ours.outside(load, &ours.published, work))),
        ("bridge address", Box::new(|work| ours.outside(load, &ours.bridge, work))),
        ("dockerd published", Box::new(|work| theirs.outside(load, &theirs.published, work))),
        ("dockerd bridge", Box::new(|work| theirs.outside(load, &theirs.bridge, work))),
    ];
    println!("\n  natively");
    take(args, &ways)
}

fn in_the_machine(args: &Args, folder: &Path, load: &Load) -> anyhow::Result<Figures> {
    if !args.extent.built {
        image::run(&image::Args::default())?;
        build::host_programs(Profile::Release)?;
    }
    let ours = Site::open(Engine::Machine, folder, load)?;
    let site = &ours;
    let forwarded = |address| move |work: &[&str]| second_card::figure(site, load, address, work);
    let ways: [Way<'_>; 4] = [
        ("published", Box::new(|work| ours.outside(load, &ours.published, work))),
        ("QEMU's hostfwd", Box::new(forwarded(second_card::FORWARDED))),
        ("… to an interface on the card", Box::new(forwarded(second_card::BARE))),
        ("bridge address, in the guest", Box::new(|work| ours.inside(&ours.bridge, work))),
    ];
    println!("\n  in the VM");
    let mut figures = take(args, &ways)?;
    let paid = [
        ("what the host pays", "published", ours.published.as_str()),
        ("what it pays for QEMU's hostfwd", "QEMU's hostfwd", second_card::FORWARDED),
    ];
    for (name, way, address) in paid {
        figures.insert(name, price(args, &ours, load, way, address)?);
    }
    Ok(figures)
}

/// Takes every figure of these ways.
fn take(args: &Args, ways: &[Way<'_>]) -> anyhow::Result<Figures> {
    let (clients, seconds) = (args.clients.to_string(), args.extent.seconds.to_string());
    let bytes = args.bytes.to_string();
    let works: [Work<'_>; 3] = [
        ("requests/s on kept connections", vec!["requests", &clients, &seconds]),
        ("requests/s, a connection each", vec!["connections", &clients, &seconds]),
        ("bytes/s of a download", vec!["bulk", &bytes]),
    ];
    measure(args.extent.runs, &works, ways)
}

/// The seconds of processor that the daemon, its machine and the emulator take for the work of one way in.
fn price(
    args: &Args,
    site: &Site,
    load: &Load,
    way: &str,
    address: &str,
) -> anyhow::Result<BTreeMap<&'static str, f64>> {
    let (clients, seconds) = (args.clients.to_string(), args.extent.seconds.to_string());
    let before = site.processor_seconds()?;
    let rate = site.outside(load, address, &["requests", &clients, &seconds])?;
    let between = site.processor_seconds()?;
    site.outside(load, address, &["bulk", &args.bytes.to_string()])?;
    let after = site.processor_seconds()?;
    // Requests are answered for half a second before they are counted.
    let requests = rate * (args.extent.seconds as f64 + 0.5);
    let price = BTreeMap::from([
        ("processor µs per request", (between - before) * 1e6 / requests),
        ("processor s per GB", (after - between) * 1e9 / args.bytes as f64),
    ]);
    for (name, value) in &price {
        println!("  {name:<32} {way:<30} {value:>14.2}");
    }
    Ok(price)
}
