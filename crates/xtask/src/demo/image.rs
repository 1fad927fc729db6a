//! The demo's image, made here from this machine's static busybox: no registry is asked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, bail};
use serde_json::json;
use sha2::{Digest, Sha256};
use tar::{Builder, EntryType, Header};

/// What the image is called.
pub(crate) const NAME: &str = "berth/demo:latest";
/// Debian's package busybox-static.
const BUSYBOX: &str = "/bin/busybox";
/// Equal inputs give an equal image.
const MADE: u64 = 1_700_000_000;

const FOLDERS: &[&str] =
    &["bin", "dev", "etc", "proc", "root", "srv", "srv/www", "srv/www/cgi-bin", "sys", "tmp"];

/// Writes the archive that `berth load` reads; returns its path.
pub(crate) fn make(folder: &Path) -> anyhow::Result<PathBuf> {
    let layer = layer()?;
    let config = json!({
        "architecture": "amd64", "os": "linux", "created": "2023-11-14T22:13:20Z",
        "config": {
            "Env": ["PATH=/bin"],
            "ExposedPorts": { "80/tcp": {} },
            "Cmd": ["httpd", "-f", "-p", "80", "-h", "/srv/www"],
            "Labels": { "org.opencontainers.image.title": "Berth's demo: a container that looks at itself" },
        },
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))] },
        "history": [{ "created": "2023-11-14T22:13:20Z", "created_by": "cargo xtask demo" }],
    });
    let manifest = json!([{ "Config": "config.json", "RepoTags": [NAME], "Layers": ["layer.tar"] }]);
    fs::create_dir_all(folder)?;
    let path = folder.join("demo-image.tar");
    let mut tar = Builder::new(fs::File::create(&path).context("make the demo's image")?);
    for (name, bytes) in [
        ("config.json", config.to_string().into_bytes()),
        ("layer.tar", layer),
        ("manifest.json", manifest.to_string().into_bytes()),
    ] {
        file(&mut tar, name, &bytes, 0o644)?;
    }
    tar.into_inner()?.sync_all()?;
    Ok(path)
}

/// Its one layer.
fn layer() -> anyhow::Result<Vec<u8>> {
    let busybox =
        fs::read(BUSYBOX).with_context(|| format!("{BUSYBOX} isn't there: run `cargo xtask setup`"))?;
    let mut tar = Builder::new(Vec::new());
    for folder in FOLDERS {
        let mode = if *folder == "tmp" { 0o1777 } else { 0o755 };
        tar.append_data(&mut header(EntryType::Directory, mode, 0), format!("{folder}/"), io::empty())?;
    }
    file(&mut tar, "bin/busybox", &busybox, 0o755)?;
    let applets = Command::new(BUSYBOX).arg("--list").output().context("list busybox's programs")?;
    if !applets.status.success() {
        bail!("{BUSYBOX} doesn't run");
    }
    for applet in String::from_utf8_lossy(&applets.stdout).lines().filter(|applet| *applet != "busybox") {
        tar.append_link(&mut header(EntryType::Symlink, 0o777, 0), format!("bin/{applet}"), "busybox")?;
    }
    file(&mut tar, "etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644)?;
    file(&mut tar, "etc/group", b"root:x:0:\n", 0o644)?;
    file(&mut tar, "srv/head.html", include_bytes!("head.html"), 0o644)?;
    // The server runs it for `/`, since there is no index.html.
    file(&mut tar, "srv/www/cgi-bin/index.cgi", include_bytes!("page.cgi"), 0o755)?;
    Ok(tar.into_inner()?)
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
