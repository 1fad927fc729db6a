//! Requests. Everything in them is the guest's word: lengths are checked, names are single components, numbers that
//! name nodes and handles are looked up before use.

use std::ffi::CStr;

use super::fields::Fields;
use super::{LONGEST_ATTRIBUTE, LONGEST_DATA, OPCODE_WRITE, REQUEST_HEADER, WRITE_HEAD};
use crate::sys::{Errno, Moment};

/// Who asks, about what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    /// Which operation.
    pub(crate) opcode: u32,
    /// The answer carries the same number.
    pub(crate) unique: u64,
    /// The file or folder that is meant.
    pub(crate) node: u64,
    /// The process that asks runs as this user,
    pub(crate) uid: u32,
    /// and this group.
    pub(crate) gid: u32,
}

/// What is asked. Names are single components; numbers aren't checked yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operation<'a> {
    Init {
        major: u32,
        minor: u32,
        readahead: u32,
        flags: u64,
    },
    Destroy,
    Lookup {
        name: &'a CStr,
    },
    Forget {
        count: u64,
    },
    ForgetMany(&'a [u8]),
    GetAttributes {
        handle: Option<u64>,
    },
    SetAttributes(Change),
    ReadLink,
    Symlink {
        name: &'a CStr,
        target: &'a CStr,
    },
    MakeNode {
        name: &'a CStr,
        mode: u32,
    },
    MakeFolder {
        name: &'a CStr,
        mode: u32,
    },
    Unlink {
        name: &'a CStr,
    },
    RemoveFolder {
        name: &'a CStr,
    },
    Rename {
        name: &'a CStr,
        folder: u64,
        new_name: &'a CStr,
        flags: u32,
    },
    Link {
        node: u64,
        name: &'a CStr,
    },
    Open {
        flags: u32,
    },
    Create {
        name: &'a CStr,
        flags: u32,
        mode: u32,
    },
    MakeNameless {
        flags: u32,
        mode: u32,
    },
    Read {
        handle: u64,
        offset: u64,
        size: usize,
    },
    /// The data stays with the carrier.
    Write {
        handle: u64,
        offset: u64,
        size: usize,
        append: bool,
    },
    Seek {
        handle: u64,
        offset: u64,
        whence: u32,
    },
    Allocate {
        handle: u64,
        offset: u64,
        length: u64,
        mode: u32,
    },
    CopyRange(CopyRange),
    /// Of a file or a folder.
    Sync {
        handle: u64,
        data_only: bool,
    },
    SyncAll,
    Release {
        handle: u64,
    },
    /// One of a file's descriptors was closed.
    Flush {
        handle: u64,
        owner: u64,
    },
    GetLock {
        handle: u64,
        owner: u64,
        lock: Lock,
    },
    SetLock(SetLock),
    /// Whoever waits for the answer to a request was signalled.
    Interrupt {
        unique: u64,
    },
    OpenFolder,
    ReadFolder {
        handle: u64,
        offset: u64,
        size: usize,
        plus: bool,
    },
    ReleaseFolder {
        handle: u64,
    },
    FileSystem,
    SetAttribute {
        name: &'a CStr,
        value: &'a [u8],
        flags: u32,
    },
    GetAttribute {
        name: &'a CStr,
        size: usize,
    },
    ListAttributes {
        size: usize,
    },
    RemoveAttribute {
        name: &'a CStr,
    },
    Ioctl,
    /// Something that asks for no answer and needs none.
    Nothing,
    /// Not served; the kernel does without.
    Unknown,
}

/// New attributes; `valid` says which fields count ([`super::change`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) valid: u32,
    pub(crate) handle: u64,
    pub(crate) size: u64,
    /// Seconds and nanoseconds since 1970.
    pub(crate) atime: Moment,
    pub(crate) mtime: Moment,
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// A range of a file that is locked, in the words of POSIX.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lock {
    pub(crate) start: u64,
    /// The last byte of it.
    pub(crate) end: u64,
    /// [`super::lock`]'s.
    pub(crate) kind: u32,
    /// The process that has it or wants it.
    pub(crate) pid: u32,
}

/// A lock to take or to give back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SetLock {
    pub(crate) handle: u64,
    /// Locks of one owner don't exclude each other.
    pub(crate) owner: u64,
    pub(crate) lock: Lock,
    /// The whole file's, of the open file instead of the owner.
    pub(crate) is_flock: bool,
    /// Until it is free.
    pub(crate) waits: bool,
}

/// Bytes to copy from one open file to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CopyRange {
    pub(crate) from: u64,
    pub(crate) from_offset: u64,
    pub(crate) to: u64,
    pub(crate) to_offset: u64,
    pub(crate) length: u64,
}

/// Why bytes aren't a request, and whom to tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed {
    /// None when not even the header is there.
    pub(crate) unique: Option<u64>,
    pub(crate) error: Errno,
}

/// The number that POSIX calls `O_APPEND`, as Linux writes it.
const APPEND: u32 = 0o2000;
/// A lock of the whole file.
const FLOCK: u32 = 1;
/// A write that comes from a mapping: its place counts, whatever the file was opened for.
const FROM_MAPPING: u32 = 1;

/// Decodes a request, of which `elsewhere` more bytes lie with its carrier ([`crate::copied`]).
pub(crate) fn decode(bytes: &[u8], elsewhere: usize) -> Result<(Header, Operation<'_>), Malformed> {
    let mut fields = Fields(bytes);
    let (length, header) = header(&mut fields).map_err(|error| Malformed { unique: None, error })?;
    let malformed = |error| Malformed { unique: Some(header.unique), error };
    let is_whole = length <= bytes.len().saturating_add(elsewhere);
    // Of a write only the beginning is here. A transport may hand over a larger buffer than the request is long.
    let here = if header.opcode == OPCODE_WRITE { length.min(WRITE_HEAD) } else { length };
    let body = here.checked_sub(REQUEST_HEADER).and_then(|body| fields.0.get(..body));
    let body = body.filter(|_| is_whole).ok_or(malformed(Errno::INVAL))?;
    let operation = operation(header.opcode, Fields(body)).map_err(malformed)?;
    match operation {
        Operation::Write { size, .. } if size > elsewhere => Err(malformed(Errno::INVAL)),
        operation => Ok((header, operation)),
    }
}

fn header(fields: &mut Fields<'_>) -> Result<(usize, Header), Errno> {
    let length = fields.u32()? as usize;
    let header = Header {
        opcode: fields.u32()?,
        unique: fields.u64()?,
        node: fields.u64()?,
        uid: fields.u32()?,
        gid: fields.u32()?,
    };
    // The process id, the length of extensions that we never ask for, padding.
    fields.skip(8)?;
    Ok((length, header))
}

fn operation(opcode: u32, mut body: Fields<'_>) -> Result<Operation<'_>, Errno> {
    let fields = &mut body;
    Ok(match opcode {
        1 => Operation::Lookup { name: fields.name()? },
        2 => Operation::Forget { count: fields.u64()? },
        3 => {
            let (flags, handle) = (fields.u64()?, fields.u64()?);
            Operation::GetAttributes { handle: (flags & 1 != 0).then_some(handle) }
        }
        4 => Operation::SetAttributes(change(fields)?),
        5 => Operation::ReadLink,
        6 => Operation::Symlink { name: fields.name()?, target: fields.text()? },
        8 => {
            let mode = fields.u32()?;
            fields.skip(12)?;
            Operation::MakeNode { mode, name: fields.name()? }
        }
        9 => {
            let mode = fields.u32()?;
            fields.skip(4)?;
            Operation::MakeFolder { mode, name: fields.name()? }
        }
        10 => Operation::Unlink { name: fields.name()? },
        11 => Operation::RemoveFolder { name: fields.name()? },
        12 | 45 => {
            let folder = fields.u64()?;
            let flags = if opcode == 45 { fields.u64()? as u32 } else { 0 };
            Operation::Rename { folder, flags, name: fields.name()?, new_name: fields.name()? }
        }
        13 => Operation::Link { node: fields.u64()?, name: fields.name()? },
        14 => Operation::Open { flags: fields.u32()? },
        15 | 28 | 44 => read(opcode, fields)?,
        OPCODE_WRITE => write(fields)?,
        17 => Operation::FileSystem,
        18 => Operation::Release { handle: fields.u64()? },
        20 | 30 => Operation::Sync { handle: fields.u64()?, data_only: fields.u32()? & 1 != 0 },
        21..=24 => attribute(opcode, fields)?,
        25 | 31..=33 => locking(opcode, fields)?,
        26 => init(fields)?,
        27 => Operation::OpenFolder,
        29 => Operation::ReleaseFolder { handle: fields.u64()? },
        35 | 51 => {
            let (flags, mode) = (fields.u32()?, fields.u32()?);
            fields.skip(8)?;
            match opcode {
                35 => Operation::Create { flags, mode, name: fields.name()? },
                _ => Operation::MakeNameless { flags, mode },
            }
        }
        36 => Operation::Interrupt { unique: fields.u64()? },
        // An answer to a question that is never asked.
        41 => Operation::Nothing,
        38 => Operation::Destroy,
        39 => Operation::Ioctl,
        42 => forget_many(fields)?,
        43 => Operation::Allocate {
            handle: fields.u64()?,
            offset: fields.u64()?,
            length: fields.u64()?,
            mode: fields.u32()?,
        },
        46 => Operation::Seek { handle: fields.u64()?, offset: fields.u64()?, whence: fields.u32()? },
        47 => Operation::CopyRange(copy_range(fields)?),
        50 => Operation::SyncAll,
        _ => Operation::Unknown,
    })
}

fn init<'a>(fields: &mut Fields<'_>) -> Result<Operation<'a>, Errno> {
    let (major, minor) = (fields.u32()?, fields.u32()?);
    // Before 7.6 the message ended here; what follows it grew with the protocol.
    let readahead = fields.u32().unwrap_or_default();
    let (low, high) = (fields.u32().unwrap_or_default(), fields.u32().unwrap_or_default());
    Ok(Operation::Init { major, minor, readahead, flags: u64::from(high) << 32 | u64::from(low) })
}

fn change(fields: &mut Fields<'_>) -> Result<Change, Errno> {
    let valid = fields.u32()?;
    fields.skip(4)?;
    let (handle, size, _lock_owner) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (atime, mtime, _ctime) = (fields.u64()?, fields.u64()?, fields.u64()?);
    let (atime_nanos, mtime_nanos, _ctime_nanos) = (fields.u32()?, fields.u32()?, fields.u32()?);
    let mode = fields.u32()?;
    fields.skip(4)?;
    let (uid, gid) = (fields.u32()?, fields.u32()?);
    let atime = (atime.cast_signed(), atime_nanos);
    let mtime = (mtime.cast_signed(), mtime_nanos);
    Ok(Change { valid, handle, size, atime, mtime, mode, uid, gid })
}

fn read<'a>(opcode: u32, fields: &mut Fields<'_>) -> Result<Operation<'a>, Errno> {
    let (handle, offset) = (fields.u64()?, fields.u64()?);
    let size = (fields.u32()? as usize).min(LONGEST_DATA);
    Ok(match opcode {
        15 => Operation::Read { handle, offset, size },
        _ => Operation::ReadFolder { handle, offset, size, plus: opcode == 44 },
    })
}

fn write<'a>(fields: &mut Fields<'_>) -> Result<Operation<'a>, Errno> {
    let (handle, offset, size) = (fields.u64()?, fields.u64()?, fields.u32()? as usize);
    let write_flags = fields.u32()?;
    fields.skip(8)?;
    let open_flags = fields.u32()?;
    fields.skip(4)?;
    if size > LONGEST_DATA {
        return Err(Errno::INVAL);
    }
    let append = open_flags & APPEND != 0 && write_flags & FROM_MAPPING == 0;
    Ok(Operation::Write { handle, offset, size, append })
}

fn locking<'a>(opcode: u32, fields: &mut Fields<'_>) -> Result<Operation<'a>, Errno> {
    let handle = fields.u64()?;
    if opcode == 25 {
        fields.skip(8)?;
        return Ok(Operation::Flush { handle, owner: fields.u64()? });
    }
    let (owner, lock) = (fields.u64()?, lock(fields)?);
    if opcode == 31 {
        return Ok(Operation::GetLock { handle, owner, lock });
    }
    let is_flock = fields.u32()? & FLOCK != 0;
    Ok(Operation::SetLock(SetLock { handle, owner, lock, is_flock, waits: opcode == 33 }))
}

fn lock(fields: &mut Fields<'_>) -> Result<Lock, Errno> {
    let lock = Lock { start: fields.u64()?, end: fields.u64()?, kind: fields.u32()?, pid: fields.u32()? };
    // `OFFSET_MAX`: to the end, wherever that will be.
    let is_range = lock.start <= lock.end && i64::try_from(lock.end).is_ok();
    if is_range { Ok(lock) } else { Err(Errno::INVAL) }
}

fn attribute<'a>(opcode: u32, fields: &mut Fields<'a>) -> Result<Operation<'a>, Errno> {
    if opcode == 24 {
        return Ok(Operation::RemoveAttribute { name: fields.text()? });
    }
    let (size, flags) = (fields.u32()? as usize, fields.u32()?);
    match opcode {
        21 if size > LONGEST_ATTRIBUTE => Err(Errno::TOOBIG),
        21 => Ok(Operation::SetAttribute { name: fields.text()?, value: fields.bytes(size)?, flags }),
        22 => Ok(Operation::GetAttribute { name: fields.text()?, size: size.min(LONGEST_ATTRIBUTE) }),
        _ => Ok(Operation::ListAttributes { size: size.min(LONGEST_ATTRIBUTE) }),
    }
}

fn forget_many<'a>(fields: &mut Fields<'a>) -> Result<Operation<'a>, Errno> {
    let count = fields.u32()? as usize;
    fields.skip(4)?;
    let length = count.checked_mul(16).ok_or(Errno::INVAL)?;
    Ok(Operation::ForgetMany(fields.bytes(length)?))
}

/// The nodes of [`Operation::ForgetMany`], each with its count.
pub(crate) fn forgotten(pairs: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    pairs.chunks_exact(16).filter_map(|pair| {
        let mut fields = Fields(pair);
        Some((fields.u64().ok()?, fields.u64().ok()?))
    })
}

fn copy_range(fields: &mut Fields<'_>) -> Result<CopyRange, Errno> {
    let (from, from_offset) = (fields.u64()?, fields.u64()?);
    fields.skip(8)?;
    let (to, to_offset, length) = (fields.u64()?, fields.u64()?, fields.u64()?);
    Ok(CopyRange { from, from_offset, to, to_offset, length })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn request(opcode: u32, body: &[u8]) -> Vec<u8> {
        let length = u32::try_from(REQUEST_HEADER + body.len()).unwrap();
        let mut bytes = [length.to_le_bytes(), opcode.to_le_bytes()].concat();
        bytes.extend(7u64.to_le_bytes());
        bytes.extend(1u64.to_le_bytes());
        bytes.extend([0; 16]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        for name in ["", ".", "..", "a/b", "/etc", "../x"] {
            let bytes = request(1, format!("{name}\0").as_bytes());
            assert_eq!(
                decode(&bytes, 0).unwrap_err(),
                Malformed { unique: Some(7), error: Errno::INVAL },
                "{name}"
            );
        }
        let long = request(1, format!("{}\0", "x".repeat(256)).as_bytes());
        assert_eq!(decode(&long, 0).unwrap_err().error, Errno::NAMETOOLONG);
        assert_eq!(decode(&request(1, b"name"), 0).unwrap_err().error, Errno::INVAL);
    }

    #[test]
    fn a_length_beyond_the_bytes_is_refused() {
        let mut bytes = request(5, b"");
        bytes[0] = 200;
        assert_eq!(decode(&bytes, 0).unwrap_err().error, Errno::INVAL);
        bytes[0] = 3;
        assert_eq!(decode(&bytes, 0).unwrap_err().error, Errno::INVAL);
    }

    #[test]
    fn a_write_of_more_than_its_carrier_has_is_refused() {
        let mut bytes = request(16, &[0; 40]);
        bytes[REQUEST_HEADER + 16] = 10;
        bytes[0] += 10;
        assert!(matches!(decode(&bytes, 10), Ok((_, Operation::Write { size: 10, .. }))));
        assert_eq!(decode(&bytes, 9).unwrap_err().error, Errno::INVAL);
    }

    #[test]
    fn a_lock_that_ends_before_it_begins_or_beyond_every_file_is_refused() {
        let lock = |start: u64, end: u64| {
            let body = [1, 1, start, end, 0, 0].map(u64::to_le_bytes).concat();
            decode(&request(32, &body), 0).map(drop).map_err(|malformed| malformed.error)
        };
        assert_eq!(lock(0, i64::MAX as u64), Ok(()));
        assert_eq!(lock(1, 0), Err(Errno::INVAL));
        assert_eq!(lock(0, u64::MAX), Err(Errno::INVAL));
    }

    #[test]
    fn a_count_beyond_the_bytes_is_refused() {
        let bytes = request(42, &[0xff; 24]);
        assert_eq!(decode(&bytes, 0).unwrap_err().error, Errno::INVAL);
    }

    proptest! {
        #[test]
        fn any_bytes_are_decoded_or_refused(
            opcode in 0u32..64, body in prop::collection::vec(any::<u8>(), 0..300)
        ) {
            if let Ok((header, operation)) = decode(&request(opcode, &body), 0) {
                prop_assert_eq!(header.opcode, opcode);
                if let Operation::ForgetMany(pairs) = operation {
                    prop_assert_eq!(forgotten(pairs).count() * 16, pairs.len());
                }
            }
        }

        #[test]
        fn any_noise_is_refused_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes, 0);
        }
    }
}
