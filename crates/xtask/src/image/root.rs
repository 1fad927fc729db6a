//! The root image: a read-only EROFS file system that holds what the guest runs.
//!
//! The tree is a sorted list first (path, mode, content), so that neither the order of folders on this machine
//! nor its clock, users or umask reach the image.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::json;

use super::kernel::output;
use crate::step::{step, workspace_root};
use crate::{cache, digest};

/// The image's own identity: fixed, since equal inputs must give equal bytes.
const UUID: &str = "be27be27-0000-4000-8000-000000000001";
/// Empty folders, most of them mount points.
const FOLDERS: &[&str] = &["data", "dev", "etc", "mnt", "proc", "root", "run", "sys", "tmp", "usr", "var"];
/// Links: what programs expect where, and the two files that init writes at run time.
const LINKS: &[(&str, &str)] = &[
    ("sbin/init", "/bin/berth-guest"),
    ("etc/resolv.conf", "/run/resolv.conf"),
    ("etc/hosts", "/run/hosts"),
    ("etc/mtab", "/proc/self/mounts"),
    ("var/run", "/run"),
    ("var/tmp", "/tmp"),
];
/// Our programs; those that aren't built yet are left out, `berth-guest` must be there.
const PROGRAMS: &[&str] = &["berth-guest", "berth-guard", "berth-runtime"];
/// Debian's programs that make, check and grow the data disk, with the libraries they name.
const TOOLS: &[&str] = &["/usr/sbin/mke2fs", "/usr/sbin/e2fsck", "/usr/sbin/resize2fs"];
/// Debian's emulators of other processors, for their containers: static ones, which PID 1 names to the kernel.
const EMULATORS: &[&str] = &["qemu-aarch64-static", "qemu-arm-static"];
/// Certificate authorities for registries.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

/// One entry of the tree.
enum Entry {
    Folder,
    File { content: PathBuf, executable: bool },
    Text(String),
    Link(String),
}

/// The root's content, by path.
pub(super) struct Tree {
    entries: BTreeMap<String, Entry>,
    manifest: serde_json::Value,
}

impl Tree {
    /// Gathers our programs from `programs` and this machine's file-system tools.
    pub(super) fn collect(programs: &Path, kernel: &serde_json::Value) -> anyhow::Result<Self> {
        let mut entries = BTreeMap::new();
        for folder in FOLDERS {
            entries.insert((*folder).to_owned(), Entry::Folder);
        }
        for (path, target) in LINKS {
            entries.insert((*path).to_owned(), Entry::Link((*target).to_owned()));
        }
        for name in PROGRAMS {
            let content = programs.join(name);
            if content.exists() {
                entries.insert(format!("bin/{name}"), Entry::File { content, executable: true });
            } else if *name == "berth-guest" {
                bail!("{} isn't built", content.display());
            }
        }
        for tool in TOOLS {
            add_with_libraries(&mut entries, Path::new(tool))?;
        }
        for name in EMULATORS {
            let content = Path::new("/usr/bin").join(name);
            if !content.exists() {
                bail!("{} isn't there: run `cargo xtask setup`", content.display());
            }
            entries.insert(format!("bin/{name}"), Entry::File { content, executable: true });
        }
        let certificates = PathBuf::from(CERTIFICATES);
        if !certificates.exists() {
            bail!("{CERTIFICATES} isn't there: run `cargo xtask setup`");
        }
        entries.insert(relative(CERTIFICATES), Entry::File { content: certificates, executable: false });
        add_recipe_files(&mut entries, &workspace_root().join("vm-image/root"), "")?;
        let mut tree = Self { entries, manifest: serde_json::Value::Null };
        tree.manifest = json!({
            "kernel": kernel,
            "root": { "mkfs": mkfs_version()?, "files": tree.hashes()? },
        });
        let mut known_to_guest = tree.manifest.clone();
        known_to_guest["root"]["inputs_sha256"] = json!(tree.hash());
        let text = format!("{known_to_guest:#}\n");
        tree.entries.insert("etc/berth-image.json".to_owned(), Entry::Text(text));
        Ok(tree)
    }

    /// The image from the cache, made first when it isn't there.
    pub(super) fn cached(&self) -> anyhow::Result<PathBuf> {
        cache::file("root", &self.hash(), "root.erofs", |folder| self.build(folder))
    }

    /// `image.json`: the manifest that also lies in the root, with the hash of the finished image.
    pub(super) fn manifest_with_root(&self, sha256: &str) -> String {
        let mut manifest = self.manifest.clone();
        manifest["root"]["inputs_sha256"] = json!(self.hash());
        manifest["root"]["sha256"] = json!(sha256);
        format!("{manifest:#}\n")
    }

    /// The SHA-256 of every file, by path.
    fn hashes(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut hashes = BTreeMap::new();
        for (path, entry) in &self.entries {
            if let Entry::File { content, .. } = entry {
                hashes.insert(path.clone(), digest::of_file(content)?);
            }
        }
        Ok(hashes)
    }

    /// The manifest names every file's hash, so it and the recipe are the inputs.
    fn hash(&self) -> String {
        let mut inputs = digest::Inputs::default();
        inputs.add("recipe", include_bytes!("root.rs"));
        inputs.add("manifest", self.manifest.to_string().as_bytes());
        inputs.finish()
    }

    /// Makes the image in `folder`.
    fn build(&self, folder: &Path) -> anyhow::Result<PathBuf> {
        let (staging, image) = (folder.join("root"), folder.join("root.erofs"));
        fs::create_dir(&staging)?;
        set_mode(&staging, 0o755)?;
        for (path, entry) in &self.entries {
            place(&staging, path, entry).with_context(|| format!("stage {path}"))?;
        }
        let mut mkfs = Command::new("mkfs.erofs");
        mkfs.args(["-T0", "-U", UUID, "--all-root", "-x-1", "-d1"]).arg(&image).arg(&staging);
        mkfs.env("SOURCE_DATE_EPOCH", "0").env("LC_ALL", "C").stdout(std::process::Stdio::null());
        step("make the root image", &mut mkfs)?;
        Ok(image)
    }
}

/// Puts one entry below `staging`, with a mode that this machine's umask doesn't touch.
fn place(staging: &Path, path: &str, entry: &Entry) -> anyhow::Result<()> {
    let place = staging.join(path);
    let mut folder = staging.to_path_buf();
    for part in Path::new(path).parent().into_iter().flat_map(Path::components) {
        folder.push(part);
        if !folder.exists() {
            fs::create_dir(&folder)?;
            set_mode(&folder, 0o755)?;
        }
    }
    match entry {
        Entry::Folder => {
            if !place.exists() {
                fs::create_dir(&place)?;
            }
            set_mode(&place, if path == "tmp" { 0o1777 } else { 0o755 })
        }
        Entry::File { content, executable } => {
            fs::copy(content, &place)?;
            set_mode(&place, if *executable { 0o755 } else { 0o644 })
        }
        Entry::Text(text) => {
            fs::write(&place, text)?;
            set_mode(&place, 0o644)
        }
        Entry::Link(target) => Ok(symlink(target, &place)?),
    }
}

fn set_mode(path: &Path, mode: u32) -> anyhow::Result<()> {
    Ok(fs::set_permissions(path, fs::Permissions::from_mode(mode))?)
}

/// Adds a dynamically linked program and what `ldd` says it loads, each at the path it is found at.
fn add_with_libraries(entries: &mut BTreeMap<String, Entry>, program: &Path) -> anyhow::Result<()> {
    let shown = program.to_str().context("a tool's path is text")?;
    let libraries = output("ldd", &[shown])?;
    let loaded = libraries.split_whitespace().filter(|word| word.starts_with('/'));
    let name = program.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    entries.insert(format!("sbin/{name}"), Entry::File { content: program.to_path_buf(), executable: true });
    for library in loaded {
        let content = PathBuf::from(library);
        entries.insert(relative(library), Entry::File { content, executable: true });
    }
    Ok(())
}

/// Adds the recipe's own files, vm-image/root, as they are.
fn add_recipe_files(entries: &mut BTreeMap<String, Entry>, folder: &Path, below: &str) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("read {}", folder.display()))? {
        let entry = entry?;
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.file_type()?.is_dir() {
            add_recipe_files(entries, &entry.path(), &format!("{path}/"))?;
        } else {
            entries.insert(path, Entry::File { content: entry.path(), executable: false });
        }
    }
    Ok(())
}

/// erofs-utils 1.5 prints its version only with its usage.
fn mkfs_version() -> anyhow::Result<String> {
    output("dpkg-query", &["--show", "--showformat=${Package} ${Version}", "erofs-utils"])
}

fn relative(path: &str) -> String {
    path.trim_start_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(content: &Path) -> Tree {
        let file = |name: &str| (name.to_owned(), Entry::File { content: content.into(), executable: true });
        let mut entries = BTreeMap::from([file("bin/b"), file("bin/a"), file("lib/deep/er/c")]);
        entries.insert("tmp".to_owned(), Entry::Folder);
        entries.insert("etc/words".to_owned(), Entry::Text("words".to_owned()));
        entries.insert("sbin/init".to_owned(), Entry::Link("/bin/a".to_owned()));
        Tree { entries, manifest: serde_json::Value::Null }
    }

    #[test]
    fn equal_trees_give_equal_bytes_whatever_the_clock_and_the_folder() {
        if crate::step::find_program("mkfs.erofs").is_none() {
            eprintln!("skipped: mkfs.erofs isn't installed (`cargo xtask setup`)");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let content = folder.path().join("content");
        fs::write(&content, vec![7; 10_000]).unwrap();
        let (one, other) = (folder.path().join("one"), folder.path().join("the other"));
        fs::create_dir(&one).unwrap();
        fs::create_dir(&other).unwrap();
        let first = fs::read(tree(&content).build(&one).unwrap()).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(1100));
        set_mode(&content, 0o600).unwrap();
        let second = fs::read(tree(&content).build(&other).unwrap()).unwrap();
        assert!(first == second, "the two images differ");
    }
}
