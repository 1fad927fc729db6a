//! `docker cp`, `diff`, `export`, `import` and `commit` through the unmodified client.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use e2e::condition::eventually;
use e2e::engine::{Engine, said};

/// A container that sleeps, and one that never ran.
fn two(engine: &Engine) {
    engine.ok(&["run", "-d", "--name", "live", "--network", "none", "busybox", "sleep", "1000"]);
    engine.ok(&["create", "--name", "rest", "--network", "none", "busybox", "sh", "-c", "cat /srv/in/note"]);
}

#[test]
fn files_go_in_and_come_out_whether_it_runs_or_not() {
    let Some(engine) = Engine::with_busybox() else { return };
    two(&engine);
    let here = tempfile::tempdir().unwrap();
    let path = |name: &str| here.path().join(name).to_string_lossy().into_owned();
    fs::create_dir(path("in")).unwrap();
    fs::write(path("in/note"), "hello").unwrap();
    fs::set_permissions(path("in/note"), fs::Permissions::from_mode(0o640)).unwrap();
    symlink("note", path("in/link")).unwrap();
    for name in ["live", "rest"] {
        engine.ok(&["cp", &path("in"), &format!("{name}:/srv")]);
        engine.ok(&["cp", &format!("{name}:/srv/in"), &path(name)]);
        assert_eq!(fs::read_to_string(path(&format!("{name}/note"))).unwrap(), "hello");
        assert_eq!(fs::metadata(path(&format!("{name}/note"))).unwrap().mode() & 0o777, 0o640);
        assert_eq!(fs::read_link(path(&format!("{name}/link"))).unwrap().to_str(), Some("note"));
        // -L follows the link.
        engine.ok(&["cp", "-L", &format!("{name}:/srv/in/link"), &path("followed")]);
        assert_eq!(fs::read_to_string(path("followed")).unwrap(), "hello");
        let missing = engine.docker(&["cp", &format!("{name}:/nowhere"), &path("x")]);
        assert_eq!(missing.code, 1);
        assert!(missing.err.contains("Could not find the file /nowhere in container"), "{missing:?}");
    }
    assert_eq!(engine.ok(&["exec", "live", "cat", "/srv/in/link"]), "hello");
    assert_eq!(engine.ok(&["start", "-a", "rest"]), "hello");
}

#[test]
fn archive_mode_gives_files_to_the_containers_user() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-d", "--name", "web", "-u", "web", "--network", "none", "busybox", "sleep", "1000"]);
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("page");
    fs::write(&file, "x").unwrap();
    engine.ok(&["cp", "-a", &file.to_string_lossy(), "web:/tmp/page"]);
    assert_eq!(engine.ok(&["exec", "web", "stat", "-c", "%U:%G", "/tmp/page"]), "web:web");
    // A container without a user has nobody to give them to.
    std::os::unix::fs::chown(&file, Some(5), Some(6)).unwrap();
    engine.ok(&["run", "-d", "--name", "any", "--network", "none", "busybox", "sleep", "1000"]);
    engine.ok(&["cp", "-a", &file.to_string_lossy(), "any:/tmp/page"]);
    assert_eq!(engine.ok(&["exec", "any", "stat", "-c", "%u:%g", "/tmp/page"]), "5:6");
}

#[test]
fn what_cannot_be_written_is_refused() {
    let Some(engine) = Engine::with_busybox() else { return };
    let here = tempfile::tempdir().unwrap();
    let file = here.path().join("page");
    fs::write(&file, "x").unwrap();
    let file = file.to_string_lossy();
    for command in ["run", "create"] {
        let detach: &[&str] = if command == "run" { &["run", "-d"] } else { &["create"] };
        let rest = [
            "--name",
            command,
            "--read-only",
            "-v",
            "kept:/kept",
            "-v",
            "fixed:/fixed:ro",
            "--network",
            "none",
            "busybox",
            "sleep",
            "1000",
        ];
        engine.ok(&[detach, &rest].concat());
        let root = engine.docker(&["cp", &file, &format!("{command}:/srv/page")]);
        let expected = "Error response from daemon: container rootfs is marked read-only";
        assert_eq!(root.err.trim_end(), expected, "and nothing of a pipe that broke");
        let volume = engine.docker(&["cp", &file, &format!("{command}:/fixed/page")]);
        assert!(volume.err.contains("mounted volume is marked read-only"), "{volume:?}");
        engine.ok(&["cp", &file, &format!("{command}:/kept/page")]);
    }
    assert_eq!(engine.ok(&["exec", "run", "cat", "/kept/page"]), "x");
}

#[test]
fn a_link_of_the_containers_never_leads_out_of_it() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    two(&engine);
    let secret = tempfile::NamedTempFile::new().unwrap();
    fs::write(secret.path(), "secret").unwrap();
    let script = format!(
        "ln -s {} /srv/file; ln -s / /srv/up; ln -s ../../../../../../../.. /srv/far",
        secret.path().display()
    );
    engine.ok(&["exec", "live", "sh", "-c", &script]);
    let here = tempfile::tempdir().unwrap();
    let out = |name: &str| here.path().join(name).to_string_lossy().into_owned();
    assert_ne!(engine.docker(&["cp", "-L", "live:/srv/file", &out("a")]).code, 0);
    assert_ne!(
        engine.docker(&["cp", &format!("live:/srv/far{}", secret.path().display()), &out("b")]).code,
        0
    );
    fs::write(out("page"), "mine").unwrap();
    engine.ok(&["cp", &out("page"), "live:/srv/up/tmp/berth-page"]);
    assert_eq!(engine.ok(&["exec", "live", "cat", "/tmp/berth-page"]), "mine");
    assert!(!Path::new("/tmp/berth-page").exists());
    // A folder that keeps turning into a link while it is read.
    let race = "while :; do mkdir /srv/race; touch /srv/race/x; rm -r /srv/race; ln -s /root /srv/race; rm /srv/race; done";
    engine.ok(&["exec", "-d", "live", "sh", "-c", race]);
    for _ in 0..20 {
        let export = engine.client(&["cp", "live:/srv", "-"]).stdout(Stdio::piped()).output().unwrap();
        for entry in tar::Archive::new(export.stdout.as_slice()).entries().unwrap().flatten() {
            let path = entry.path().unwrap().into_owned();
            let ours = [Path::new("srv/race"), Path::new("srv/race/x")];
            assert!(!path.starts_with("srv/race") || ours.contains(&&*path), "{}", path.display());
        }
    }
}

#[test]
fn diff_tells_what_changed_and_nothing_of_ours() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "--name", "one", "--network", "none", "busybox", "true"]);
    assert_eq!(engine.ok(&["diff", "one"]), "");
    engine.ok(&[
        "run",
        "--name",
        "two",
        "busybox",
        "sh",
        "-c",
        "echo x > /srv/new; rm /etc/group; touch /etc/passwd",
    ]);
    let changes = engine.ok(&["diff", "two"]);
    let mut lines: Vec<&str> = changes.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["A /srv/new", "C /etc", "C /etc/passwd", "C /srv", "D /etc/group"]);
}

#[test]
fn an_exported_root_is_an_image_once_it_is_imported() {
    let Some(engine) = Engine::with_busybox() else { return };
    two(&engine);
    engine.ok(&["exec", "live", "sh", "-c", "echo kept > /srv/kept"]);
    let here = tempfile::tempdir().unwrap();
    let archive = here.path().join("root.tar").to_string_lossy().into_owned();
    for name in ["live", "rest"] {
        engine.ok(&["export", "-o", &archive, name]);
        engine.ok(&[
            "import",
            "--change",
            "CMD [\"cat\", \"/srv/kept\"]",
            "-m",
            "from outside",
            &archive,
            &format!("own:{name}"),
        ]);
        let history = engine.ok(&["history", "--format", "{{.Comment}}", &format!("own:{name}")]);
        assert_eq!(history, "from outside");
    }
    assert_eq!(engine.ok(&["run", "--rm", "--network", "none", "own:live"]), "kept");
}

#[test]
fn a_root_is_imported_from_the_web() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script = "mkdir /www; echo there > /www/page; tar -C /www -cf /root.tar page; mv /root.tar /www; \
                  exec httpd -f -p 80 -h /www";
    engine.ok(&["run", "-d", "--name", "web", "busybox", "sh", "-c", script]);
    let address = engine.inspect("web", ".NetworkSettings.Networks.bridge.IPAddress");
    let url = format!("http://{address}/root.tar");
    eventually("the page is served", || {
        (engine.docker(&["import", &url, "own:web"]).code == 0).then_some(())
    });
    let history = engine.ok(&["history", "--format", "{{.Comment}}", "own:web"]);
    assert_eq!(history, format!("Imported from {url}"));
    engine.ok(&["create", "--name", "box", "own:web", "x"]);
    let copied = engine.client(&["cp", "box:/page", "-"]).output().unwrap().stdout;
    assert!(String::from_utf8_lossy(&copied).contains("there"));
    if !engine.is_machine() {
        assert!(fs::read_dir(engine.data_root().join("imports")).unwrap().next().is_none());
    }
}

#[test]
fn a_commit_keeps_the_changes_and_takes_new_wishes() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script = "echo kept > /srv/kept; rm /etc/group; sleep 1000";
    engine.ok(&["run", "-d", "--name", "box", "-e", "A=1", "-l", "x=y", "busybox", "sh", "-c", script]);
    eventually("the file", || {
        (engine.docker(&["exec", "box", "cat", "/srv/kept"]).out == "kept").then_some(())
    });
    let changes = ["--change", "CMD cat /srv/kept", "--change", "ENV B=2", "--change", "EXPOSE 80"];
    let id =
        engine.ok(&[&["commit", "-a", "Ann", "-m", "why"], &changes[..], &["box", "own/box:v1"]].concat());
    assert_eq!(engine.inspect("own/box:v1", ".Id"), id);
    assert_eq!(engine.inspect(&id, ".Author"), "Ann");
    assert_eq!(engine.inspect(&id, ".Comment"), "why");
    let env = engine.inspect(&id, "json .Config.Env");
    assert!(env.contains("A=1") && env.contains("B=2"), "{env}");
    assert_eq!(engine.inspect(&id, "json .Config.Labels"), r#"{"x":"y"}"#);
    assert_eq!(engine.ok(&["run", "--rm", "own/box:v1"]), "kept");
    assert_eq!(engine.docker(&["run", "--rm", "own/box:v1", "ls", "/etc/group"]).code, 1);
    assert_eq!(engine.inspect("box", ".State.Status"), "running");
    let file = engine.ok(&["run", "--rm", "own/box:v1", "stat", "-c", "%s", "/etc/passwd"]);
    assert_ne!(file, "0");
}

#[test]
fn cp_through_a_pipe_is_a_tar() {
    let Some(engine) = Engine::with_busybox() else { return };
    two(&engine);
    let tar = engine.client(&["cp", "live:/etc/passwd", "-"]).stdout(Stdio::piped()).output().unwrap();
    let mut archive = tar::Archive::new(tar.stdout.as_slice());
    let names: Vec<_> =
        archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().into_owned()).collect();
    assert_eq!(names, [Path::new("passwd")]);
    let mut client = engine.client(&["cp", "-", "rest:/srv"]);
    let mut child = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), &tar.stdout).unwrap();
    assert_eq!(said(&child.wait_with_output().unwrap()).code, 0);
    let out = engine.client(&["cp", "rest:/srv/passwd", "-"]).stdout(Stdio::piped()).output().unwrap();
    assert_eq!(out.stdout.len(), tar.stdout.len());
}
