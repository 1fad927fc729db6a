//! Images of what real ones hold, made here: this machine's own programs and documents.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, Header};

/// Where the files come from.
const SOURCES: &[&str] = &["/usr/bin", "/usr/lib", "/usr/share"];
/// Larger ones are few, and would make layers unequal.
const LARGEST: u64 = 4 << 20;

/// Files of `size` bytes together, in the order in which the folders list them.
pub(super) fn files(size: u64) -> anyhow::Result<Vec<(PathBuf, u64)>> {
    let mut find = Command::new("find");
    find.args(SOURCES)
        .args(["-xdev", "-type", "f", "-readable"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut find = find.spawn().context("list this machine's files")?;
    let output = find.stdout.take().context("find's output")?;
    let (mut files, mut sum) = (Vec::new(), 0);
    for path in BufReader::new(output).lines() {
        let path = PathBuf::from(path?);
        let length = fs::symlink_metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
        if (1..LARGEST).contains(&length) {
            sum += length;
            files.push((path, length));
        }
        if sum >= size {
            break;
        }
    }
    drop(find.kill());
    find.wait()?;
    if sum < size {
        bail!("this machine's files are {sum} bytes together, and an image of {size} is asked for");
    }
    Ok(files)
}

/// Writes the archive that `docker load` reads, of an image called `name` whose files lie in so many layers.
pub(super) fn archive(name: &str, files: &[(PathBuf, u64)], layers: u64, path: &Path) -> anyhow::Result<()> {
    let size: u64 = files.iter().map(|(_, length)| length).sum();
    let folder = tempfile::tempdir().context("make a folder for layers")?;
    let (mut diff_ids, mut names) = (Vec::new(), Vec::new());
    let mut output = Builder::new(File::create(path).context("make an image's archive")?);
    let (mut rest, mut sum) = (files, 0);
    for layer in 1..=layers {
        let mut count = 0;
        while count < rest.len() && (layer == layers || sum < size * layer / layers) {
            sum += rest[count].1;
            count += 1;
        }
        let (own, after) = rest.split_at(count);
        rest = after;
        let content = folder.path().join("layer.tar");
        write_layer(own, &content)?;
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

fn write_layer(files: &[(PathBuf, u64)], path: &Path) -> anyhow::Result<()> {
    let mut layer = Builder::new(File::create(path)?);
    for (file, _) in files {
        let name = file.strip_prefix("/").unwrap_or(file);
        layer.append_path_with_name(file, name).with_context(|| format!("read {}", file.display()))?;
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
