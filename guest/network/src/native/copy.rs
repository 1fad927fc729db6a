//! Connections that the kernel can't translate are copied here: from IPv6 to a container that has IPv4 alone, and
//! from this machine's own `::1`.
//!
//! A connection has two threads of its own. Should somebody flush the machine's rules, ports that the kernel served go on
//! this way, too.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::Builder;
use std::time::Duration;

/// More connections at once are turned away: each costs two threads.
const MOST: usize = 2048;
/// A container on this machine answers at once or not at all.
const PATIENCE: Duration = Duration::from_secs(5);
/// Copying needs no more stack than this.
const STACK: usize = 64 * 1024;

/// A listener and where its connections lead.
#[derive(Clone)]
pub(super) struct Door {
    pub(super) listener: Arc<TcpListener>,
    pub(super) target: SocketAddr,
}

/// Counts the connections that are copied.
#[derive(Default)]
pub(super) struct Copier(Arc<AtomicUsize>);

impl Copier {
    /// Takes one connection; whatever goes wrong with it is its own matter.
    pub(super) fn accept(&self, door: &Door) {
        let Ok((client, _)) = door.listener.accept() else { return };
        if self.0.fetch_add(1, Ordering::Relaxed) >= MOST {
            self.0.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let (target, counted) = (door.target, Arc::clone(&self.0));
        let started = Builder::new().name("port".to_owned()).stack_size(STACK).spawn(move || {
            if let Err(error) = copy(&client, target) {
                tracing::debug!(%target, "a copied connection ended: {error}");
            }
            counted.fetch_sub(1, Ordering::Relaxed);
        });
        if started.is_err() {
            self.0.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Copies both ways until both sides have said all; an end in one direction is passed on alone.
fn copy(client: &TcpStream, target: SocketAddr) -> io::Result<()> {
    let server = TcpStream::connect_timeout(&target, PATIENCE)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (from_client, to_server) = (client.try_clone()?, server.try_clone()?);
    let up = Builder::new()
        .name("port".to_owned())
        .stack_size(STACK)
        .spawn(move || one_way(&from_client, &to_server))?;
    let down = one_way(&server, client);
    let up = up.join().unwrap_or_else(|_| Err(io::Error::other("the other direction panicked")));
    down.and(up)
}

fn one_way(mut from: &TcpStream, mut to: &TcpStream) -> io::Result<()> {
    let copied = io::copy(&mut from, &mut to).and_then(|_| to.flush());
    let ended = to.shutdown(Shutdown::Write);
    if copied.is_err() {
        // The other direction ends too: nobody reads any more.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
    copied.and(ended)
}
