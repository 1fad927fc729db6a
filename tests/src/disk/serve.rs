//! One file as a FUSE file system, as much of the protocol (version 7.31) as a loop device needs of it.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::{Mutex, PoisonError};

use super::Log;

/// The most that is written at once.
const LARGEST: usize = 1 << 20;
const PAGE: usize = 4096;
/// What precedes the data of a write: the header and what `fuse_write_in` says.
const HEADER: usize = 40;
const WRITE_HEADER: usize = HEADER + 40;

/// `FUSE_BIG_WRITES | FUSE_MAX_PAGES`.
const FLAGS: u32 = 1 << 5 | 1 << 22;
const ENOSYS: i32 = 38;
const EIO: i32 = 5;

const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const WRITE: u32 = 16;
const RELEASE: u32 = 18;
const FSYNC: u32 = 20;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const INTERRUPT: u32 = 36;
const BATCH_FORGET: u32 = 42;

/// Answers until the file system is unmounted. The root is the file itself.
pub(super) fn serve(device: &File, disk: &File, size: u64, log: &Mutex<Log>) {
    let mut request = vec![0; WRITE_HEADER + LARGEST];
    loop {
        let length = match (&*device).read(&mut request) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            // Unmounted.
            Err(_) => return,
        };
        let request = &request[..length];
        let code = word(request, 4);
        if matches!(code, FORGET | BATCH_FORGET | INTERRUPT) {
            continue;
        }
        let (error, body) = match answer(code, request, disk, size, log) {
            Ok(body) => (0, body),
            Err(error) => (-error.raw_os_error().unwrap_or(EIO), Vec::new()),
        };
        let mut reply = Vec::with_capacity(16 + body.len());
        reply.extend((16 + body.len() as u32).to_le_bytes());
        reply.extend(error.to_le_bytes());
        reply.extend(&request[8..16]);
        reply.extend(body);
        // A request that was interrupted wants no answer any more.
        drop((&*device).write(&reply));
    }
}

fn answer(code: u32, request: &[u8], disk: &File, size: u64, log: &Mutex<Log>) -> io::Result<Vec<u8>> {
    let (place, length) = (long(request, HEADER + 8), word(request, HEADER + 16) as usize);
    match code {
        INIT => Ok(init()),
        GETATTR => Ok(attributes(size)),
        OPEN => Ok(vec![0; 16]),
        READ => {
            let mut bytes = vec![0; length.min(LARGEST).min(size.saturating_sub(place) as usize)];
            disk.read_exact_at(&mut bytes, place)?;
            Ok(bytes)
        }
        WRITE => {
            let bytes = &request[WRITE_HEADER..WRITE_HEADER + length];
            // The log is held, so that what is noted has the order in which it happened.
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            disk.write_all_at(bytes, place)?;
            log.wrote(place, bytes)?;
            Ok([(length as u32).to_le_bytes(), [0; 4]].concat())
        }
        FSYNC => {
            log.lock().unwrap_or_else(PoisonError::into_inner).flushed();
            Ok(Vec::new())
        }
        FLUSH | RELEASE => Ok(Vec::new()),
        _ => Err(io::Error::from_raw_os_error(ENOSYS)),
    }
}

/// `fuse_init_out`.
fn init() -> Vec<u8> {
    let mut body = Vec::new();
    for word in [7, 31, 1 << 17, FLAGS, 0, LARGEST as u32, 1] {
        body.extend(word.to_le_bytes());
    }
    body.extend(((LARGEST / PAGE) as u16).to_le_bytes());
    body.resize(64, 0);
    body
}

/// `fuse_attr_out` of a regular file.
fn attributes(size: u64) -> Vec<u8> {
    let mut body = vec![0; 16];
    for long in [1, size, size / 512, 0, 0, 0] {
        body.extend(long.to_le_bytes());
    }
    for word in [0, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0] {
        body.extend(u32::to_le_bytes(word));
    }
    body
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |bytes| u32::from_le_bytes(bytes.try_into().expect("four bytes")))
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes")))
}
