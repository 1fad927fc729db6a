//! A store opened again after its files were cut off or lost.

use std::fs;

use berth_images::Store;

use crate::fixture::{Layer, Place, names};

fn two_images() -> Place {
    let place = Place::new();
    place.image("a", &[Layer::new().file("a", "1").done()]);
    place.image("b", &[Layer::new().file("b", "2").done()]);
    place
}

#[test]
fn images_names_and_snapshots_survive_a_restart() {
    let place = two_images();
    let image = place.store.image("a").unwrap();
    place.store.prepare("c1", Some(&image.id)).unwrap();
    let again = Store::open(place.folder.path()).unwrap();
    assert_eq!(again.image("a").unwrap().names, image.names);
    assert_eq!(again.snapshot("c1").unwrap().image, Some(image.id));
}

#[test]
fn a_damaged_record_costs_its_own_image_alone() {
    let place = two_images();
    let image = place.store.image("a").unwrap();
    let record = place.path("images").join(format!("{}.json", image.id.hex()));
    let bytes = fs::read(&record).unwrap();
    fs::write(&record, &bytes[..bytes.len() / 2]).unwrap();
    let again = Store::open(place.folder.path()).unwrap();
    assert!(again.image("a").is_err());
    assert!(again.image("b").is_ok());
}

#[test]
fn an_image_whose_layer_is_lost_is_left_out_and_can_come_again() {
    let place = two_images();
    let image = place.store.image("a").unwrap();
    fs::remove_dir_all(place.path("layers").join(image.layers[0].chain_id.hex())).unwrap();
    let again = Store::open(place.folder.path()).unwrap();
    assert!(again.image("a").is_err());
    let place = Place { store: again, folder: place.folder };
    place.image("a", &[Layer::new().file("a", "1").done()]);
    assert!(place.store.image("a").is_ok());
}

#[test]
fn a_name_that_outlived_its_image_is_not_back_with_it() {
    let place = two_images();
    let image = place.store.image("a").unwrap();
    place.store.tag("a", &"old:1".parse().unwrap()).unwrap();
    fs::remove_file(place.path("images").join(format!("{}.json", image.id.hex()))).unwrap();
    let again = Store::open(place.folder.path()).unwrap();
    let place = Place { store: again, folder: place.folder };
    place.image("a", &[Layer::new().file("a", "1").done()]);
    let again = Store::open(place.folder.path()).unwrap();
    assert!(again.image("a").is_ok());
    assert!(again.image("old:1").is_err());
}

#[test]
fn unfinished_files_and_orphans_are_collected_at_start() {
    let place = two_images();
    let before = (names(&place.path("blobs/sha256")), names(&place.path("layers")));
    fs::create_dir_all(place.path("layers/.tmp-7/fs/bin")).unwrap();
    fs::write(place.path("blobs/sha256/.tmp-8"), "half").unwrap();
    fs::write(place.path("images/.tmp-9"), "{").unwrap();
    fs::write(place.path("blobs/sha256").join("0".repeat(64)), "orphan").unwrap();
    fs::create_dir_all(place.path("layers").join("1".repeat(64)).join("fs")).unwrap();
    Store::open(place.folder.path()).unwrap();
    assert_eq!((names(&place.path("blobs/sha256")), names(&place.path("layers"))), before);
}

#[test]
fn a_newer_store_is_refused() {
    let place = Place::new();
    fs::write(place.path("format"), "2\n").unwrap();
    assert!(Store::open(place.folder.path()).unwrap_err().to_string().contains("has format 2"));
}
