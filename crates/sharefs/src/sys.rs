//! What the server needs of the host's file systems. Error numbers and modes are Linux's, as the guest reads them.

#[cfg(target_os = "linux")]
mod linux;

#[cfg(target_os = "linux")]
pub(crate) use linux::{
    Errno, READ_ONLY, READ_WRITE, SeekFrom, TRUNCATE, Time, WRITE_ONLY, Watcher, allocate, conflict,
    copy_range, create, file_system, flock, get_attribute, get_attribute_of_name, hard_link, has_our_times,
    last_tick, link_target, list_attributes, lock, look_up, make_folder, make_nameless, make_node,
    make_symlink, minds_case, now, open_root, read, read_folder, remove, remove_attribute, rename, reopen,
    same_file, seek, set_attribute, set_mode, set_times, status, status_of_name, sync, sync_file_system,
    truncate, user, write,
};

/// Seconds and nanoseconds since 1970.
pub(crate) type Moment = (i64, u32);

/// Of a file, as `stat` tells it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Status {
    /// The file system.
    pub(crate) device: u64,
    pub(crate) ino: u64,
    /// Type and permissions.
    pub(crate) mode: u32,
    pub(crate) links: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) size: u64,
    /// In units of 512 bytes.
    pub(crate) blocks: u64,
    pub(crate) block_size: u32,
    /// Of a device node, as the kernel encodes it.
    pub(crate) device_number: u32,
    pub(crate) atime: Moment,
    pub(crate) mtime: Moment,
    pub(crate) ctime: Moment,
    /// Where the file system remembers it.
    pub(crate) birth: Option<Moment>,
}

/// What kind of file a mode tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Regular,
    Folder,
    Symlink,
    /// FIFO, socket or device: the guest's kernel deals with them by itself.
    Special,
}

impl Status {
    pub(crate) fn kind(&self) -> Kind {
        match self.mode & mode::KIND {
            mode::REGULAR => Kind::Regular,
            mode::FOLDER => Kind::Folder,
            mode::SYMLINK => Kind::Symlink,
            _ => Kind::Special,
        }
    }
}

/// Something that happened in a watched folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HostEvent {
    /// The folder's watch.
    pub(crate) watch: i32,
    /// What ([`event`]).
    pub(crate) mask: u32,
    /// Joins the two halves of a move.
    pub(crate) cookie: u32,
    /// Of what; empty for the folder itself.
    pub(crate) name: std::ffi::CString,
}

/// An entry of a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FolderEntry {
    /// The file's number in its file system.
    pub(crate) number: u64,
    /// Where the folder is read on after this one.
    pub(crate) next: u64,
    /// As in the upper bits of a mode.
    pub(crate) kind: u32,
    /// A single component.
    pub(crate) name: std::ffi::CString,
}

/// What can happen, as Linux's inotify numbers it.
pub(crate) mod event {
    pub(crate) const MODIFY: u32 = 0x2;
    pub(crate) const ATTRIBUTES: u32 = 0x4;
    pub(crate) const CLOSE_WRITE: u32 = 0x8;
    pub(crate) const MOVED_FROM: u32 = 0x40;
    pub(crate) const MOVED_TO: u32 = 0x80;
    pub(crate) const CREATE: u32 = 0x100;
    pub(crate) const DELETE: u32 = 0x200;
    pub(crate) const DELETE_SELF: u32 = 0x400;
    pub(crate) const MOVE_SELF: u32 = 0x800;
    /// Events were lost.
    pub(crate) const OVERFLOW: u32 = 0x4000;
    /// The watch is no more.
    pub(crate) const IGNORED: u32 = 0x8000;
    /// It is of a folder.
    pub(crate) const OF_FOLDER: u32 = 0x4000_0000;
    /// What happens to names.
    pub(crate) const NAMES: u32 = MOVED_FROM | MOVED_TO | CREATE | DELETE;
    /// What happens to a file itself.
    pub(crate) const FILES: u32 = MODIFY | ATTRIBUTES | CLOSE_WRITE;
}

/// Modes, as Linux writes them.
pub(crate) mod mode {
    /// The bits that tell the kind.
    pub(crate) const KIND: u32 = 0o170_000;
    pub(crate) const SOCKET: u32 = 0o140_000;
    pub(crate) const SYMLINK: u32 = 0o120_000;
    pub(crate) const REGULAR: u32 = 0o100_000;
    pub(crate) const FOLDER: u32 = 0o040_000;
    pub(crate) const FIFO: u32 = 0o010_000;
    /// Run as the file's owner, run as its group.
    pub(crate) const SET_ID: u32 = 0o6000;
    /// Permissions of owner, group and others.
    pub(crate) const PERMISSIONS: u32 = 0o777;
}

/// Of a file system, as `statvfs` tells it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FileSystem {
    pub(crate) blocks: u64,
    pub(crate) free: u64,
    pub(crate) available: u64,
    pub(crate) files: u64,
    pub(crate) free_files: u64,
    pub(crate) block_size: u32,
    pub(crate) longest_name: u32,
}
