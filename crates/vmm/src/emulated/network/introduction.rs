//! QEMU's introduction to our network device. QEMU enables a card's queues before it says which features it takes
//! (`peer_attach` in its hw/net/virtio-net.c); what carries our devices allows that only to who has taken the protocol's own
//! features. So these are taken in its name, and from then on what either says is passed on. Packets don't come this way.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use vhost::vhost_user::message::VhostUserVirtioFeatures;

use super::super::carrier::Carried;
use crate::{Error, sys};

/// `VHOST_USER_SET_FEATURES`, of the protocol's first version, with eight bytes.
const SET_FEATURES: [u32; 3] = [2, 1, 8];
/// A message's header, whose last four bytes are the length of what follows, and more than a message has.
const HEADER: usize = 12;
const LONGEST: usize = 4096;

/// Waits for the emulator at `socket`, and leads it to the device that waits at the other; passes messages on until either
/// leaves.
pub(super) fn lead(socket: PathBuf, device: PathBuf) -> Result<Carried, Error> {
    Carried::wait("introduction", socket, move |listener| {
        if let Err(error) = introduce(&listener, &device) {
            tracing::error!(%error, "the guest has no network any more");
        }
    })
}

fn introduce(listener: &UnixListener, device: &Path) -> io::Result<()> {
    let (emulator, _) = listener.accept()?;
    let mut device = UnixStream::connect(device)?;
    let features = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
    let message = SET_FEATURES.iter().flat_map(|word| word.to_le_bytes()).chain(features.to_le_bytes());
    device.write_all(&message.collect::<Vec<_>>())?;
    std::thread::scope(|both| {
        both.spawn(|| pass_on(&device, &emulator));
        pass_on(&emulator, &device);
    });
    Ok(())
}

/// Passes messages with their descriptors on until one end leaves; then the other hears of it.
fn pass_on(from: &UnixStream, to: &UnixStream) {
    let mut bytes = [0; LONGEST];
    while pass_on_one(from, to, &mut bytes).is_ok() {}
    for end in [from, to] {
        // It may be gone.
        let _ = end.shutdown(Shutdown::Both);
    }
}

/// One message, as one: the descriptors come with its first bytes.
fn pass_on_one(mut from: &UnixStream, to: &UnixStream, bytes: &mut [u8; LONGEST]) -> io::Result<()> {
    let (begun, descriptors) = sys::receive_descriptors(from.as_fd(), &mut bytes[..HEADER])?;
    if begun == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    from.read_exact(&mut bytes[begun..HEADER])?;
    let [.., a, b, c, d] = bytes[..HEADER] else { return Err(io::ErrorKind::InvalidData.into()) };
    let length = HEADER.saturating_add(u32::from_le_bytes([a, b, c, d]) as usize);
    let body = bytes.get_mut(HEADER..length).ok_or(io::ErrorKind::InvalidData)?;
    from.read_exact(body)?;
    let descriptors: Vec<_> = descriptors.iter().map(AsFd::as_fd).collect();
    sys::send_descriptors(to.as_fd(), &descriptors, &bytes[..length])
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::fd::OwnedFd;

    use super::*;

    #[test]
    fn features_come_first_and_then_what_either_says_with_descriptors_until_one_leaves() {
        let folder = tempfile::tempdir().unwrap();
        let (socket, device) = (folder.path().join("a"), folder.path().join("b"));
        let listener = UnixListener::bind(&device).unwrap();
        let introduction = lead(socket.clone(), device).unwrap();
        let mut emulator = UnixStream::connect(socket).unwrap();
        let (mut device, _) = listener.accept().unwrap();
        let mut said = [0; 20];
        device.read_exact(&mut said).unwrap();
        assert_eq!(said, [2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0x40, 0, 0, 0, 0]);

        let shared = TcpListener::bind("127.0.0.1:0").unwrap();
        let (first, second) = (b"\x01\0\0\0\x01\0\0\0\0\0\0\0", b"\x05\0\0\0\x01\0\0\0\x06\0\0\0memory");
        emulator.write_all(first).unwrap();
        sys::send_descriptors(emulator.as_fd(), &[shared.as_fd(), shared.as_fd()], second).unwrap();
        let mut bytes = [0; 100];
        device.read_exact(&mut bytes[..first.len()]).unwrap();
        let (length, descriptors) = sys::receive_descriptors(device.as_fd(), &mut bytes).unwrap();
        assert_eq!((&bytes[..length], descriptors.len()), (&second[..], 2));
        let same = |descriptor: OwnedFd| TcpListener::from(descriptor).local_addr().unwrap();
        assert!(descriptors.into_iter().map(same).all(|address| address == shared.local_addr().unwrap()));
        device.write_all(first).unwrap();
        emulator.read_exact(&mut bytes[..first.len()]).unwrap();
        assert_eq!(&bytes[..first.len()], first);

        drop(emulator);
        assert_eq!(device.read(&mut bytes).unwrap(), 0);
        drop(introduction);
    }
}
