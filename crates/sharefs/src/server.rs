//! The server: its shared folders, what the guest knows of them, and which verb answers which request.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::carrier::{Carrier, Later, Message, copied};
use crate::echo::Expected;
use crate::handles::Handles;
use crate::locks::Locks;
use crate::nodes::Nodes;
use crate::sys::{self, Errno, Kind};
use crate::watch::{SHORT, Watches};
use crate::wire::reply::Reply;
use crate::wire::request::{self, Header, Operation};
use crate::wire::{LONGEST_DATA, MAJOR, MINOR, REPLY_HEADER, init};

/// Descriptors that this process may need for other things.
const SPARE_DESCRIPTORS: usize = 512;
/// The most nodes with a descriptor, however many are allowed: the host's kernel keeps about 2 KB in memory for each.
const MOST_HELD: usize = 128 << 10;

/// One folder of the host and its name in the root of what is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Share {
    /// A single component.
    pub name: String,
    /// An absolute path.
    pub folder: PathBuf,
}

/// Why folders can't be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A shared folder can't be opened.
    #[error("can't share {}", folder.display())]
    Folder {
        /// Which one.
        folder: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A name can't be one of a folder.
    #[error("`{0}` can't be the name of a shared folder")]
    Name(String),
}

/// Serves some folders to one guest. Its root is a folder that holds the shares by name and nothing else.
pub struct Server {
    nodes: Mutex<Nodes>,
    handles: Mutex<Handles>,
    pub(crate) watches: Watches,
    expected: Mutex<Expected>,
    pub(crate) locks: Arc<Locks>,
    /// As whom everything happens.
    pub(crate) user: (u32, u32),
}

impl Server {
    /// A server of `shares`, which takes at most `descriptors` of the process.
    ///
    /// # Errors
    /// When a folder isn't there or has an impossible name.
    pub fn new(shares: Vec<Share>, descriptors: usize) -> Result<Self, Error> {
        for share in &shares {
            let name = share.name.as_bytes();
            if matches!(name, b"" | b"." | b"..") || name.iter().any(|byte| matches!(byte, b'/' | 0)) {
                return Err(Error::Name(share.name.clone()));
            }
            sys::open_root(&share.folder)
                .map_err(|errno| Error::Folder { folder: share.folder.clone(), source: errno.into() })?;
        }
        let descriptors = descriptors.saturating_sub(SPARE_DESCRIPTORS).max(64);
        let held = (descriptors / 2).min(MOST_HELD);
        Ok(Self {
            nodes: Mutex::new(Nodes::new(shares, held)),
            handles: Mutex::new(Handles::new(descriptors / 2)),
            watches: Watches::default(),
            expected: Mutex::default(),
            locks: Arc::default(),
            user: sys::user(),
        })
    }

    /// Answers a request that lies in memory as a whole; the reply replaces what `reply` holds. False when it comes
    /// through what `later` makes. Otherwise as [`Self::answer`].
    pub fn answer_message(
        &self,
        request: &[u8],
        room: usize,
        reply: &mut Vec<u8>,
        later: &dyn Fn() -> Later,
    ) -> bool {
        let (request, data) = request.split_at(copied(request).min(request.len()));
        let message = Message { data, read: RefCell::default(), later };
        let answered = self.answer(request, room, &message, reply).is_some();
        reply.extend(message.read.into_inner());
        answered
    }

    /// Answers one request, of which `request` has as much as [`copied`] says. The reply, at most `room` bytes long,
    /// replaces what `reply` holds; what is read follows it at the carrier. Returns the length of both: zero when the
    /// request wants no reply, none when the carrier will get it later. Several threads may ask at once.
    pub fn answer(
        &self,
        request: &[u8],
        room: usize,
        carrier: &dyn Carrier,
        reply: &mut Vec<u8>,
    ) -> Option<usize> {
        reply.clear();
        let decoded = request::decode(request, carrier.data());
        match decoded {
            Ok((header, ref operation)) if self.takes_in(&header, operation) => return Some(0),
            Err(request::Malformed { unique: None, .. }) => return Some(0),
            _ => {}
        }
        let Some(payload) = room.checked_sub(REPLY_HEADER) else { return Some(0) };
        let losses = self.watches.losses();
        let mut answer = Reply::new(reply);
        let (unique, result) = match decoded {
            Ok((header, Operation::SetLock(wish))) => match self.set_lock(&header, &wish, carrier) {
                Some(result) => (header.unique, result),
                None => return None,
            },
            Ok((header, operation)) => {
                (header.unique, self.perform(&header, &operation, payload, carrier, &mut answer))
            }
            Err(malformed) => (malformed.unique.unwrap_or_default(), Err(malformed.error)),
        };
        if self.watches.losses() != losses {
            // It may rest on a watch that is none any longer, and come after the kernel was told so.
            answer.shorten(SHORT);
        }
        let fits = if answer.len() > payload { Err(Errno::IO) } else { Ok(()) };
        Some(answer.finish(unique, result.and(fits)))
    }

    /// Does what wants no reply; false when the operation wants one.
    fn takes_in(&self, header: &Header, operation: &Operation<'_>) -> bool {
        match *operation {
            Operation::Forget { count } => self.forget(header.node, count),
            Operation::ForgetMany(pairs) => {
                request::forgotten(pairs).for_each(|(node, count)| self.forget(node, count));
            }
            Operation::Interrupt { unique } => self.locks.interrupt(unique),
            Operation::Nothing => {}
            _ => return false,
        }
        true
    }

    fn perform(
        &self,
        header: &Header,
        operation: &Operation<'_>,
        room: usize,
        carrier: &dyn Carrier,
        reply: &mut Reply<'_>,
    ) -> Result<(), Errno> {
        let node = header.node;
        match *operation {
            Operation::Init { major, minor, readahead, flags } => {
                // A new kernel: nothing of the last one's is held any longer.
                self.locks.end();
                greet(major, minor, readahead, flags, reply)
            }
            Operation::Lookup { name } => self.look_up(header, name, reply),
            Operation::GetAttributes { handle } => self.get_attributes(header, handle, reply),
            Operation::SetAttributes(ref change) => self.set_attributes(header, change, reply),
            Operation::ReadLink => self.read_link(node, reply),
            Operation::Symlink { name, target } => self.make_symlink(header, name, target, reply),
            Operation::MakeNode { name, mode } => self.make_node(header, name, mode, reply),
            Operation::MakeFolder { name, mode } => self.make_folder(header, name, mode, reply),
            Operation::Unlink { name } => self.remove(node, name, false),
            Operation::RemoveFolder { name } => self.remove(node, name, true),
            Operation::Rename { name, folder, new_name, flags } => {
                self.rename((node, name), (folder, new_name), flags)
            }
            Operation::Link { node, name } => self.link(header, node, name, reply),
            Operation::Open { flags } => self.open(node, flags, reply),
            Operation::Create { name, flags, mode } => self.create(header, name, flags, mode, reply),
            Operation::MakeNameless { flags, mode } => self.make_nameless(header, flags, mode, reply),
            Operation::Read { handle, offset, size } => {
                self.read(handle, offset, size.min(room), carrier, reply)
            }
            Operation::Write { handle, offset, size, append } => {
                self.write(handle, (!append).then_some(offset), size, carrier, reply)
            }
            Operation::Flush { handle, owner } => self.flush(handle, owner),
            Operation::GetLock { handle, owner, lock } => self.get_lock(handle, owner, lock, reply),
            Operation::Seek { handle, offset, whence } => self.seek(handle, offset, whence, reply),
            Operation::Allocate { handle, offset, length, mode } => {
                self.allocate(handle, offset, length, mode)
            }
            Operation::CopyRange(ref range) => self.copy_range(range, reply),
            Operation::Sync { handle, data_only } => self.sync(handle, data_only),
            Operation::SyncAll => self.sync_all(),
            Operation::Release { handle } | Operation::ReleaseFolder { handle } => {
                self.close(handle);
                Ok(())
            }
            Operation::OpenFolder => self.open_folder(node, reply),
            Operation::ReadFolder { handle, offset, size, plus } => {
                self.read_folder(header, handle, offset, size.min(room), plus, reply)
            }
            Operation::FileSystem => self.file_system(node, reply),
            Operation::SetAttribute { name, value, flags } => self.set_extended(node, name, value, flags),
            Operation::GetAttribute { name, size } => self.get_extended(node, name, size, reply),
            Operation::ListAttributes { size } => self.list_extended(node, size, reply),
            Operation::RemoveAttribute { name } => self.remove_extended(node, name),
            Operation::Ioctl => Err(Errno::NOTTY),
            Operation::Destroy => {
                self.locks.end();
                Ok(())
            }
            // Answered before it comes to this.
            Operation::Forget { .. }
            | Operation::ForgetMany(_)
            | Operation::Interrupt { .. }
            | Operation::SetLock(_)
            | Operation::Nothing => Ok(()),
            // Among them `STATX`: a kernel that has it asks once more after each look-up when a program wants a time of
            // birth, as those of Node.js and Rust do whenever they ask for attributes.
            Operation::Unknown => Err(Errno::NOSYS),
        }
    }

    /// The kernel has forgotten a node so often.
    fn forget(&self, node: u64, count: u64) {
        // Closing its descriptor is nothing that others should wait for.
        let forgotten = self.nodes().forget(node, count);
        if forgotten.is_some_and(|forgotten| forgotten.kind() == Kind::Folder) {
            self.watches.forget(node);
        }
    }

    pub(crate) fn nodes(&self) -> MutexGuard<'_, Nodes> {
        self.nodes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn expected(&self) -> MutexGuard<'_, Expected> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn handles(&self) -> MutexGuard<'_, Handles> {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The first message: versions, and what both sides can do.
fn greet(major: u32, minor: u32, readahead: u32, flags: u64, reply: &mut Reply<'_>) -> Result<(), Errno> {
    const WANTED: u64 = init::ASYNC_READ
        | init::POSIX_LOCKS
        | init::FLOCK_LOCKS
        | init::ATOMIC_O_TRUNC
        | init::BIG_WRITES
        | init::AUTO_INVAL_DATA
        | init::DO_READDIRPLUS
        | init::READDIRPLUS_AUTO
        | init::ASYNC_DIO
        | init::PARALLEL_DIROPS
        | init::MAX_PAGES
        | init::HANDLE_KILLPRIV_V2
        | init::INIT_EXT;
    /// Before this the messages are shorter (Linux 4.20).
    const OLDEST: u32 = 28;
    /// Requests of readahead and writeback in flight.
    const BACKGROUND: u16 = 64;
    if major < MAJOR || (major == MAJOR && minor < OLDEST) {
        return Err(Errno::PROTO);
    }
    reply.u32(MAJOR);
    reply.u32(MINOR.min(if major == MAJOR { minor } else { MINOR }));
    if major > MAJOR {
        // The kernel greets again with the lower one.
        return Ok(());
    }
    let agreed = flags & WANTED;
    reply.u32(readahead);
    reply.u32(u32::try_from(agreed & 0xffff_ffff).unwrap_or_default());
    reply.u16(BACKGROUND);
    reply.u16(BACKGROUND / 4 * 3);
    reply.u32(u32::try_from(LONGEST_DATA).unwrap_or_default());
    // Times are exact to the nanosecond.
    reply.u32(1);
    reply.u16(u16::try_from(LONGEST_DATA / 4096).unwrap_or_default());
    reply.u16(0);
    reply.u32(u32::try_from(agreed >> 32).unwrap_or_default());
    for _ in 0..7 {
        reply.u32(0);
    }
    Ok(())
}
