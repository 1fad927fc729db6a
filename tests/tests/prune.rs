//! Prune, `system df` and list filters through the unmodified client.

use std::process::Command;

use e2e::condition::eventually;
use e2e::context::Context;
use e2e::engine::Engine;

fn lines(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn container_prune_takes_what_does_not_run_and_passes_the_filters() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "live", "--network", "none", "busybox", "sleep", "1000"]);
    engine.ok(&["create", "--name", "kept", "--label", "keep=1", "busybox"]);
    let script = "dd if=/dev/zero of=/srv/big bs=1024 count=100";
    engine.ok(&["run", "--name", "ended", "--network", "none", "busybox", "sh", "-c", script]);
    let id = engine.inspect("ended", ".Id");
    assert!(engine.ok(&["container", "prune", "-f", "--filter", "until=1h"]).contains("reclaimed space: 0B"));
    let out = engine.ok(&["container", "prune", "-f", "--filter", "label!=keep"]);
    assert!(out.contains(&id) && out.contains("102.4kB"), "{out}");
    assert_eq!(lines(&engine.ok(&["ps", "-a", "--format", "{{.Names}}"])), ["kept", "live"]);
}

#[test]
fn image_prune_takes_nameless_images_and_with_all_every_unused_one() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    engine.ok(&["create", "--name", "box", "busybox"]);
    let nameless = engine.ok(&["commit", "box"]);
    engine.ok(&["commit", "-m", "other", "box", "unused:v1"]);
    let out = engine.ok(&["image", "prune", "-f"]);
    assert!(out.contains(&nameless) && !out.contains("unused"), "{out}");
    assert!(engine.ok(&["image", "prune", "-af"]).contains("untagged: unused:v1"));
    assert_eq!(engine.ok(&["images", "--format", "{{.Repository}}"]), "busybox");
}

#[test]
fn one_prune_takes_an_image_and_what_it_was_made_on() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    engine.ok(&["create", "--name", "box", "busybox"]);
    for (below, above) in [("busybox", "one:v1"), ("one:v1", "two:v1"), ("two:v1", "three:v1")] {
        engine.ok(&["create", "--name", "next", below]);
        engine.ok(&["commit", "next", above]);
        engine.ok(&["rm", "next"]);
    }
    let out = engine.ok(&["image", "prune", "-af"]);
    assert_eq!(out.matches("untagged:").count(), 3, "{out}");
    assert_eq!(engine.ok(&["images", "--format", "{{.Repository}}"]), "busybox");
}

#[test]
fn a_list_of_images_tells_what_they_share_when_asked() {
    let Some(engine) = Engine::with_busybox() else { return };
    let shared = |path: &str| {
        let images = engine.get(path);
        let of = |image: &serde_json::Value| (image["SharedSize"].as_i64(), image["Size"].as_i64());
        images.as_array().into_iter().flatten().map(of).collect::<Vec<_>>()
    };
    assert_eq!(shared("/v1.51/images/json?shared-size=1")[0].0, Some(0));
    let size = shared("/v1.51/images/json")[0].1;
    engine.ok(&["run", "--name", "box", "--network", "none", "busybox", "sh", "-c", "echo more > /srv/more"]);
    engine.ok(&["commit", "box", "above:v1"]);
    assert_eq!(shared("/v1.51/images/json?shared-size=1"), [(size, size.map(|size| size + 5)), (size, size)]);
    for silent in ["/v1.51/images/json", "/v1.41/images/json?shared-size=1"] {
        assert!(shared(silent).iter().all(|(shared, _)| *shared == Some(-1)), "{silent}");
    }
}

#[test]
fn df_adds_up() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let script =
        "dd if=/dev/zero of=/srv/big bs=1024 count=100; dd if=/dev/zero of=/data/big bs=1024 count=200";
    engine.ok(&[
        "run",
        "--name",
        "box",
        "-v",
        "data:/data",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        script,
    ]);
    engine.ok(&["commit", "box", "more"]);
    let table = engine.ok(&["system", "df", "--format", "{{.Type}};{{.TotalCount}};{{.Active}};{{.Size}}"]);
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(';').collect()).collect();
    assert_eq!(rows[0][..3], ["Images", "2", "1"]);
    assert_eq!(rows[1][..4], ["Containers", "1", "0", "102.4kB"], "{table}");
    assert_eq!(rows[2][..3], ["Local Volumes", "1", "1"]);
    assert!(rows[2][3].starts_with("204.8kB") || rows[2][3].starts_with("208.9kB"), "{table}");
    let verbose = engine.ok(&["system", "df", "-v"]);
    assert!(verbose.contains("busybox") && verbose.contains("data"), "{verbose}");
    let sizes = engine.ok(&["ps", "-as", "--format", "{{.Size}}"]);
    assert!(sizes.starts_with("102kB (virtual") || sizes.starts_with("102.4kB (virtual"), "{sizes}");
}

/// So many bytes that no compression makes fewer, in a new image; one without a name when there is none.
fn grow(engine: &Engine, below: &str, above: Option<&str>, bytes: u32) {
    let script = format!("head -c {bytes} /dev/urandom > /srv/{}", above.unwrap_or("nameless"));
    engine.ok(&["run", "--name", "grows", "--network", "none", below, "sh", "-c", &script]);
    let name: Vec<&str> = above.into_iter().collect();
    engine.ok(&[&["commit", "grows"], name.as_slice()].concat());
    engine.ok(&["rm", "grows"]);
}

/// The bytes that the engine's images and its builder take of the disk.
fn taken(engine: &Engine) -> u64 {
    let folders = ["images", "builder"].map(|name| engine.data_root().join(name));
    let output = Command::new("du").args(["-s", "-c", "-B1"]).args(folders).output().expect("run du");
    let total = String::from_utf8_lossy(&output.stdout);
    let total = total.lines().last().and_then(|line| line.split('\t').next()?.parse().ok());
    total.expect("a number")
}

/// The same once what was removed before is gone: that is done beside other work.
fn taken_at_rest(engine: &Engine) -> u64 {
    let mut last = taken(engine);
    eventually("the disk is at rest", || {
        let before = std::mem::replace(&mut last, taken(engine));
        (before == last).then_some(last)
    })
}

/// Waits until so many bytes have come free on the disk since `before`. What is told is exact, blocks of files aren't.
fn frees(engine: &Engine, before: u64, bytes: u64) {
    let blocks = 100_000;
    let is_freed = || (taken(engine) + bytes <= before + blocks).then_some(());
    eventually("the disk has its room again", is_freed);
}

/// What `GET /system/df` says of a named image: all bytes, those that others have too, and its own.
fn sizes(usage: &serde_json::Value, name: &str) -> [i64; 2] {
    let images = usage["Images"].as_array().expect("images");
    let tag = format!("{name}:latest");
    let image = images.iter().find(|image| image["RepoTags"][0] == *tag).expect("the image");
    ["Size", "SharedSize"].map(|field| image[field].as_i64().expect("a number"))
}

#[test]
fn what_images_share_is_counted_once_and_prunes_tell_what_came_free() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    for (below, above, bytes) in [
        ("busybox", Some("base"), 3_000_000),
        ("base", Some("one"), 1_000_000),
        ("base", Some("two"), 2_000_000),
        ("base", None, 500_000),
    ] {
        grow(&engine, below, above, bytes);
    }
    let usage = || engine.get("/v1.43/system/df");
    let before = usage();
    let [busybox, of_busybox] = sizes(&before, "busybox");
    assert_eq!(of_busybox, busybox);
    let expected = [("base", 3_000_000, 0), ("one", 3_000_000, 1_000_000), ("two", 3_000_000, 2_000_000)];
    for (name, shared, own) in expected {
        assert_eq!(sizes(&before, name), [busybox + shared + own, busybox + shared], "{name}");
    }
    assert_eq!(before["LayersSize"], busybox + 6_500_000);
    // As the client shows them.
    let listed = engine.ok(&[
        "system",
        "df",
        "-v",
        "--format",
        "{{range .Images}}{{.Repository}} {{.UniqueSize}}\n{{end}}",
    ]);
    for line in ["base 0B", "one 1MB", "two 2MB", "<none> 500kB", "busybox 0B"] {
        assert!(listed.lines().any(|listed| listed == line), "{line}: {listed}");
    }
    engine.ok(&["create", "--name", "user", "busybox"]);
    let table =
        engine.ok(&["system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}} {{.Reclaimable}}"]);
    assert!(table.starts_with("Images 5 1 ") && table.contains("(100%)"), "{table}");

    let disk = taken_at_rest(&engine);
    assert!(engine.ok(&["image", "prune", "-f"]).ends_with("Total reclaimed space: 500kB"));
    frees(&engine, disk, 500_000);
    engine.ok(&["rmi", "two"]);
    frees(&engine, disk, 2_500_000);
    assert_eq!(usage()["LayersSize"], busybox + 4_000_000);
    let disk = taken_at_rest(&engine);
    assert!(engine.ok(&["image", "prune", "-af"]).ends_with("Total reclaimed space: 4MB"));
    frees(&engine, disk, 4_000_000);
    assert_eq!(usage()["LayersSize"], busybox);
}

#[test]
fn what_an_image_and_the_builds_cache_both_have_comes_free_with_the_last_of_them() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let context = Context::new("FROM busybox\nRUN head -c 5000000 /dev/urandom > /five\n");
    let cache =
        || engine.ok(&["system", "df", "--format", "{{.Type}} {{.Size}}"]).lines().last().map(str::to_owned);
    // Docker's filters leave what images use to those who want all.
    let prune =
        || engine.call("POST", "/build/prune?all=1", &serde_json::Value::Null).1["SpaceReclaimed"].clone();

    engine.ok(&["create", "--name", "user", "busybox"]);
    context.built(&engine, &["-t", "built"]);
    let disk = taken_at_rest(&engine);
    assert_eq!(cache().as_deref(), Some("Build Cache 0B"), "the image has it");
    assert!(engine.ok(&["image", "prune", "-af"]).ends_with("Total reclaimed space: 0B"), "the cache has it");
    assert_eq!(cache().as_deref(), Some("Build Cache 5MB"));
    assert_eq!(prune(), 5_000_000);
    assert_eq!(cache().as_deref(), Some("Build Cache 0B"));
    frees(&engine, disk, 5_000_000);

    context.built(&engine, &["-t", "built"]);
    let disk = taken_at_rest(&engine);
    assert_eq!(prune(), 0, "the image has it");
    assert!(engine.ok(&["image", "prune", "-af"]).ends_with("Total reclaimed space: 5MB"));
    frees(&engine, disk, 5_000_000);
}

#[test]
fn lists_are_filtered_as_docker_filters_them() {
    let Some(engine) = Engine::with_busybox() else { return };
    for name in ["web-1", "web-2", "db"] {
        engine.ok(&[
            "create",
            "--name",
            name,
            "--label",
            &format!("name={name}"),
            "--expose",
            "80",
            "busybox",
        ]);
    }
    engine.ok(&["commit", "db", "child"]);
    engine.ok(&["create", "--name", "young", "child"]);
    let names = |filters: &[&str]| {
        let mut args = vec!["ps", "-a", "--format", "{{.Names}}"];
        filters.iter().for_each(|filter| args.extend(["--filter", filter]));
        lines(&engine.ok(&args))
    };
    assert_eq!(names(&["name=^web-[0-9]$"]), ["web-1", "web-2"]);
    assert_eq!(names(&["name=^/db$"]), ["db"]);
    assert_eq!(names(&["label=name=db"]), ["db", "young"]);
    assert_eq!(names(&["ancestor=child"]), ["young"]);
    assert_eq!(names(&["ancestor=busybox"]), ["db", "web-1", "web-2", "young"]);
    assert_eq!(names(&["before=web-2"]), ["web-1"]);
    assert_eq!(names(&["since=web-2"]), ["db", "young"]);
    assert_eq!(names(&["expose=80/tcp", "name=web"]), ["web-1", "web-2"]);
    assert_eq!(names(&["health=none", "is-task=false", "status=created", "name=db"]), ["db"]);
    assert!(engine.docker(&["ps", "--filter", "wings=2"]).err.contains("invalid filter 'wings'"));
}
