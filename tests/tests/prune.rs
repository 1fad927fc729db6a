//! Prune, `system df` and list filters through the unmodified client.

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
