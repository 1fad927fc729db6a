//! A pack: many objects in one file, some as differences to others (gitformat-pack). Each is looked at once to learn
//! its name; contents are read again when they are asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flate2::bufread::ZlibDecoder;
use sha1::Digest as _;

use super::object::Id;
use super::wrong;
use crate::{Error, Result};

/// Objects in one pack.
const MOST: u32 = 10_000_000;
/// The largest object that is held in memory: one that isn't a whole file, or that others are made of.
const LARGEST: u64 = 512 << 20;
/// Differences to differences.
const LONGEST_CHAIN: usize = 4096;
/// Bytes of contents that are kept, since the next difference is often to the same.
const REMEMBERED: usize = 64 << 20;

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Commit,
    Tree,
    Blob,
    Tag,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Tree => "tree",
            Self::Blob => "blob",
            Self::Tag => "tag",
        }
    }
}

/// How an object is stored.
#[derive(Debug, Clone, Copy)]
enum Stored {
    Whole(Kind),
    /// As a difference to the object at an offset, or to the one with a name.
    DeltaTo(u64),
    DeltaOf(Id),
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    stored: Stored,
    /// Bytes of the content or the difference, unpacked.
    size: u64,
    /// Where they begin.
    data: u64,
}

/// Objects' contents by their offsets.
type Contents = HashMap<u64, (Kind, Arc<Vec<u8>>)>;

/// A pack that was looked through.
pub(super) struct Pack {
    file: File,
    entries: HashMap<u64, Entry>,
    offsets: HashMap<Id, u64>,
    remembered: Mutex<Contents>,
}

impl Pack {
    /// Looks through a pack. Blocks.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let open = || File::open(path).map_err(Error::file("open", path));
        let mut pack = Self {
            file: open()?,
            entries: HashMap::new(),
            offsets: HashMap::new(),
            remembered: Mutex::default(),
        };
        let mut from = Counted { inner: BufReader::with_capacity(128 << 10, open()?), at: 0 };
        let mut head = [0; 12];
        from.read_exact(&mut head).map_err(cut)?;
        let number = |bytes: &[u8]| bytes.iter().fold(0u32, |number, byte| number << 8 | u32::from(*byte));
        if &head[..4] != b"PACK" || !matches!(number(&head[4..8]), 2 | 3) {
            return Err(wrong("the server sent no pack"));
        }
        let count = number(&head[8..]);
        if count > MOST {
            return Err(wrong(format!("the pack has more than {MOST} objects")));
        }
        let mut deltas = Vec::new();
        for _ in 0..count {
            let offset = from.at;
            let entry = read_entry(&mut from, offset)?;
            match entry.stored {
                Stored::Whole(kind) => drop(pack.offsets.insert(skim(&mut from, kind, entry.size)?, offset)),
                _ => {
                    drain(&mut from, entry.size, &mut std::io::sink())?;
                    deltas.push(offset);
                }
            }
            pack.entries.insert(offset, entry);
        }
        pack.name(deltas)?;
        Ok(pack)
    }

    /// Learns the names of differences, as far as what they are to is known.
    fn name(&mut self, mut unnamed: Vec<u64>) -> Result<()> {
        loop {
            let before = unnamed.len();
            let mut left = Vec::new();
            for offset in unnamed {
                match self.content(offset)? {
                    Some((kind, content)) => {
                        self.offsets.insert(Id::of(kind.name(), &content), offset);
                    }
                    None => left.push(offset),
                }
            }
            // Differences to what isn't in the pack are to objects that nobody asked for.
            if left.is_empty() || left.len() == before {
                return Ok(());
            }
            unnamed = left;
        }
    }

    /// An object's content, which fits into memory.
    pub(super) fn read(&self, id: &Id) -> Result<(Kind, Arc<Vec<u8>>)> {
        let offset = self.offsets.get(id).ok_or_else(|| wrong(format!("the server didn't send {id}")))?;
        self.content(*offset)?.ok_or_else(|| wrong(format!("the server didn't send all of {id}")))
    }

    /// Writes a file's content, however large.
    pub(super) fn write_blob(&self, id: &Id, to: &mut impl Write) -> Result<()> {
        let entry = self.offsets.get(id).and_then(|offset| self.entries.get(offset));
        if let Some(Entry { stored: Stored::Whole(Kind::Blob), size, data }) = entry {
            return drain(&mut self.at(*data)?, *size, to);
        }
        match self.read(id)? {
            (Kind::Blob, content) => to.write_all(&content).map_err(Error::file("write", "a checkout")),
            (kind, _) => Err(wrong(format!("{id} is a {}, not a file", kind.name()))),
        }
    }

    /// The objects by their names: where each begins.
    pub(super) fn objects(&self) -> &HashMap<Id, u64> {
        &self.offsets
    }

    /// Where the objects begin, in order.
    pub(super) fn offsets(&self) -> Vec<u64> {
        let mut offsets: Vec<u64> = self.entries.keys().copied().collect();
        offsets.sort_unstable();
        offsets
    }

    fn at(&self, data: u64) -> Result<Counted<BufReader<File>>> {
        let mut file = self.file.try_clone().map_err(Error::file("open", "a pack"))?;
        file.seek(SeekFrom::Start(data)).map_err(Error::file("read", "a pack"))?;
        Ok(Counted { inner: BufReader::new(file), at: data })
    }

    /// The object at an offset; none when what it is a difference to isn't known.
    fn content(&self, offset: u64) -> Result<Option<(Kind, Arc<Vec<u8>>)>> {
        let (mut chain, mut at) = (Vec::new(), offset);
        let (kind, mut content) = loop {
            if let Some(known) = self.remembered().get(&at) {
                break known.clone();
            }
            let Some(entry) = self.entries.get(&at) else { return Err(wrong("a difference is to nothing")) };
            at = match entry.stored {
                Stored::Whole(kind) => break (kind, Arc::new(self.unpacked(entry)?)),
                Stored::DeltaTo(base) => base,
                Stored::DeltaOf(id) => match self.offsets.get(&id) {
                    Some(base) => *base,
                    None => return Ok(None),
                },
            };
            chain.push(*entry);
            if chain.len() > LONGEST_CHAIN {
                return Err(wrong("differences go in a circle"));
            }
        };
        for entry in chain.iter().rev() {
            content = Arc::new(applied(&content, &self.unpacked(entry)?)?);
        }
        let mut remembered = self.remembered();
        let held: usize = remembered.values().map(|(_, content)| content.len()).sum();
        if held + content.len() > REMEMBERED || remembered.len() > 1024 {
            remembered.clear();
        }
        remembered.insert(offset, (kind, content.clone()));
        Ok(Some((kind, content)))
    }

    fn remembered(&self) -> MutexGuard<'_, Contents> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn unpacked(&self, entry: &Entry) -> Result<Vec<u8>> {
        if entry.size > LARGEST {
            return Err(wrong(format!("an object of {} bytes is too large", entry.size)));
        }
        let mut bytes = Vec::new();
        drain(&mut self.at(entry.data)?, entry.size, &mut bytes)?;
        Ok(bytes)
    }
}

fn cut(_: std::io::Error) -> Error {
    wrong("the pack is cut off or damaged")
}

/// A reader that knows where it is.
struct Counted<R> {
    inner: R,
    at: u64,
}

impl<R: BufRead> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.at += count as u64;
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Counted<R> {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.inner.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.at += count as u64;
        self.inner.consume(count);
    }
}

fn byte(from: &mut impl Read) -> Result<u8> {
    let mut byte = [0];
    from.read_exact(&mut byte).map_err(cut)?;
    Ok(byte[0])
}

/// The head of an entry that begins at `offset`.
fn read_entry<R: BufRead>(from: &mut Counted<R>, offset: u64) -> Result<Entry> {
    let first = byte(from)?;
    let (mut size, mut shift, mut last) = (u64::from(first & 15), 4, first);
    while last & 0x80 != 0 {
        last = byte(from)?;
        if shift > 56 {
            return Err(wrong("an object's size makes no sense"));
        }
        size |= u64::from(last & 0x7f) << shift;
        shift += 7;
    }
    let stored = match first >> 4 & 7 {
        1 => Stored::Whole(Kind::Commit),
        2 => Stored::Whole(Kind::Tree),
        3 => Stored::Whole(Kind::Blob),
        4 => Stored::Whole(Kind::Tag),
        6 => {
            let back = distance(from)?;
            let base = offset.checked_sub(back).filter(|_| back > 0);
            Stored::DeltaTo(base.ok_or_else(|| wrong("a difference is to nothing"))?)
        }
        7 => {
            let mut id = [0; 20];
            from.read_exact(&mut id).map_err(cut)?;
            Stored::DeltaOf(Id::from_bytes(&id).ok_or_else(|| wrong("a difference is to nothing"))?)
        }
        _ => return Err(wrong("an object is of no kind")),
    };
    Ok(Entry { stored, size, data: from.at })
}

/// How far back a difference's base is.
fn distance(from: &mut impl Read) -> Result<u64> {
    let mut last = byte(from)?;
    let mut back = u64::from(last & 0x7f);
    while last & 0x80 != 0 {
        last = byte(from)?;
        back =
            back.checked_add(1).and_then(|back| back.checked_mul(128)).ok_or_else(|| wrong("a distance"))?;
        back |= u64::from(last & 0x7f);
    }
    Ok(back)
}

/// Unpacks exactly so many bytes.
fn drain(from: &mut impl BufRead, size: u64, to: &mut impl Write) -> Result<()> {
    let mut plain = ZlibDecoder::new(from);
    let copied = std::io::copy(&mut plain.by_ref().take(size), to).map_err(cut)?;
    // The end of the compressed stream must be read too, so that the next object begins after it.
    let rest = std::io::copy(&mut plain.take(1), &mut std::io::sink()).map_err(cut)?;
    match (copied == size, rest) {
        (true, 0) => Ok(()),
        _ => Err(wrong("an object isn't as long as it says")),
    }
}

/// Learns a whole object's name without keeping it.
fn skim(from: &mut impl BufRead, kind: Kind, size: u64) -> Result<Id> {
    struct Hash(sha1::Sha1);
    impl Write for Hash {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.update(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut hash = Hash(Id::hash(kind.name(), size));
    drain(from, size, &mut hash)?;
    Ok(Id::from_hash(hash.0))
}

/// What a difference makes of a content (gitformat-pack, "Deltified representation").
fn applied(base: &[u8], delta: &[u8]) -> Result<Vec<u8>> {
    let malformed = || wrong("a difference makes no sense");
    let mut delta = delta;
    let (from, size) = (length(&mut delta)?, length(&mut delta)?);
    if from != base.len() as u64 || size > LARGEST {
        return Err(malformed());
    }
    let mut made = Vec::new();
    while !delta.is_empty() {
        let operation = byte(&mut delta)?;
        if operation & 0x80 == 0 {
            let count = usize::from(operation);
            let bytes = delta.get(..count).filter(|_| count > 0).ok_or_else(malformed)?;
            made.extend_from_slice(bytes);
            delta = &delta[count..];
        } else {
            let mut number = |bits: u8, first: u8| -> Result<usize> {
                (0..bits)
                    .filter(|bit| operation & 1 << (first + bit) != 0)
                    .try_fold(0, |number, bit| Ok(number | usize::from(byte(&mut delta)?) << (8 * bit)))
            };
            let (start, count) = (number(4, 0)?, number(3, 4)?);
            let count = if count == 0 { 0x1_0000 } else { count };
            let end = start.checked_add(count).ok_or_else(malformed)?;
            made.extend_from_slice(base.get(start..end).ok_or_else(malformed)?);
        }
        if made.len() as u64 > size {
            return Err(malformed());
        }
    }
    if made.len() as u64 == size { Ok(made) } else { Err(malformed()) }
}

/// A length in groups of seven bits, the lowest first.
fn length(from: &mut &[u8]) -> Result<u64> {
    let (mut length, mut shift) = (0, 0);
    loop {
        let last = byte(from)?;
        if shift > 56 {
            return Err(wrong("a length makes no sense"));
        }
        length |= u64::from(last & 0x7f) << shift;
        shift += 7;
        if last & 0x80 == 0 {
            return Ok(length);
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::ZlibEncoder;

    use super::*;

    fn deflated(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn opened(objects: &[Vec<u8>]) -> Result<Pack> {
        let count = u32::try_from(objects.len()).unwrap().to_be_bytes();
        let bytes = [b"PACK\0\0\0\x02".as_slice(), &count, &objects.concat()].concat();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), bytes).unwrap();
        Pack::open(file.path())
    }

    #[test]
    fn objects_are_found_by_their_names_whole_or_as_differences() {
        let base = [&[0x3b], deflated(b"hello world").as_slice()].concat();
        // Copy five bytes of the base, then insert six.
        let delta = [&[11, 11, 0x90, 5, 6], b" again".as_slice()].concat();
        let back = u8::try_from(base.len()).unwrap();
        let second = [&[0x60 | 11, back], deflated(&delta).as_slice()].concat();
        let pack = opened(&[base, second]).unwrap();
        let mut text = Vec::new();
        pack.write_blob(&Id::of("blob", b"hello again"), &mut text).unwrap();
        assert_eq!(text, b"hello again");
        assert_eq!(*pack.read(&Id::of("blob", b"hello world")).unwrap().1, b"hello world");
        assert!(pack.read(&Id::of("blob", b"other")).is_err());
    }

    #[test]
    fn hostile_packs_are_refused() {
        let blob = |size: u8, bytes: &[u8]| [&[0x30 | size], deflated(bytes).as_slice()].concat();
        for objects in [
            vec![blob(5, b"longer than said")],
            vec![blob(15, b"short")],
            vec![vec![0x30, 1, 2, 3]],
            vec![vec![0x50]],
            vec![vec![0x61, 0x00]],
            vec![vec![0x61, 0x05]],
            vec![],
        ] {
            let is_empty = objects.is_empty();
            assert_eq!(opened(&objects).is_err(), !is_empty, "{objects:?}");
        }
        assert!(applied(b"base", &[4, 2, 0x91, 3, 9]).is_err());
        assert!(applied(b"base", &[5, 1, 1, b'x']).is_err());
        assert!(applied(b"base", &[4, 1, 0]).is_err());
        assert_eq!(applied(b"base", &[4, 1, 1, b'x']).unwrap(), b"x");
    }
}
