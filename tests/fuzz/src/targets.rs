//! The targets, by name.

mod network;

use std::path::Path;
use std::sync::OnceLock;

use berth_builder::dockerfile::Dockerfile;
use berth_guard::{Decoder, FromGuard, ToGuard};
use berth_images::{Digest, Platform, Reference, Store};
use protocol::{control, frame, guest};
use sharefs::{Server, Share};
use tempfile::TempDir;

use crate::Target;

/// Every target.
pub const TARGETS: &[Target] = &[
    ("api", api),
    ("dockerfile", dockerfile),
    ("fuse", fuse),
    ("guard", guard),
    ("image", image),
    ("layer", layer),
    ("protocol", protocol_messages),
    ("reference", reference),
    ("registry", registry),
    ("usernet", network::frames),
];

/// Bodies and queries of clients.
fn api(bytes: &[u8]) {
    berth_api::decode(bytes);
}

fn dockerfile(bytes: &[u8]) {
    let _ = Dockerfile::parse(&String::from_utf8_lossy(bytes));
}

/// Requests of a guest's kernel: each is the length of the next in two bytes, and that.
fn fuse(mut bytes: &[u8]) {
    let folder = TempDir::new().expect("make a shared folder");
    std::fs::write(folder.path().join("file"), "content").expect("write a file");
    let share = Share { name: "home".to_owned(), folder: folder.path().to_path_buf() };
    let server = Server::new(vec![share], 1024).expect("serve the folder");
    let mut reply = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<2>() {
        let length = usize::from(u16::from_le_bytes(*length)).min(rest.len());
        let (request, rest) = rest.split_at(length);
        server.answer_message(request, 64 << 10, &mut reply, &|| Box::new(|_| ()));
        bytes = rest;
    }
}

/// What a guard and an engine say to each other.
fn guard(bytes: &[u8]) {
    let mut decoder = Decoder::default();
    decoder.feed(bytes);
    while let Ok(Some(_)) = decoder.next_message::<ToGuard>() {}
    let mut decoder = Decoder::default();
    decoder.feed(bytes);
    while let Ok(Some(_)) = decoder.next_message::<FromGuard>() {}
}

/// An archive of images, as `docker load` sends it.
fn image(bytes: &[u8]) {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| TempDir::new().expect("make a store's folder"));
    let Ok(store) = Store::open(&folder.path().join("store")) else { return };
    let _ = store.load(bytes, None, &mut |_| ());
}

/// A layer or a build's context, whose names try to leave the folder.
fn layer(bytes: &[u8]) {
    let folder = TempDir::new().expect("make a folder");
    let root = folder.path().join("root");
    std::fs::create_dir(&root).expect("make the root");
    let _ = berth_images::extract(bytes, &root, Path::new("/"), berth_images::Dress::default());
    let beside = std::fs::read_dir(folder.path()).expect("list the folder").count();
    assert_eq!(beside, 1, "something was written beside the root");
}

/// Messages of host and guest, and of the window and the daemon.
fn protocol_messages(bytes: &[u8]) {
    let Some((prefix, body)) = bytes.split_first_chunk() else { return };
    let _ = frame::body_length(*prefix);
    let _ = frame::decode::<guest::ToGuest>(body);
    let _ = frame::decode::<guest::FromGuest>(body);
    let _ = frame::decode::<control::Request>(body);
    let _ = frame::decode::<control::Reply>(body);
}

/// What registries and token servers say.
fn registry(bytes: &[u8]) {
    berth_images::registry::decode(bytes);
}

/// Names of images, and what stands in them. What is printed again must mean the same.
fn reference(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    if let Ok(reference) = text.parse::<Reference>() {
        let printed = reference.to_string();
        assert_eq!(printed.parse::<Reference>().ok(), Some(reference), "{text} is printed as {printed}");
    }
    let _ = text.parse::<Digest>();
    let _ = text.parse::<Platform>();
}
