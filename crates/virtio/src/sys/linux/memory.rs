//! Between guest memory and files, without a copy here: the kernel reads and writes the guest's pages itself, so that
//! what the guest does to them meanwhile changes its own data and nothing else.
#![expect(
    unsafe_code,
    reason = "guest memory must not be seen as a Rust slice: the guest writes it at any time"
)]

use std::io::{self, IoSlice, IoSliceMut};
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, ReadWriteFlags};
use vm_memory::VolatileSlice;

/// One piece of guest memory, as the kernel takes it (`struct iovec`).
#[repr(C)]
#[derive(Clone, Copy)]
struct Piece {
    base: *mut u8,
    length: usize,
}

/// The most pieces of one system call (`UIO_MAXIOV`).
const MOST: usize = 1024;

/// Writes pieces of guest memory to a file, at `offset` or at its end. Returns how many bytes; none only when there were
/// none.
pub(crate) fn write_at<'m>(
    file: BorrowedFd<'_>,
    pieces: impl Iterator<Item = VolatileSlice<'m>>,
    offset: Option<u64>,
) -> io::Result<usize> {
    move_all(pieces, |pieces, done| {
        // SAFETY: `IoSlice` has the layout of `struct iovec`, which `Piece` is. The memory stays mapped for as long as
        // the volatile slices live, and the kernel alone looks at it: no reference to it is ever made.
        let pieces =
            unsafe { std::slice::from_raw_parts(pieces.as_ptr().cast::<IoSlice<'_>>(), pieces.len()) };
        match offset {
            Some(offset) => rustix::io::pwritev(file, pieces, offset.saturating_add(done)),
            // Only beside this flag its offset may be anything.
            None => rustix::io::pwritev2(file, pieces, 0, ReadWriteFlags::APPEND),
        }
    })
}

/// Reads from a file at `offset` into pieces of guest memory. Returns how many bytes: less than there is room for where
/// the file ends.
pub(crate) fn read_at<'m>(
    file: BorrowedFd<'_>,
    pieces: impl Iterator<Item = VolatileSlice<'m>>,
    offset: u64,
) -> io::Result<usize> {
    move_all(pieces, |pieces, done| {
        let count = pieces.len();
        // SAFETY: as in `write_at`; `IoSliceMut` has the same layout. The list itself is ours alone.
        let pieces =
            unsafe { std::slice::from_raw_parts_mut(pieces.as_mut_ptr().cast::<IoSliceMut<'_>>(), count) };
        rustix::io::preadv(file, pieces, offset.saturating_add(done))
    })
}

/// Calls `step` with what is left, and how much is done, until it moves nothing more. What was moved before an error
/// counts.
fn move_all<'m>(
    pieces: impl Iterator<Item = VolatileSlice<'m>>,
    mut step: impl FnMut(&mut [Piece], u64) -> Result<usize, Errno>,
) -> io::Result<usize> {
    // Of memory that is mapped for good, which the guest's is, a guard holds nothing.
    let piece =
        |piece: VolatileSlice<'_>| Piece { base: piece.ptr_guard_mut().as_ptr(), length: piece.len() };
    let mut left: Vec<Piece> = pieces.map(piece).collect();
    let mut left = left.as_mut_slice();
    let mut done = 0;
    while !left.is_empty() {
        let most = left.len().min(MOST);
        match step(&mut left[..most], done as u64) {
            Ok(0) => break,
            Ok(moved) => {
                done += moved;
                left = advance(left, moved);
            }
            Err(Errno::INTR) => {}
            Err(_) if done > 0 => break,
            Err(error) => return Err(error.into()),
        }
    }
    Ok(done)
}

/// What is left after the first `moved` bytes.
fn advance(pieces: &mut [Piece], mut moved: usize) -> &mut [Piece] {
    let whole = pieces.iter().take_while(|piece| {
        let is_whole = piece.length <= moved;
        moved -= if is_whole { piece.length } else { 0 };
        is_whole
    });
    let first = whole.count();
    let left = &mut pieces[first..];
    if let Some(piece) = left.first_mut() {
        piece.base = piece.base.wrapping_add(moved);
        piece.length -= moved;
    }
    left
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use vm_memory::{Bytes, GuestAddress, GuestMemoryBackend};

    use super::*;
    use crate::Memory;

    /// Memory with one byte in every place, and 3,000 pieces of 1 to 5 bytes of it.
    fn memory() -> (Memory, Vec<(u64, usize)>) {
        let memory = Memory::from_ranges(&[(GuestAddress(0), 1 << 16)]).unwrap();
        let bytes: Vec<u8> = (0..1u32 << 16).map(|byte| (byte % 251) as u8).collect();
        memory.write_slice(&bytes, GuestAddress(0)).unwrap();
        (memory, (0..3000).map(|index| (index * 7, 1 + index as usize % 5)).collect())
    }

    fn pieces<'m>(memory: &'m Memory, at: &[(u64, usize)]) -> impl Iterator<Item = VolatileSlice<'m>> {
        at.iter().map(|(at, length)| memory.get_slice(GuestAddress(*at), *length).unwrap())
    }

    #[test]
    fn more_pieces_than_one_call_takes_reach_the_file_and_come_back() {
        let (memory, at) = memory();
        let file = tempfile();
        let written = write_at(file.as_fd(), pieces(&memory, &at), Some(10)).unwrap();
        let expected: Vec<u8> = at
            .iter()
            .flat_map(|(at, length)| (*at..at + *length as u64).map(|byte| (byte % 251) as u8))
            .collect();
        assert_eq!(written, expected.len());
        let mut content = vec![0; written];
        file.read_exact_at(&mut content, 10).unwrap();
        assert!(content == expected);
        let back = Memory::from_ranges(&[(GuestAddress(0), 1 << 16)]).unwrap();
        assert_eq!(read_at(file.as_fd(), pieces(&back, &at), 10).unwrap(), written);
        for (at, length) in at {
            let mut one = vec![0; length];
            back.read_slice(&mut one, GuestAddress(at)).unwrap();
            assert_eq!(one[0], (at % 251) as u8);
        }
    }

    #[test]
    fn the_end_of_a_file_ends_reading_and_takes_what_is_appended() {
        let (memory, at) = memory();
        let file = tempfile();
        file.write_all_at(b"abc", 0).unwrap();
        assert_eq!(read_at(file.as_fd(), pieces(&memory, &at), 1).unwrap(), 2);
        assert_eq!(write_at(file.as_fd(), pieces(&memory, &at[..1]), None).unwrap(), 1);
        assert_eq!(file.metadata().unwrap().len(), 4);
        assert!(write_at(file.as_fd(), pieces(&memory, &at), Some(u64::MAX)).is_err());
    }

    fn tempfile() -> File {
        let flags = rustix::fs::MemfdFlags::CLOEXEC;
        File::from(rustix::fs::memfd_create("test", flags).unwrap())
    }
}
