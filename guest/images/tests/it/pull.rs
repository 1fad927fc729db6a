//! Pushing to and pulling from a real registry.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;

use berth_images::registry::{Choice, Client, Credentials, Options, Proxies, Pulled};
use berth_images::{Digest, Error, Reference, RemoveOptions, Store};
use serde_json::json;

use crate::fake::{Fake, answer};
use crate::fixture::{Layer, Place, gzip, names};
use crate::registry::Registry;
use crate::transfer::{client, pull, push, push_plain, run};

pub(crate) fn two_layers() -> Vec<Vec<u8>> {
    vec![Layer::new().file("a", &"1".repeat(100_000)).done(), Layer::new().file("b", "2").done()]
}

#[test]
fn what_is_pushed_is_pulled_elsewhere_with_dockers_words() {
    let Some(registry) = Registry::start() else { return };
    let name = format!("{}/ann/tool:1", registry.address);
    let place = Place::new();
    let image = place.image(&name, &two_layers());
    let pushed = push(&place, &name, None);
    assert_eq!(pushed.statuses().iter().filter(|status| **status == "Pushed").count(), 2);
    let pushed = pushed.result.unwrap();

    let other = Place::new();
    let done = pull(&other, &name, None, None);
    let statuses = done.statuses();
    assert_eq!(statuses[0], "Pulling from ann/tool");
    for status in [
        "Pulling fs layer",
        "Downloading",
        "Verifying Checksum",
        "Download complete",
        "Extracting",
        "Pull complete",
    ] {
        assert!(statuses.contains(&status), "{status} in {statuses:?}");
    }
    assert_eq!(statuses.last().unwrap(), &format!("Digest: {}", pushed.digest));
    let (platform, digest) = (image.config.platform(), pushed.digest.clone());
    assert_eq!(done.result.unwrap(), Pulled { image: image.id.clone(), digest, platform, is_new: true });
    let pulled = other.store.image(&name).unwrap();
    assert_eq!(pulled.config_json, image.config_json);
    assert_eq!(pulled.digests[0].digest(), Some(&pushed.digest));

    let again = pull(&other, &name, None, None);
    assert!(!again.statuses().contains(&"Already exists"), "nothing is told of an image that is here");
    assert!(!again.result.unwrap().is_new);
    let by_digest = format!("{}/ann/tool@{}", registry.address, pushed.digest);
    assert_eq!(pull(&other, &by_digest, None, None).result.unwrap().image, image.id);
    assert_eq!(other.store.image(&by_digest).unwrap().id, image.id);
}

#[test]
fn layers_the_registry_has_are_not_sent_again_and_others_are_mounted() {
    let Some(registry) = Registry::start() else { return };
    let (first, second) = (format!("{}/a:1", registry.address), format!("{}/b:1", registry.address));
    let place = Place::new();
    place.image(&first, &two_layers());
    let digest = push(&place, &first, None).result.unwrap().digest;
    let again = push(&place, &first, None);
    assert_eq!(again.statuses().iter().filter(|status| **status == "Layer already exists").count(), 2);
    assert_eq!(again.result.unwrap().digest, digest);
    place.store.tag(&first, &second.parse().unwrap()).unwrap();
    let mounted = push(&place, &second, None);
    assert_eq!(mounted.statuses().iter().filter(|status| **status == "Mounted from a").count(), 2);
    assert_eq!(mounted.result.unwrap().digest, digest);
}

#[test]
fn what_was_pushed_before_a_restart_is_not_compressed_again() {
    let Some(registry) = Registry::start() else { return };
    let name = format!("{}/a:1", registry.address);
    let mut place = Place::new();
    place.image(&name, &two_layers());
    let digest = push(&place, &name, None).result.unwrap().digest;
    place.store = Store::open(place.folder.path()).unwrap();
    // What is being deleted has another name.
    let is_blob = |entry: &fs::DirEntry| entry.file_name().len() == 64;
    let blobs = || fs::read_dir(place.path("blobs/sha256")).unwrap().flatten().filter(is_blob).count();
    assert_eq!(blobs(), 4, "two layers as they were loaded, the configuration, the manifest");
    let again = push(&place, &name, None);
    assert_eq!(again.statuses().iter().filter(|status| **status == "Layer already exists").count(), 2);
    assert_eq!(again.result.unwrap().digest, digest);
    let other = format!("{}/b:1", registry.address);
    place.store.tag(&name, &other.parse().unwrap()).unwrap();
    let mounted = push(&place, &other, None);
    assert_eq!(mounted.statuses().iter().filter(|status| **status == "Mounted from a").count(), 2);
    assert_eq!(mounted.result.unwrap().digest, digest);
    assert_eq!(blobs(), 4);
}

#[test]
fn an_index_gives_the_wanted_platform() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    let image = place.image(&format!("{}/multi:amd64", registry.address), &two_layers());
    let pushed = push(&place, &format!("{}/multi:amd64", registry.address), None).result.unwrap();
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.docker.distribution.manifest.list.v2+json",
        "manifests": [{
            "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": pushed.digest.to_string(),
            "size": pushed.size, "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    let media_type = "application/vnd.docker.distribution.manifest.list.v2+json";
    registry.put_manifest("multi", "latest", media_type, &index.to_string());
    let other = Place::new();
    let name = format!("{}/multi", registry.address);
    let pulled = pull(&other, &name, Some("linux/amd64"), None).result.unwrap();
    assert_eq!(pulled.image, image.id);
    assert_eq!(pulled.digest, Digest::of(index.to_string().as_bytes()));
    let missing = pull(&other, &name, Some("linux/s390x"), None).error();
    assert_eq!(missing, "no matching manifest for linux/s390x in the manifest list entries");
    let simple: Reference = format!("{name}:amd64").parse().unwrap();
    let wanted = "linux/s390x".parse().unwrap();
    let refused =
        run(async |report| client().pull(&other.store, &simple, Choice::Only(&wanted), None, report).await);
    let refused = refused.error();
    assert!(refused.contains("does not match the specified platform (linux/s390x)"), "{refused}");
    let taken = pull(&other, &simple.to_string(), Some("linux/s390x"), None).result.unwrap();
    assert_eq!(taken.platform.to_string(), "linux/amd64");
}

#[test]
fn a_missing_tag_and_a_missing_repository_are_named() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    let name = format!("{}/ann/tool:1", registry.address);
    place.image(&name, &two_layers());
    push(&place, &name, None).result.unwrap();
    let missing = format!("{}/ann/tool:nope", registry.address);
    let error = pull(&place, &missing, None, None).error();
    assert_eq!(error, format!("manifest for {missing} not found: manifest unknown: manifest unknown"));
    let error = push(&place, &missing, None).error();
    let repository = format!("{}/ann/tool", registry.address);
    assert_eq!(error, format!("An image does not exist locally with the tag: {repository}"));
}

#[test]
fn a_password_is_asked_for_and_checked() {
    let Some(registry) = Registry::with_password("ann", "secret") else { return };
    let name = format!("{}/ann/tool:1", registry.address);
    let right =
        Credentials { username: "ann".to_owned(), password: "secret".to_owned(), ..Credentials::default() };
    let wrong = Credentials { password: "guess".to_owned(), ..right.clone() };
    let place = Place::new();
    let image = place.image(&name, &two_layers());
    push(&place, &name, Some(&right)).result.unwrap();
    let other = Place::new();
    assert_eq!(pull(&other, &name, None, None).error(), "no basic auth credentials");
    assert!(pull(&other, &name, None, Some(&wrong)).error().contains("unauthorized"));
    assert_eq!(pull(&other, &name, None, Some(&right)).result.unwrap().image, image.id);
    let login = |credentials: Credentials| {
        run(async |_| client().login(&registry.address, &credentials).await).result
    };
    assert_eq!(login(right).unwrap(), None);
    assert!(matches!(login(wrong).unwrap_err(), Error::Registry { status: 401, .. }));
    assert!(
        !format!("{:?}", Credentials { password: "secret".to_owned(), ..Credentials::default() })
            .contains("secret")
    );
}

#[test]
fn a_download_continues_where_a_crash_left_it() {
    let Some(registry) = Registry::start() else { return };
    let name = format!("{}/a:1", registry.address);
    let place = Place::new();
    place.image(&name, &two_layers());
    push_plain(&place, &name).result.unwrap();
    let blob = Digest::of(&two_layers()[0]);
    let other = Place::new();
    fs::write(other.path("partial").join(blob.hex()), &two_layers()[0][..50_000]).unwrap();
    let done = pull(&other, &name, None, None);
    done.result.as_ref().unwrap();
    let first = done.lines.iter().find(|line| line.status == "Downloading" && line.id == blob.short());
    assert!(first.unwrap().detail.unwrap().current > 50_000, "{first:?}");
    assert!(names(&other.path("partial")).is_empty());
    // What was left may also be wrong, as a power cut leaves it: then the blob is fetched anew.
    other.store.remove(&name, RemoveOptions::default(), &|_| None).unwrap();
    fs::write(other.path("partial").join(blob.hex()), "x".repeat(50_000)).unwrap();
    pull(&other, &name, None, None).result.unwrap();
    assert!(names(&other.path("partial")).is_empty());
}

#[test]
fn a_registry_that_lies_about_a_layer_is_caught() {
    let Some(registry) = Registry::start() else { return };
    let name = format!("{}/a:1", registry.address);
    let place = Place::new();
    place.image(&name, &two_layers());
    push_plain(&place, &name).result.unwrap();
    let hex = Digest::of(&two_layers()[0]).hex().to_owned();
    let data = format!("data/docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
    let path = registry.folder.path().join(data);
    let mut bytes = fs::read(&path).unwrap();
    bytes[600] ^= 1;
    fs::write(&path, bytes).unwrap();
    let other = Place::new();
    assert!(matches!(pull(&other, &name, None, None).result, Err(Error::WrongDigest { .. })));
    assert!(other.store.list().is_empty());
}

#[test]
fn gzip_and_zstd_layers_unpack_to_the_same() {
    let Some(registry) = Registry::start() else { return };
    let plain = two_layers();
    let compressed = [gzip(&plain[0]), zstd::encode_all(plain[1].as_slice(), 3).unwrap()];
    let config = crate::fixture::config("z", &plain).to_string();
    let kinds =
        ["application/vnd.oci.image.layer.v1.tar+gzip", "application/vnd.oci.image.layer.v1.tar+zstd"];
    let describe = |kind: &str, bytes: &[u8]| json!({ "mediaType": kind, "digest": Digest::of(bytes).to_string(), "size": bytes.len() });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": describe("application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": [describe(kinds[0], &compressed[0]), describe(kinds[1], &compressed[1])],
    })
    .to_string();
    let index = json!({
        "schemaVersion": 2,
        "manifests": [describe("application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())],
    })
    .to_string();
    let blob = |bytes: &[u8]| format!("blobs/sha256/{}", Digest::of(bytes).hex());
    let mut archive = Layer::new().file("index.json", &index);
    for bytes in [config.as_bytes(), manifest.as_bytes(), &compressed[0], &compressed[1]] {
        archive = archive.entry(tar::EntryType::Regular, &blob(bytes), "", bytes);
    }
    let place = Place::new();
    let loaded = place.load(&archive.done());
    assert_eq!(loaded.len(), 1);
    let id = Digest::of(config.as_bytes());
    let name: Reference = format!("{}/z:1", registry.address).parse().unwrap();
    place.store.tag(id.hex(), &name).unwrap();
    push(&place, &name.to_string(), None).result.unwrap();
    let other = Place::new();
    assert_eq!(pull(&other, &name.to_string(), None, None).result.unwrap().image, id);
    assert_eq!(other.store.image(id.short()).unwrap().size(), 100_001);
}

#[test]
fn two_pulls_of_one_image_meet() {
    let Some(registry) = Registry::start() else { return };
    let name = format!("{}/a:1", registry.address);
    let place = Place::new();
    let image = place.image(&name, &two_layers());
    push(&place, &name, None).result.unwrap();
    let other = Place::new();
    let reference: Reference = name.parse().unwrap();
    let client = client();
    let done = run(async |report| {
        let one = client.pull(&other.store, &reference, Choice::Local, None, report);
        let two = client.pull(&other.store, &reference, Choice::Local, None, report);
        let (one, two) = tokio::join!(one, two);
        Ok((one?, two?))
    });
    let (one, two) = done.result.unwrap();
    assert_eq!((one.image, two.image), (image.id.clone(), image.id));
}

#[test]
fn docker_io_is_asked_at_its_mirror_first() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    let name = format!("{}/library/busybox:1", registry.address);
    let image = place.image(&name, &two_layers());
    push(&place, &name, None).result.unwrap();
    let options = Options { mirrors: vec![format!("http://{}", registry.address)], ..Options::default() };
    let other = Place::new();
    let reference: Reference = "busybox:1".parse().unwrap();
    let done = run(async |report| {
        Client::new(options).pull(&other.store, &reference, Choice::Local, None, report).await
    });
    assert_eq!(done.result.unwrap().image, image.id);
    assert_eq!(other.store.image("busybox:1").unwrap().id, image.id);
}

#[test]
fn a_list_of_tags_is_read_page_by_page_from_a_mirror_too() {
    let next = ("Link", "</v2/library/tool/tags/list?last=b>; rel=\"next\"");
    let mirror = Fake::start(move |_, asked| match asked.line.as_str() {
        "GET /v2/library/tool/tags/list" => answer("200 OK", &[next], br#"{"tags":["a","b"]}"#),
        "GET /v2/library/tool/tags/list?last=b" => answer("200 OK", &[], br#"{"tags":["c"]}"#),
        _ => answer("200 OK", &[], b"{}"),
    });
    let options = Options { mirrors: vec![format!("http://{}", mirror.address)], ..Options::default() };
    let reference: Reference = "tool".parse().unwrap();
    let tags = run(async |_| Client::new(options).tags(&reference, None).await).result.unwrap();
    assert_eq!(tags, ["a", "b", "c"]);
}

#[test]
fn plain_http_is_asked_of_the_proxy() {
    let Some(registry) = Registry::start() else { return };
    let place = Place::new();
    let name = format!("{}/busybox:1", registry.address);
    let image = place.image(&name, &two_layers());
    push(&place, &name, None).result.unwrap();
    // The registry answers requests for any host, as a proxy does.
    let proxies = Proxies { http: format!("http://{}", registry.address), ..Proxies::default() };
    let options = Options { proxies, insecure: vec!["registry.invalid".to_owned()], ..Options::default() };
    let other = Place::new();
    let reference: Reference = "registry.invalid/busybox:1".parse().unwrap();
    let done = run(async |report| {
        Client::new(options).pull(&other.store, &reference, Choice::Local, None, report).await
    });
    assert_eq!(done.result.unwrap().image, image.id);
}

#[test]
fn https_goes_through_a_tunnel_that_the_proxy_is_asked_for_by_name_and_password() {
    let proxy = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = proxy.local_addr().unwrap();
    let asked = std::thread::spawn(move || {
        let (mut client, _) = proxy.accept().unwrap();
        let mut head = vec![0; 1024];
        let length = client.read(&mut head).unwrap();
        client.write_all(b"HTTP/1.1 502 Bad Gateway\r\n\r\n").unwrap();
        String::from_utf8_lossy(&head[..length]).to_lowercase()
    });
    let proxies = Proxies { https: format!("http://ann:secret@{address}"), ..Proxies::default() };
    let options = Options { proxies, ..Options::default() };
    let place = Place::new();
    let reference: Reference = "registry.invalid/busybox:1".parse().unwrap();
    let done = run(async |report| {
        Client::new(options).pull(&place.store, &reference, Choice::Local, None, report).await
    });
    assert!(matches!(done.result, Err(Error::Unreachable { .. })), "{:?}", done.result);
    let asked = asked.join().unwrap();
    assert!(asked.starts_with("connect registry.invalid:443 http/1.1"), "{asked}");
    assert!(asked.contains("proxy-authorization: basic yw5uonnly3jlda=="), "{asked}");
}

#[test]
fn a_registry_that_is_not_there_is_unreachable() {
    let place = Place::new();
    let done = pull(&place, "127.0.0.1:1/a", None, None);
    assert!(matches!(done.result, Err(Error::Unreachable { .. })), "{:?}", done.result);
}
