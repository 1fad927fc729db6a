//! Container images made here from this machine's static busybox: no registry is asked.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// Debian's package busybox-static.
const BUSYBOX: &str = "/bin/busybox";
/// Equal inputs give an equal image.
const MADE: u64 = 1_700_000_000;
const CREATED: &str = "2023-11-14T22:13:20Z";
const FOLDERS: &[&str] = &["bin", "dev", "etc", "proc", "root", "sys", "tmp"];

/// A file of an image: its path, content and mode. A path that ends with a slash is a folder.
pub(crate) type File<'a> = (&'a str, &'a [u8], u32);

/// An image of one layer: busybox, its applets, and what is added.
pub(crate) struct ContainerImage {
    layer: Vec<u8>,
    config: String,
}

impl ContainerImage {
    /// Makes one. `config` is what Docker calls so: command, environment, labels.
    pub(crate) fn new(config: &Value, files: &[File<'_>]) -> anyhow::Result<Self> {
        let layer = layer(files)?;
        let config = json!({
            "architecture": "amd64", "os": "linux", "created": CREATED, "config": config,
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))] },
            "history": [{ "created": CREATED, "created_by": "cargo xtask" }],
        });
        Ok(Self { layer, config: config.to_string() })
    }

    /// Makes one with programs of this machine in `/usr/bin`, the libraries that they load, and further files, each a
    /// path and its content, which may be run.
    pub(crate) fn with_programs(
        programs: &[&Path],
        mut files: Vec<(String, Vec<u8>)>,
    ) -> anyhow::Result<Self> {
        let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
        let mut loaded = BTreeSet::new();
        for program in programs {
            let name = program.file_name().unwrap_or_default().to_string_lossy();
            files.push((format!("usr/bin/{name}"), read(program)?));
            loaded.extend(libraries(program)?);
        }
        for library in loaded {
            files.push((library.trim_start_matches('/').to_owned(), read(Path::new(&library))?));
        }
        let files: Vec<File<'_>> =
            files.iter().map(|(path, bytes)| (path.as_str(), bytes.as_slice(), 0o755)).collect();
        Self::new(&json!({ "Env": ["PATH=/bin:/usr/bin"] }), &files)
    }

    /// Writes the archive that `docker load` reads.
    pub(crate) fn save(&self, name: &str, path: &Path) -> anyhow::Result<()> {
        let manifest = json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
        let mut tar = Builder::new(fs::File::create(path).context("make an image's archive")?);
        file(&mut tar, "config.json", self.config.as_bytes(), 0o644)?;
        file(&mut tar, "layer.tar", &self.layer, 0o644)?;
        file(&mut tar, "manifest.json", manifest.to_string().as_bytes(), 0o644)?;
        tar.into_inner()?.sync_all()?;
        Ok(())
    }

    /// Lays the image into the folder of a docker-registry that doesn't run yet, as that stores it.
    pub(crate) fn publish(&self, registry: &Path, repository: &str, tag: &str) -> anyhow::Result<()> {
        let describe = |media: &str, bytes: &[u8]| {
            let digest = format!("sha256:{}", hex(bytes));
            json!({ "mediaType": media, "size": bytes.len(), "digest": digest })
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": describe("application/vnd.docker.container.image.v1+json", self.config.as_bytes()),
            "layers": [describe("application/vnd.docker.image.rootfs.diff.tar", &self.layer)],
        })
        .to_string();
        let root = registry.join("docker/registry/v2");
        for blob in [self.config.as_bytes(), &self.layer, manifest.as_bytes()] {
            let digest = hex(blob);
            write(&root.join(format!("blobs/sha256/{}/{digest}/data", &digest[..2])), blob)?;
        }
        let repository = root.join("repositories").join(repository);
        for blob in [self.config.as_bytes(), &self.layer] {
            link(&repository.join("_layers"), blob)?;
        }
        let manifest = manifest.as_bytes();
        link(&repository.join("_manifests/revisions"), manifest)?;
        let tag = repository.join("_manifests/tags").join(tag);
        link(&tag.join("index"), manifest)?;
        write(&tag.join("current/link"), format!("sha256:{}", hex(manifest)).as_bytes())
    }
}

/// What the dynamic linker loads for `program`, itself included; nothing for a static one.
fn libraries(program: &Path) -> anyhow::Result<Vec<String>> {
    let output = Command::new("ldd").arg(program).stderr(Stdio::null()).output().context("run ldd")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(str::to_owned).collect())
}

/// A docker-registry's word that `blob` belongs to `folder`.
fn link(folder: &Path, blob: &[u8]) -> anyhow::Result<()> {
    let digest = hex(blob);
    write(&folder.join("sha256").join(&digest).join("link"), format!("sha256:{digest}").as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> anyhow::Result<()> {
    fs::create_dir_all(path.parent().unwrap_or(path))?;
    fs::write(path, bytes).with_context(|| format!("write {}", path.display()))
}

fn layer(files: &[File<'_>]) -> anyhow::Result<Vec<u8>> {
    let busybox =
        fs::read(BUSYBOX).with_context(|| format!("{BUSYBOX} isn't there: run `cargo xtask setup`"))?;
    let mut tar = Builder::new(Vec::new());
    for name in FOLDERS {
        folder(&mut tar, name, if *name == "tmp" { 0o1777 } else { 0o755 })?;
    }
    file(&mut tar, "bin/busybox", &busybox, 0o755)?;
    let applets = Command::new(BUSYBOX).arg("--list").output().context("list busybox's programs")?;
    if !applets.status.success() {
        bail!("{BUSYBOX} doesn't run");
    }
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|applet| *applet != "busybox") {
        tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), format!("bin/{applet}"), "busybox")?;
    }
    for (name, bytes, mode) in files {
        match name.strip_suffix('/') {
            Some(name) => folder(&mut tar, name, *mode)?,
            None => file(&mut tar, name, bytes, *mode)?,
        }
    }
    Ok(tar.into_inner()?)
}

fn folder(tar: &mut Builder<impl io::Write>, name: &str, mode: u32) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Directory, mode, 0), format!("{name}/"), io::empty())
}

fn file(tar: &mut Builder<impl io::Write>, name: &str, bytes: &[u8], mode: u32) -> io::Result<()> {
    tar.append_data(&mut header(EntryType::Regular, mode, bytes.len() as u64), name, bytes)
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(MADE);
    header.set_size(size);
    header
}

fn hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"))
}
