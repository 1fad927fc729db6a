//! Images for tests, made from what this machine has: no registry is needed.

use std::path::{Path, PathBuf};
use std::process::Command;

use sha2::{Digest, Sha256};

/// Debian's statically linked busybox (package busybox-static).
const BUSYBOX: &str = "/bin/busybox";
/// Who there is in the image.
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:33:33::/srv:/bin/sh\n";
const GROUP: &str = "root:x:0:\nweb:x:33:\nlogs:x:44:web\n";

/// Writes `busybox:latest` as an archive that `docker load` reads; returns its path.
///
/// # Panics
/// When busybox isn't installed: `cargo xtask setup` does.
pub fn busybox(folder: &Path) -> PathBuf {
    let config = serde_json::json!({
        "Cmd": ["sh"], "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    });
    archive(folder, "busybox:latest", &layer(), &config)
}

/// One layer with busybox, its applets, and the files that name users.
fn layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for name in ["bin", "dev", "etc", "proc", "root", "srv", "sys", "tmp"] {
        let mut header = header(tar::EntryType::Directory, if name == "tmp" { 0o1777 } else { 0o755 }, 0);
        tar.append_data(&mut header, format!("{name}/"), std::io::empty()).expect("a folder");
    }
    let busybox = std::fs::read(BUSYBOX).expect("busybox-static is installed");
    let files = [
        ("bin/busybox", busybox.as_slice(), 0o755),
        ("etc/passwd", PASSWD.as_bytes(), 0o644),
        ("etc/group", GROUP.as_bytes(), 0o644),
    ];
    for (name, bytes, mode) in files {
        let mut header = header(tar::EntryType::Regular, mode, bytes.len());
        tar.append_data(&mut header, name, bytes).expect("a file");
    }
    let applets = Command::new(BUSYBOX).arg("--list").output().expect("busybox runs").stdout;
    for applet in String::from_utf8_lossy(&applets).lines().filter(|applet| *applet != "busybox") {
        let mut header = header(tar::EntryType::Symlink, 0o777, 0);
        tar.append_link(&mut header, format!("bin/{applet}"), "busybox").expect("a link");
    }
    tar.into_inner().expect("the layer")
}

fn header(kind: tar::EntryType, mode: u32, size: usize) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_700_000_000);
    header.set_size(size as u64);
    header
}

/// An image of one layer, as `docker save` writes it.
fn archive(folder: &Path, name: &str, layer: &[u8], config: &serde_json::Value) -> PathBuf {
    let diff_id = Sha256::digest(layer).iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let config = serde_json::json!({
        "architecture": std::env::consts::ARCH.replace("x86_64", "amd64").replace("aarch64", "arm64"),
        "os": "linux", "created": "2024-01-01T00:00:00Z", "config": config,
        "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{diff_id}")] },
        "history": [{ "created": "2024-01-01T00:00:00Z", "created_by": "busybox" }],
    });
    let manifest =
        serde_json::json!([{ "Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"] }]);
    let path = folder.join("image.tar");
    let mut tar = tar::Builder::new(std::fs::File::create(&path).expect("make the archive"));
    let (config, manifest) = (config.to_string(), manifest.to_string());
    for (name, bytes) in
        [("config.json", config.as_bytes()), ("layer.tar", layer), ("manifest.json", manifest.as_bytes())]
    {
        let mut header = header(tar::EntryType::Regular, 0o644, bytes.len());
        tar.append_data(&mut header, name, bytes).expect("write the archive");
    }
    tar.finish().expect("finish the archive");
    path
}
