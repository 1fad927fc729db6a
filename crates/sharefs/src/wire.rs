//! FUSE messages as the Linux kernel writes and reads them (`include/uapi/linux/fuse.h`, protocol 7.38).

mod fields;
pub(crate) mod notification;
pub(crate) mod reply;
pub(crate) mod request;

/// The protocol's version.
pub(crate) const MAJOR: u32 = 7;
/// The newest minor version whose messages are known here; the kernel lowers its own to it.
pub(crate) const MINOR: u32 = 38;
/// The root folder's node.
pub(crate) const ROOT: u64 = 1;
/// Length of a request's header.
pub(crate) const REQUEST_HEADER: usize = 40;
/// The operation that writes, and how long its request is before its data.
pub(crate) const OPCODE_WRITE: u32 = 16;
pub(crate) const WRITE_HEAD: usize = REQUEST_HEADER + 40;
/// Length of a reply's header.
pub const REPLY_HEADER: usize = 16;
/// The longest payload of a write or a read, in bytes: 256 pages, the most a kernel sends.
pub(crate) const LONGEST_DATA: usize = 1 << 20;
/// The longest value of an extended attribute, and list of their names (Linux's own limit).
pub(crate) const LONGEST_ATTRIBUTE: usize = 64 << 10;

/// Flags of the first message.
pub(crate) mod init {
    pub(crate) const ASYNC_READ: u64 = 1;
    pub(crate) const POSIX_LOCKS: u64 = 1 << 1;
    pub(crate) const ATOMIC_O_TRUNC: u64 = 1 << 3;
    pub(crate) const BIG_WRITES: u64 = 1 << 5;
    pub(crate) const FLOCK_LOCKS: u64 = 1 << 10;
    pub(crate) const AUTO_INVAL_DATA: u64 = 1 << 12;
    pub(crate) const DO_READDIRPLUS: u64 = 1 << 13;
    pub(crate) const READDIRPLUS_AUTO: u64 = 1 << 14;
    pub(crate) const ASYNC_DIO: u64 = 1 << 15;
    pub(crate) const PARALLEL_DIROPS: u64 = 1 << 18;
    pub(crate) const MAX_PAGES: u64 = 1 << 22;
    pub(crate) const HANDLE_KILLPRIV_V2: u64 = 1 << 28;
    pub(crate) const INIT_EXT: u64 = 1 << 30;
}

/// Kinds of locks, as Linux's `fcntl` numbers them.
pub(crate) mod lock {
    pub(crate) const READ: u32 = 0;
    pub(crate) const WRITE: u32 = 1;
    pub(crate) const NONE: u32 = 2;
}

/// Flags of an attribute change: which fields count.
pub(crate) mod change {
    pub(crate) const MODE: u32 = 1;
    pub(crate) const UID: u32 = 1 << 1;
    pub(crate) const GID: u32 = 1 << 2;
    pub(crate) const SIZE: u32 = 1 << 3;
    pub(crate) const ATIME: u32 = 1 << 4;
    pub(crate) const MTIME: u32 = 1 << 5;
    pub(crate) const HANDLE: u32 = 1 << 6;
    pub(crate) const ATIME_NOW: u32 = 1 << 7;
    pub(crate) const MTIME_NOW: u32 = 1 << 8;
}
