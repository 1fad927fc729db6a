//! What buildx' exporters give out: files, archives, images in registries and folders.
#![expect(clippy::unwrap_used, reason = "a test ends at the first surprise")]

use std::fs;
use std::path::Path;
use std::process::Command;

use e2e::buildx::{Context, with_buildx};
use e2e::context::output;
use e2e::registry::Registry;

#[test]
fn results_go_where_the_client_wants_them() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(
        &buildx,
        "FROM busybox AS make\nRUN mkdir -p /out/deep && echo made > /out/deep/file && ln -s deep/file /out/link && chmod 711 /out/deep\n\
         FROM scratch\nCOPY --from=make /out /\n",
    );
    context.built(&["--output", "folder"]);
    assert_eq!(fs::read_to_string(context.path().join("folder/deep/file")).unwrap(), "made\n");
    assert_eq!(fs::read_link(context.path().join("folder/link")).unwrap(), Path::new("deep/file"));
    context.built(&["--output", "type=tar,dest=files.tar"]);
    let list = Command::new("tar").args(["tf", "files.tar"]).current_dir(context.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).contains("deep/file"));
    let engine = &buildx.0;
    let before = engine.ok(&["images", "--all", "--quiet"]);
    context.built(&["--output", "type=docker,dest=image.tar,name=sent:v1"]);
    context.built(&["--output", "type=oci,dest=oci.tar"]);
    assert_eq!(engine.ok(&["images", "--all", "--quiet"]), before);
    let archive = context.path().join("image.tar");
    assert_eq!(
        engine.ok(&["load", "--quiet", "--input", archive.to_str().unwrap()]),
        "Loaded image: sent:v1"
    );
    let list = Command::new("tar").args(["tf", "oci.tar"]).current_dir(context.path()).output().unwrap();
    assert!(String::from_utf8_lossy(&list.stdout).contains("index.json"));
    let ids = context.path().join("id");
    context.built(&["-t", "x", "--iidfile", ids.to_str().unwrap()]);
    assert_eq!(fs::read_to_string(ids).unwrap(), engine.inspect("x", ".Id"));
    assert_eq!(context.build(&["--quiet"]).out, engine.inspect("x", ".Id"));
}

#[test]
fn an_image_is_pushed_as_it_is_built() {
    let Some(buildx) = with_buildx() else { return };
    let Some(registry) = Registry::start(&buildx.0) else { return };
    let name = format!("{}/team/app:v1", registry.address);
    let context = Context::new(&buildx, "FROM busybox\nRUN echo pushed > /x\n");
    let said = context.built(&["-t", &name, "--push"]);
    assert!(said.contains("pushing layer"), "{said}");
    buildx.0.ok(&["rmi", "--force", &name]);
    buildx.0.ok(&["pull", "--quiet", &name]);
    assert_eq!(output(&buildx.0, &name, &["cat", "/x"]), "pushed");
    // The next build finds its base at the registry.
    buildx.0.ok(&["rmi", "--force", &name]);
    let next = Context::new(&buildx, &format!("FROM {name}\nRUN cat /x > /y\n"));
    next.built(&["-t", "next", "--pull"]);
    assert_eq!(output(&buildx.0, "next", &["cat", "/y"]), "pushed");
}

/// A file of an archive.
fn in_archive(archive: &Path, name: &str) -> Vec<u8> {
    let mut tar = Command::new("tar");
    tar.arg("xOf").arg(archive).arg(name);
    let read = tar.output().unwrap();
    assert!(read.status.success(), "{name}: {}", String::from_utf8_lossy(&read.stderr));
    read.stdout
}

/// The manifest of an archive's only image.
fn manifest_of(archive: &Path) -> serde_json::Value {
    let index: serde_json::Value = serde_json::from_slice(&in_archive(archive, "index.json")).unwrap();
    let digest = index["manifests"][0]["digest"].as_str().unwrap().replace(':', "/");
    serde_json::from_slice(&in_archive(archive, &format!("blobs/{digest}"))).unwrap()
}

#[test]
fn archives_are_compressed_annotated_and_typed_as_they_are_asked_for() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM busybox\nRUN echo made > /made\n");
    let export = |options: &str| {
        context.built(&["--output", &format!("type=oci,dest=image.tar,name=sent:v1{options}")]);
        manifest_of(&context.path().join("image.tar"))
    };
    let kinds = |manifest: &serde_json::Value| -> Vec<String> {
        let layers = manifest["layers"].as_array().unwrap().iter();
        layers.map(|layer| layer["mediaType"].as_str().unwrap().to_owned()).collect()
    };
    let oci = "application/vnd.oci.image.layer.v1.tar";
    assert_eq!(kinds(&export("")).last().unwrap(), &format!("{oci}+gzip"));
    assert_eq!(kinds(&export(",compression=uncompressed")).last().unwrap(), oci);
    let docker = export(",oci-mediatypes=false");
    assert_eq!(docker["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(kinds(&docker).last().unwrap(), "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let zstd = export(",compression=zstd,compression-level=19,force-compression=true,annotation.team=berth");
    assert!(kinds(&zstd).iter().all(|kind| *kind == format!("{oci}+zstd")), "{zstd}");
    assert_eq!(zstd["annotations"]["team"], "berth");
    let engine = &buildx.0;
    let archive = context.path().join("image.tar");
    engine.ok(&["load", "--quiet", "--input", archive.to_str().unwrap()]);
    assert_eq!(output(engine, "sent:v1", &["cat", "/made"]), "made");
    for (option, words) in [
        ("compression=estargz", "compression= isn't supported as \"estargz\""),
        ("compression-level=10", "expected a number from 0 to 9"),
        ("dangling-name-prefix=x", "dangling-name-prefix= isn't for archives"),
    ] {
        let said = context.build(&["--output", &format!("type=oci,dest=x.tar,{option}")]);
        assert!(said.code == 1 && said.err.contains(words), "{}", said.err);
    }
    let unknown = context.build(&["--output", "type=rpm"]);
    let words = "failed to solve: exporter \"rpm\" could not be found";
    assert!(unknown.code == 1 && unknown.err.trim_end().ends_with(words), "{}", unknown.err);
}

#[test]
fn what_was_built_is_pushed_compressed_and_once() {
    let Some(buildx) = with_buildx() else { return };
    let Some(registry) = Registry::start(&buildx.0) else { return };
    let engine = &buildx.0;
    let name = format!("{}/team/built:v1", registry.address);
    let text = "FROM scratch\nCOPY big /big\nCOPY Dockerfile /\n";
    let context = Context::new(&buildx, text).write("big", &"0123456789".repeat(100_000));
    context.built(&["-t", &name]);
    let first = engine.ok(&["push", &name]);
    let digest = first.rsplit("digest: ").next().unwrap().split(' ').next().unwrap().to_owned();
    let again = engine.ok(&["push", &name]);
    assert!(again.matches("Layer already exists").count() == 2 && again.contains(&digest), "{again}");
    engine.ok(&["rmi", "--force", &name]);
    engine.ok(&["builder", "prune", "--all", "--force"]);
    let pulled = engine.ok(&["pull", &name]);
    assert!(pulled.contains(&digest), "{pulled}");
    // As it was pulled: what is pushed again has the same manifest, and its layers are gzip.
    engine.ok(&["save", "--output", context.path().join("saved.tar").to_str().unwrap(), &name]);
    let manifest = manifest_of(&context.path().join("saved.tar"));
    let layer = &manifest["layers"][0];
    assert!(layer["mediaType"].as_str().unwrap().ends_with("gzip"), "{layer}");
    assert!(layer["size"].as_u64().unwrap() < 100_000, "{layer}");
}

#[test]
fn an_image_goes_to_a_folder_or_to_a_registry_alone_and_may_be_named_by_its_digest() {
    let Some(buildx) = with_buildx() else { return };
    let Some(registry) = Registry::start(&buildx.0) else { return };
    let engine = &buildx.0;
    let context = Context::new(&buildx, "FROM busybox\nRUN echo folder > /x\n");
    let noted = ["annotation-manifest-descriptor.seen=by", "\"annotation[linux/amd64].of=one\""].join(",");
    context.built(&["--output", &format!("type=oci,tar=false,dest=layout,name=app:v1,{noted}")]);
    let layout = context.path().join("layout");
    let read = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(layout.join(name)).unwrap()).unwrap()
    };
    let blob = |digest: &serde_json::Value| format!("blobs/{}", digest.as_str().unwrap().replace(':', "/"));
    let entry = read("index.json")["manifests"][0].clone();
    // This list is the client's, and which annotation has the name depends on its version.
    let mut annotations = entry["annotations"].as_object().unwrap().values();
    assert!(annotations.any(|value| value == "docker.io/library/app:v1"), "{entry}");
    assert_eq!(entry["annotations"]["seen"], "by");
    let manifest = read(&blob(&entry["digest"]));
    assert_eq!(manifest["annotations"]["of"], "one");
    for layer in manifest["layers"].as_array().unwrap() {
        assert!(layout.join(blob(&layer["digest"])).is_file(), "{layer}");
    }
    let elsewhere = context.build(&["--output", "type=oci,dest=x.tar,\"annotation[linux/s390x].of=one\""]);
    assert!(elsewhere.err.contains("no platform linux/s390x found in source"), "{}", elsewhere.err);

    // Before, the client pushed once more by itself what isn't here.
    if context.is_at_least(20) {
        let name = format!("{}/team/passing:v1", registry.address);
        context.built(&["--output", &format!("type=image,name={name},push=true,store=false")]);
        assert!(!engine.ok(&["images", "--all"]).contains("passing"));
        engine.ok(&["pull", "--quiet", &name]);
        assert_eq!(output(engine, &name, &["cat", "/x"]), "folder");
    }

    let context = Context::new(&buildx, "FROM busybox\nRUN echo nameless > /x\n");
    context.built(&["--output", "type=image,dangling-name-prefix=team/none"]);
    let list = engine.ok(&["images", "--digests", "--format", "{{.Repository}}@{{.Digest}}"]);
    let found = list.lines().find(|line| line.starts_with("team/none@sha256:"));
    let found = found.unwrap_or_else(|| panic!("{list}"));
    assert_eq!(output(engine, found, &["cat", "/x"]), "nameless");
}
