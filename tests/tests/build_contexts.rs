//! Files from beyond the context: named contexts (`--build-context`, with the buildx plugin) and ADD of addresses.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use e2e::buildx::{Context, with_buildx};
use e2e::context::{self, output};
use e2e::engine::Engine;
use e2e::web::WebServer;
use sha2::{Digest, Sha256};

#[test]
fn a_named_folder_comes_without_what_its_own_ignore_file_names() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM busybox\nCOPY --from=other . /other\nCOPY --from=other kept /again\n";
    let context = Context::new(&buildx, text)
        .write(".dockerignore", "kept\n")
        .write("other/.dockerignore", "# a comment\n*.log\n!loud.log\n")
        .write("other/kept", "kept")
        .write("other/loud.log", "")
        .write("other/quiet.log", "");
    let built = context.built(&["-t", "x", "--build-context", "other=other"]);
    assert!(built.contains("[context other] load .dockerignore\n"), "{built}");
    assert_eq!(output(&buildx.0, "x", &["ls", "-A", "/other"]), ".dockerignore\nkept\nloud.log");
}

#[test]
fn a_stage_begins_with_a_named_folder() {
    let Some(buildx) = with_buildx() else { return };
    let context = Context::new(&buildx, "FROM base\nENTRYPOINT [\"/busybox\", \"cat\"]\nCMD [\"/n\"]\n");
    let context = context.write("folder/n", "of the folder");
    fs::copy("/bin/busybox", context.path().join("folder/busybox")).unwrap();
    context.built(&["-t", "x", "--build-context", "base=folder"]);
    assert_eq!(output(&buildx.0, "x", &[]), "of the folder");
    let history = buildx.0.ok(&["history", "--no-trunc", "--format", "{{.CreatedBy}}", "x"]);
    assert!(history.ends_with("\n[context base] load from client"), "{history}");
    let context = context.write("folder/n", "changed");
    context.built(&["-t", "x", "--build-context", "base=folder"]);
    assert_eq!(output(&buildx.0, "x", &[]), "changed");
}

#[test]
fn a_file_of_the_web_is_a_context_with_one_file() {
    let Some(buildx) = with_buildx() else { return };
    let Some(server) = WebServer::start(&buildx.0) else { return };
    fs::write(server.folder().join("page"), "from the web").unwrap();
    let context = Context::new(&buildx, "FROM busybox\nCOPY --from=page context /page\n");
    let named = |name: &str| format!("page={}", server.url(name));
    context.built(&["-t", "x", "--build-context", &named("page")]);
    assert_eq!(output(&buildx.0, "x", &["cat", "/page"]), "from the web");
    let missing = context.build(&["--build-context", &named("missing")]);
    assert!(missing.err.contains("404"), "{}", missing.err);
}

#[test]
fn a_file_of_the_web_is_added_with_the_servers_time_and_for_its_owner_alone() {
    let Some(engine) = Engine::with_busybox() else { return };
    let Some(server) = WebServer::start(&engine) else { return };
    let page = fs::File::create(server.folder().join("page")).unwrap();
    (&page).write_all(b"from the web").unwrap();
    page.set_modified(UNIX_EPOCH + Duration::from_secs(1_000_000_000)).unwrap();
    let digest = Sha256::digest(b"from the web");
    let digest = digest.iter().fold("sha256:".to_owned(), |text, byte| format!("{text}{byte:02x}"));
    let url = server.url("page");
    let add =
        |sum: &str| format!("FROM busybox\nADD --checksum={sum} {url} /f\nADD --chown=33 {url} /folder/\n");
    context::Context::new(&add(&digest)).built(&engine, &["-t", "x"]);
    let stat = "stat -c '%a %Y %u' /f /folder/page; cat /folder/page";
    let seen = output(&engine, "x", &["sh", "-c", stat]);
    assert_eq!(seen, "600 1000000000 0\n600 1000000000 33\nfrom the web");
    let wrong = format!("sha256:{}", "0".repeat(64));
    let said = context::Context::new(&add(&wrong)).build(&engine, &[]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains(&format!("digest mismatch {digest} : {wrong}")), "{}", said.err);
    let local = context::Context::new(&format!("FROM busybox\nADD --checksum={digest} Dockerfile /f\n"));
    assert!(local.build(&engine, &[]).err.contains("checksum requires HTTP(S) or Git sources"));
}

#[test]
fn a_folder_stands_in_place_of_a_stage() {
    let Some(buildx) = with_buildx() else { return };
    let text = "FROM nowhere.invalid/x AS deep\nFROM nowhere.invalid/x AS base\nCOPY --from=deep /x /\nRUN exit 1\n\
                FROM base AS whole\nFROM busybox AS parts\nCOPY --from=Base . /copied\n\
                RUN --mount=from=base,target=/m cp /m/n /mounted\nFROM busybox\nCOPY --from=whole / /copied\n\
                COPY --from=parts /copied/n /mounted /\n";
    let context =
        Context::new(&buildx, text).write("folder/n", "of the folder").write("folder/deep/n", "deep");
    let built = |args: &[&str]| context.built(&[args, &["--build-context", "base=folder"]].concat());
    built(&["-t", "x"]);
    let files = output(&buildx.0, "x", &["cat", "/n", "/mounted", "/copied/n", "/copied/deep/n"]);
    assert_eq!(files, "of the folderof the folderof the folderdeep");
    built(&["--target", "base", "--output", "type=local,dest=out"]);
    assert_eq!(fs::read_to_string(context.path().join("out/deep/n")).unwrap(), "deep");
    let without = context.build(&["--target", "base"]);
    assert!(without.err.contains("nowhere.invalid"), "{}", without.err);
}

#[test]
fn an_image_or_a_file_of_the_web_stands_in_place_of_a_stage() {
    let Some(buildx) = with_buildx() else { return };
    let Some(server) = WebServer::start(&buildx.0) else { return };
    fs::write(server.folder().join("page"), "from the web").unwrap();
    Context::new(&buildx, "FROM busybox\nENV OF=image\nRUN echo image > /f\n").built(&["-t", "other:v1"]);
    let text = "FROM nowhere.invalid/x AS base\nRUN exit 1\nFROM busybox AS page\nRUN exit 1\nFROM base\n\
                RUN echo $OF > /env\nCOPY --from=0 /f /copied\nCOPY --from=page context /page\n";
    let context = Context::new(&buildx, text);
    let page = format!("page={}", server.url("page"));
    let base = "base=docker-image://other:v1";
    context.built(&["-t", "x", "--build-context", base, "--build-context", &page]);
    let files = output(&buildx.0, "x", &["cat", "/env", "/f", "/copied", "/page"]);
    assert_eq!(files, "image\nimage\nimage\nfrom the web");
    let nothing = "base=docker-image://scratch";
    let said = Context::new(&buildx, "FROM x AS base\nFROM base\nCOPY --from=base /f /\n")
        .build(&["--build-context", nothing]);
    assert!(said.err.contains("/f\": not found"), "{}", said.err);
}

/// The digest that a layout's index names.
fn digest_of(layout: &Path) -> String {
    let index = fs::read_to_string(layout.join("index.json")).expect("a layout's index");
    let index: serde_json::Value = serde_json::from_str(&index).expect("an index");
    index["manifests"][0]["digest"].as_str().expect("a manifest").to_owned()
}

#[test]
fn an_image_of_an_oci_layout_is_a_context() {
    let Some(buildx) = with_buildx() else { return };
    let made =
        Context::new(&buildx, "FROM busybox\nENV OF=layout\nRUN head -c 99999 /dev/urandom | md5sum > /f\n");
    made.built(&["--output", "type=oci,tar=false,dest=layout,name=docker.io/library/made:v1"]);
    let layout = made.path().join("layout");
    let digest = digest_of(&layout);
    let text = "FROM nowhere.invalid/x AS base\nRUN exit 1\nFROM base\nRUN echo $OF > /env\nCOPY --from=base /f /copied\n\
                RUN --mount=from=base,target=/m cp /m/f /mounted\n";
    let context = Context::new(&buildx, text);
    let given = |more: &str| format!("base=oci-layout://{}{more}", layout.display());
    // Nothing of it is known any more.
    buildx.0.ok(&["builder", "prune", "--all", "--force"]);
    for more in [format!("@{digest}"), ":v1".to_owned(), format!(":v1@{digest}")] {
        context.built(&["-t", "x", "--build-context", &given(&more)]);
    }
    let files =
        output(&buildx.0, "x", &["sh", "-c", "cat /env; cmp /f /copied && cmp /f /mounted && echo same"]);
    assert_eq!(files, "layout\nsame");
    let file = Context::new(&buildx, "FROM base\nCOPY --from=base /f /again\n");
    file.built(&["-t", "y", "--build-context", &given(&format!("@{digest}"))]);
    // What was brought is sent on as it came.
    let archive = context.path().join("saved.tar");
    buildx.0.ok(&["save", "--output", &archive.to_string_lossy(), "x", "y"]);
}

#[test]
fn a_layout_that_lacks_something_or_has_something_else_is_refused() {
    let Some(buildx) = with_buildx() else { return };
    let made = Context::new(&buildx, "FROM scratch\nCOPY big /big\n").write("big", &"big".repeat(9999));
    made.built(&["--output", "type=oci,tar=false,dest=layout"]);
    let layout = made.path().join("layout");
    let digest = digest_of(&layout);
    let blob = |digest: &str| layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"));
    let json = |digest: &str| -> serde_json::Value {
        serde_json::from_slice(&fs::read(blob(digest)).unwrap()).unwrap()
    };
    let layer = json(&digest)["layers"][0]["digest"].as_str().unwrap().to_owned();
    let context = Context::new(&buildx, "FROM base\n");
    let refused = |digest: &str, words: &str| {
        // What is known needn't come.
        buildx.0.ok(&["builder", "prune", "--all", "--force"]);
        let said =
            context.build(&["--build-context", &format!("base=oci-layout://{}@{digest}", layout.display())]);
        assert_eq!(said.code, 1, "{words}");
        assert!(said.err.contains(&format!("context base: {words}")), "{words}: {}", said.err);
    };
    let absent = format!("sha256:{}", "0".repeat(64));
    refused(&absent, &format!("content {absent}: not found"));
    let content = fs::read(blob(&layer)).unwrap();
    fs::write(blob(&layer), vec![b'x'; content.len()]).unwrap();
    refused(&digest, &format!("{layer} isn't what it says"));
    fs::write(blob(&layer), &content[1..]).unwrap();
    refused(&digest, &format!("{layer} isn't what it says"));
    fs::remove_file(blob(&layer)).unwrap();
    refused(&digest, &format!("receive content: content {layer}: not found"));
    fs::write(blob(&digest), "{}").unwrap();
    refused(&digest, &format!("{digest} isn't what it says"));
}

#[test]
fn what_one_target_of_bake_makes_is_a_context_of_another() {
    let Some(buildx) = with_buildx() else { return };
    let bake = r#"
        target "made" { dockerfile-inline = "FROM busybox\nENV OF=target\nRUN echo made > /f\n" }
        target "default" {
            dockerfile-inline = "FROM nowhere.invalid/x AS base\nRUN exit 1\nFROM base\nRUN echo $OF > /env\nCOPY --from=base /f /copied\n"
            contexts = { base = "target:made" }
            tags = ["x"]
        }"#;
    let context = Context::new(&buildx, "").write("docker-bake.hcl", bake);
    let baked = context.run(&["buildx", "bake"]);
    assert_eq!(baked.code, 0, "{}", baked.err);
    assert_eq!(output(&buildx.0, "x", &["cat", "/env", "/f", "/copied"]), "target\nmade\nmade");
}
