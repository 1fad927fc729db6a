//! `docker rmi`: what is untagged, what is deleted, what is refused.

use berth_images::{Digest, Error, ImageUse, RemoveOptions, Removed};

use crate::fixture::{Layer, Place, names};

const FORCE: RemoveOptions = RemoveOptions { force: true, no_prune: false };
const GENTLE: RemoveOptions = RemoveOptions { force: false, no_prune: false };

fn unused(_: &Digest) -> Option<ImageUse> {
    None
}

fn place_with(tags: &[&str]) -> Place {
    let place = Place::new();
    place.image(tags[0], &[Layer::new().file("a", "1").done()]);
    for tag in &tags[1..] {
        place.store.tag(tags[0], &tag.parse().unwrap()).unwrap();
    }
    place
}

#[test]
fn the_last_name_takes_image_and_layers_with_it() {
    let place = place_with(&["a:1", "a:2"]);
    let image = place.store.image("a:1").unwrap();
    let first = place.store.remove("a:1", GENTLE, &unused).unwrap();
    assert_eq!(first, [Removed::Untagged("a:1".parse().unwrap())]);
    let second = place.store.remove("a:2", GENTLE, &unused).unwrap();
    assert_eq!(
        second,
        [
            Removed::Untagged("a:2".parse().unwrap()),
            Removed::Deleted(image.id),
            Removed::Layer(image.layers[0].chain_id.clone()),
        ]
    );
    assert!(names(&place.path("blobs/sha256")).is_empty());
    assert!(names(&place.path("layers")).is_empty());
}

#[test]
fn an_id_with_several_names_needs_force() {
    let place = place_with(&["a:1", "b:1"]);
    let id = place.store.image("a:1").unwrap().id;
    let error = place.store.remove(id.short(), GENTLE, &unused).unwrap_err();
    let wanted = format!(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        id.short()
    );
    assert_eq!(error.to_string(), wanted);
    assert_eq!(place.store.remove(id.short(), FORCE, &unused).unwrap().len(), 4);
    assert!(place.store.list().is_empty());
}

#[test]
fn an_id_with_one_name_goes_with_it() {
    let place = place_with(&["a:1"]);
    let id = place.store.image("a:1").unwrap().id;
    assert_eq!(place.store.remove(id.short(), GENTLE, &unused).unwrap().len(), 3);
}

#[test]
fn a_container_keeps_its_image() {
    let place = place_with(&["a:1"]);
    let image = place.store.image("a:1").unwrap();
    place.store.prepare("c1", Some(&image.id)).unwrap();
    let used = |running| move |_: &Digest| Some(ImageUse { container: "c1".to_owned(), running });
    let error = place.store.remove("a:1", GENTLE, &used(false)).unwrap_err();
    assert!(
        error.to_string().contains("(must force) - container c1 is using its referenced image"),
        "{error}"
    );
    let by_id = place.store.remove(image.id.short(), FORCE, &used(true));
    assert!(matches!(by_id, Err(Error::InUse { forceable: false, .. })), "{by_id:?}");
    assert!(place.store.image("a:1").is_ok(), "a refused removal removes nothing");
    // By force the image goes and the container's layers stay.
    let removed = place.store.remove("a:1", FORCE, &used(false)).unwrap();
    assert_eq!(removed.last(), Some(&Removed::Deleted(image.id)));
    assert_eq!(names(&place.path("layers")).len(), 1);
    place.store.remove_snapshot("c1").unwrap();
    assert!(names(&place.path("layers")).is_empty());
}

#[test]
fn a_shared_layer_stays_with_the_other_image() {
    let place = Place::new();
    let shared = Layer::new().file("shared", "1").done();
    place.image("a", &[shared.clone(), Layer::new().file("a", "1").done()]);
    let other = place.image("b", &[shared]);
    place.store.remove("a", GENTLE, &unused).unwrap();
    assert_eq!(names(&place.path("layers")), [other.layers[0].chain_id.hex()]);
    assert_eq!(place.store.image("b").unwrap().size(), 1);
}

#[test]
fn what_is_not_there_is_named() {
    let place = Place::new();
    assert_eq!(place.store.remove("x", GENTLE, &unused).unwrap_err().to_string(), "No such image: x:latest");
}
