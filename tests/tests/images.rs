//! Images through the unmodified `docker` client and a real registry.

use e2e::engine::Engine;
use e2e::registry::Registry;

const BUSYBOX: &str = "busybox:latest";

#[test]
fn an_image_goes_to_a_registry_and_comes_back_by_tag_and_by_digest() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let name = format!("{}/team/box:1", registry.address);
    let id = engine.inspect(BUSYBOX, ".Id");
    engine.ok(&["tag", BUSYBOX, &name]);
    let pushed = engine.ok(&["push", &name]);
    let digest =
        pushed.split_whitespace().find(|word| word.starts_with("sha256:")).expect("a digest").to_owned();
    engine.ok(&["rmi", &name, BUSYBOX]);
    assert_eq!(engine.ok(&["images", "-q"]), "");
    let path = format!("/v1.44/distribution/{name}/json");
    let remote = engine.get(&path);
    assert_eq!(
        (remote["Descriptor"]["digest"].as_str(), &remote["Platforms"][0]["os"]),
        (Some(&*digest), &"linux".into())
    );

    let pulled = engine.ok(&["pull", &name]);
    assert!(pulled.contains(&format!("Status: Downloaded newer image for {name}")), "{pulled}");
    assert_eq!(engine.inspect(&name, ".Id"), id);
    assert!(engine.ok(&["pull", &name]).contains("Image is up to date"));
    let by_digest = format!("{}/team/box@{digest}", registry.address);
    engine.ok(&["rmi", &name]);
    engine.ok(&["pull", &by_digest]);
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", &by_digest, "echo", "back"]), "back");
}

#[test]
fn a_missing_image_is_told_in_the_registrys_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(registry) = Registry::start(&engine) else { return };
    let said = engine.docker(&["pull", &format!("{}/team/nothing:1", registry.address)]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("not found: manifest unknown"), "{said:?}");
}

#[test]
fn an_image_in_use_is_not_removed() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["create", "--name", "user", "busybox"]);
    let said = engine.docker(&["rmi", BUSYBOX]);
    assert!(said.err.contains("is using its referenced image"), "{said:?}");
    engine.ok(&["rm", "user"]);
    assert!(engine.ok(&["rmi", BUSYBOX]).contains("Untagged: busybox:latest"));
}

#[test]
fn a_saved_image_is_the_same_when_loaded() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("saved.tar").to_string_lossy().into_owned();
    let id = engine.inspect(BUSYBOX, ".Id");
    engine.ok(&["save", "-o", &archive, BUSYBOX]);
    engine.ok(&["rmi", BUSYBOX]);
    assert!(engine.docker(&["inspect", BUSYBOX]).err.contains("No such object"));
    assert_eq!(engine.ok(&["load", "-i", &archive]), "Loaded image: busybox:latest");
    assert_eq!(engine.inspect(BUSYBOX, ".Id"), id);
}

#[test]
fn what_is_no_archive_is_refused_when_loaded() {
    let Some(engine) = Engine::start() else { return };
    let mut client = engine.client(&["load"]);
    let folder = tempfile::tempdir().expect("make a folder");
    let path = folder.path().join("text");
    std::fs::write(&path, "abc").expect("write a file");
    client.stdin(std::fs::File::open(&path).expect("open it"));
    let said = e2e::engine::said(&client.output().expect("run docker"));
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("truncated header"), "{said:?}");
}
