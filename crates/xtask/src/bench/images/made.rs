//! Images of what real ones hold, made here: this machine's own programs and documents.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// Where the files come from.
const SOURCES: &[&str] = &["/usr/bin", "/usr/lib", "/usr/share"];
/// Larger ones are few, and would make layers unequal.
const LARGEST: u64 = 4 << 20;

/// A file of this machine, and its place in an image.
pub(super) struct Member {
    source: PathBuf,
    place: PathBuf,
    length: u64,
}

/// Files of `size` bytes together, in the order in which the folders list them; all of them again in another folder, and
/// again, when they don't suffice.
pub(super) fn files(size: u64) -> anyhow::Result<Vec<Member>> {
    let mut find = Command::new("find");
    find.args(SOURCES)
        .args(["-xdev", "-type", "f", "-readable", "-size", "+0", "-printf", "%s %p\\n"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut find = find.spawn().context("list this machine's files")?;
    let output = find.stdout.take().context("find's output")?;
    let (mut files, mut sum) = (Vec::new(), 0);
    for line in BufReader::new(output).lines() {
        let line = line?;
        let (length, source) = line.split_once(' ').context("find's line")?;
        let (length, source) = (length.parse()?, PathBuf::from(source));
        if length < LARGEST && sum < size {
            let place = source.strip_prefix("/").unwrap_or(&source).to_path_buf();
            sum += length;
            files.push(Member { source, place, length });
        }
    }
    find.wait()?;
    let (found, mut next) = (files.len(), 0);
    while sum < size && found > 0 {
        let Member { source, place, length } = &files[next % found];
        let place = Path::new(&format!("again/{}", next / found + 1)).join(place);
        sum += length;
        files.push(Member { source: source.clone(), place, length: *length });
        next += 1;
    }
    Ok(files)
}

/// Writes the archive that `docker load` reads, of an image called `name` whose files lie in so many layers, none of
/// which another image with as many has, unless it has the same `number`.
pub(super) fn archive(
    name: &str,
    files: &[Member],
    (layers, number): (u64, u32),
    path: &Path,
) -> anyhow::Result<()> {
    let size: u64 = files.iter().map(|file| file.length).sum();
    let folder = tempfile::tempdir().context("make a folder for layers")?;
    let (mut diff_ids, mut names) = (Vec::new(), Vec::new());
    let mut output = Builder::new(File::create(path).context("make an image's archive")?);
    let (mut rest, mut sum) = (files, 0);
    for layer in 1..=layers {
        let mut count = 0;
        while count < rest.len() && (layer == layers || sum < size * layer / layers) {
            sum += rest[count].length;
            count += 1;
        }
        let (own, after) = rest.split_at(count);
        rest = after;
        let content = folder.path().join("layer.tar");
        write_layer(own, number, &content)?;
        diff_ids.push(format!("sha256:{}", hash(&content)?));
        names.push(format!("{layer}/layer.tar"));
        output.append_path_with_name(&content, format!("{layer}/layer.tar"))?;
    }
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": { "Cmd": ["true"] },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    small(&mut output, "config.json", config.to_string().as_bytes())?;
    let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": names }]);
    small(&mut output, "manifest.json", manifest.to_string().as_bytes())?;
    output.into_inner()?.sync_all()?;
    Ok(())
}

fn write_layer(files: &[Member], number: u32, path: &Path) -> anyhow::Result<()> {
    let mut layer = Builder::new(File::create(path)?);
    small(&mut layer, "number", number.to_string().as_bytes())?;
    for Member { source, place, .. } in files {
        let add = layer.append_path_with_name(source, place);
        add.with_context(|| format!("read {}", source.display()))?;
    }
    layer.into_inner()?;
    Ok(())
}

fn small(tar: &mut Builder<File>, name: &str, bytes: &[u8]) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(0o644);
    header.set_size(bytes.len() as u64);
    tar.append_data(&mut header, name, bytes)
}

fn hash(path: &Path) -> anyhow::Result<String> {
    let mut hash = Sha256::new();
    io::copy(&mut File::open(path)?, &mut HashWriter(&mut hash))?;
    Ok(hash.finalize().iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}")))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
