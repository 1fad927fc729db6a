//! `fsutil.types`: files on their way between client and builder.

use std::collections::HashMap;

/// What a packet is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, prost::Enumeration)]
#[repr(i32)]
pub(in super::super) enum PacketKind {
    Stat = 0,
    Request = 1,
    Data = 2,
    Finished = 3,
    Failed = 4,
}

#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Packet {
    #[prost(enumeration = "PacketKind", tag = "1")]
    pub(in super::super) kind: i32,
    #[prost(message, optional, tag = "2")]
    pub(in super::super) stat: Option<Stat>,
    #[prost(uint32, tag = "3")]
    pub(in super::super) id: u32,
    #[prost(bytes = "vec", tag = "4")]
    pub(in super::super) data: Vec<u8>,
}

impl Packet {
    pub(in super::super) fn of(kind: PacketKind) -> Self {
        Self { kind: kind.into(), stat: None, id: 0, data: Vec::new() }
    }
}

/// A file's description; the mode's bits are Go's.
#[derive(Clone, PartialEq, prost::Message)]
pub(in super::super) struct Stat {
    #[prost(string, tag = "1")]
    pub(in super::super) path: String,
    #[prost(uint32, tag = "2")]
    pub(in super::super) mode: u32,
    #[prost(uint32, tag = "3")]
    pub(in super::super) uid: u32,
    #[prost(uint32, tag = "4")]
    pub(in super::super) gid: u32,
    #[prost(int64, tag = "5")]
    pub(in super::super) size: i64,
    /// Nanoseconds since 1970.
    #[prost(int64, tag = "6")]
    pub(in super::super) modified: i64,
    #[prost(string, tag = "7")]
    pub(in super::super) link: String,
    #[prost(int64, tag = "8")]
    pub(in super::super) major: i64,
    #[prost(int64, tag = "9")]
    pub(in super::super) minor: i64,
    #[prost(map = "string, bytes", tag = "10")]
    pub(in super::super) attributes: HashMap<String, Vec<u8>>,
}

/// Go's mode bits.
pub(in super::super) const FOLDER: u32 = 1 << 31;
pub(in super::super) const SYMLINK: u32 = 1 << 27;
pub(in super::super) const DEVICE: u32 = 1 << 26;
pub(in super::super) const PIPE: u32 = 1 << 25;
pub(in super::super) const SOCKET: u32 = 1 << 24;
pub(in super::super) const SETUID: u32 = 1 << 23;
pub(in super::super) const SETGID: u32 = 1 << 22;
pub(in super::super) const CHARACTERS: u32 = 1 << 21;
pub(in super::super) const STICKY: u32 = 1 << 20;
const IRREGULAR: u32 = 1 << 19;
const KINDS: u32 = FOLDER | SYMLINK | DEVICE | PIPE | SOCKET | CHARACTERS | IRREGULAR;

impl Stat {
    pub(in super::super) fn is_regular(&self) -> bool {
        self.mode & KINDS == 0
    }

    /// Permissions as Unix has them.
    pub(in super::super) fn permissions(&self) -> u32 {
        let special = [(SETUID, 0o4000), (SETGID, 0o2000), (STICKY, 0o1000)];
        let special =
            special.iter().filter(|(bit, _)| self.mode & bit != 0).map(|(_, unix)| unix).sum::<u32>();
        (self.mode & 0o777) | special
    }
}
