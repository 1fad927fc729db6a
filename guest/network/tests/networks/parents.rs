//! Networks whose containers hang on an interface of the machine: macvlan and ipvlan.

use std::collections::BTreeMap;
use std::path::Path;

use berth_network::{Endpoint, EndpointWish, IpamWish, Kind, Network, NetworkWish, Result};

use crate::world::{MACHINE, NEIGHBOUR, World, ask, ask_here, interfaces, run, serve, wish};

/// The machine's interface towards its neighbour.
const PARENT: &str = "eth0";

/// A network in the neighbour's subnet, whose router the neighbour is.
fn among_neighbours(name: &str, driver: &str, options: &[(&str, &str)]) -> NetworkWish {
    let ipam = IpamWish {
        subnet: Some("203.0.113.0/24".to_owned()),
        range: Some("203.0.113.128/25".to_owned()),
        gateway: Some(NEIGHBOUR.to_owned()),
        aux: BTreeMap::from([("machine".to_owned(), MACHINE.to_owned())]),
    };
    NetworkWish { ipam: vec![ipam], ..bare(name, driver, options) }
}

fn bare(name: &str, driver: &str, options: &[(&str, &str)]) -> NetworkWish {
    let options = options.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let (name, driver) = (name.to_owned(), driver.to_owned());
    NetworkWish { name, driver, options, ..NetworkWish::default() }
}

/// The network, or the reason printed where this machine's kernel has no such interfaces.
fn supported(made: Result<Network>) -> Option<Network> {
    match made {
        Err(error) if error.to_string().contains("kernel has no") => {
            eprintln!("skipped: {error}");
            None
        }
        made => Some(made.unwrap()),
    }
}

fn inside(sandbox: &Path, words: &[&str]) -> String {
    run("nsenter", &[&[format!("--net={}", sandbox.display()).as_str(), "ip"], words].concat())
}

fn said(made: Result<Network>) -> String {
    let error = made.unwrap_err();
    assert_eq!(error.kind(), Kind::System, "as dockerd: {error}");
    error.to_string()
}

fn own_address(endpoint: &Endpoint) -> String {
    endpoint.ipv4.unwrap().0.to_string()
}

#[test]
fn a_container_on_a_macvlan_is_one_of_the_neighbours() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let wished = among_neighbours("lan", "macvlan", &[("parent", PARENT)]);
    let Some(network) = supported(world.networks.create(wished)) else { return };
    let (one, at) = world.container("one", "lan");
    let (two, other) = world.container("two", "lan");
    assert_eq!(own_address(&at), "203.0.113.128");
    assert_eq!(at.gateway.unwrap().to_string(), NEIGHBOUR);
    serve(&neighbour, 80);
    serve(&one, 80);
    assert_eq!(ask(&one, NEIGHBOUR, 80), Some(own_address(&at)), "no translation: its own address");
    assert_eq!(ask(&neighbour, &own_address(&at), 80).as_deref(), Some(NEIGHBOUR));
    assert_eq!(ask(&two, &own_address(&at), 80), Some(own_address(&other)));
    assert_eq!(ask_here(&own_address(&at), 80), None, "the machine itself isn't among them, as with Docker");
    let shown = inside(&one, &["link", "show", "eth0"]);
    assert!(shown.contains(&at.mac.unwrap().to_string()), "{shown}");
    let opened = world.networks.publish("one", &[wish(8080, 80)]).unwrap();
    assert_eq!(opened, [], "its ports are open to all already");

    world.networks.leave("two", "lan").unwrap();
    assert!(!inside(&two, &["-o", "link"]).contains("eth0"));
    world.networks.close_sandbox("one").unwrap();
    world.networks.close_sandbox("two").unwrap();
    world.networks.remove(&network.id).unwrap();
    assert!(interfaces().contains(&PARENT.to_owned()), "the machine's own interface stays");
}

#[test]
fn a_macvlans_modes_decide_who_hears_whom() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let wished = among_neighbours("apart", "macvlan", &[("parent", PARENT), ("macvlan_mode", "private")]);
    let Some(_) = supported(world.networks.create(wished)) else { return };
    let (one, at) = world.container("one", "apart");
    let (two, _) = world.container("two", "apart");
    serve(&one, 80);
    serve(&neighbour, 80);
    assert_eq!(ask(&two, &own_address(&at), 80), None);
    assert!(ask(&two, NEIGHBOUR, 80).is_some());
}

#[test]
fn passthru_has_the_parent_for_itself() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let options = [("parent", PARENT), ("macvlan_mode", "passthru")];
    let Some(network) = supported(world.networks.create(among_neighbours("alone", "macvlan", &options)))
    else {
        return;
    };
    let refused = world.networks.create(bare("late", "macvlan", &[("parent", PARENT)]));
    let words =
        format!("macvlan network {} is already using parent interface eth0 in mode passthru", network.id);
    assert_eq!(said(refused), words);
    let (one, at) = world.container("one", "alone");
    let machine = run("ip", &["link", "show", PARENT]);
    assert!(machine.contains(&at.mac.unwrap().to_string()), "the parent's own: {machine}");
    serve(&neighbour, 80);
    assert_eq!(ask(&one, NEIGHBOUR, 80), Some(own_address(&at)));
    world.networks.open_sandbox("two").unwrap();
    world.networks.join("two", "alone", &EndpointWish::default()).unwrap_err();
    assert!(world.networks.endpoints("two").is_empty());
    world.networks.close_sandbox("one").unwrap();
    world.networks.join("two", "alone", &EndpointWish::default()).expect("it is free at once");
}

#[test]
fn a_parent_that_makes_no_sense_is_refused_in_dockers_words() {
    let Some((world, _)) = World::with_neighbour() else { return };
    let Some(first) = supported(world.networks.create(bare("first", "macvlan", &[("parent", PARENT)])))
    else {
        return;
    };
    let macvlan = |options: &[(&str, &str)]| said(world.networks.create(bare("no", "macvlan", options)));
    assert_eq!(
        macvlan(&[("parent", PARENT), ("macvlan_mode", "passthru")]),
        format!(
            "cannot use mode passthru, macvlan network {} is already using parent interface eth0",
            first.id
        )
    );
    assert_eq!(
        macvlan(&[("macvlan_mode", "source")]),
        "requested macvlan mode 'source' is not valid, 'bridge' mode is the macvlan driver default"
    );
    assert_eq!(macvlan(&[("parent", "lo")]), "loopback interface is not a valid macvlan parent link");
    assert_eq!(
        macvlan(&[("parent", "nope")]),
        "invalid subinterface vlan name nope, example formatting is eth0.10"
    );
    assert_eq!(macvlan(&[("parent", "nope.5")]), "-o parent interface was not found on the host: nope");
    assert_eq!(macvlan(&[("parent", "eth0.5000")]), "vlan id must be between 1-4094, received: 5000");
    let ipvlan = |options: &[(&str, &str)]| said(world.networks.create(bare("no", "ipvlan", options)));
    assert_eq!(
        ipvlan(&[("ipvlan_mode", "l9")]),
        "requested ipvlan mode 'l9' is not valid, 'l2' mode is the ipvlan driver default"
    );
    assert_eq!(
        ipvlan(&[("ipvlan_flag", "l9")]),
        "requested ipvlan flag 'l9' is not valid, 'bridge' is the ipvlan driver default"
    );
    let names: Vec<String> = world.networks.list().into_iter().map(|network| network.name).collect();
    assert_eq!(names, ["bridge", "host", "none", "first"], "nothing is left of what was refused");
    world.networks.create(bare("second", "macvlan", &[("parent", PARENT)])).expect("a parent may be shared");
}

#[test]
fn an_internal_macvlan_has_no_router() {
    let Some((world, _)) = World::with_neighbour() else { return };
    let wished = NetworkWish { internal: true, ..bare("inner", "macvlan", &[("parent", PARENT)]) };
    let Some(network) = supported(world.networks.create(wished)) else { return };
    assert_eq!(network.ipam[0].gateway, None, "no address is kept for it either");
    let (one, at) = world.container("one", "inner");
    assert_eq!(own_address(&at), "172.18.0.1");
    assert!(!inside(&one, &["route"]).contains("default"));
}

#[test]
fn macvlan_containers_outlive_the_engine() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let wished = among_neighbours("lan", "macvlan", &[("parent", PARENT)]);
    let Some(network) = supported(world.networks.create(wished)) else { return };
    let (one, at) = world.container("one", "lan");
    world.container("lost", "lan");
    let alive = world.alive("one");
    let world = world.crash();
    world.networks.restore(vec![alive]).unwrap();
    assert_eq!(world.networks.find("lan").unwrap(), network);
    assert_eq!(world.networks.endpoints("one"), std::slice::from_ref(&at));
    serve(&neighbour, 80);
    assert_eq!(ask(&one, NEIGHBOUR, 80), Some(own_address(&at)));
    let (_, next) = world.container("next", "lan");
    assert_eq!(own_address(&next), "203.0.113.129", "what belonged to the lost one is free");

    // The machine's interface goes while nobody looks: the engine comes up, and says at the next start what is missing.
    run("ip", &["link", "delete", PARENT]);
    let world = world.crash();
    world.networks.restore(Vec::new()).unwrap();
    world.networks.open_sandbox("late").unwrap();
    let refused = world.networks.join("late", "lan", &EndpointWish::default()).unwrap_err();
    assert_eq!(refused.to_string(), "the requested parent interface eth0 was not found on the Docker host");
}

#[test]
fn a_vlan_is_made_and_removed_with_the_last_network_on_it() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let options = [("parent", "eth0.50")];
    let Some(_) = supported(world.networks.create(among_neighbours("tagged", "macvlan", &options))) else {
        return;
    };
    let there = || interfaces().contains(&"eth0.50".to_owned());
    inside(&neighbour, &["link", "add", "link", "out1", "name", "tag", "type", "vlan", "id", "50"]);
    inside(&neighbour, &["address", "del", &format!("{NEIGHBOUR}/24"), "dev", "out1"]);
    inside(&neighbour, &["address", "add", &format!("{NEIGHBOUR}/24"), "dev", "tag"]);
    inside(&neighbour, &["link", "set", "tag", "up"]);
    serve(&neighbour, 80);
    let (one, at) = world.container("one", "tagged");
    assert_eq!(ask(&one, NEIGHBOUR, 80), Some(own_address(&at)));
    world.networks.close_sandbox("one").unwrap();
    world.networks.create(bare("more", "macvlan", &options)).unwrap();
    world.networks.remove("tagged").unwrap();
    assert!(there(), "another network uses it");
    let world = world.crash();
    world.networks.remove("more").unwrap();
    assert!(!there());
}

#[test]
fn without_a_parent_containers_are_among_themselves() {
    let Some(world) = World::new() else { return };
    let Some(network) = supported(world.networks.create(bare("own", "macvlan", &[]))) else { return };
    let stand_in = format!("dm-{}", &network.id[..12]);
    assert!(interfaces().contains(&stand_in));
    let (one, at) = world.container("one", "own");
    let (two, other) = world.container("two", "own");
    assert_eq!(at.gateway, None);
    serve(&one, 80);
    assert_eq!(ask(&two, &own_address(&at), 80), Some(own_address(&other)));
    world.networks.close_sandbox("one").unwrap();
    world.networks.close_sandbox("two").unwrap();
    run("ip", &["link", "delete", &stand_in]);
    let world = world.crash();
    assert!(interfaces().contains(&stand_in), "it is made again, as after a restart of the machine");
    world.networks.remove("own").unwrap();
    assert!(!interfaces().contains(&stand_in));
}

#[test]
fn an_ipvlan_routes_by_the_machine_or_by_a_router() {
    let Some((world, neighbour)) = World::with_neighbour() else { return };
    let flat = among_neighbours("flat", "ipvlan", &[("parent", PARENT)]);
    let Some(_) = supported(world.networks.create(flat)) else { return };
    let taken = said(world.networks.create(bare("no", "ipvlan", &[("parent", PARENT)])));
    assert!(taken.ends_with(" is already using parent interface eth0"), "{taken}");
    let (one, at) = world.container("one", "flat");
    assert_eq!(at.mac, None, "it is the parent's");
    serve(&neighbour, 80);
    assert_eq!(ask(&one, NEIGHBOUR, 80), Some(own_address(&at)));
    let own = EndpointWish { mac: Some("02:00:00:00:00:07".parse().unwrap()), ..EndpointWish::default() };
    world.networks.open_sandbox("two").unwrap();
    let refused = world.networks.join("two", "flat", &own).unwrap_err();
    assert_eq!(refused.to_string(), "ipvlan interfaces do not support custom mac address assignment");
    world.networks.close_sandbox("one").unwrap();
    world.networks.remove("flat").unwrap();

    let routed = bare("routed", "ipvlan", &[("parent", PARENT), ("ipvlan_mode", "l3")]);
    let network = world.networks.create(NetworkWish { ipv6: Some(true), ..routed }).unwrap();
    assert!(network.ipam.iter().all(|ipam| ipam.gateway.is_none()));
    let (three, at) = world.container("three", "routed");
    assert!(inside(&three, &["route"]).contains("default dev eth0 scope link"));
    assert!(inside(&three, &["-6", "route"]).contains("default dev eth0"));
    inside(&neighbour, &["route", "add", "172.18.0.0/16", "via", MACHINE]);
    assert_eq!(ask(&three, NEIGHBOUR, 80), Some(own_address(&at)));
}
