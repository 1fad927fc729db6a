//! `bpf(2)`: maps, programs, and where programs are attached. Numbers and places are those of `linux/bpf.h`.

use std::ffi::{c_int, c_long};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

unsafe extern "C" {
    /// syscall(2) of the C library that the standard library brings along.
    fn syscall(number: c_long, ...) -> c_long;
}

#[cfg(target_arch = "x86_64")]
const BPF: c_long = 321;
#[cfg(not(target_arch = "x86_64"))]
const BPF: c_long = 280;

/// `enum bpf_cmd`.
const MAP_CREATE: c_int = 0;
const MAP_UPDATE: c_int = 2;
const MAP_DELETE: c_int = 3;
const MAP_NEXT_KEY: c_int = 4;
const PROGRAM_LOAD: c_int = 5;
const PROGRAM_ATTACH: c_int = 8;
const PROGRAM_BY_ID: c_int = 13;
const MAP_BY_ID: c_int = 14;
const INFO: c_int = 15;
const QUERY: c_int = 16;
const LINK_CREATE: c_int = 28;

/// None of the functions that the programs call asks for another one.
const LICENSE: &[u8] = b"Apache-2.0\0";
/// A program's or map's name with its end (BPF_OBJ_NAME_LEN).
const NAME: usize = 16;
/// More programs than hang on one interface.
const MOST: usize = 64;
/// What the kernel says about a program that it refuses, at most.
const LOG: usize = 64 << 10;

/// What a program is for: the numbers of its type (`enum bpf_prog_type`) and of where it is attached
/// (`enum bpf_attach_type`).
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// BPF_PROG_TYPE_SCHED_CLS at BPF_TCX_INGRESS: packets that an interface receives.
    Packets,
    /// BPF_PROG_TYPE_CGROUP_SOCK_ADDR at BPF_CGROUP_INET4_CONNECT: whom a socket is connected to.
    Connect,
    /// The same at BPF_CGROUP_INET4_GETPEERNAME: whom it is said to be connected to.
    PeerName,
}

impl Purpose {
    fn kind(self) -> u32 {
        match self {
            Self::Packets => 3,
            Self::Connect | Self::PeerName => 18,
        }
    }

    fn place(self) -> u32 {
        match self {
            Self::Packets => 46,
            Self::Connect => 10,
            Self::PeerName => 29,
        }
    }
}

/// How a map keeps its entries.
#[derive(Debug, Clone, Copy)]
#[repr(u32)]
pub(crate) enum Kind {
    /// BPF_MAP_TYPE_HASH: when it is full, nothing new is taken.
    Hash = 1,
    /// BPF_MAP_TYPE_LRU_HASH: what wasn't used for the longest time makes room.
    LruHash = 9,
}

/// A map to make.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    /// Shorter than [`NAME`].
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) key: usize,
    pub(crate) value: usize,
    /// How many entries it has room for.
    pub(crate) entries: u32,
}

/// A map, and the lengths of its keys and values.
#[derive(Debug)]
pub(crate) struct Map {
    fd: OwnedFd,
    key: usize,
    value: usize,
}

impl Map {
    /// Makes an empty map.
    pub(crate) fn create(shape: &Shape) -> io::Result<Self> {
        // Entries of the first kind are given memory as they come; the second has all of it from the beginning.
        const NO_PREALLOC: u32 = 1;
        let flags = if matches!(shape.kind, Kind::Hash) { NO_PREALLOC } else { 0 };
        let mut attributes = Attributes::default();
        attributes
            .number(0, shape.kind as u32)
            .number(4, shape.key as u32)
            .number(8, shape.value as u32)
            .number(12, shape.entries)
            .number(16, flags)
            .name(28, shape.name);
        Ok(Self { fd: own(attributes.call(MAP_CREATE)?), key: shape.key, value: shape.value })
    }

    /// Adds an entry, or puts another value in place of the one that is there.
    pub(crate) fn insert(&self, key: &[u8], value: &[u8]) -> io::Result<()> {
        if value.len() != self.value {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        self.on_key(key)?.place(16, value.as_ptr()).call(MAP_UPDATE).map(drop)
    }

    /// Removes an entry; none is fine.
    pub(crate) fn remove(&self, key: &[u8]) -> io::Result<()> {
        match self.on_key(key)?.call(MAP_DELETE) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed.map(drop),
        }
    }

    /// Every key. One that others add or remove meanwhile may be missing.
    pub(crate) fn keys(&self) -> io::Result<Vec<Vec<u8>>> {
        let mut keys: Vec<Vec<u8>> = Vec::new();
        loop {
            let mut next = vec![0; self.key];
            let mut attributes = match keys.last() {
                Some(last) => self.on_key(last)?,
                None => Attributes::on(self.fd.as_fd()),
            };
            match attributes.place(16, next.as_mut_ptr()).call(MAP_NEXT_KEY) {
                Ok(_) => keys.push(next),
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(keys),
                Err(error) => return Err(error),
            }
        }
    }

    fn on_key(&self, key: &[u8]) -> io::Result<Attributes> {
        if key.len() != self.key {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        let mut attributes = Attributes::on(self.fd.as_fd());
        attributes.place(8, key.as_ptr());
        Ok(attributes)
    }
}

impl AsFd for Map {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// A program in the kernel.
#[derive(Debug)]
pub(crate) struct Program(OwnedFd);

impl Program {
    /// Hands a program to the kernel, which looks whether it can do harm; the error says what it found.
    pub(crate) fn load(name: &str, purpose: Purpose, code: &[u64]) -> io::Result<Self> {
        let mut attributes = Attributes::default();
        attributes
            .number(0, purpose.kind())
            .number(4, code.len() as u32)
            .place(8, code.as_ptr())
            .place(16, LICENSE.as_ptr())
            .name(48, name)
            .number(68, purpose.place());
        let refused = match attributes.call(PROGRAM_LOAD) {
            Ok(fd) => return Ok(Self(own(fd))),
            Err(error) => error,
        };
        let mut log = vec![0; LOG];
        attributes.number(24, 1).number(28, LOG as u32).place(32, log.as_mut_ptr());
        match attributes.call(PROGRAM_LOAD) {
            Ok(fd) => Ok(Self(own(fd))),
            Err(_) => Err(io::Error::new(refused.kind(), format!("{refused}: {}", end_of(&log)))),
        }
    }

    /// Lets one for packets see what the interface of that index in the calling thread's namespace receives, until that is gone.
    pub(crate) fn attach(&self, interface: u32) -> io::Result<()> {
        let mut attributes = Attributes::default();
        let program = self.0.as_raw_fd().cast_unsigned();
        attributes.number(0, interface).number(4, program).number(8, Purpose::Packets.place());
        attributes.call(PROGRAM_ATTACH).map(drop)
    }

    /// Lets it see what processes of a cgroup, and of those beneath, do with sockets, as long as the value lives.
    pub(crate) fn link(&self, cgroup: BorrowedFd<'_>, purpose: Purpose) -> io::Result<OwnedFd> {
        let [program, cgroup] =
            [self.0.as_fd(), cgroup].map(|descriptor| descriptor.as_raw_fd().cast_unsigned());
        let mut attributes = Attributes::default();
        attributes.number(0, program).number(4, cgroup).number(8, purpose.place());
        attributes.call(LINK_CREATE).map(own)
    }

    /// The program of that name which sees what the interface receives.
    pub(crate) fn find(name: &str, interface: u32) -> io::Result<Option<Self>> {
        let mut ids = [0_u32; MOST];
        let mut attributes = Attributes::default();
        attributes
            .number(0, interface)
            .number(4, Purpose::Packets.place())
            .place(16, ids.as_mut_ptr())
            .number(24, MOST as u32);
        attributes.call(QUERY)?;
        for id in ids.into_iter().take_while(|id| *id != 0) {
            let program = Self(by_id(PROGRAM_BY_ID, id)?);
            let mut info = Info::default();
            info.ask(program.0.as_fd())?;
            if info.name(64) == name {
                return Ok(Some(program));
            }
        }
        Ok(None)
    }

    /// The map of that shape which it uses.
    pub(crate) fn map(&self, shape: &Shape) -> io::Result<Map> {
        let mut ids = [0_u32; MOST];
        let mut info = Info::default();
        info.0.number(52, MOST as u32).place(56, ids.as_mut_ptr());
        info.ask(self.0.as_fd())?;
        for id in ids.into_iter().take_while(|id| *id != 0) {
            let fd = by_id(MAP_BY_ID, id)?;
            let mut info = Info::default();
            info.ask(fd.as_fd())?;
            let lengths = (info.read(8) as usize, info.read(12) as usize);
            if info.name(24) == shape.name && lengths == (shape.key, shape.value) {
                return Ok(Map { fd, key: shape.key, value: shape.value });
            }
        }
        Err(io::ErrorKind::NotFound.into())
    }
}

/// `union bpf_attr`, or what the kernel tells about itself: numbers at places; the rest is zero.
#[repr(C, align(8))]
struct Attributes([u8; 256]);

/// As much of [`Attributes`] as every kernel takes that has such programs.
const ATTRIBUTES: usize = 128;

impl Default for Attributes {
    fn default() -> Self {
        Self([0; 256])
    }
}

impl Attributes {
    fn on(map: BorrowedFd<'_>) -> Self {
        let mut attributes = Self::default();
        attributes.number(0, map.as_raw_fd().cast_unsigned());
        attributes
    }

    fn number(&mut self, at: usize, number: u32) -> &mut Self {
        self.0[at..at + 4].copy_from_slice(&number.to_ne_bytes());
        self
    }

    fn place<T>(&mut self, at: usize, place: *const T) -> &mut Self {
        self.0[at..at + 8].copy_from_slice(&(place as u64).to_ne_bytes());
        self
    }

    fn name(&mut self, at: usize, name: &str) -> &mut Self {
        for (to, from) in self.0[at..at + NAME - 1].iter_mut().zip(name.bytes()) {
            *to = from;
        }
        self
    }

    /// The places in it hold what the command reads there, and have room for what it writes.
    fn call(&mut self, command: c_int) -> io::Result<c_long> {
        // SAFETY: the attributes outlive the call and their length is given. The places in them are of this file's
        // slices and vectors, which outlive the call, too, and whose lengths are given or are those of a map.
        check(unsafe { syscall(BPF, command, self.0.as_mut_ptr(), ATTRIBUTES as c_long) })
    }
}

/// `struct bpf_prog_info` or `struct bpf_map_info`.
#[derive(Default)]
struct Info(Attributes);

impl Info {
    fn ask(&mut self, of: BorrowedFd<'_>) -> io::Result<()> {
        let mut attributes = Attributes::on(of);
        attributes.number(4, size_of::<Attributes>() as u32).place(8, self.0.0.as_mut_ptr());
        attributes.call(INFO).map(drop)
    }

    fn read(&self, at: usize) -> u32 {
        self.0.0[at..].first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    }

    fn name(&self, at: usize) -> String {
        let bytes = self.0.0[at..at + NAME].iter().take_while(|byte| **byte != 0);
        bytes.map(|byte| char::from(*byte)).collect()
    }
}

fn by_id(command: c_int, id: u32) -> io::Result<OwnedFd> {
    let mut attributes = Attributes::default();
    attributes.number(0, id).call(command).map(own)
}

/// Takes a descriptor number that the kernel just returned.
fn own(fd: c_long) -> OwnedFd {
    // SAFETY: only results of commands that return fresh descriptors are passed.
    unsafe { OwnedFd::from_raw_fd(fd as RawFd) }
}

fn check(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// The last lines of what the kernel said.
fn end_of(log: &[u8]) -> String {
    const LINES: usize = 8;
    let said = log.split(|byte| *byte == 0).next().unwrap_or_default();
    let said = String::from_utf8_lossy(said);
    let lines: Vec<&str> = said.trim_end().lines().collect();
    lines[lines.len().saturating_sub(LINES)..].join("; ")
}
