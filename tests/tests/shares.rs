//! Folders of the user's machine in containers. Natively they are bind mounts, in the VM they are shared; what differs
//! there is tested there only.

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::need_program;
use e2e::perl::{perl, script};

/// Within this a change of the host is known in a container, on a loaded machine too; what isn't told is cached longer.
const SOON: Duration = Duration::from_secs(10);

/// Watches `/x` and prints each event's kind, in hexadecimal, and name.
const WATCH: &str = r#"$| = 1; $p = "/x"; $fd = syscall(294, 0); syscall(254, $fd, $p, 0x3ce); open(I, "<&=", $fd);
    print "watching\n"; while (sysread I, $b, 4096) { while (length $b) { ($w, $m, $c, $l) = unpack "iIII", $b;
    printf "%x %s\n", $m, unpack("Z*", substr $b, 16, $l); substr($b, 0, 16 + $l) = ""; } }"#;

/// Runs a script in a container that sees the folder at `/x`; returns what it prints.
fn run(engine: &Engine, folder: &Path, user: &str, script: &str) -> String {
    let bind = format!("{}:/x", folder.display());
    let args = ["run", "--rm", "--network", "none", "-u", user, "-w", "/x", "-v", &bind, "busybox"];
    engine.ok(&[&args[..], &["sh", "-ec", script]].concat())
}

#[test]
fn files_go_both_ways() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let bytes: Vec<u8> = (0..2_500_000_u32).map(|n| (n % 251) as u8).collect();
    fs::write(folder.path().join("a"), &bytes).unwrap();
    let script = "cp a b; echo -n more >> b; mkdir -p d/e; echo in > d/e/f; ls | tr '\\n' ' '; wc -c < b";
    assert_eq!(run(&engine, folder.path(), "0", script), "a b d 2500004");
    let copied = fs::read(folder.path().join("b")).unwrap();
    assert!(copied[..bytes.len()] == bytes && copied.ends_with(b"more"));
    assert_eq!(fs::read(folder.path().join("d/e/f")).unwrap(), b"in\n");
}

#[test]
fn a_file_system_is_what_programs_expect() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let script = "
        echo one > a; ln a b; ln -s a c; mkfifo p
        test $(stat -c %h a) = 2; test $(stat -c %i a) = $(stat -c %i b); test $(readlink c) = a; test -p p
        mv a d; test ! -e a; test $(cat b) = one; mv d b 2>/dev/null || true
        chmod 640 b; test $(stat -c %a b) = 640
        dd if=/dev/zero of=sparse bs=1 count=1 seek=4194303 2>/dev/null
        test $(stat -c %s sparse) = 4194304; test $(du -k sparse | cut -f1) -lt 128
        truncate -s 10 sparse; test $(stat -c %s sparse) = 10
        touch -d '2106-02-07 06:28:17' late; test $(stat -c %Y late) -ge 4294967290
        for change in 'mkdir k' 'mv k l' 'rmdir l' ': > n' 'rm n'; do
            touch -d @0 .; eval \"$change\"; test $(stat -c %Y .) -gt 0
        done
        set -C; exec 4> once; test $(readlink /proc/self/fd/4) = /x/once; echo first >&4; exec 4>&-
        (echo second > once) 2>/dev/null && exit 1; test $(cat once) = first; set +C
        for i in 1 2 3 4; do (for j in $(seq 50); do echo line >> log; done) & done; wait
        test $(wc -l < log) = 200
        exec 3> open; rm open; echo still >&3; exec 3>&-
        mkdir -p deep/er; cd deep/er; rmdir ../er; cd ../..; rm -r deep
        echo fine";
    assert_eq!(run(&engine, folder.path(), "0", script), "fine");
    let late = fs::metadata(folder.path().join("late")).unwrap();
    assert!(late.mtime() >= 4_294_967_290);
}

/// In `/x`: attributes, exchanged and refused renames, a file that gets its name late, and writing through a mapping, by the
/// numbers of 64-bit Linux's system calls, since neither perl nor busybox has words for them.
const RARE: &str = r#"
    sub file { my ($name, $text) = @_; open(my $file, "+>", $name) or die; syswrite $file, $text; $file }
    sub text { open(my $file, "<", $_[0]) or die; local $/; <$file> }
    sub done { my ($what, $result) = @_; print "$what: ", $result < 0 ? $! + 0 : "done", "\n" }
    my ($here, $folder, $first, $second) = (-100, ".", "first", "second");
    my $held = file($first, "one"); file($second, "two");
    my ($name, $value, $room) = ("user.colour", "red", "\0" x 8);
    done("setxattr", syscall 188, $first, $name, $value, 3, 0);
    syscall(191, $first, $name, $room, 8) == 3 and print "it is ", substr($room, 0, 3), "\n";
    done("exchange", syscall 316, $here, $first, $here, $second, 2);
    print text("first"), " ", text("second"), "\n";
    done("noreplace", syscall 316, $here, $first, $here, $second, 1);
    my $nameless = syscall 257, $here, $folder, 020200000 | 2, 0600;
    open(my $late, "+<&=", $nameless) or die; syswrite $late, "late";
    my ($from, $to) = ("/proc/self/fd/$nameless", "late");
    done("link", syscall 265, $here, $from, $here, $to, 0x400);
    print text("late"), "\n";
    my $address = syscall 9, 0, 4096, 3, 1, fileno($held), 0;
    open(my $said, "-|", "printf ONE") or die;
    done("read into a mapping", syscall 0, fileno($said), $address, 3);
    done("msync", syscall 26, $address, 4096, 4);
"#;

#[test]
fn what_few_programs_ask_of_files_they_get() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(script) = script(folder.path(), "rare", RARE) else { return };
    let expected = "setxattr: done\nit is red\nexchange: done\ntwo one\nnoreplace: 17\nlink: done\nlate\n\
                    read into a mapping: done\nmsync: done";
    assert_eq!(run(&engine, folder.path(), "0", &script), expected);
    // What was `first` when it was mapped is `second` since they were exchanged.
    for (name, text) in [("first", "two"), ("second", "ONE"), ("late", "late")] {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), text, "{name}");
    }
}

#[test]
fn a_lock_holds_between_containers() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(perl) = perl(folder.path()) else { return };
    let bind = format!("{}:/x", folder.path().display());
    let hold = "open F, '>/x/lock'; flock F, 2; open H, '>/x/held'; select undef, undef, undef, 0.02 until -e '/x/go'";
    let hold = format!("{perl} -e \"{hold}\"");
    engine.ok(&["run", "-d", "--network", "none", "-v", &bind, "busybox", "sh", "-c", &hold]);
    let try_it = "open F, '>/x/lock'; print flock(F, 6) ? 'free' : 'taken'; open G, '>/x/go'; flock F, 2; print ' mine'";
    let script = format!("until [ -e held ]; do usleep 20000; done; {perl} -e \"{try_it}\"");
    assert_eq!(run(&engine, folder.path(), "0", &script), "taken mine");
}

/// Tries a lock of the whole file and one of a range of it, and prints what comes of each.
fn try_both(path: &str) -> String {
    format!(
        r#"open F, "+<{path}"; print flock(F, 6) ? "free " : "taken "; print {} ? "free" : "taken""#,
        lock_range("F")
    )
}

/// Perl's words for an exclusive lock of bytes 10 to 19 (`struct flock` of 64-bit Linux).
fn lock_range(file: &str) -> String {
    format!(r#"fcntl({file}, 6, $lock = pack "ssx4qqix4", 1, 0, 10, 10, 0)"#)
}

fn on_host(script: &str) -> String {
    let output = Command::new("perl").args(["-e", script]).output().expect("run perl");
    String::from_utf8(output.stdout).expect("words")
}

#[test]
fn locks_of_containers_and_of_the_host_exclude_each_other() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(perl) = perl(folder.path()) else { return };
    let path = folder.path().join("lock");
    let file = fs::File::create(&path).unwrap();
    file.lock().unwrap();
    let script = format!("{perl} -e '{}'", try_both("/x/lock"));
    assert_eq!(run(&engine, folder.path(), "0", &script), "taken free");
    file.unlock().unwrap();

    let there = try_both(&path.display().to_string());
    let held = folder.path().join("held");
    let bind = format!("{}:/x", folder.path().display());
    let hold = |script: &str| {
        drop(fs::remove_file(&held));
        let script = format!(r#"{perl} -e '{script}; open H, ">/x/held"; sleep 1000'"#);
        let id = engine.ok(&["run", "-d", "--network", "none", "-v", &bind, "busybox", "sh", "-c", &script]);
        eventually("the container locks", || held.exists().then_some(()));
        id
    };
    let range = lock_range("F");
    let id = hold(&format!(r#"open F, "+</x/lock"; flock(F, 2); {range} or die"#));
    assert_eq!(on_host(&there), "taken taken");
    engine.ok(&["kill", &id]);
    eventually("the locks end with the container", || (on_host(&there) == "free free").then_some(()));
    // POSIX's end with whichever of the process's descriptors of the file is closed first.
    let id =
        hold(&format!(r#"open F, "+</x/lock"; open G, "</x/lock"; flock(F, 2); {range} or die; close G"#));
    assert_eq!(on_host(&there), "taken free");
    engine.ok(&["kill", &id]);
}

#[test]
fn a_container_that_waits_for_a_lock_of_the_host_has_it_or_can_be_killed() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let Some(perl) = perl(folder.path()) else { return };
    let path = |name: &str| folder.path().join(name);
    let bind = format!("{}:/x", folder.path().display());
    let file = fs::File::create(path("lock")).unwrap();
    let wait = |name: &str| {
        let script = "open F, '+</x/lock'; open W, '>/x/waits'; flock(F, 2); open H, '>/x/held'";
        let script = format!("{perl} -e \"{script}\"");
        let run = ["run", "-d", "--name", name, "--network", "none", "-v", &bind, "busybox", "sh", "-c"];
        engine.ok(&[&run[..], &[&script]].concat());
        eventually("the container waits", || path("waits").exists().then_some(()));
        fs::remove_file(path("waits")).unwrap();
    };
    file.lock().unwrap();
    wait("killed");
    wait("patient");
    // A container ends when its process has, which no wait may hold.
    engine.ok(&["kill", "killed"]);
    assert_eq!(engine.ok(&["wait", "killed"]), "137");
    assert!(!path("held").exists());
    file.unlock().unwrap();
    assert_eq!(engine.ok(&["wait", "patient"]), "0");
    assert!(path("held").exists());
    eventually("the lock is free", || file.try_lock().ok());
}

#[test]
fn any_user_of_a_container_works_on_the_users_files() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let file = folder.path().join("a");
    fs::write(&file, "mine").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let me = fs::metadata(&file).unwrap();
    let script = "stat -c '%u %a' a; echo web > a; chmod 640 a; echo new > b";
    assert_eq!(run(&engine, folder.path(), "web", script), "33 600");
    // Another user looks right after: what one was shown isn't kept for the other.
    assert_eq!(
        run(&engine, folder.path(), "1234:5678", "stat -c '%u %g %a' a; echo more >> a"),
        "1234 5678 640"
    );
    assert_eq!(fs::read(&file).unwrap(), b"web\nmore\n");
    for name in ["a", "b"] {
        assert_eq!(fs::metadata(folder.path().join(name)).unwrap().uid(), me.uid());
    }
    let script = "chown 33:44 a; chmod 4750 a; stat -c '%u %g %a' a";
    assert_eq!(run(&engine, folder.path(), "0", script), "33 44 750");
    assert_eq!(run(&engine, folder.path(), "web", "stat -c '%u %g' a; echo web >> a; echo ok"), "33 44\nok");
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.uid(), after.gid(), after.mode() & 0o7777), (me.uid(), me.gid(), 0o750));
}

#[test]
fn two_users_at_once_each_own_the_users_files() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    fs::write(folder.path().join("a"), "").unwrap();
    let both = "chmod 777 .; for i in 1 2 3 4 5; do \
        stat -c %u a; su -s /bin/sh web -c 'stat -c %u a; chmod 60$0 a; echo x >> a' $i; done";
    let said = run(&engine, folder.path(), "0", both);
    assert_eq!(said.split_whitespace().collect::<Vec<_>>(), ["0", "33"].repeat(5));
}

#[test]
fn devices_are_refused_and_do_not_open() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let script = "mknod null c 1 3 2>/dev/null && echo made || echo refused";
    assert_eq!(run(&engine, folder.path(), "0", script), "refused");
}

#[test]
fn a_link_that_leads_out_of_the_folder_leads_nowhere() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    fs::create_dir(folder.path().join("shared")).unwrap();
    fs::write(folder.path().join("secret"), "secret").unwrap();
    let shared = folder.path().join("shared");
    let script = "ln -s ../secret one; ln -s $OUT two; cat one two 2>/dev/null && echo read || echo nothing";
    let script = format!("OUT={}; {script}", folder.path().join("secret").display());
    assert_eq!(run(&engine, &shared, "0", &script), "nothing");
}

#[test]
fn a_missing_source_is_made_for_v_and_refused_for_mount() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let wanted = folder.path().join("made/deep");
    assert_eq!(run(&engine, &wanted, "0", "touch f; ls"), "f");
    assert!(wanted.join("f").exists());
    let missing = folder.path().join("missing");
    let mount = format!("type=bind,source={},target=/x", missing.display());
    let said = engine.docker(&["run", "--rm", "--mount", &mount, "busybox", "true"]);
    assert!(said.err.contains("bind source path does not exist"), "{said:?}");
    assert!(!missing.exists());
}

#[test]
fn inspect_shows_the_path_as_given() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let bind = format!("{}:/x:ro", folder.path().display());
    engine.ok(&["create", "--name", "looked-at", "-v", &bind, "busybox"]);
    let shown = engine.inspect("looked-at", "json (index .Mounts 0)");
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!((shown["Source"].as_str(), shown["RW"].as_bool()), (folder.path().to_str(), Some(false)));
    let said = engine.docker(&["run", "--rm", "-v", &bind, "busybox", "touch", "/x/a"]);
    assert!(said.err.contains("Read-only file system"), "{said:?}");
}

#[test]
fn a_path_that_is_not_shared_is_refused_with_the_way_out() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let said = engine.docker(&["run", "--rm", "-v", "/usr/lib:/x", "busybox", "true"]);
    assert_eq!(said.code, 125);
    assert!(said.err.contains("/usr/lib is not shared") && said.err.contains("settings.json"), "{said:?}");
}

#[test]
fn the_hosts_changes_are_events_in_a_container() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    fs::write(folder.path().join("there"), "").unwrap();
    let bind = format!("{}:/x", folder.path().display());
    let Some(perl) = perl(folder.path()) else { return };
    let script = format!("{perl} -e '{WATCH}'");
    let watch = ["run", "--rm", "--network", "none", "-v", &bind, "busybox", "sh", "-c", &script];
    let mut client = engine.client(&watch).stdout(Stdio::piped()).spawn().unwrap();
    let (told, events) = mpsc::channel();
    let output = client.stdout.take().unwrap();
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            drop(told.send(line));
        }
    });
    let expect = |wanted: &str, within: Duration| {
        let deadline = Instant::now() + within;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let line = events.recv_timeout(left).unwrap_or_else(|_| panic!("no {wanted} within {within:?}"));
            if line == wanted {
                return;
            }
        }
    };
    expect("watching", Duration::from_secs(30));
    let path = |name: &str| folder.path().join(name);
    fs::write(path("there"), "changed").unwrap();
    expect("2 there", SOON);
    fs::write(path("new"), "").unwrap();
    expect("100 new", SOON);
    fs::write(path("new"), "text").unwrap();
    expect("2 new", SOON);
    expect("8 new", SOON);
    fs::set_permissions(path("new"), fs::Permissions::from_mode(0o600)).unwrap();
    expect("4 new", SOON);
    fs::rename(path("new"), path("moved")).unwrap();
    expect("40 new", SOON);
    expect("80 moved", SOON);
    fs::remove_file(path("moved")).unwrap();
    expect("200 moved", SOON);
    fs::create_dir(path("folder")).unwrap();
    expect("40000100 folder", SOON);
    drop(client.kill());
    drop(client.wait());
}

#[test]
fn a_containers_changes_are_events_on_the_host() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    if !need_program("perl") {
        return;
    }
    let watch = WATCH.replace("/x", &folder.path().display().to_string());
    let mut watcher = Command::new("perl").args(["-e", &watch]).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(watcher.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert_eq!(lines.next().as_deref(), Some("watching"));
    run(&engine, folder.path(), "0", "echo text > new; chmod 600 new; mv new moved; rm moved; mkdir last");
    let told: Vec<String> = lines.by_ref().take_while(|line| line != "40000100 last").collect();
    drop(watcher.kill());
    drop(watcher.wait());
    assert_eq!(told, ["100 new", "2 new", "8 new", "4 new", "40 new", "80 moved", "200 moved"]);
}

#[test]
fn the_hosts_changes_are_read_at_once() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = engine.shared_folder();
    let file = folder.path().join("a");
    fs::write(&file, "0").unwrap();
    let bind = format!("{}:/x", folder.path().display());
    // It answers each new content in a second file, reading by name every few milliseconds.
    let echo = "while :; do cp /x/a /x/.b && mv /x/.b /x/b; usleep 5000; done";
    engine.ok(&[
        "run",
        "-d",
        "--name",
        "reader",
        "--network",
        "none",
        "-v",
        &bind,
        "busybox",
        "sh",
        "-c",
        echo,
    ]);
    for round in 1..10 {
        let text = round.to_string();
        if round % 2 == 0 {
            fs::write(folder.path().join("new"), &text).unwrap();
            fs::rename(folder.path().join("new"), &file).unwrap();
        } else {
            fs::write(&file, &text).unwrap();
        }
        let deadline = Instant::now() + SOON;
        while fs::read(folder.path().join("b")).unwrap_or_default() != text.as_bytes() {
            assert!(Instant::now() < deadline, "round {round} isn't seen");
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

#[test]
fn folders_are_what_they_were_after_the_clock_has_jumped() {
    let Some(engine) = Engine::machine_with_busybox() else { return };
    let folder = engine.shared_folder();
    let file = folder.path().join("a");
    fs::write(&file, "0").unwrap();
    let bind = format!("{}:/x", folder.path().display());
    let run = ["run", "-d", "--name", "awake", "--privileged", "-v", &bind, "busybox", "sleep", "1000"];
    engine.ok(&run);
    let shell = |script: &str| engine.ok(&["exec", "awake", "sh", "-ec", script]);
    assert_eq!(shell("cat /x/a"), "0");
    for jump in ["+ 36000", "- 36000"] {
        shell(&format!(
            "date -s @$(($(date +%s) {jump})) > /dev/null; echo made > '/x/{jump}'; cat '/x/{jump}'"
        ));
        assert_eq!(fs::read(folder.path().join(jump)).unwrap(), b"made\n");
        fs::write(&file, jump).unwrap();
        let began = Instant::now();
        eventually("the host's change is seen", || (shell("cat /x/a") == jump).then_some(()));
        assert!(began.elapsed() < SOON);
    }
}
