//! Plain, gzip, zstd, bzip2 or xz, told apart by their first bytes whatever a media type says.

use std::io::{self, BufRead, BufReader, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

use flate2::bufread::MultiGzDecoder;

use super::BUFFER;
use crate::{Error, Result};

/// The largest zstd window that is accepted, as a power of two: 128 MiB, the format's own recommendation for
/// decoders that face strangers (RFC 8878, 3.1.1.1.2, speaks of 8 MiB as the least).
const ZSTD_WINDOW_LOG: u32 = 27;
/// The most memory that xz may ask for: its highest preset, 9, takes 65 MiB.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// Bytes handed from the decompressing thread to the unpacking one at a time, and how many may wait.
const CHUNK: usize = 256 << 10;
const CHUNKS_WAITING: usize = 4;

#[derive(PartialEq, Eq)]
enum Format {
    Gzip,
    Zstd,
    Bzip2,
    Xz,
    Plain,
}

impl Format {
    fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, ..] => Self::Gzip,
            // A frame, or a skippable frame before one.
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', ..] => Self::Xz,
            _ => Self::Plain,
        }
    }
}

/// Whether what starts so isn't compressed.
pub(crate) fn is_plain(start: &[u8]) -> bool {
    Format::of(start) == Format::Plain
}

/// The uncompressed content of `source`.
pub(crate) fn decompress<'a>(source: impl Read + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    decoder(BufReader::with_capacity(BUFFER, source))
}

fn decoder<'a>(mut source: impl BufRead + Send + 'a) -> Result<Box<dyn Read + Send + 'a>> {
    let start = source.fill_buf().map_err(Error::reading)?;
    match Format::of(start) {
        Format::Gzip => Ok(Box::new(MultiGzDecoder::new(source))),
        Format::Zstd => {
            let start = Error::stream("start zstd");
            let mut decoder = match zstd::stream::read::Decoder::with_buffer(source) {
                Ok(decoder) => decoder,
                Err(source) => return Err(start(source)),
            };
            decoder.window_log_max(ZSTD_WINDOW_LOG).map_err(Error::stream("start zstd"))?;
            Ok(Box::new(decoder))
        }
        Format::Bzip2 => Ok(Box::new(bzip2::bufread::MultiBzDecoder::new(source))),
        Format::Xz => {
            let reader = lzma_rust2::XzReader::new_mem_limit(source, true, XZ_MEMORY_KIB);
            Ok(Box::new(reader))
        }
        Format::Plain => Ok(Box::new(source)),
    }
}

/// Runs `work` on the uncompressed content of `source`. Of what is compressed a thread of its own makes it, since that
/// takes as long as writing files does.
pub(crate) fn piped<T>(source: impl Read + Send, work: impl FnOnce(&mut dyn Read) -> Result<T>) -> Result<T> {
    let mut source = BufReader::with_capacity(BUFFER, source);
    if is_plain(source.fill_buf().map_err(Error::reading)?) {
        return work(&mut source);
    }
    let mut plain = decoder(source)?;
    std::thread::scope(|scope| {
        let (sender, receiver) = sync_channel(CHUNKS_WAITING);
        let (back, read) = channel();
        scope.spawn(move || produce(&mut plain, &sender, &read));
        // The receiver ends with `work`, so that a producer nobody listens to stops.
        work(&mut Chunks { receiver, back, chunk: Vec::new(), at: 0 })
    })
}

/// Chunks that were `read` are filled again: the kernel clears each page that is new.
fn produce(plain: &mut dyn Read, sender: &SyncSender<io::Result<Vec<u8>>>, read: &Receiver<Vec<u8>>) {
    loop {
        let chunk = next_chunk(plain, read.try_recv().unwrap_or_default());
        let ended = chunk.as_ref().map_or(true, Vec::is_empty);
        if sender.send(chunk).is_err() || ended {
            return;
        }
    }
}

/// The next bytes in place of what `chunk` holds, fewer than a chunk at the end only. A decoder is asked for many at once: at
/// each call it copies what it may need of those before.
fn next_chunk(plain: &mut dyn Read, mut chunk: Vec<u8>) -> io::Result<Vec<u8>> {
    chunk.resize(CHUNK, 0);
    let mut filled = 0;
    while filled < CHUNK {
        match plain.read(&mut chunk[filled..]) {
            Ok(0) => break,
            Ok(count) => filled += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    chunk.truncate(filled);
    Ok(chunk)
}

struct Chunks {
    receiver: Receiver<io::Result<Vec<u8>>>,
    back: Sender<Vec<u8>>,
    chunk: Vec<u8>,
    at: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.chunk.len() {
            let next = self.receiver.recv().unwrap_or_else(|_| Ok(Vec::new()))?;
            // The producer may have come to its end.
            drop(self.back.send(std::mem::replace(&mut self.chunk, next)));
            self.at = 0;
        }
        let count = buffer.len().min(self.chunk.len() - self.at);
        buffer[..count].copy_from_slice(&self.chunk[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
