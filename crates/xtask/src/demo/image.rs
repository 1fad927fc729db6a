//! The demo's image: a web server whose page looks at its own container.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::container_image::{ContainerImage, File};

/// What the image is called.
pub(crate) const NAME: &str = "berth/demo:latest";

const FILES: &[File<'_>] = &[
    ("srv/", b"", 0o755),
    ("srv/www/", b"", 0o755),
    ("srv/www/cgi-bin/", b"", 0o755),
    ("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644),
    ("etc/group", b"root:x:0:\n", 0o644),
    ("srv/head.html", include_bytes!("head.html"), 0o644),
    // The server runs it for `/`, since there is no index.html.
    ("srv/www/cgi-bin/index.cgi", include_bytes!("page.cgi"), 0o755),
];

/// Writes the archive that `berth load` reads; returns its path.
pub(crate) fn make(folder: &Path) -> anyhow::Result<PathBuf> {
    let config = json!({
        "Env": ["PATH=/bin"],
        "ExposedPorts": { "80/tcp": {} },
        "Cmd": ["httpd", "-f", "-p", "80", "-h", "/srv/www"],
        "Labels": { "org.opencontainers.image.title": "Berth's demo: a container that looks at itself" },
    });
    fs::create_dir_all(folder)?;
    let path = folder.join("demo-image.tar");
    ContainerImage::new(&config, FILES)?.save(NAME, &path)?;
    Ok(path)
}
