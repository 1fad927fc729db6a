//! A container's interface in a macvlan or ipvlan network: it lives inside alone, and hangs on the network's parent.

use std::fs::File;
use std::os::fd::AsFd;
use std::path::Path;

use super::{State, file, kernel, parent};
use crate::endpoint::{Endpoint, EndpointWish};
use crate::error::{Error, ParentError, Result};
use crate::mode::Mode;
use crate::namespace;
use crate::network::{Network, Parent};
use crate::route::{Kernel, Upper};

/// The endpoint with the hardware address that the mode leaves it.
pub(super) fn choose_mac(
    state: &mut State,
    network: &Network,
    endpoint: Endpoint,
    wish: &EndpointWish,
) -> Result<Endpoint> {
    let (Some(parent), Some(mode)) = (&network.parent, network.mode()) else { return Ok(endpoint) };
    let mac = match mode {
        Mode::Ipvlan(..) if wish.mac.is_some() => return Err(ParentError::OwnMac.into()),
        Mode::Ipvlan(..) => None,
        // One that has the parent for itself has its address, too.
        Mode::Macvlan(_) if mode.passes_through() && wish.mac.is_none() => {
            let index = parent::build(&mut state.kernel, network, parent)?;
            state.kernel.mac(index).map_err(kernel("ask for the address of", &parent.name))?
        }
        Mode::Macvlan(_) => endpoint.mac,
    };
    Ok(Endpoint { mac, ..endpoint })
}

/// Makes the interface, which has the name `first` before it gets its own.
pub(super) fn hang(
    links: &mut Kernel,
    network: &Network,
    first: &str,
    parent: &Parent,
    endpoint: &Endpoint,
    sandbox: &Path,
) -> Result<()> {
    let Some(mode) = network.mode() else { return Ok(()) };
    let namespace = File::open(sandbox).map_err(|source| file("open", sandbox, source))?;
    let upper = Upper {
        parent: parent::build(links, network, parent)?,
        name: first,
        namespace: namespace.as_fd(),
        mode,
        mac: endpoint.mac,
        mtu: network.mtu(),
    };
    links.add_upper(&upper).map_err(kernel("make an interface on", &parent.name))?;
    let name = &endpoint.interface;
    let (mut inside, index) = find(first, sandbox)?;
    if let Err(error) = inside.rename(index, name) {
        let _ = inside.remove_link(first);
        return Err(kernel("give its name to", name)(error));
    }
    let Some(mac) = endpoint.mac.filter(|_| mode.passes_through()) else { return Ok(()) };
    // Such an interface begins with the parent's address, whatever was asked for.
    inside.set_mac(index, mac).map_err(kernel("give a hardware address to", name))
}

/// Removes the interface, so that its parent is free at once; one that isn't there is fine.
pub(super) fn unhang(endpoint: &Endpoint, sandbox: &Path) -> Result<()> {
    if !namespace::is_held(sandbox) {
        return Ok(());
    }
    let mut inside = namespace::within(sandbox, Kernel::open)?;
    let name = &endpoint.interface;
    inside.remove_link(name).map_err(kernel("remove the interface", name))
}

/// Removes what a namespace that nobody has may have hanging on a parent. The kernel would do so after the namespace's
/// end, and until then no other container gets the hardware address. Interfaces that can't be removed go with it.
pub(super) fn unhang_all(sandbox: &Path) {
    if !namespace::is_held(sandbox) {
        return;
    }
    let Ok(mut inside) = namespace::within(sandbox, Kernel::open) else { return };
    for (name, _) in inside.links().unwrap_or_default() {
        let _ = inside.remove_link(&name);
    }
}

/// The kernel inside, and the index of the interface of this name there.
pub(super) fn find(name: &str, sandbox: &Path) -> Result<(Kernel, u32)> {
    let mut inside = namespace::within(sandbox, Kernel::open)?;
    let index = inside.index(name).map_err(kernel("look for", name))?;
    let missing = || -> Error { kernel("look for", name)(std::io::ErrorKind::NotFound.into()) };
    Ok((inside, index.ok_or_else(missing)?))
}
