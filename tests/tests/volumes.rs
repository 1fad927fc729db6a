//! Volumes and binds through the unmodified client.

use std::fs;
use std::process::Command;

use e2e::condition::eventually;
use e2e::engine::Engine;

const RUN: &[&str] = &["run", "--rm", "--network", "none"];

/// An image with files in /data, which are the user web's.
fn with_data(engine: &Engine) {
    let script = "mkdir /data; echo from the image > /data/page; ln -s page /data/link; chown -R web:web /data; chmod 750 /data";
    engine.ok(&["run", "--name", "base", "--network", "none", "busybox", "sh", "-c", script]);
    engine.ok(&["commit", "--change", "CMD sh", "base", "own"]);
}

#[test]
fn a_fresh_volume_gets_the_images_files_and_a_used_one_keeps_its_own() {
    let Some(engine) = Engine::with_busybox() else { return };
    with_data(&engine);
    let run =
        |volume: &str, script: &str| engine.ok(&[RUN, &["-v", volume, "own", "sh", "-c", script]].concat());
    let look = "cat /data/link; stat -c '%U %a' /data; stat -c %U /data/page";
    assert_eq!(run("named:/data", look), "from the image\nweb 750\nweb");
    assert_eq!(run("/data", "cat /data/page"), "from the image");
    run("named:/data", "echo mine > /data/page");
    assert_eq!(run("named:/data", "cat /data/page"), "mine");
    assert_eq!(run("bare:/data:nocopy", "ls /data"), "");
    let mount = ["--mount", "type=volume,source=plain,target=/data,volume-nocopy", "own", "ls", "/data"];
    assert_eq!(engine.ok(&[RUN, &mount].concat()), "");
}

#[test]
fn a_subpath_is_inside_its_volume_whatever_links_it_has() {
    let Some(engine) = Engine::with_busybox() else { return };
    let fill = "mkdir -p /v/a/b; echo inner > /v/a/b/page; ln -s / /v/up; ln -s ../../../.. /v/far";
    engine.ok(&[RUN, &["-v", "tree:/v", "busybox", "sh", "-c", fill]].concat());
    let run = |subpath: &str| {
        let mount = format!("type=volume,source=tree,target=/m,volume-subpath={subpath}");
        engine.docker(&[RUN, &["--mount", &mount, "busybox", "cat", "/m/page"]].concat())
    };
    let said = run("a/b");
    assert_eq!(said.out, "inner", "{said:?}");
    assert_eq!(run("far/a/b").out, "inner");
    for outside in ["up/etc", "far/root", "missing"] {
        assert!(run(outside).err.contains("no such file or directory"), "{outside}");
    }
    assert!(run("../x").err.contains("subpath must be a relative path"), "{:?}", run("../x"));
}

#[test]
fn the_local_driver_mounts_what_its_options_say_while_a_container_runs() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let memory = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=2m,nosuid"];
    engine.ok(&[&["volume", "create"], &memory[..], &["memory"]].concat());
    let shown =
        engine.ok(&[RUN, &["-v", "memory:/m", "busybox", "sh", "-c", "grep ' /m ' /proc/mounts"]].concat());
    assert!(shown.starts_with("tmpfs /m tmpfs") && shown.contains("size=2048k"), "{shown}");
    assert_eq!(engine.ok(&["volume", "inspect", "--format", "{{.Options.o}}", "memory"]), "size=2m,nosuid");
    let here = tempfile::tempdir().unwrap();
    fs::write(here.path().join("page"), "outside").unwrap();
    let device = format!("device={}", here.path().display());
    engine.ok(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, "folder"]);
    engine.ok(&["create", "--name", "rest", "-v", "folder:/f", "busybox"]);
    assert_eq!(engine.ok(&[RUN, &["-v", "folder:/f", "busybox", "cat", "/f/page"]].concat()), "outside");
    // A container at rest has it too, for cp.
    assert!(
        String::from_utf8_lossy(&engine.client(&["cp", "rest:/f/page", "-"]).output().unwrap().stdout)
            .contains("outside")
    );
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("volumes/memory") && !mounts.contains("volumes/folder"), "{mounts}");
    engine.ok(&["rm", "rest"]);
    engine.ok(&["volume", "rm", "folder"]);
    assert!(here.path().join("page").exists());
    let half = engine.docker(&["volume", "create", "--opt", "type=tmpfs", "half"]);
    assert!(half.err.contains(r#"missing required option: "device""#), "{half:?}");
}

#[test]
fn what_is_mounted_below_a_bind_comes_along_or_not() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let here = tempfile::tempdir().unwrap();
    let below = here.path().join("below");
    fs::create_dir(&below).unwrap();
    assert!(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&below).status().unwrap().success());
    fs::write(below.join("page"), "x").unwrap();
    let run = |options: &str, script: &str| {
        let mount = format!("type=bind,source={},target=/b{options}", here.path().display());
        engine.docker(&[RUN, &["--mount", &mount, "busybox", "sh", "-c", script]].concat())
    };
    let write = "touch /b/below/new";
    let said = [
        run("", "ls /b/below"),
        run(",bind-recursive=disabled", "ls /b/below"),
        run(",readonly", write),
        run(",readonly,bind-recursive=writable", write),
        run(",readonly,bind-propagation=rprivate,bind-recursive=readonly", write),
    ];
    assert!(Command::new("umount").arg(&below).status().unwrap().success());
    assert_eq!([said[0].out.as_str(), said[1].out.as_str()], ["page", ""]);
    assert_eq!([said[2].code, said[3].code, said[4].code], [1, 0, 1], "{said:?}");
    assert!(said[2].err.contains("Read-only file system"), "{said:?}");
}

#[test]
fn volumes_from_takes_over_what_another_container_has() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&[
        "run",
        "--name",
        "first",
        "-v",
        "/v",
        "--network",
        "none",
        "busybox",
        "sh",
        "-c",
        "echo x > /v/page",
    ]);
    let take = |how: &str, script: &str| {
        engine.docker(&[RUN, &["--volumes-from", how, "busybox", "sh", "-c", script]].concat())
    };
    assert_eq!(take("first", "cat /v/page").out, "x");
    assert!(take("first:ro", "echo y > /v/page").err.contains("Read-only file system"));
}

#[test]
fn an_images_files_are_mounted_and_can_not_be_written() {
    let Some(engine) = Engine::with_busybox() else { return };
    with_data(&engine);
    engine.ok(&["rm", "base"]);
    let mount = "type=image,source=own,target=/other";
    let script = "cat /other/data/page; touch /other/new";
    let said = engine.docker(&[RUN, &["--mount", mount, "busybox", "sh", "-c", script]].concat());
    assert_eq!(said.out, "from the image", "{said:?}");
    assert!(said.code != 0 && said.err.contains("Read-only file system"), "{said:?}");
    let part = "type=image,source=own,target=/part,image-subpath=data";
    assert_eq!(
        engine.ok(&[RUN, &["--mount", part, "busybox", "cat", "/part/page"]].concat()),
        "from the image"
    );
    let missing = "type=image,source=nowhere:1,target=/other";
    let said = engine.docker(&[RUN, &["--pull", "never", "--mount", missing, "busybox", "true"]].concat());
    assert!(said.err.contains("No such image: nowhere:1"), "{said:?}");
    // The image may lose its name meanwhile; a container at rest has the files too.
    engine.ok(&["create", "--name", "rest", "--mount", mount, "busybox", "cat", "/other/data/page"]);
    assert_eq!(engine.inspect("rest", "(index .Mounts 0).Type"), "image");
    assert_eq!(engine.inspect("rest", "(index .Mounts 0).Name"), "own");
    engine.ok(&["rmi", "own"]);
    let copied = engine.client(&["cp", "rest:/other/data/page", "-"]).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&copied).contains("from the image"));
    assert_eq!(engine.ok(&["start", "-a", "rest"]), "from the image");
    engine.ok(&["rm", "rest"]);
    if !engine.is_machine() {
        let snapshots = engine.data_root().join("images/snapshots");
        eventually("nothing is left of either", || {
            (fs::read_dir(&snapshots).unwrap().count() == 0).then_some(())
        });
    }
}

#[test]
fn a_volume_over_etc_leaves_a_container_its_names() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script = "hostname | diff - /etc/hostname && grep -q localhost /etc/hosts && ls /etc";
    let run = ["-v", "settings:/etc:nocopy", "busybox", "sh", "-c", script];
    assert_eq!(engine.ok(&[RUN, &run].concat()), "hostname\nhosts\nresolv.conf");
    let run = ["-v", "only-read:/etc:ro", "busybox", "sh", "-c", "hostname | diff - /etc/hostname"];
    engine.ok(&[RUN, &run].concat());
}
