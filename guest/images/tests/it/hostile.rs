//! Layers that try to reach out of their folder, to fill the machine, or that lie.

use std::fs;
use std::path::Path;

use berth_images::{Error, Result};
use tar::EntryType;
use tempfile::TempDir;

use crate::fixture::{Layer, Place, docker_archive, names, need_root};

/// Loads an image of one layer; the folder beside the store must stay as it is.
fn load(layer: Vec<u8>) -> (Place, Result<()>) {
    let place = Place::new();
    let archive = docker_archive(&[("evil", &[layer])]);
    let result = place.store.load(archive.as_slice(), None, &mut |_| {}).map(drop);
    (place, result)
}

/// Where the one layer of a store lies.
fn layer_folder(place: &Place) -> std::path::PathBuf {
    let image = place.store.image("evil").unwrap();
    place.path("layers").join(image.layers[0].chain_id.hex()).join("fs")
}

#[test]
fn names_that_climb_out_are_refused() {
    let (place, result) = load(Layer::new().file("../../../../escaped", "x").done());
    assert!(matches!(result.unwrap_err(), Error::InvalidLayer(_)));
    assert!(!place.path("escaped").exists() && !place.path("layers/escaped").exists());
    assert!(names(&place.path("layers")).is_empty(), "nothing half unpacked stays");
}

#[test]
fn absolute_names_land_inside() {
    let outside = TempDir::new().unwrap();
    let target = outside.path().join("f");
    let (place, result) = load(Layer::new().file(target.to_str().unwrap(), "x").done());
    result.unwrap();
    assert!(!target.exists());
    assert!(layer_folder(&place).join(target.strip_prefix("/").unwrap()).exists());
}

#[test]
fn writing_through_a_symbolic_link_stays_inside() {
    let outside = TempDir::new().unwrap();
    let path = outside.path().to_str().unwrap();
    let (place, result) =
        load(Layer::new().folder(&path[1..]).symlink("link", path).file("link/f", "x").done());
    result.unwrap();
    assert!(names(outside.path()).is_empty());
    assert!(layer_folder(&place).join(&path[1..]).join("f").exists());
}

#[test]
fn a_file_replaces_a_symbolic_link_and_is_not_written_through_it() {
    let outside = TempDir::new().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "safe").unwrap();
    let (place, result) = load(Layer::new().symlink("f", victim.to_str().unwrap()).file("f", "evil").done());
    result.unwrap();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "safe");
    assert_eq!(fs::read_to_string(layer_folder(&place).join("f")).unwrap(), "evil");
}

#[test]
fn relative_links_that_climb_end_at_the_root() {
    let (place, result) =
        load(Layer::new().folder("a/").symlink("a/up", "../../../../../..").file("a/up/f", "x").done());
    result.unwrap();
    assert!(layer_folder(&place).join("f").exists());
}

#[test]
fn a_hard_link_to_a_file_outside_fails() {
    let outside = TempDir::new().unwrap();
    let victim = outside.path().join("victim");
    fs::write(&victim, "secret").unwrap();
    let (_, result) = load(Layer::new().hard_link("f", victim.to_str().unwrap()).done());
    assert!(matches!(result.unwrap_err(), Error::Unpack { .. }));
    let path = outside.path().to_str().unwrap();
    let (_, result) = load(Layer::new().symlink("link", path).hard_link("f", "link/victim").done());
    assert!(matches!(result.unwrap_err(), Error::Unpack { .. }));
    let climbing = format!("../../../../../..{}", victim.to_str().unwrap());
    let (_, result) = load(Layer::new().hard_link("f", &climbing).done());
    assert!(result.is_err());
}

#[test]
fn a_whiteout_of_a_parent_is_refused() {
    assert!(load(Layer::new().file(".wh...", "").done()).1.is_err());
    assert!(load(Layer::new().file("d/.wh..", "").done()).1.is_err());
}

#[test]
fn attributes_of_overlayfs_itself_are_left_out() {
    let layer = Layer::new()
        .pax(&[
            ("SCHILY.xattr.trusted.overlay.redirect", b"/etc"),
            ("SCHILY.xattr.trusted.overlay.opaque", b"y"),
        ])
        .folder("d/")
        .done();
    let (place, result) = load(layer);
    result.unwrap();
    let mut value = [0; 8];
    let folder = layer_folder(&place).join("d");
    assert!(rustix::fs::getxattr(&folder, "trusted.overlay.redirect", &mut value[..]).is_err());
    assert!(rustix::fs::getxattr(&folder, "trusted.overlay.opaque", &mut value[..]).is_err());
}

#[test]
fn a_flood_of_devices_is_refused() {
    if !need_root() {
        return;
    }
    let mut layer = Layer::new();
    for n in 0..=10_000 {
        layer = layer.entry(EntryType::Char, &format!("d/{n}"), "", b"");
    }
    let (place, result) = load(layer.done());
    assert!(result.unwrap_err().to_string().contains("device nodes"));
    assert!(names(&place.path("layers")).is_empty());
}

#[test]
fn a_name_or_path_too_long_is_refused() {
    let long = "n".repeat(256);
    let (_, result) = load(Layer::new().pax(&[("path", long.as_bytes())]).file("x", "").done());
    assert!(result.unwrap_err().to_string().contains("name's length"));
    let deep = "d/".repeat(2100);
    let (_, result) = load(Layer::new().pax(&[("path", deep.as_bytes())]).file("x", "").done());
    assert!(result.unwrap_err().to_string().contains("path's length"));
}

#[test]
fn a_sparse_bomb_is_refused_before_it_is_written() {
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.map", b"0,1"), ("GNU.sparse.size", b"9000000000000000"), ("GNU.sparse.name", b"bomb")];
    let (_, result) = load(Layer::new().pax(&records).file("x", "1").done());
    assert!(result.unwrap_err().to_string().contains("bytes of content"));
}

#[test]
fn a_sparse_file_keeps_its_holes() {
    let records: [(&str, &[u8]); 3] =
        [("GNU.sparse.map", b"0,1,1048575,1"), ("GNU.sparse.size", b"1048576"), ("GNU.sparse.name", b"s")];
    let (place, result) = load(Layer::new().pax(&records).file("x", "AB").done());
    result.unwrap();
    let content = fs::read(layer_folder(&place).join("s")).unwrap();
    assert_eq!((content.len(), content[0], content[1], content[1_048_575]), (1 << 20, b'A', 0, b'B'));
}

#[test]
fn truncated_archives_fail_and_leave_nothing() {
    let archive = docker_archive(&[("a", &[Layer::new().file("a", &"x".repeat(5000)).done()])]);
    for length in [600, 1500, 5000, archive.len() - 2000] {
        let place = Place::new();
        let error = place.store.load(&archive[..length], None, &mut |_| {}).unwrap_err();
        assert_eq!(error.to_string(), "unexpected EOF", "cut at {length}");
        assert!(names(&place.path("blobs/sha256")).is_empty(), "cut at {length}");
        assert!(names(&place.path("layers")).is_empty(), "cut at {length}");
        assert!(place.store.list().is_empty());
    }
}

#[test]
fn a_layer_that_is_not_its_digest_is_refused() {
    let good = Layer::new().file("a", "1").done();
    let bad = Layer::new().file("a", "2").done();
    let archive = docker_archive(&[("a", std::slice::from_ref(&good))]);
    let at = archive.windows(good.len()).position(|window| window == good).unwrap();
    let mut forged = archive;
    forged[at..at + bad.len()].copy_from_slice(&bad);
    let place = Place::new();
    let error = place.store.load(forged.as_slice(), None, &mut |_| {}).unwrap_err();
    assert!(matches!(error, Error::WrongDigest { .. }), "{error}");
    assert!(names(&place.path("layers")).is_empty());
}

#[test]
fn a_zstd_window_over_128_mib_is_refused() {
    use std::io::Write as _;
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 1).unwrap();
    encoder.window_log(28).unwrap();
    encoder.write_all(&Layer::new().file("a", "1").done()).unwrap();
    let compressed = encoder.finish().unwrap();
    let place = Place::new();
    let error =
        place.store.import(compressed.as_slice(), &berth_images::ImportOptions::default()).unwrap_err();
    assert!(matches!(error, Error::Stream { .. }), "{error}");
    assert!(names(Path::new(&place.path("blobs/sha256"))).is_empty());
}
