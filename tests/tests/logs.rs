//! Logs: their options, rotation, compression, and containers that never wait for them.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use e2e::condition::eventually;
use e2e::engine::Engine;

/// Writes `line 0` … in that many lines.
fn lines(count: u32) -> String {
    format!("i=0; while [ $i -lt {count} ]; do echo line $i; i=$((i+1)); done")
}

/// The numbers of the lines that a log has.
fn numbers(log: &str) -> Vec<u32> {
    log.lines().map(|line| line.strip_prefix("line ").unwrap_or(line).parse().unwrap()).collect()
}

/// The files of a container's log, without their common beginning, in order.
fn files(engine: &Engine, name: &str) -> Vec<String> {
    let path = PathBuf::from(engine.inspect(name, ".LogPath"));
    let start = path.file_name().unwrap().to_str().unwrap();
    let entries = std::fs::read_dir(path.parent().unwrap()).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut ends: Vec<String> =
        names.filter_map(|name| name.strip_prefix(start).map(str::to_owned)).collect();
    ends.sort();
    ends
}

/// The processes whose parent is `parent`, with their names.
fn children(parent: i32) -> Vec<(i32, String)> {
    let all = std::fs::read_dir("/proc").unwrap();
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok());
    pids.filter_map(|pid| {
        let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        (rest.split_whitespace().nth(1)? == parent.to_string()).then(|| (pid, name.to_owned()))
    })
    .collect()
}

/// The guard of a container.
fn guard(engine: &Engine, name: &str) -> i32 {
    let pid = engine.inspect(name, ".State.Pid");
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let parent = status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap();
    parent.trim().parse().unwrap()
}

fn signal(pid: i32, signal: &str) {
    assert!(Command::new("kill").args([signal, &pid.to_string()]).status().unwrap().success());
}

#[test]
fn details_are_the_labels_and_variables_that_the_log_options_name() {
    let Some(engine) = Engine::with_busybox() else { return };
    let options = ["--log-opt", "labels=team", "--log-opt", "env=A", "--log-opt", "max-size=1m"];
    let more = ["-l", "team=a b", "-e", "A=1", "-e", "B=2", "--network", "none", "busybox", "echo", "line"];
    engine.ok(&[&["run", "--name", "box"], &options[..], &more].concat());
    assert_eq!(engine.ok(&["logs", "--details", "box"]), "A=1,team=a+b line");
    assert_eq!(engine.ok(&["logs", "box"]), "line");
    let wrong = engine.docker(&["create", "--log-opt", "colour=red", "busybox"]);
    assert!(wrong.err.contains("unknown log opt 'colour' for json-file log driver"), "{wrong:?}");
}

#[test]
fn since_and_until_hold_across_rotations() {
    let Some(engine) = Engine::with_busybox() else { return };
    let script =
        "i=0; while [ $i -lt 400 ]; do [ $((i % 50)) = 0 ] && sleep 0.02; echo line $i; i=$((i+1)); done";
    let rotate = ["--log-opt", "max-size=10k", "--log-opt", "max-file=5"];
    engine.ok(&[
        &["run", "--name", "box", "--network", "none"],
        &rotate[..],
        &["busybox", "sh", "-c", script],
    ]
    .concat());
    let all = engine.ok(&["logs", "-t", "box"]);
    let lines: Vec<(&str, &str)> = all.lines().filter_map(|line| line.split_once(' ')).collect();
    assert_eq!(lines.last().unwrap().1, "line 399");
    assert_eq!(lines.len(), 400, "five files of ten kilobytes hold them all");
    let (since, until) = (lines[100].0, lines[300].0);
    let part = engine.ok(&["logs", "--since", since, "--until", until, "box"]);
    let wanted = lines.iter().filter(|(at, _)| (since..=until).contains(at)).map(|(_, line)| *line);
    let wanted: Vec<&str> = wanted.collect();
    assert!(wanted.len() > 100 && wanted.len() < 400, "{}", wanted.len());
    assert_eq!(part.lines().collect::<Vec<_>>(), wanted);
}

#[test]
fn rotated_files_are_compressed_and_read_whole() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    for (name, driver, size) in [("json", "json-file", "10k"), ("local", "local", "4k")] {
        let options = [&format!("max-size={size}"), "max-file=20", "compress=true"];
        let options = options.map(|option| ["--log-opt", option]);
        let run = ["run", "-d", "--name", name, "--network", "none", "--log-driver", driver];
        // It lives on: at its end, no more is compressed than a few seconds allow.
        let script = format!("{}; exec sleep 1000", lines(1000));
        engine.ok(&[&run[..], options.as_flattened(), &["busybox", "sh", "-c", &script]].concat());
        eventually("all is written, and compressed but for the newest file", || {
            let ends = files(&engine, name);
            let zipped = ends.iter().filter(|end| end.ends_with(".gz")).count();
            let is_whole = engine.ok(&["logs", "--tail", "1", name]) == "line 999";
            let is_compressed = zipped > 3 && ends.len() == zipped + 1 && ends.contains(&".1.gz".to_owned());
            (is_whole && is_compressed).then_some(())
        });
        engine.ok(&["kill", name]);
        assert_eq!(numbers(&engine.ok(&["logs", name])), (0..1000).collect::<Vec<_>>());
        for tail in [1_u32, 400, 999] {
            let part = engine.ok(&["logs", "--tail", &tail.to_string(), name]);
            assert_eq!(numbers(&part), (1000 - tail..1000).collect::<Vec<_>>());
        }
        let all = engine.ok(&["logs", "-t", name]);
        let since = all.lines().nth(500).unwrap().split_once(' ').unwrap().0;
        let wanted = all.lines().filter(|line| line.split_once(' ').unwrap().0 >= since).count();
        assert_eq!(engine.ok(&["logs", "--since", since, name]).lines().count(), wanted);
    }
    let json = PathBuf::from(engine.inspect("json", ".LogPath"));
    let first = Command::new("zcat").arg(json.with_extension("log.1.gz")).output().unwrap();
    let first = String::from_utf8(first.stdout).unwrap();
    assert!(first.lines().next().unwrap().starts_with("{\"log\":\"line "), "{first}");
}

#[test]
fn whoever_follows_reads_every_line_once_across_compressed_files() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let options = ["max-size=5k", "max-file=100", "compress=true"].map(|option| ["--log-opt", option]);
    let script = format!("read go; {}", lines(3000));
    let run = ["run", "-di", "--name", "box", "--network", "none"];
    engine.ok(&[&run[..], options.as_flattened(), &["busybox", "sh", "-c", &script]].concat());
    let follower = engine.client(&["logs", "-f", "box"]).stdout(Stdio::piped()).spawn().unwrap();
    let mut attach =
        engine.client(&["attach", "box"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    attach.stdin.take().unwrap().write_all(b"go\n").unwrap();
    assert_eq!(engine.ok(&["wait", "box"]), "0");
    let read = String::from_utf8(follower.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(numbers(&read), (0..3000).collect::<Vec<_>>());
    attach.wait().unwrap();
}

#[test]
fn a_guard_killed_while_it_compresses_loses_nothing() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let options = ["max-size=20k", "max-file=500", "compress=true"].map(|option| ["--log-opt", option]);
    let script = format!("{}; sleep 1000", lines(30_000));
    let run = ["run", "-d", "--name", "box", "--network", "none"];
    engine.ok(&[&run[..], options.as_flattened(), &["busybox", "sh", "-c", &script]].concat());
    let is_compressed = || files(&engine, "box").iter().any(|end| end.ends_with(".gz")).then_some(());
    eventually("something is compressed", is_compressed);
    signal(guard(&engine, "box"), "-KILL");
    assert_eq!(engine.ok(&["wait", "box"]), "137");
    let read = numbers(&engine.ok(&["logs", "box"]));
    assert_eq!(read, (0..read.len() as u32).collect::<Vec<_>>(), "every line up to the last is there once");
    // The next guard ends what this one couldn't.
    engine.ok(&["start", "box"]);
    let is_clean = || {
        let ends = files(&engine, "box");
        (engine.ok(&["logs", "--tail", "1", "box"]) == "line 29999"
            && !ends.iter().any(|end| end.ends_with("tmp")))
        .then_some(())
    };
    eventually("everything is written and compressed", is_clean);
    engine.ok(&["rm", "-f", "box"]);
}

#[test]
fn a_container_that_must_not_wait_loses_whole_lines_instead() {
    let Some(engine) = Engine::native_with_busybox() else { return };
    let options = ["mode=non-blocking", "max-buffer-size=64k"].map(|option| ["--log-opt", option]);
    let script = "read go; i=0; while [ $i -lt 20000 ]; do echo line $i; i=$((i+1)); done; touch /over; \
                  read on; echo line 20000";
    let run = ["run", "-di", "--name", "box", "--network", "none"];
    engine.ok(&[&run[..], options.as_flattened(), &["busybox", "sh", "-c", script]].concat());
    let guard = guard(&engine, "box");
    let scribe = eventually("a process writes the log", || {
        children(guard).into_iter().find(|(_, name)| name == "berth-scribe").map(|(pid, _)| pid)
    });
    let mut attach =
        engine.client(&["attach", "box"]).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut input = attach.stdin.take().unwrap();
    // Nothing is written from here on, as with a disk that hangs.
    signal(scribe, "-STOP");
    input.write_all(b"go\n").unwrap();
    eventually("the container goes on", || {
        (engine.docker(&["exec", "box", "ls", "/over"]).code == 0).then_some(())
    });
    assert_eq!(engine.ok(&["logs", "box"]), "");
    signal(scribe, "-CONT");
    let has_some = || engine.ok(&["logs", "--tail", "1", "box"]).starts_with("line ").then_some(());
    eventually("what waited is written", has_some);
    let follower = engine.client(&["logs", "-f", "box"]).stdout(Stdio::piped()).spawn().unwrap();
    input.write_all(b"on\n").unwrap();
    assert_eq!(engine.ok(&["wait", "box"]), "0");
    let followed = String::from_utf8(follower.wait_with_output().unwrap().stdout).unwrap();
    let read = numbers(&followed);
    assert!(read.is_sorted() && read.first() == Some(&0) && read.last() == Some(&20_000), "{read:?}");
    assert!((1000..19_000).contains(&read.len()), "{} lines", read.len());
    assert_eq!(numbers(&engine.ok(&["logs", "box"])), read);
    attach.wait().unwrap();
}

#[test]
fn options_that_make_no_sense_are_refused_in_dockers_words() {
    let Some(engine) = Engine::with_busybox() else { return };
    let cases: [(&[&str], &str); 8] = [
        (&["compress=true"], "compress cannot be true when max-file is less than 2 or max-size is not set"),
        (&["compress=maybe"], "strconv.ParseBool: parsing \"maybe\": invalid syntax"),
        (&["max-file=0"], "max-file cannot be less than 1"),
        (&["max-size=0"], "max-size must be a positive number"),
        (&["mode=sometimes"], "logger: logging mode not supported: sometimes"),
        (&["max-buffer-size=1m"], "max-buffer-size option is only supported with 'mode=non-blocking'"),
        (
            &["mode=non-blocking", "max-buffer-size=x"],
            "error parsing option max-buffer-size: invalid size: 'x'",
        ),
        (&["colour=red"], "unknown log opt 'colour' for json-file log driver"),
    ];
    for (options, words) in cases {
        let options: Vec<[&str; 2]> = options.iter().map(|option| ["--log-opt", option]).collect();
        let refused =
            engine.docker(&[&["run", "--rm"], options.as_flattened(), &["busybox", "true"]].concat());
        assert!(refused.err.contains(words), "{words}: {refused:?}");
    }
    let local = ["run", "--rm", "--log-driver", "local", "--log-opt", "max-file=1", "busybox", "true"];
    let words = "compression cannot be enabled when max file count is 1";
    assert!(engine.docker(&local).err.contains(words));
}
