//! Images made in the test itself, and folders that clean up after themselves.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use berth_images::{Digest, Image, Loaded, Store};
use serde_json::{Value, json};
use tar::{EntryType, Header};
use tempfile::TempDir;

/// How long what is waited for may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether the test can mount and make devices; otherwise says that it is skipped.
pub(crate) fn need_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        println!("skipped: needs root to mount and to make devices");
    }
    root
}

/// A store in a folder of its own.
pub(crate) struct Place {
    pub(crate) folder: TempDir,
    pub(crate) store: Store,
}

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = Store::open(folder.path()).unwrap();
        Self { folder, store }
    }

    pub(crate) fn load(&self, archive: &[u8]) -> Vec<Loaded> {
        self.store.load(archive, None, &mut |_| {}).unwrap()
    }

    /// Loads an image of these layers and gives it back.
    pub(crate) fn image(&self, name: &str, layers: &[Vec<u8>]) -> Image {
        self.load(&docker_archive(&[(name, layers)]));
        self.store.image(name).unwrap()
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.folder.path().join(relative)
    }

    /// Mounts a new snapshot of an image.
    pub(crate) fn mounted(&self, container: &str, image: &Image) -> Mounted {
        self.store.prepare(container, Some(&image.id)).unwrap();
        self.mount(container)
    }

    pub(crate) fn mount(&self, container: &str) -> Mounted {
        let target = TempDir::new().unwrap();
        self.store.mount(container, target.path()).unwrap();
        Mounted { store: self.store.clone(), target }
    }
}

/// A mounted snapshot; unmounted when dropped.
pub(crate) struct Mounted {
    store: Store,
    target: TempDir,
}

impl Mounted {
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.target.path().join(relative)
    }

    pub(crate) fn read(&self, relative: &str) -> String {
        fs::read_to_string(self.path(relative)).unwrap()
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.store.unmount(self.target.path()).unwrap();
    }
}

/// A layer's tar under construction.
pub(crate) struct Layer(tar::Builder<Vec<u8>>);

impl Layer {
    pub(crate) fn new() -> Self {
        Self(tar::Builder::new(Vec::new()))
    }

    /// An entry whose name and link are taken as they are, however hostile.
    pub(crate) fn entry(mut self, kind: EntryType, name: &str, link: &str, content: &[u8]) -> Self {
        let mut header = Header::new_gnu();
        header.set_entry_type(kind);
        header.set_mode(0o644 | if kind.is_dir() { 0o111 } else { 0 });
        header.set_mtime(1_000_000_000);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(content.len() as u64);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.as_old_mut().linkname[..link.len()].copy_from_slice(link.as_bytes());
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        header.set_cksum();
        self.0.append(&header, content).unwrap();
        self
    }

    pub(crate) fn pax<'a>(mut self, records: &[(&'a str, &'a [u8])]) -> Self {
        self.0.append_pax_extensions(records.iter().copied()).unwrap();
        self
    }

    pub(crate) fn file(self, name: &str, content: &str) -> Self {
        self.entry(EntryType::Regular, name, "", content.as_bytes())
    }

    pub(crate) fn folder(self, name: &str) -> Self {
        self.entry(EntryType::Directory, name, "", b"")
    }

    pub(crate) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Symlink, name, target, b"")
    }

    pub(crate) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(EntryType::Link, name, target, b"")
    }

    pub(crate) fn whiteout(self, folder: &str, name: &str) -> Self {
        self.file(&format!("{folder}.wh.{name}"), "")
    }

    pub(crate) fn done(self) -> Vec<u8> {
        self.0.into_inner().unwrap()
    }
}

/// A layer with busybox as /bin/busybox and /bin/sh, and the libraries it needs, if it needs any.
pub(crate) fn busybox() -> Vec<u8> {
    let listed = std::process::Command::new("ldd").arg("/bin/busybox").output().unwrap().stdout;
    let listed = String::from_utf8(listed).unwrap();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    let mut layer = Layer::new().folder("bin/");
    for path in std::iter::once("/bin/busybox").chain(libraries) {
        let program = fs::read(path).unwrap();
        let mut header = Header::new_gnu();
        header.set_mode(0o755);
        header.set_size(program.len() as u64);
        header.set_mtime(1_000_000_000);
        layer.0.append_data(&mut header, &path[1..], program.as_slice()).unwrap();
    }
    layer.symlink("bin/sh", "busybox").done()
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The configuration of an image of these uncompressed layers.
pub(crate) fn config(name: &str, layers: &[Vec<u8>]) -> Value {
    let diff_ids: Vec<String> = layers.iter().map(|layer| Digest::of(layer).to_string()).collect();
    json!({
        "architecture": "amd64", "os": "linux", "created": "2020-01-01T00:00:00Z",
        "config": { "Cmd": ["sh"], "Env": ["NAME=".to_owned() + name], "Healthcheck": { "Test": ["NONE"] } },
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": layers.iter().map(|_| json!({ "created_by": "test" })).collect::<Vec<_>>(),
        "berth.unknown": { "kept": true },
    })
}

/// An archive as `docker save` wrote it before Docker 25.
pub(crate) fn docker_archive(images: &[(&str, &[Vec<u8>])]) -> Vec<u8> {
    let mut archive = Layer::new();
    let mut manifest = Vec::new();
    for (name, layers) in images {
        let config = config(name, layers).to_string();
        let config_name = Digest::of(config.as_bytes()).hex().to_owned() + ".json";
        let mut paths = Vec::new();
        for layer in *layers {
            let path = Digest::of(layer).hex().to_owned() + "/layer.tar";
            archive = archive.entry(EntryType::Regular, &path, "", layer);
            paths.push(path);
        }
        archive = archive.file(&config_name, &config);
        manifest.push(json!({ "Config": config_name, "RepoTags": [name], "Layers": paths }));
    }
    archive.file("manifest.json", &Value::from(manifest).to_string()).done()
}

/// The sorted names beneath a folder, for comparing whole trees.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let mut names: Vec<String> =
            fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
        // What was removed is deleted by and by.
        if !names.iter().any(|name| name.starts_with(".tmp-")) || Instant::now() > deadline {
            names.sort();
            return names;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
