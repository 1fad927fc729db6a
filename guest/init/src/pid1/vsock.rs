//! Listening on vsock ports, for the host alone. The accepted streams are plain stream sockets, used through `UnixStream`.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use anyhow::Context;
use rustix::net::SocketFlags;

/// A listening vsock socket.
pub(super) fn listen(port: u32) -> anyhow::Result<OwnedFd> {
    let listener = ::vsock::VsockListener::bind_with_cid_port(::vsock::VMADDR_CID_ANY, port)
        .with_context(|| format!("listen on vsock port {port}"))?;
    listener.as_fd().try_clone_to_owned().context("keep a listener")
}

/// The next client on the host. The kernel carries nothing within the guest (`VSOCKETS_LOOPBACK`); should one ever, a
/// container is still not heard.
pub(super) fn accept(listener: &OwnedFd) -> std::io::Result<UnixStream> {
    loop {
        match rustix::net::accept_with(listener, SocketFlags::CLOEXEC) {
            Ok(stream) => {
                let stream = ::vsock::VsockStream::from(stream);
                if stream.peer_addr()?.cid() == ::vsock::VMADDR_CID_HOST {
                    return Ok(UnixStream::from(OwnedFd::from(stream)));
                }
            }
            Err(rustix::io::Errno::INTR | rustix::io::Errno::CONNABORTED) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

/// Accepts for ever; `serve` gets each client on a thread of its own.
pub(super) fn serve_each(
    name: &str,
    listener: OwnedFd,
    serve: impl Fn(UnixStream) + Send + Sync + 'static,
) -> anyhow::Result<()> {
    let serve = std::sync::Arc::new(serve);
    let thread = std::thread::Builder::new().name(name.to_owned());
    let client_name = format!("{name} client");
    let accept_all = move || loop {
        let served = accept(&listener).and_then(|client| {
            let serve = std::sync::Arc::clone(&serve);
            std::thread::Builder::new().name(client_name.clone()).spawn(move || serve(client))
        });
        if let Err(error) = served {
            tracing::warn!(%error, "a vsock client can't be served");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    thread.spawn(accept_all).map(drop).with_context(|| format!("start {name}"))
}
