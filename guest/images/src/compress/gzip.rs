//! Gzip by several processors at once: a stream is cut into blocks, each compressed by itself with the end of the one
//! before as its dictionary, and joined into one member (RFC 1952), as pigz does. The bytes are the same on any number of
//! processors.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::thread::{self, ScopedJoinHandle};

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

/// Bytes of a block.
const BLOCK: usize = 512 << 10;
/// How far back deflate looks.
const WINDOW: usize = 32 << 10;
/// More threads than this are of little use beside other layers'.
const MOST_THREADS: usize = 8;
/// Deflate, no name, no time, an unknown system.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];

/// A block on its way through a thread.
type Compressing<'scope> = ScopedJoinHandle<'scope, io::Result<Vec<u8>>>;

/// Compresses everything that `plain` gives.
pub(super) fn write(mut plain: impl Read, to: &mut impl Write, level: Compression) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
    let (mut check, mut dictionary) = (Crc::new(), Vec::new());
    to.write_all(&HEADER)?;
    thread::scope(|scope| {
        let mut compressing: VecDeque<Compressing<'_>> = VecDeque::with_capacity(threads);
        loop {
            let mut block = Vec::with_capacity(BLOCK);
            plain.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            let is_last = block.len() < BLOCK;
            check.update(&block);
            if compressing.len() >= threads {
                finish(compressing.pop_front(), to)?;
            }
            let next = block[block.len().saturating_sub(WINDOW)..].to_vec();
            let before = std::mem::replace(&mut dictionary, next);
            compressing.push_back(scope.spawn(move || compressed(&block, &before, level, is_last)));
            if is_last {
                break;
            }
        }
        compressing.into_iter().try_for_each(|block| finish(Some(block), to))
    })?;
    to.write_all(&check.sum().to_le_bytes())?;
    to.write_all(&check.amount().to_le_bytes())
}

fn finish(block: Option<Compressing<'_>>, to: &mut impl Write) -> io::Result<()> {
    let Some(block) = block else { return Ok(()) };
    let bytes = block.join().map_err(|_| io::Error::other("compressing was interrupted"))??;
    to.write_all(&bytes)
}

fn compressed(block: &[u8], dictionary: &[u8], level: Compression, is_last: bool) -> io::Result<Vec<u8>> {
    let mut deflate = Compress::new(level, false);
    if !dictionary.is_empty() {
        deflate.set_dictionary(dictionary).map_err(io::Error::other)?;
    }
    let flush = if is_last { FlushCompress::Finish } else { FlushCompress::Sync };
    let mut bytes = Vec::with_capacity(block.len() / 2 + 1024);
    loop {
        let at = usize::try_from(deflate.total_in()).unwrap_or(usize::MAX);
        let rest = block.get(at..).unwrap_or_default();
        let status = deflate.compress_vec(rest, &mut bytes, flush).map_err(io::Error::other)?;
        // What is flushed is all out once there is room left.
        let is_flushed = deflate.total_in() == block.len() as u64 && bytes.len() < bytes.capacity();
        match status {
            Status::StreamEnd => return Ok(bytes),
            Status::BufError | Status::Ok if is_flushed && !is_last => return Ok(bytes),
            _ => bytes.reserve(BLOCK / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_any_length_are_one_member_that_unpacks_to_what_they_were() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7] {
            let mut number = 1u32;
            let random = |_| {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if number & 1 << 30 == 0 { b'x' } else { (number >> 24) as u8 }
            };
            let plain: Vec<u8> = (0..length).map(random).collect();
            let mut packed = Vec::new();
            write(plain.as_slice(), &mut packed, Compression::default()).unwrap();
            let mut decoder = flate2::bufread::GzDecoder::new(packed.as_slice());
            let mut unpacked = Vec::new();
            decoder.read_to_end(&mut unpacked).unwrap();
            assert!(unpacked == plain && decoder.into_inner().is_empty(), "{length}");
            assert!(length < 100 || packed.len() < length, "{length}");
        }
    }

    #[test]
    fn a_reader_that_fails_fails_all_of_it() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::ErrorKind::ConnectionReset.into())
            }
        }
        let plain = io::repeat(b'x').take(3 * BLOCK as u64).chain(Broken);
        let failed = write(plain, &mut Vec::new(), Compression::default()).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
    }
}
