//! Builds for several platforms at once, by a remote builder (the client's `docker` driver asks for none).

use std::fs;
use std::time::{Duration, Instant};

use e2e::buildx::Remote;
use e2e::context::Context;
use e2e::gate::Gate;
use e2e::registry::Registry;

const BOTH: &str = "linux/amd64,linux/arm64";
const COPIES: &str = "FROM scratch\nARG TARGETARCH\nCOPY $TARGETARCH /arch\n";

fn two() -> Context {
    Context::new(COPIES).write("amd64", "one").write("arm64", "other")
}

#[test]
fn a_pushed_tag_means_an_image_for_each_platform() {
    let Some(client) = Remote::start() else { return };
    let Some(registry) = Registry::start(&client.engine) else { return };
    let name = format!("{}/team/both:v1", registry.address);
    let progress = client.built(&two(), BOTH, &["--push", "--tag", &name]);
    assert!(progress.contains("[linux/arm64 1/1] COPY arm64 /arch"), "{progress}");
    let told = client.engine.get(&format!("/distribution/{name}/json"));
    assert_eq!(told["Descriptor"]["mediaType"], "application/vnd.oci.image.index.v1+json", "{told}");
    let of = |platform: &serde_json::Value| platform["architecture"].as_str().unwrap().to_owned();
    let platforms: Vec<String> = told["Platforms"].as_array().unwrap().iter().map(of).collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    for (platform, content) in [("linux/arm64", "other"), ("linux/amd64", "one")] {
        client.engine.ok(&["rmi", "--force", &name]);
        client.engine.ok(&["pull", "--quiet", "--platform", platform, &name]);
        assert_eq!(client.engine.inspect(&name, ".Architecture"), &platform["linux/".len()..]);
        let container = client.engine.ok(&["create", "--platform", platform, &name, "/arch"]);
        let place = tempfile::tempdir().unwrap();
        let copied = place.path().join("arch");
        client.engine.ok(&["cp", &format!("{container}:/arch"), copied.to_str().unwrap()]);
        assert_eq!(fs::read_to_string(copied).unwrap(), content);
        client.engine.ok(&["rm", &container]);
    }
}

#[test]
fn archives_and_folders_have_every_platform() {
    let Some(client) = Remote::start() else { return };
    let context = two();
    let out = tempfile::tempdir().unwrap();
    let path = |name: &str| out.path().join(name).to_str().unwrap().to_owned();
    client.built(&context, BOTH, &["--output", &path("folder")]);
    let read = |name: &str| fs::read_to_string(out.path().join("folder").join(name)).unwrap();
    assert_eq!([read("linux_amd64/arch"), read("linux_arm64/arch")], ["one", "other"]);
    client.built(&context, BOTH, &["--output", &format!("type=oci,name=both:v1,dest={}", path("oci.tar"))]);
    client.engine.ok(&["load", "--quiet", "--input", &path("oci.tar")]);
    assert_eq!(client.engine.inspect("both:v1", ".Architecture"), "amd64");
    let docker = format!("type=docker,dest={}", path("docker.tar"));
    let refused = client.build(&context, &["--platform", BOTH, "--output", &docker]);
    assert!(refused.err.contains("exporting manifest lists"), "{}", refused.err);
    client.built(&context, BOTH, &["--output", "type=image,name=here:v1"]);
    assert_eq!(client.engine.inspect("here:v1", ".Architecture"), "amd64");
}

#[test]
fn a_step_that_no_processor_here_runs_fails_the_build_by_name() {
    let Some(client) = Remote::start() else { return };
    let text = format!("{COPIES}RUN [\"/arch\"]\n");
    let context = Context::new(&text).write("s390x", "x").write("riscv64", "y");
    let failed = client.build(&context, &["--platform", "linux/s390x,linux/riscv64"]);
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("needs an interpreter that this machine hasn't"), "{}", failed.err);
}

#[test]
fn what_is_pushed_by_its_digest_has_no_tag() {
    let Some(client) = Remote::start() else { return };
    let Some(registry) = Registry::start(&client.engine) else { return };
    let (name, context) = (format!("{}/team/nameless", registry.address), two());
    let output = format!("type=image,name={name},push-by-digest=true,push=true,annotation-index.team=berth");
    let told = context.path().join("told.json");
    client.built(&context, BOTH, &["--output", &output, "--metadata-file", told.to_str().unwrap()]);
    let told: serde_json::Value = serde_json::from_slice(&fs::read(told).unwrap()).unwrap();
    let digest = told["containerimage.digest"].as_str().unwrap();
    assert_eq!(client.run(&["pull", "--quiet", &format!("{name}@{digest}")]).code, 0);
    assert_ne!(client.run(&["pull", "--quiet", &name]).code, 0);
    let tagged = format!("type=image,name={name}:v1,push-by-digest=true,push=true");
    let began = Instant::now();
    let refused = client.build(&context, &["--output", &tagged]);
    // The client's side of the build isn't left to wait for one that has ended.
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(refused.err.contains("can't push a name with a tag by digest"), "{}", refused.err);
}

#[test]
fn what_one_target_of_bake_makes_is_a_context_of_another_for_each_platform() {
    let Some(client) = Remote::start() else { return };
    let bake = r#"
        group "default" { targets = ["all", "one"] }
        target "made" {
            platforms = ["linux/amd64", "linux/arm64"]
        }
        target "uses" {
            dockerfile-inline = "FROM nowhere.invalid/x AS base\nFROM base\nCOPY --from=base /arch /copied\n"
            contexts = { base = "target:made" }
        }
        target "all" {
            inherits = ["uses"]
            platforms = ["linux/amd64", "linux/arm64"]
            output = ["type=local,dest=all"]
        }
        target "one" {
            inherits = ["uses"]
            platforms = ["linux/arm64"]
            output = ["type=local,dest=one"]
        }"#;
    let context = two().write("docker-bake.hcl", bake);
    let baked = client.run_in(&context, &["buildx", "bake", "--provenance=false"]);
    assert_eq!(baked.code, 0, "{}", baked.err);
    let read = |path: &str| fs::read_to_string(context.path().join(path)).unwrap();
    for (folder, content) in [("all/linux_amd64", "one"), ("all/linux_arm64", "other"), ("one", "other")] {
        assert_eq!(read(&format!("{folder}/arch")), content, "{folder}");
        assert_eq!(read(&format!("{folder}/copied")), content, "{folder}");
    }
}

#[test]
fn a_named_context_is_each_platforms_own_image() {
    let Some(client) = Remote::start() else { return };
    let Some(registry) = Registry::start(&client.engine) else { return };
    let name = format!("{}/team/base:v1", registry.address);
    let base = two();
    client.built(&base, BOTH, &["--push", "--tag", &name]);
    let layout = base.path().join("layout").to_str().unwrap().to_owned();
    client.built(
        &base,
        BOTH,
        &["--output", &format!("type=oci,name=docker.io/library/base:v1,tar=false,dest={layout}")],
    );
    let text = "FROM base\nARG TARGETARCH\nCOPY --from=base /arch /copied-$TARGETARCH\n";
    for (number, address) in
        [format!("docker-image://{name}"), format!("oci-layout://{layout}:v1")].iter().enumerate()
    {
        let context = Context::new(text);
        let out = context.path().join(format!("out{number}"));
        let (named, dest) = (format!("base={address}"), out.to_str().unwrap());
        client.built(&context, BOTH, &["--build-context", &named, "--output", dest]);
        for (architecture, content) in [("amd64", "one"), ("arm64", "other")] {
            for file in ["arch".to_owned(), format!("copied-{architecture}")] {
                let read = fs::read_to_string(out.join(format!("linux_{architecture}")).join(file)).unwrap();
                assert_eq!(read, content, "{address}");
            }
        }
    }
}

#[test]
fn where_ocis_index_is_unknown_it_is_dockers_list() {
    let Some(client) = Remote::start() else { return };
    if client.engine.is_machine() {
        eprintln!("skipped: the gate stands beside a native engine");
        return;
    }
    let Some(registry) = Registry::start(&client.engine) else { return };
    let Some(gate) = Gate::refusing(&registry, &client.engine, "application/vnd.oci.") else { return };
    let name = format!("{}/team/both:v1", gate.address);
    client.built(&two(), BOTH, &["--push", "--tag", &name]);
    let told = client.engine.get(&format!("/distribution/{name}/json"));
    let list = "application/vnd.docker.distribution.manifest.list.v2+json";
    assert_eq!(told["Descriptor"]["mediaType"], list, "{told}");
    client.engine.ok(&["pull", "--quiet", "--platform", "linux/arm64", &name]);
    assert_eq!(client.engine.inspect(&name, ".Architecture"), "arm64");
}
