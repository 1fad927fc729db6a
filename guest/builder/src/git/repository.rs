//! The `.git` folder of a checkout, one commit deep, as `git fetch --depth=1` and `git checkout FETCH_HEAD` leave it: git
//! knows the commit, what it is called, and that the files are its own.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufReader, Read as _};
use std::path::Path;

use flate2::Crc;
use sha1::{Digest as _, Sha1};

use super::checkout::CheckedOut;
use super::fetch::{Fetched, Named};
use super::object::Id;
use super::pack::Pack;
use super::{Address, Tracked, wrong};
use crate::{Error, Result};

/// A pack's checksum, at its end.
const CHECKSUM: u64 = 20;
/// From here on, offsets don't fit an index' four bytes.
const FAR: u64 = 1 << 31;

/// Writes it into the checkout `folder`.
pub(super) fn write(
    folder: &Path,
    address: &Address,
    fetched: &Fetched,
    pack: &Pack,
    checkout: &CheckedOut,
) -> Result<()> {
    let git = folder.join(".git");
    for inner in ["objects/info", "objects/pack", "refs/heads", "refs/tags"] {
        make(&git.join(inner))?;
    }
    let Named { name, tag, .. } = &fetched.named;
    let CheckedOut { commit, tracked, .. } = checkout;
    put(&git.join("HEAD"), format!("{commit}\n").as_bytes())?;
    put(&git.join("config"), config(&address.url).as_bytes())?;
    if has_parents(pack, commit)? {
        put(&git.join("shallow"), format!("{commit}\n").as_bytes())?;
    }
    if let Some(name) = name.as_deref().filter(|name| is_sound(name)) {
        let path = git.join(name);
        path.parent().map_or(Ok(()), make)?;
        put(&path, format!("{}\n", tag.as_ref().unwrap_or(commit)).as_bytes())?;
    }
    let (index, checksum) = pack_index(fetched.pack.path(), pack)?;
    let packs = git.join("objects/pack");
    put(&packs.join(format!("pack-{checksum}.idx")), &index)?;
    let place = packs.join(format!("pack-{checksum}.pack"));
    fs::copy(fetched.pack.path(), &place).map_err(Error::file("copy to", place))?;
    put(&git.join("index"), &index_of(tracked)?)
}

fn make(folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).map_err(Error::file("make folder", folder))
}

fn put(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::file("write", path))
}

fn config(url: &str) -> String {
    let url = url.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "[core]\n\trepositoryformatversion = 0\n\tfilemode = true\n\tbare = false\n\tlogallrefupdates = true\n\
         [remote \"origin\"]\n\turl = \"{url}\"\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
    )
}

fn has_parents(pack: &Pack, commit: &Id) -> Result<bool> {
    let (_, content) = pack.read(commit)?;
    let mut head = content.split(|byte| *byte == b'\n').take_while(|line| !line.is_empty());
    Ok(head.any(|line| line.starts_with(b"parent ")))
}

/// Whether a branch's or tag's name is one (git-check-ref-format) and leads to no other file of the folder.
fn is_sound(name: &str) -> bool {
    let is_part = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.ends_with(".lock");
    let is_plain = |byte: u8| byte.is_ascii_graphic() && !b"~^:?*[\\".contains(&byte);
    (name.starts_with("refs/heads/") || name.starts_with("refs/tags/"))
        && name.split('/').all(is_part)
        && !name.contains("..")
        && name.bytes().all(is_plain)
}

/// The index of a pack (gitformat-pack, version 2), and the pack's checksum.
fn pack_index(path: &Path, pack: &Pack) -> Result<(Vec<u8>, Id)> {
    let (checks, checksum) = checks(path, &pack.offsets())?;
    let mut objects: Vec<(&Id, &u64)> = pack.objects().iter().collect();
    objects.sort_unstable();
    if objects.len() != checks.len() {
        return Err(wrong("the server didn't send all of what it sent differences to"));
    }
    let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let mut index = b"\xfftOc\0\0\0\x02".to_vec();
    for first in 0..=u8::MAX {
        let count = objects.partition_point(|(id, _)| id.bytes()[0] <= first);
        index.extend_from_slice(&number(count).to_be_bytes());
    }
    objects.iter().for_each(|(id, _)| index.extend_from_slice(id.bytes()));
    for (_, offset) in &objects {
        index.extend_from_slice(&checks.get(offset).copied().unwrap_or_default().to_be_bytes());
    }
    let mut far = Vec::new();
    for (_, offset) in &objects {
        let near = u32::try_from(**offset).ok().filter(|_| **offset < FAR);
        let said = near.unwrap_or_else(|| {
            far.push(**offset);
            1 << 31 | number(far.len() - 1)
        });
        index.extend_from_slice(&said.to_be_bytes());
    }
    far.iter().for_each(|offset| index.extend_from_slice(&offset.to_be_bytes()));
    index.extend_from_slice(checksum.bytes());
    seal(&mut index);
    Ok((index, checksum))
}

/// The CRC-32 of every object as it lies in the pack, by its offset; and the pack's checksum, which must be right.
fn checks(path: &Path, offsets: &[u64]) -> Result<(HashMap<u64, u32>, Id)> {
    let failed = || Error::file("read", path);
    let file = File::open(path).map_err(failed())?;
    let end = file.metadata().map_err(failed())?.len().saturating_sub(CHECKSUM);
    let (mut file, mut hash) = (BufReader::with_capacity(128 << 10, file), Sha1::new());
    let mut buffer = vec![0; 64 << 10];
    let mut pass = |length: u64| -> Result<u32> {
        let (mut check, mut left) = (Crc::new(), length);
        while left > 0 {
            let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
            let count = file.read(&mut buffer[..most]).map_err(failed())?;
            if count == 0 {
                return Err(wrong("the pack is cut off"));
            }
            check.update(&buffer[..count]);
            hash.update(&buffer[..count]);
            left -= count as u64;
        }
        Ok(check.sum())
    };
    pass(offsets.first().copied().unwrap_or(end))?;
    let mut checks = HashMap::with_capacity(offsets.len());
    for (at, offset) in offsets.iter().enumerate() {
        let next = offsets.get(at + 1).copied().unwrap_or(end);
        checks.insert(*offset, pass(next.saturating_sub(*offset))?);
    }
    let mut said = [0; CHECKSUM as usize];
    file.read_exact(&mut said).map_err(failed())?;
    let checksum = Id::from_hash(hash);
    if said != *checksum.bytes() {
        return Err(wrong("the pack isn't what its checksum says"));
    }
    Ok((checks, checksum))
}

/// Git's index of the files (gitformat-index, version 2). Nothing is said of how they lie on the disk: git looks, and finds
/// them unchanged.
fn index_of(tracked: &[Tracked]) -> Result<Vec<u8>> {
    let mut tracked: Vec<&Tracked> = tracked.iter().collect();
    tracked.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    let count = u32::try_from(tracked.len()).map_err(|_| wrong("there are too many files"))?;
    let mut index = [b"DIRC\0\0\0\x02".as_slice(), &count.to_be_bytes()].concat();
    for Tracked { path, mode, id } in tracked {
        let start = index.len();
        // Times, device, inode; then mode; then owner and size.
        index.extend_from_slice(&[0; 24]);
        index.extend_from_slice(&mode.to_be_bytes());
        index.extend_from_slice(&[0; 12]);
        index.extend_from_slice(id.bytes());
        let length = u16::try_from(path.len()).unwrap_or(u16::MAX).min(0xfff);
        index.extend_from_slice(&length.to_be_bytes());
        index.extend_from_slice(path.as_bytes());
        // One to eight zeros, so that the next begins at a multiple of eight.
        let end = start + (index.len() - start + 8) / 8 * 8;
        index.resize(end, 0);
    }
    seal(&mut index);
    Ok(index)
}

/// Ends a file of git's with the checksum of all that is before.
fn seal(bytes: &mut Vec<u8>) {
    let mut hash = Sha1::new();
    hash.update(&bytes);
    bytes.extend_from_slice(Id::from_hash(hash).bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_no_files() {
        assert!(is_sound("refs/heads/main") && is_sound("refs/tags/v1.0/rc"));
        for name in ["refs/heads/../../config", "refs/heads//a", "HEAD", "refs/heads/.a", "refs/tags/a.lock"]
        {
            assert!(!is_sound(name), "{name}");
        }
    }
}
