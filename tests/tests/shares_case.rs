//! Folders of the user's machine that ignore case, in containers of the VM, whose kernel never does.

use std::fs;
use std::time::{Duration, Instant};

use e2e::condition::eventually;
use e2e::engine::{Engine, Said};
use e2e::ntfs::Ntfs;

/// Names are believed for half a minute: before that, only who was told knows of a change.
const SOON: Duration = Duration::from_secs(10);

fn soon(what: &str, mut is_so: impl FnMut() -> bool) {
    let began = Instant::now();
    eventually(what, || is_so().then_some(()));
    assert!(began.elapsed() < SOON, "{what}, but nobody told it");
}

/// A container that waits and sees the folder at `/x`.
struct Looks<'a> {
    engine: &'a Engine,
}

impl<'a> Looks<'a> {
    fn at(engine: &'a Engine, folder: &tempfile::TempDir) -> Self {
        let bind = format!("{}:/x", folder.path().display());
        let run = ["run", "-d", "--name", "looks", "--network", "none", "-w", "/x", "-v", &bind];
        engine.ok(&[&run[..], &["busybox", "sleep", "1000"]].concat());
        Self { engine }
    }

    fn shell(&self, script: &str) -> Said {
        self.engine.docker(&["exec", "looks", "sh", "-ec", script])
    }

    fn ok(&self, script: &str) -> String {
        let said = self.shell(script);
        assert_eq!(said.code, 0, "{script}: {said:?}");
        said.out
    }
}

#[test]
fn a_container_finds_its_files_by_every_spelling_until_they_are_gone() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(_ntfs) = Ntfs::on(folder.path()) else { return };
    let container = Looks::at(&engine, &folder);
    container.ok("test ! -e foo; echo text > FOO; test $(cat foo) = text; test $(cat Foo) = text");
    assert_eq!(fs::read(folder.path().join("fOO")).unwrap(), b"text\n");
    container.ok("rm foo; test ! -e FOO; test ! -e foo; echo new > Foo; test $(cat foo) = new");
    container.ok("test ! -e sub; mkdir Sub; test -d sub; echo in > sUB/a; test $(cat SUB/A) = in");
    assert!(container.shell("mkdir sub").err.contains("File exists"));
    // Linux moves no file to where it is already; by way of another name the case is changed.
    container.ok("mv Foo FOO || true; test $(cat foo) = new; mv Foo other; mv other FOO; test ! -e other");
    // The file system lists them in lower case.
    assert_eq!(container.ok("ls | tr '\\n' ' '"), "foo sub ");
}

#[test]
fn what_the_host_does_by_another_spelling_is_seen_by_the_believed_one() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(_ntfs) = Ntfs::on(folder.path()) else { return };
    let host = |name: &str| folder.path().join(name);
    for name in ["changed", "removed", "moved"] {
        fs::write(host(name), name).unwrap();
    }
    let container = Looks::at(&engine, &folder);
    // Looked at twice, so that they are believed for half a minute.
    let look = "for name in Changed Removed Moved; do cat $name > /dev/null; cat $name; done";
    assert_eq!(container.ok(&format!("{look} > /dev/null; {look}")), "changedremovedmoved");
    fs::write(host("CHANGED"), "by the host").unwrap();
    soon("the change is read", || container.ok("cat Changed") == "by the host");
    fs::remove_file(host("REMOVED")).unwrap();
    soon("it is gone", || container.shell("cat Removed || cat removed").code != 0);
    fs::rename(host("MOVED"), host("elsewhere")).unwrap();
    soon("it has moved", || container.shell("cat Moved || cat moved").code != 0);
    assert_eq!(container.ok("cat ELSEWHERE"), "moved");
}

#[test]
fn names_that_windows_cannot_have_are_refused_and_nothing_is_made_of_them() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(_ntfs) = Ntfs::on(folder.path()) else { return };
    let container = Looks::at(&engine, &folder);
    container.ok("echo text > kept");
    for name in ["kept:stream", "con", "end.", "what?", "back\\slash"] {
        for make in ["echo other >", "mkdir", "mv kept"] {
            let said = container.shell(&format!("{make} '{name}'"));
            assert!(said.code != 0 && said.err.contains("nvalid argument"), "{make} {name}: {said:?}");
        }
    }
    assert_eq!(container.ok("ls; cat kept"), "kept\ntext");
}
