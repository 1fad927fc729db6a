//! The content store: `blobs/sha256/<hex>`, each written beside its place, verified while written, then renamed. It is
//! [`Unsynced`] until a record speaks of it.

mod aside;

use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use aside::Aside;

use crate::digest::Hashed;
use crate::durable;
use crate::growth::{Follower, Growing};
use crate::unpack::{self, Limits, Unpacked};
use crate::unsynced::Unsynced;
use crate::{Digest, Error, Result, manifest};

/// How long a broken download waits to be continued.
const PATIENCE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes that go to the disk at a time.
const BUFFER: usize = 128 << 10;

/// Where a blob is written that is made in pieces of any size.
pub(crate) type Filling<'scope, 'env> = BufWriter<Aside<'scope, 'env>>;

/// The folder of blobs.
#[derive(Debug)]
pub(crate) struct Blobs {
    folder: PathBuf,
    /// Downloads that may be resumed, `<hex>`.
    partial: PathBuf,
    unsynced: Arc<Unsynced>,
}

impl Blobs {
    pub(crate) fn open(root: &Path, unsynced: Arc<Unsynced>) -> Result<Self> {
        let blobs = Self { folder: root.join("blobs/sha256"), partial: root.join("partial"), unsynced };
        durable::make_folder(&blobs.folder)?;
        durable::make_folder(&blobs.partial)?;
        durable::sweep(&blobs.folder)?;
        blobs.give_up()?;
        Ok(blobs)
    }

    /// Removes downloads that nobody has continued for so long that nobody will.
    fn give_up(&self) -> Result<()> {
        for name in durable::entries(&self.partial)? {
            let path = self.partial.join(name);
            let changed = fs::metadata(&path).and_then(|metadata| metadata.modified());
            let age = changed.ok().and_then(|changed| changed.elapsed().ok());
            if age.is_some_and(|age| age > PATIENCE) {
                durable::remove(&path)?;
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    /// As [`Unsynced::wrote`], of a download.
    pub(crate) fn wrote(&self, size: u64) {
        self.unsynced.wrote(size);
    }

    /// Where the download of a blob collects; what lies there after a crash is continued.
    pub(crate) fn partial_path(&self, digest: &Digest) -> PathBuf {
        self.partial.join(digest.hex())
    }

    /// The size of a blob that is there.
    pub(crate) fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|metadata| metadata.len())
    }

    pub(crate) fn open_blob(&self, digest: &Digest) -> Result<File> {
        let path = self.path(digest);
        File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::NoSuchContent(digest.clone()),
            _ => Error::File { operation: "open", path, source },
        })
    }

    /// Unpacks a layer's blob into a folder.
    pub(crate) fn unpack(&self, digest: &Digest, folder: &Path) -> Result<Unpacked> {
        Ok(unpack::unpack_blob(self.open_blob(digest)?, folder, &Limits::default())?.of(digest))
    }

    /// A small blob's bytes.
    pub(crate) fn read(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let path = self.path(digest);
        self.open_blob(digest)?.read_to_end(&mut bytes).map_err(Error::file("read", &path))?;
        let found = Digest::of(&bytes);
        if found != *digest {
            return Err(Error::WrongDigest { subject: "stored content", expected: digest.clone(), found });
        }
        Ok(bytes)
    }

    /// Stores bytes and says their digest.
    pub(crate) fn put(&self, bytes: &[u8]) -> Result<Digest> {
        let digest = Digest::of(bytes);
        if self.size(&digest) != Some(bytes.len() as u64) {
            let mut writer = self.writer()?;
            writer.write_all(bytes).map_err(Error::file("write", &writer.path))?;
            self.finish(writer)?;
        }
        Ok(digest)
    }

    /// A blob whose digest isn't known yet.
    pub(crate) fn writer(&self) -> Result<BlobWriter> {
        let path = durable::unfinished(&self.folder);
        let file = File::create(&path).map_err(Error::file("create", &path))?;
        Ok(BlobWriter {
            hashed: Some(Hashed::new(file)),
            path,
            growing: None,
            unsynced: Arc::clone(&self.unsynced),
        })
    }

    /// A blob that `fill` writes, in pieces of any size.
    pub(crate) fn filled<T>(
        &self,
        fill: impl FnOnce(&mut Filling<'_, '_>) -> Result<T>,
    ) -> Result<(BlobWriter, T)> {
        self.writer()?.filled(fill)
    }

    /// Puts a written blob in its place.
    pub(crate) fn finish(&self, mut writer: BlobWriter) -> Result<(Digest, u64)> {
        let Some(hashed) = writer.hashed.take() else { return Err(Error::Interrupted("storing content")) };
        let (_, digest, size) = hashed.finish();
        self.unsynced.rename(&writer.path, &self.path(&digest))?;
        if let Some(growing) = writer.growing.take() {
            growing.finish();
        }
        Ok((digest, size))
    }

    /// The media type of a stored layer, told by its first bytes.
    pub(crate) fn layer_type(&self, digest: &Digest) -> Result<&'static str> {
        let mut start = [0; 4];
        let length = self.open_blob(digest)?.read(&mut start).map_err(Error::stream("read a layer"))?;
        Ok(match &start[..length] {
            [0x1f, 0x8b, ..] => manifest::OCI_LAYER_GZIP,
            [0x28, 0xb5, 0x2f, 0xfd] => manifest::OCI_LAYER_ZSTD,
            _ => manifest::OCI_LAYER,
        })
    }

    /// Puts a finished, verified download in its place.
    pub(crate) fn adopt_partial(&self, digest: &Digest) -> Result<()> {
        self.unsynced.rename(&self.partial_path(digest), &self.path(digest))
    }

    /// Takes content away; what is given back is deleted when nobody waits. What a power cut brings back is collected at
    /// start-up.
    pub(crate) fn detach(&self, digest: &Digest) -> Result<Option<PathBuf>> {
        durable::detach(&self.path(digest))
    }

    /// Every blob there is.
    pub(crate) fn all(&self) -> Result<Vec<Digest>> {
        let names = durable::entries(&self.folder)?;
        Ok(names.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }
}

/// A blob being written; dropped unfinished it leaves nothing.
pub(crate) struct BlobWriter {
    hashed: Option<Hashed<File>>,
    path: PathBuf,
    /// Tells those who follow it.
    growing: Option<Growing>,
    unsynced: Arc<Unsynced>,
}

impl BlobWriter {
    /// Reads what is written from here on, as it comes.
    pub(crate) fn follow(&mut self) -> Result<Follower> {
        let file = File::open(&self.path).map_err(Error::file("open", &self.path))?;
        let growing = self.growing.get_or_insert_with(|| Growing(Arc::default()));
        Ok(Follower::new(file, Arc::clone(&growing.0)))
    }

    /// Has `fill` write the blob, in pieces of any size.
    pub(crate) fn filled<T>(self, fill: impl FnOnce(&mut Filling<'_, '_>) -> Result<T>) -> Result<(Self, T)> {
        thread::scope(|scope| {
            let mut writer = BufWriter::with_capacity(BUFFER, Aside::new(scope, self));
            let filled = fill(&mut writer)?;
            let (writer, rest) = writer.into_parts();
            let rest = rest.map_err(|_| Error::Interrupted("storing content"))?;
            Ok((writer.finish(&rest).map_err(Error::stream("store content"))?, filled))
        })
    }

    /// What was written so far, and how much; nothing once it is finished.
    pub(crate) fn digest(&self) -> Option<(Digest, u64)> {
        self.hashed.as_ref().map(|hashed| (hashed.digest(), hashed.count()))
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(hashed) = &mut self.hashed else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let count = hashed.write(bytes)?;
        self.unsynced.wrote(count as u64);
        if let Some(growing) = &self.growing {
            growing.0.reached(hashed.count());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After `finish` the file has moved and this finds nothing.
        let _ = fs::remove_file(&self.path);
    }
}
