//! Gzip by several processors at once: a stream is cut into blocks, each a member of its own (RFC 1952, 2.2: a file is a
//! series of them, and readers of layers take it so). The bytes are the same on any number of processors.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::thread::{self, ScopedJoinHandle};

use libdeflater::{CompressionLvl, Compressor};

/// Bytes of a block: longer ones would be hardly smaller together.
const BLOCK: usize = 1 << 20;
/// More threads than this are of little use beside other layers'.
const MOST_THREADS: usize = 8;
/// The level when nobody asks for one: layers are as large as dockerd's, in half of its time.
const USUAL: u32 = 2;

/// A block and what makes its member, used again for later ones: to get and give back this much memory takes time.
struct Press {
    compressor: Compressor,
    plain: Vec<u8>,
    /// As long as the longest member could be.
    packed: Vec<u8>,
    /// How long this one is.
    length: usize,
}

/// A block on its way through a thread.
type Pressing<'scope> = ScopedJoinHandle<'scope, io::Result<Press>>;

/// Compresses everything that `plain` gives, at one of zlib's levels.
pub(super) fn write(mut plain: impl Read, to: &mut impl Write, level: Option<u32>) -> io::Result<()> {
    let threads = thread::available_parallelism().map_or(1, |threads| threads.get().min(MOST_THREADS));
    let level = i32::try_from(level.unwrap_or(USUAL)).unwrap_or(i32::MAX);
    let unknown = |_| io::Error::new(io::ErrorKind::InvalidInput, format!("gzip has no level {level}"));
    let level = CompressionLvl::new(level).map_err(unknown)?;
    thread::scope(|scope| {
        let mut pressing: VecDeque<Pressing<'_>> = VecDeque::with_capacity(threads);
        for number in 0_u64.. {
            let mut press = match pressing.len() < threads {
                true => Press::new(level),
                false => finish(pressing.pop_front(), to)?,
            };
            let is_last = press.read(&mut plain)?;
            // Of nothing there is a member, too.
            if number == 0 || !press.plain.is_empty() {
                pressing.push_back(scope.spawn(move || press.press()));
            }
            if is_last {
                break;
            }
        }
        pressing.into_iter().try_for_each(|press| finish(Some(press), to).map(drop))
    })
}

/// Writes what a thread has made, and gives back what it made that with.
fn finish(pressing: Option<Pressing<'_>>, to: &mut impl Write) -> io::Result<Press> {
    let interrupted = || io::Error::other("compressing was interrupted");
    let press = pressing.ok_or_else(interrupted)?.join().map_err(|_| interrupted())??;
    to.write_all(&press.packed[..press.length])?;
    Ok(press)
}

impl Press {
    fn new(level: CompressionLvl) -> Self {
        let mut compressor = Compressor::new(level);
        let packed = vec![0; compressor.gzip_compress_bound(BLOCK)];
        Self { compressor, plain: Vec::with_capacity(BLOCK), packed, length: 0 }
    }

    /// Takes the next block; returns whether it is the last.
    fn read(&mut self, from: &mut impl Read) -> io::Result<bool> {
        self.plain.clear();
        from.take(BLOCK as u64).read_to_end(&mut self.plain)?;
        Ok(self.plain.len() < BLOCK)
    }

    fn press(mut self) -> io::Result<Self> {
        self.length =
            self.compressor.gzip_compress(&self.plain, &mut self.packed).map_err(io::Error::other)?;
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_of_any_length_unpack_to_what_they_were() {
        for length in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 5 * BLOCK + 7] {
            let mut number = 1u32;
            let random = |_| {
                number = number.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                if number & 1 << 30 == 0 { b'x' } else { (number >> 24) as u8 }
            };
            let plain: Vec<u8> = (0..length).map(random).collect();
            let mut packed = Vec::new();
            write(plain.as_slice(), &mut packed, None).unwrap();
            let mut decoder = flate2::bufread::MultiGzDecoder::new(packed.as_slice());
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
        let failed = write(plain, &mut Vec::new(), None).unwrap_err();
        assert_eq!(failed.kind(), io::ErrorKind::ConnectionReset);
    }
}
