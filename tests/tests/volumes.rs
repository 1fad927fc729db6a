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
    let Some(engine) = Engine::with_busybox() else { return };
    let memory = ["--opt", "type=tmpfs", "--opt", "device=tmpfs", "--opt", "o=size=2m,nosuid"];
    engine.ok(&[&["volume", "create"], &memory[..], &["memory"]].concat());
    let shown =
        engine.ok(&[RUN, &["-v", "memory:/m", "busybox", "sh", "-c", "grep ' /m ' /proc/mounts"]].concat());
    assert!(shown.starts_with("tmpfs /m tmpfs") && shown.contains("size=2048k"), "{shown}");
    assert_eq!(engine.ok(&["volume", "inspect", "--format", "{{.Options.o}}", "memory"]), "size=2m,nosuid");
    let here = engine.shared_folder();
    fs::write(here.path().join("page"), "outside").unwrap();
    let device = format!("device={}", here.path().display());
    engine.ok(&["volume", "create", "--opt", "type=none", "--opt", "o=bind", "--opt", &device, "folder"]);
    engine.ok(&["create", "--name", "rest", "-v", "folder:/f", "busybox"]);
    let script = "cat /f/page; echo inside > /f/back";
    let run = [RUN, &["-v", "folder:/f", "-v", "memory:/m", "busybox", "sh", "-c", script]].concat();
    assert_eq!(engine.ok(&run), "outside");
    assert_eq!(fs::read_to_string(here.path().join("back")).unwrap(), "inside\n");
    // A container at rest has it too, for cp.
    assert!(
        String::from_utf8_lossy(&engine.client(&["cp", "rest:/f/page", "-"]).output().unwrap().stdout)
            .contains("outside")
    );
    if !engine.is_machine() {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains("volumes/memory") && !mounts.contains("volumes/folder"), "{mounts}");
    }
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

/// What a command prints in lines, in order of the alphabet, in one line.
fn sorted(said: &str) -> String {
    let mut lines: Vec<&str> = said.lines().collect();
    lines.sort_unstable();
    lines.join(" ")
}

#[test]
fn volumes_are_listed_as_dockers_filters_say_and_pruned_by_kind() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["volume", "create", "--label", "colour=red", "--label", "kept", "fv-red"]);
    engine.ok(&["volume", "create", "--label", "colour=blue", "fv-blue"]);
    let list = |filters: &[&str]| {
        let filters: Vec<&str> = filters.iter().flat_map(|&filter| ["--filter", filter]).collect();
        sorted(&engine.ok(&[&["volume", "ls", "--quiet"], &filters[..]].concat()))
    };
    engine.ok(&["create", "--name", "uses", "-v", "fv-red:/v", "-v", "/anonymous", "busybox"]);
    let used = list(&["dangling=false"]);
    let anonymous = used.split(' ').find(|name| *name != "fv-red").expect("an anonymous one").to_owned();
    assert_eq!(anonymous.len(), 64);
    for (filters, expected) in [
        (&["name=fv-"][..], "fv-blue fv-red"),
        (&["name=^fv-red$"], "fv-red"),
        (&["label=kept"], "fv-red"),
        (&["label=colour=blue"], "fv-blue"),
        (&["label=colour", "label=kept"], "fv-red"),
        (&["driver=local", "name=fv-b"], "fv-blue"),
        (&["driver=other"], ""),
        (&["dangling=true"], "fv-blue"),
        (&["dangling=false", "name=fv-"], "fv-red"),
    ] {
        assert_eq!(list(filters), expected, "{filters:?}");
    }
    for (filter, expected) in
        [("size=1", "invalid filter 'size'"), ("dangling=perhaps", "invalid filter 'dangling=[perhaps]'")]
    {
        let said = engine.docker(&["volume", "ls", "--filter", filter]);
        assert!(said.code == 1 && said.err.contains(expected), "{said:?}");
    }
    let prune = |more: &[&str]| engine.ok(&[&["volume", "prune", "--force"], more].concat());
    assert_eq!(prune(&[]), "Total reclaimed space: 0B", "none of what is unused is anonymous");
    engine.ok(&["rm", "uses"]);
    assert!(prune(&[]).contains(&anonymous));
    assert_eq!(list(&[]), "fv-blue fv-red");
    assert!(prune(&["--all", "--filter", "label!=kept"]).contains("fv-blue"));
    assert_eq!(list(&[]), "fv-red");
    assert!(prune(&["--all", "--filter", "label=kept"]).contains("fv-red"));
    assert_eq!(list(&[]), "");
}

#[test]
fn df_tells_a_volumes_size_and_how_many_containers_have_it() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&[RUN, &["-v", "filled:/v", "busybox", "sh", "-c", "head -c 500000 /dev/zero > /v/big"]].concat());
    engine.ok(&["volume", "create", "empty"]);
    engine.ok(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "elsewhere"]);
    for name in ["one", "two"] {
        engine.ok(&["create", "--name", name, "-v", "filled:/v", "busybox"]);
    }
    let row = |name: &str| {
        let volumes = engine.get("/system/df?type=volume")["Volumes"].clone();
        let row = volumes.as_array().unwrap().iter().find(|row| row["Name"] == name).unwrap().clone();
        (row["UsageData"]["RefCount"].as_i64().unwrap(), row["UsageData"]["Size"].as_i64().unwrap())
    };
    let (links, size) = row("filled");
    assert!(links == 2 && (500_000..520_000).contains(&size), "{links} {size}");
    assert_eq!(row("empty").0, 0);
    let shown = engine.ok(&["system", "df", "-v"]);
    assert!(!shown.contains("elsewhere"), "what options of the driver say isn't in the volume: {shown}");
    let line = shown.lines().find(|line| line.starts_with("filled ")).expect("its line");
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[1], "2", "{shown}");
    assert!(words[2].starts_with("50") && words[2].ends_with("kB"), "{shown}");
    engine.ok(&["rm", "one", "two"]);
    assert_eq!(row("filled").0, 0);
}

#[test]
fn a_mount_makes_its_source_only_when_told_and_takes_words_of_other_systems() {
    let Some(engine) = Engine::with_busybox() else { return };
    let here = engine.shared_folder();
    let missing = here.path().join("not/yet");
    let create = |made: bool| {
        let mount = serde_json::json!({
            "Type": "bind", "Source": missing, "Target": "/b", "BindOptions": { "CreateMountpoint": made },
        });
        let host = serde_json::json!({ "Mounts": [mount], "NetworkMode": "none" });
        let body = serde_json::json!({ "Image": "busybox", "Cmd": ["touch", "/b/page"], "HostConfig": host });
        engine.call("POST", "/containers/create", &body)
    };
    let (status, answer) = create(false);
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(status == 400 && message.contains("bind source path does not exist"), "{answer}");
    let (status, answer) = create(true);
    assert_eq!(status, 201, "{answer}");
    engine.ok(&["start", "-a", answer["Id"].as_str().unwrap()]);
    assert!(missing.join("page").exists());
    for consistency in ["consistent", "cached", "delegated", "default"] {
        let mount = format!("type=bind,source={},target=/b,consistency={consistency}", missing.display());
        assert_eq!(engine.ok(&[RUN, &["--mount", &mount, "busybox", "ls", "/b"]].concat()), "page");
    }
}

/// A folder of this machine that is a mount of its own, as a bind; unmounted when dropped.
struct Mount(tempfile::TempDir);

impl Mount {
    /// One whose mounts others see (`--make-shared`), or don't (`--make-private`).
    fn new(propagation: &str) -> Self {
        let mount = Self(tempfile::tempdir().expect("make a folder"));
        let path = mount.0.path().to_string_lossy();
        run("mount", &["--bind", &path, &path]);
        run("mount", &[propagation, &path]);
        mount
    }

    /// Mounts something with a file `page` on a folder in it.
    fn mount(&self, name: &str) {
        let at = self.0.path().join(name);
        fs::create_dir(&at).expect("make a folder");
        run("mount", &["-t", "tmpfs", "tmpfs", &at.to_string_lossy()]);
        fs::write(at.join("page"), "").expect("write a file");
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        drop(Command::new("umount").args(["--recursive", "--lazy"]).arg(self.0.path()).status());
    }
}

fn run(program: &str, words: &[&str]) {
    assert!(Command::new(program).args(words).status().expect("run a tool").success(), "{program} {words:?}");
}

#[test]
fn mounts_cross_into_a_container_and_out_of_it_as_its_propagation_says() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let shared = Mount::new("--make-shared");
    let path = shared.0.path().display();
    for propagation in ["rprivate", "rslave", "rshared"] {
        let mount = format!("type=bind,source={path},target=/b,bind-propagation={propagation}");
        let run = ["run", "-d", "--name", propagation, "--privileged", "--mount", &mount];
        engine.ok(&[&run[..], &["busybox", "sleep", "1000"]].concat());
    }
    shared.mount("late");
    let sees = |name: &str| engine.ok(&["exec", name, "ls", "/b/late"]);
    assert_eq!(["rprivate", "rslave", "rshared"].map(sees), ["", "page", "page"]);
    let script = "mkdir /b/$0; mount -t tmpfs tmpfs /b/$0; touch /b/$0/page";
    let crosses = |name: &str| {
        engine.ok(&["exec", name, "sh", "-c", script, name]);
        shared.0.path().join(name).join("page").exists()
    };
    assert_eq!(["rprivate", "rslave", "rshared"].map(crosses), [false, false, true]);
    assert_eq!(engine.inspect("rslave", "(index .Mounts 0).Propagation"), "rslave");
    engine.ok(&["rm", "--force", "rprivate", "rslave", "rshared"]);
    let private = Mount::new("--make-private");
    let mount = format!("type=bind,source={},target=/b,bind-propagation=rshared", private.0.path().display());
    let said = engine.docker(&[RUN, &["--mount", &mount, "busybox", "true"]].concat());
    assert!(said.err.contains("but it is not a shared mount"), "{said:?}");
}
