//! `docker load`, `save`, `import`, and looking images up.

use berth_images::{Digest, Error, ImportOptions, Loaded, Reference, RunConfig};

use crate::fixture::{Layer, Place, busybox, config, docker_archive, gzip, names};

#[test]
fn a_loaded_image_keeps_its_id_and_every_field() {
    let place = Place::new();
    let layers = [busybox()];
    let loaded = place.load(&docker_archive(&[("busybox:1", &layers)]));
    assert_eq!(loaded, [Loaded::Name("busybox:1".parse().unwrap())]);
    let image = place.store.image("busybox:1").unwrap();
    let json = config("busybox:1", &layers).to_string();
    assert_eq!(image.id, Digest::of(json.as_bytes()));
    assert_eq!(*image.config_json, *json.as_bytes());
    assert_eq!(image.config.config.cmd.as_deref(), Some(["sh".to_owned()].as_slice()));
    assert_eq!(image.config.config.healthcheck.as_ref().unwrap().test, ["NONE"]);
    assert!(image.size() >= std::fs::metadata("/bin/busybox").unwrap().len());
    assert_eq!(image.history().len(), 1);
}

#[test]
fn a_compressed_archive_loads_too() {
    let place = Place::new();
    let layers = [Layer::new().file("a", "1").done()];
    place.load(&gzip(&docker_archive(&[("a", &layers)])));
    assert_eq!(place.store.image("a").unwrap().names, ["a:latest".parse().unwrap()]);
}

#[test]
fn layers_may_be_many_alike_and_unused() {
    let place = Place::new();
    let mut layers: Vec<_> =
        (0..70).map(|number| Layer::new().file(&format!("file{number}"), "1").done()).collect();
    layers.push(layers[3].clone());
    let unused = Layer::new().file("unused", "1").done();
    let mut archive = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(unused.len() as u64);
    archive.append_data(&mut header, "unused.tar", unused.as_slice()).unwrap();
    for entry in tar::Archive::new(docker_archive(&[("many:1", &layers)]).as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        archive.append(&entry.header().clone(), entry).unwrap();
    }
    place.load(&archive.into_inner().unwrap());
    let image = place.store.image("many:1").unwrap();
    assert_eq!(image.layers.len(), 71);
    for (number, layer) in image.layers.iter().enumerate() {
        let holds = names(&place.path("layers").join(layer.chain_id.hex()).join("fs"));
        assert_eq!(holds, [format!("file{}", if number == 70 { 3 } else { number })]);
    }
    assert_eq!(names(&place.path("layers")).len(), 71, "what isn't used is gone");
}

#[test]
fn what_is_saved_loads_elsewhere_as_the_same_image() {
    let place = Place::new();
    let shared = Layer::new().file("shared", "s").done();
    let first = place.image("one:1", &[shared.clone(), Layer::new().file("a", "1").done()]);
    let second = place.image("two:2", &[shared, Layer::new().file("a", "2").done()]);
    let mut archive = Vec::new();
    let chosen = place.store.choose(&["one:1".to_owned(), "two".to_owned()]).unwrap();
    place.store.save(&chosen, &mut archive).unwrap();

    let other = Place::new();
    let mut names = other.load(&archive);
    names.sort_by_key(|name| format!("{name:?}"));
    assert_eq!(names, [Loaded::Name("one:1".parse().unwrap()), Loaded::Name("two:2".parse().unwrap())]);
    assert_eq!(other.store.image("one:1").unwrap().id, first.id);
    assert_eq!(other.store.image("two:2").unwrap().id, second.id);
}

#[test]
fn a_saved_archive_is_an_oci_layout_by_itself() {
    let place = Place::new();
    let image = place.image("one:1", &[Layer::new().file("a", "1").done()]);
    let mut archive = Vec::new();
    let chosen = place.store.choose(&["one:1".to_owned()]).unwrap();
    place.store.save(&chosen, &mut archive).unwrap();
    // Without manifest.json only the layout is left.
    let mut layout = tar::Builder::new(Vec::new());
    for entry in tar::Archive::new(archive.as_slice()).entries().unwrap() {
        let entry = entry.unwrap();
        if entry.path().unwrap().to_str() != Some("manifest.json") {
            layout.append(&entry.header().clone(), entry).unwrap();
        }
    }
    let other = Place::new();
    let loaded = other.load(&layout.into_inner().unwrap());
    assert_eq!(loaded, [Loaded::Name("one:1".parse().unwrap())]);
    assert_eq!(other.store.image("one:1").unwrap().id, image.id);
}

#[test]
fn images_are_found_by_name_id_and_prefix() {
    let place = Place::new();
    let image = place.image("ann/tool:1", &[Layer::new().file("a", "1").done()]);
    let hex = image.id.hex();
    for text in ["ann/tool:1", "docker.io/ann/tool:1", hex, &hex[..12], &hex[..1], &image.id.to_string()] {
        assert_eq!(place.store.image(text).unwrap().id, image.id, "{text}");
    }
    let missing = place.store.image("ann/tool").unwrap_err();
    assert_eq!(missing.to_string(), "No such image: ann/tool:latest");
}

#[test]
fn a_prefix_of_several_ids_is_refused() {
    let place = Place::new();
    // Seventeen images share a first digit somewhere.
    let images: Vec<_> = (0..17)
        .map(|n| place.image(&format!("i:{n}"), &[Layer::new().file("a", &n.to_string()).done()]))
        .collect();
    let firsts: Vec<_> = images.iter().map(|image| &image.id.hex()[..1]).collect();
    let shared =
        firsts.iter().find(|first| firsts.iter().filter(|other| other == first).count() > 1).unwrap();
    assert!(matches!(place.store.image(shared).unwrap_err(), Error::AmbiguousId(_)));
}

#[test]
fn a_name_moves_to_the_image_tagged_last() {
    let place = Place::new();
    let first = place.image("a:1", &[Layer::new().file("a", "1").done()]);
    let second = place.image("b:1", &[Layer::new().file("a", "2").done()]);
    place.store.tag("b:1", &Reference::parse("a:1").unwrap()).unwrap();
    assert_eq!(place.store.image("a:1").unwrap().id, second.id);
    assert!(place.store.image(&first.id.to_string()).unwrap().names.is_empty());
}

#[test]
fn an_imported_tar_becomes_an_image() {
    let place = Place::new();
    let options = ImportOptions {
        name: Some("imported".parse().unwrap()),
        message: "from a tar".to_owned(),
        config: RunConfig { cmd: Some(vec!["sh".to_owned()]), ..RunConfig::default() },
        created: "2020-01-01T00:00:00Z".to_owned(),
        ..ImportOptions::default()
    };
    let id = place.store.import(gzip(&Layer::new().file("a", "1").done()).as_slice(), &options).unwrap();
    let image = place.store.image("imported").unwrap();
    assert_eq!(image.id, id);
    assert_eq!(image.config.comment, "from a tar");
    assert_eq!(image.config.config.cmd.as_deref(), Some(["sh".to_owned()].as_slice()));
}

#[test]
fn an_archive_of_nothing_is_refused() {
    let place = Place::new();
    let error =
        place.store.load(Layer::new().file("a", "1").done().as_slice(), None, &mut |_| {}).unwrap_err();
    assert_eq!(error.to_string(), "open repositories: no such file or directory");
    assert!(names(&place.path("blobs/sha256")).is_empty(), "nothing stays");
}
