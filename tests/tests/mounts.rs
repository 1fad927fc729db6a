//! What is mounted in a container by `-v`, `--mount`, `--tmpfs` and `--volumes-from`: where, how, and over what.

use std::fs;

use e2e::engine::{Engine, Said};
use serde_json::{Value, json};

const RUN: &[&str] = &["run", "--rm", "--network", "none"];

/// Runs a script in a container with these options.
fn run(engine: &Engine, options: &[&str], script: &str) -> Said {
    engine.docker(&[RUN, options, &["busybox", "sh", "-c", script]].concat())
}

/// What is mounted at a path, as the container's kernel tells: file system and options.
fn mounted_at(engine: &Engine, options: &[&str], path: &str) -> String {
    let script = format!("grep ' {path} ' /proc/mounts | cut -d' ' -f3,4; stat -c %a {path}");
    run(engine, options, &script).out.replace('\n', " ")
}

#[test]
fn memory_has_the_size_mode_and_options_it_was_given() {
    let Some(engine) = Engine::with_busybox() else { return };
    let usual = mounted_at(&engine, &["--tmpfs", "/t"], "/t");
    for word in ["tmpfs ", "nosuid", "nodev", "noexec", " 1777"] {
        assert!(usual.contains(word), "{word}: {usual}");
    }
    let given = mounted_at(&engine, &["--tmpfs", "/t:size=1m,mode=0750,uid=7,exec"], "/t");
    assert!(given.contains("size=1024k") && given.contains("uid=7") && given.ends_with(" 750"), "{given}");
    assert!(!given.contains("noexec"), "{given}");
    let mount = "type=tmpfs,target=/t,tmpfs-size=1048576,tmpfs-mode=0700";
    let given = mounted_at(&engine, &["--mount", mount], "/t");
    assert!(given.contains("size=1024k") && given.ends_with(" 700"), "{given}");
    let full = run(&engine, &["--mount", mount], "dd if=/dev/zero of=/t/a bs=1M count=2");
    assert!(full.code != 0 && full.err.contains("No space left on device"), "{full:?}");
    let read_only = run(&engine, &["--mount", "type=tmpfs,target=/t,readonly"], "touch /t/a");
    assert!(read_only.err.contains("Read-only file system"), "{read_only:?}");
    let keeps = "cat /t/a 2> /dev/null || echo none; echo some > /t/a";
    let create = ["create", "--name", "forgets", "--network", "none", "--tmpfs", "/t", "busybox"];
    engine.ok(&[&create[..], &["sh", "-c", keeps]].concat());
    for _ in 0..2 {
        assert_eq!(engine.ok(&["start", "-a", "forgets"]), "none", "each start has new memory");
    }
}

#[test]
fn what_is_mounted_in_a_mount_lies_in_it_whatever_each_of_them_is() {
    let Some(engine) = Engine::with_busybox() else { return };
    let here = engine.shared_folder();
    fs::write(here.path().join("page"), "folder").unwrap();
    fs::write(here.path().join("single"), "file").unwrap();
    let folder = here.path().display();
    let bind = format!("{folder}:/x");
    let file = format!("{folder}/single:/x/t/v/single:ro");
    let mounts =
        ["-v", &file, "--mount", "type=volume,source=inner,target=/x/t/v", "--tmpfs", "/x/t", "-v", &bind];
    let script = "cut -d' ' -f2 /proc/mounts | grep ^/x; cat /x/page /x/t/v/single; ls -A /x/t";
    let said = run(&engine, &mounts, script);
    assert_eq!(said.out, "/x\n/x/t\n/x/t/v\n/x/t/v/single\nfolderfilev", "{said:?}");
    let memory = "type=tmpfs,target=/x/t";
    let said = run(&engine, &["--mount", memory, "-v", &bind], "echo in memory > /x/t/a; cat /x/t/a /x/page");
    assert_eq!(said.out, "in memory\nfolder", "{said:?}");
    assert!(!here.path().join("t/a").exists(), "the folder has none of it");
}

#[test]
fn two_mounts_in_one_place_are_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    for options in [
        &["-v", "one:/x", "-v", "two:/x/"][..],
        &["-v", "one:/x", "--mount", "type=volume,source=two,target=/x"],
        &["-v", "one:/x", "--mount", "type=tmpfs,target=/x"],
        &["-v", "one:/x", "--tmpfs", "/x"],
        &["--mount", "type=volume,source=two,target=/x", "--mount", "type=tmpfs,target=/x/"],
    ] {
        let said = run(&engine, options, "true");
        assert!(said.code == 125 && said.err.contains("Duplicate mount point: /x"), "{options:?}: {said:?}");
    }
    assert_eq!(engine.ok(&["volume", "ls", "-q"]), "", "nothing was made on the way");
    // Of these two dockerd takes the memory.
    let both = ["--mount", "type=volume,source=two,target=/x", "--tmpfs", "/x"];
    assert!(mounted_at(&engine, &both, "/x").starts_with("tmpfs "));
}

#[test]
fn one_file_is_mounted_and_edited_in_its_place() {
    let Some(engine) = Engine::with_busybox() else { return };
    let here = engine.shared_folder();
    let file = here.path().join("settings");
    fs::write(&file, "host").unwrap();
    let bind = format!("{}:/etc/settings", file.display());
    assert_eq!(run(&engine, &["-v", &bind], "cat /etc/settings; echo -n inside > /etc/settings").out, "host");
    assert_eq!(fs::read(&file).unwrap(), b"inside");
    let said = run(&engine, &["-v", &bind], "rm /etc/settings");
    assert!(said.err.contains("busy"), "{said:?}");
    // A folder over a file, and the other way round.
    for (source, target) in [(here.path(), "/bin/busybox"), (file.as_path(), "/etc")] {
        let said = run(&engine, &["-v", &format!("{}:{target}", source.display())], "true");
        let words = ": not a directory: Are you trying to mount a directory onto a file (or vice-versa)?";
        assert!(said.code != 0 && said.err.contains(words), "{target}: {said:?}");
    }
}

#[test]
fn inspect_tells_each_mount_and_a_volume_made_on_the_way_is_as_its_mount_says() {
    let Some(engine) = Engine::with_busybox() else { return };
    let here = engine.shared_folder();
    let folder = here.path().to_string_lossy().into_owned();
    let bind = format!("type=bind,source={folder},target=/b,readonly,bind-propagation=private");
    let labels = "volume-label=colour=red,volume-label=kept=";
    let options = "volume-opt=type=tmpfs,volume-opt=device=tmpfs,\"volume-opt=o=size=1m,mode=700\"";
    let made = format!("type=volume,source=made,target=/v,{labels},{options}");
    let mounts = ["--mount", &bind, "--mount", &made, "--mount", "type=tmpfs,target=/t", "-v", "/anonymous"];
    let image = ["--mount", "type=image,source=busybox,target=/i", "-v", "plain:/p:ro,z"];
    let create = ["create", "--name", "has", "--network", "none"];
    engine.ok(&[&create[..], &mounts, &image, &["busybox", "stat", "-c", "%a", "/v"]].concat());
    let shown: Vec<Value> = serde_json::from_str(&engine.inspect("has", "json .Mounts")).unwrap();
    let at =
        |path: &str| shown.iter().find(|mount| mount["Destination"] == path).cloned().unwrap_or_default();
    let bind = json!({
        "Type": "bind", "Source": folder, "Destination": "/b", "Mode": "", "RW": false, "Propagation": "private",
    });
    assert_eq!(at("/b"), bind);
    let volume = |name: &str, path: &str, mode: &str, writable: bool| {
        let source = engine.ok(&["volume", "inspect", "-f", "{{.Mountpoint}}", name]);
        json!({
            "Type": "volume", "Name": name, "Source": source, "Destination": path, "Driver": "local",
            "Mode": mode, "RW": writable, "Propagation": "",
        })
    };
    assert_eq!(at("/v"), volume("made", "/v", "z", true));
    assert_eq!(at("/p"), volume("plain", "/p", "ro,z", false));
    let anonymous = at("/anonymous")["Name"].as_str().unwrap().to_owned();
    assert_eq!((anonymous.len(), at("/anonymous")["RW"].as_bool()), (64, Some(true)));
    let memory = json!({
        "Type": "tmpfs", "Source": "", "Destination": "/t", "Mode": "", "RW": true, "Propagation": "",
    });
    assert_eq!(at("/t"), memory);
    assert_eq!(at("/i")["Type"], "image");
    let told = |field: &str| engine.ok(&["volume", "inspect", "-f", field, "made"]);
    assert_eq!(told("{{.Labels.colour}} {{.Options.o}} {{.Scope}}"), "red size=1m,mode=700 local");
    assert_eq!(engine.ok(&["start", "-a", "has"]), "700", "its options take effect");
    engine.ok(&["rm", "-v", "has"]);
    let left = engine.ok(&["volume", "ls", "-q"]);
    assert!(left.contains("made") && left.contains("plain") && !left.contains(&anonymous), "{left}");
}

#[test]
fn a_container_takes_from_others_what_it_does_not_mount_itself() {
    let Some(engine) = Engine::with_busybox() else { return };
    let here = engine.shared_folder();
    fs::write(here.path().join("page"), "folder").unwrap();
    let bind = format!("{}:/folder:ro", here.path().display());
    let script = "echo first > /one/page; echo first > /both/page";
    let first = ["run", "--name", "first", "--network", "none", "-v", &bind, "-v", "/one", "-v", "/both"];
    engine.ok(&[&first[..], &["busybox", "sh", "-c", script]].concat());
    let script = "echo second > /both/page";
    let second =
        ["run", "--name", "second", "--network", "none", "-v", "/both", "busybox", "sh", "-c", script];
    engine.ok(&second);
    let from = ["--volumes-from", "first", "--volumes-from", "second"];
    let said = run(&engine, &from, "cat /one/page /both/page /folder/page; touch /one/a /folder/a");
    assert_eq!(said.out, "first\nsecond\nfolder", "the last one's goes before");
    assert!(
        said.err.contains("/folder/a: Read-only file system") && !said.err.contains("/one/a"),
        "{said:?}"
    );
    let said =
        run(&engine, &["--volumes-from", "first:ro", "-v", "own:/both"], "ls /both; touch /both/a /one/b");
    assert_eq!(said.out, "", "its own goes before everybody's");
    assert!(said.err.contains("/one/b: Read-only file system") && !said.err.contains("/both/a"), "{said:?}");
    // It stays read-only for whoever takes it on.
    engine.ok(&["create", "--name", "third", "--volumes-from", "first:ro", "busybox"]);
    let said = run(&engine, &["--volumes-from", "third:rw"], "touch /one/c");
    assert!(said.err.contains("Read-only file system"), "{said:?}");
    let volumes = engine.ok(&["inspect", "-f", "{{range .Mounts}}{{.Name}} {{end}}", "first"]);
    engine.ok(&["rm", "-v", "first"]);
    let left = engine.ok(&["volume", "ls", "-q"]);
    let kept = left.lines().filter(|name| volumes.contains(name)).count();
    assert_eq!(kept, 2, "the third has them still: {left}");
}

#[test]
fn volumes_come_and_go_as_docker_says() {
    let Some(engine) = Engine::with_busybox() else { return };
    assert_eq!(engine.ok(&["volume", "create", "--label", "a=b", "named"]), "named");
    assert_eq!(engine.ok(&["volume", "create", "--label", "a=c", "named"]), "named", "twice is once");
    let told = |field: &str| engine.ok(&["volume", "inspect", "-f", field, "named"]);
    assert_eq!(told("{{.Driver}} {{.Scope}} {{.Labels.a}} {{json .Options}}"), "local local b null");
    let nameless = engine.ok(&["volume", "create"]);
    assert_eq!(nameless.len(), 64);
    assert_eq!(engine.ok(&["volume", "ls", "-q", "--filter", "dangling=1"]).lines().count(), 2);
    run(&engine, &["-v", "named:/v", "-v", "/gone"], "echo kept > /v/page");
    assert_eq!(engine.ok(&["volume", "ls", "-q"]).lines().count(), 2, "--rm took the anonymous one along");
    assert_eq!(run(&engine, &["-v", "named:/v"], "cat /v/page").out, "kept");
    for (words, code, expected) in [
        ("volume inspect nosuch", 1, "get nosuch: no such volume"),
        ("volume rm nosuch", 1, "get nosuch: no such volume"),
        ("volume rm -f nosuch", 0, ""),
        ("run --rm -v a?b:/x busybox true", 125, "includes invalid characters for a local volume name"),
        (
            "run --rm --mount type=volume,source=../x,target=/x busybox true",
            125,
            "includes invalid characters",
        ),
    ] {
        let said = engine.docker(&words.split(' ').collect::<Vec<_>>());
        assert!(said.code == code && said.err.contains(expected), "{words}: {said:?}");
    }
    assert_eq!(engine.ok(&["volume", "rm", "named", &nameless]), format!("named\n{nameless}"));
    assert_eq!(engine.ok(&["volume", "ls", "-q"]), "");
}
