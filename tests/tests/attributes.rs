//! Extended attributes, capabilities among them, on their way through images and builds.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::collections::BTreeMap;
use std::process::Stdio;

use e2e::context::Context;
use e2e::engine::Engine;

/// `cap_net_bind_service=ep` as the kernel keeps it (`vfs_cap_data`, revision 2).
const CAPABILITY: &[u8] = b"\x01\0\0\x02\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
const PREFIX: &str = "SCHILY.xattr.";

/// An archive of one file with these attributes.
fn archive() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let capability = format!("{PREFIX}security.capability");
    let note = format!("{PREFIX}user.note");
    tar.append_pax_extensions([(capability.as_str(), CAPABILITY), (note.as_str(), b"mine".as_slice())])
        .unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_size(4);
    header.set_mode(0o755);
    tar.append_data(&mut header, "f", b"file".as_slice()).unwrap();
    tar.into_inner().unwrap()
}

/// The attributes of a file in an image, as an export has them.
fn attributes(engine: &Engine, image: &str, name: &str) -> BTreeMap<String, Vec<u8>> {
    let container = engine.ok(&["create", "--network", "none", image, "x"]);
    let exported = engine.client(&["export", &container]).output().unwrap().stdout;
    let mut archive = tar::Archive::new(exported.as_slice());
    for entry in archive.entries().unwrap() {
        let mut entry = entry.unwrap();
        if entry.path().unwrap().to_str() != Some(name) {
            continue;
        }
        let extensions = entry.pax_extensions().unwrap().unwrap();
        let found = extensions.filter_map(|extension| {
            let extension = extension.unwrap();
            let key = extension.key().unwrap().strip_prefix(PREFIX)?.to_owned();
            Some((key, extension.value_bytes().to_vec()))
        });
        return found.collect();
    }
    panic!("{image} has no {name}");
}

#[test]
fn attributes_survive_import_copy_run_commit_and_save() {
    let Some(engine) = Engine::with_busybox() else { return };
    let mut client = engine.client(&["import", "-", "given:v1"]);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &archive()).unwrap();
    assert!(child.wait().unwrap().success());
    let wanted = attributes(&engine, "given:v1", "f");
    assert_eq!(wanted.get("security.capability").map(Vec::as_slice), Some(CAPABILITY));
    assert_eq!(wanted.get("user.note").map(Vec::as_slice), Some(b"mine".as_slice()));
    Context::new("FROM busybox\nCOPY --from=given:v1 /f /copied\nRUN chmod 700 /copied\n")
        .built(&engine, &["-t", "built:v1"]);
    assert_eq!(attributes(&engine, "built:v1", "copied"), wanted);
    engine.ok(&["run", "--name", "box", "--network", "none", "built:v1", "mv", "/copied", "/moved"]);
    engine.ok(&["commit", "box", "committed:v1"]);
    assert_eq!(attributes(&engine, "committed:v1", "moved"), wanted);
    let folder = tempfile::tempdir().unwrap();
    let saved = folder.path().join("saved.tar").to_string_lossy().into_owned();
    engine.ok(&["save", "-o", &saved, "committed:v1"]);
    let containers = engine.ok(&["ps", "--all", "--quiet"]);
    engine.ok(&[["rm"].as_slice(), &containers.split_whitespace().collect::<Vec<_>>()].concat());
    engine.ok(&["rmi", "committed:v1"]);
    engine.ok(&["load", "--quiet", "-i", &saved]);
    assert_eq!(attributes(&engine, "committed:v1", "moved"), wanted);
}
