//! `berth`, called as `docker`, beside the real `docker` client: the same words to the same engine give the same
//! standard output, standard error and exit code, ids and times masked.

#![expect(clippy::unwrap_used, reason = "a test's panic is its report")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use e2e::condition::eventually;
use e2e::engine::{Engine, Said, said};
use e2e::guard::program;

/// What is typed; `{dir}` is a folder with files to read, and what follows `<` goes to standard input.
const TABLE: &[&str] = &[
    // What is printed, and how it ends.
    "run --rm --network none busybox echo hello",
    "run --rm --network none busybox sh -c 'echo out; echo err >&2; exit 3'",
    "run --rm --network none busybox nope",
    "run --rm --network none busybox /etc",
    "run --rm --network none busybox sh -c 'kill -9 $$'",
    "run --rm --network none --entrypoint echo busybox given",
    "run --rm --network none -i busybox cat < typed here",
    "run --rm --network none busybox cat < nobody listens",
    "run --rm --network none -e A=1 -e B --env-file {dir}/env busybox sh -c 'echo $A-$B-$C-$D'",
    "run --rm --network none -w /srv -u web busybox sh -c 'pwd; id -un'",
    "run --rm --network none -h box busybox hostname",
    "run --rm --network none -v {dir}:/host:ro busybox cat /host/env",
    "run --rm --network none --mount type=bind,src={dir},dst=/host busybox ls /host",
    "run --rm --network none --tmpfs /scratch busybox sh -c 'mount | grep -c /scratch'",
    "run --rm --network none --read-only busybox touch /file",
    "run --rm --network none --cap-drop ALL busybox sh -c 'grep CapEff /proc/self/status'",
    "run --rm --network none --init busybox true",
    "run --rm --network none --add-host there:10.1.2.3 busybox sh -c 'tail -n1 /etc/hosts'",
    "run --rm --network none --label a=b --stop-signal INT --stop-timeout 3 busybox true",
    "run -d --network none --name fresh busybox true",
    "run -d --network none --name box busybox true",
    "run --network none --rm --name fresh -q busybox true",
    "run --rm --network none -t busybox echo terminal",
    "run --rm --network none -it busybox true",
    // What is refused.
    "run",
    "run --nope busybox",
    "run -Z busybox",
    "run -m lots busybox",
    "run --cpus many busybox",
    "run -p 1:2:3:4 busybox",
    "run -p x:80 busybox",
    "run --rm --restart always busybox",
    "run --pull sometimes busybox",
    "run --rm=maybe busybox",
    "run -e",
    "run --env-file {dir}/missing busybox",
    "run --rm --network none --cap-add FLY busybox",
    "run --rm --network nowhere busybox true",
    "run --pull never absent true",
    "run -d -a stdout busybox",
    "run --mount type=frob,dst=/a busybox",
    "frob",
    // Lists.
    "ps",
    "ps -a",
    "ps -q",
    "ps -aq --no-trunc",
    "ps -a --filter name=box --format {{.Names}}",
    "ps -a --format 'table {{.Names}}\\t{{.State}}\\t{{.Image}}'",
    "ps -n 1",
    "ps -s --filter name=box",
    "ps extra",
    "ps --filter nope",
    "images",
    "images -q",
    "images --no-trunc busybox",
    "images absent",
    "images --digests",
    "images --format '{{.Repository}} {{.Tag}}'",
    // Logs, exec, stop, rm.
    "logs talker",
    "logs --tail 1 talker",
    "logs -t --tail 1 talker",
    "logs absent",
    "logs",
    "exec box echo inside",
    "exec box sh -c 'echo out; echo err >&2; exit 5'",
    "exec -i box cat < typed",
    "exec -e A=b -w /tmp -u web box sh -c 'echo $A $PWD; id -un'",
    "exec box nope",
    "exec -d box true",
    "exec absent true",
    "exec talker true",
    "exec box",
    "stop absent",
    "stop",
    "stop talker",
    "stop -t soon box",
    "rm absent",
    "rm -f absent",
    "rm box",
    "rm",
    // Images in and out.
    "load -i {dir}/image.tar",
    "load -q -i {dir}/image.tar",
    "load -i {dir}/missing",
    "load extra",
    "pull",
    "pull 127.0.0.1:1/nobody",
    "pull -q 127.0.0.1:1/nobody:tag",
    "pull Upper",
];

#[test]
fn the_same_words_give_the_same_answer() {
    let Some(engine) = Engine::with_busybox() else { return };
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path();
    std::fs::write(dir.join("env"), "# a comment\nC=3\nD=two words\n").unwrap();
    e2e::image::busybox(dir);
    std::os::unix::fs::symlink(program("berth"), dir.join("docker")).unwrap();
    let sleep = "trap 'exit 0' TERM; while :; do sleep 0.1; done";
    engine.ok(&["run", "-d", "--name", "box", "--network", "none", "busybox", "sh", "-c", sleep]);
    let talk = "echo one; echo two >&2; echo three";
    engine.ok(&["run", "--name", "talker", "--network", "none", "busybox", "sh", "-c", talk]);
    let mut differences = Vec::new();
    for line in TABLE {
        let theirs = answer(&engine, dir, Path::new("docker"), line);
        let ours = answer(&engine, dir, &dir.join("docker"), line);
        if theirs != ours {
            differences.push(format!("docker {line}\n  docker: {theirs:?}\n  berth:  {ours:?}"));
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        TABLE.len(),
        differences.join("\n")
    );
}

/// One client's answer, masked; what it left is removed.
fn answer(engine: &Engine, dir: &Path, client: &Path, line: &str) -> Said {
    let line = line.replace("{dir}", &dir.to_string_lossy());
    let (line, input) = line.split_once(" < ").map_or((line.as_str(), ""), |(line, input)| (line, input));
    let mut command = Command::new(client);
    command
        .args(words(line))
        .env("DOCKER_HOST", format!("unix://{}", engine.socket().display()))
        .env("DOCKER_CONFIG", dir.join("client"))
        .env("B", "from here")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A client that doesn't read its input may be gone already.
    drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
    let said = said(&child.wait_with_output().unwrap());
    engine.docker(&["rm", "--force", "fresh"]);
    eventually("nothing runs but the box", || {
        let left = engine.ok(&["ps", "-aq"]);
        let extra = engine.docker(&["ps", "-aq", "--filter", "status=created"]).out;
        for id in extra.lines() {
            engine.docker(&["rm", "--force", id]);
        }
        (left.lines().count() == 2).then_some(())
    });
    Said { out: masked(&said.out), err: masked(&said.err), code: said.code }
}

/// Splits as a shell does, single quotes kept together.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (index, part) in line.split('\'').enumerate() {
        if index % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// Ids and times are the run's own.
fn masked(text: &str) -> String {
    let mut masked = String::new();
    let mut word = String::new();
    for letter in text.chars().chain(std::iter::once('\n')) {
        if letter.is_ascii_alphanumeric() {
            word.push(letter);
            continue;
        }
        let is_id = word.len() >= 12 && word.chars().all(|letter| letter.is_ascii_hexdigit());
        let is_number = !word.is_empty() && word.chars().all(|letter| letter.is_ascii_digit());
        let is_time = is_number && text.contains("second");
        masked.push_str(if is_id {
            "ID"
        } else if is_time {
            "N"
        } else {
            &word
        });
        word.clear();
        masked.push(letter);
    }
    let masked = masked.replace("Less than a second", "N seconds").replace("N second ", "N seconds ");
    // A time's length moves the columns after it, also in the line above.
    let has_times = masked.contains(" ago");
    let lines = masked.lines().map(|line| {
        if has_times {
            line.split("  ").filter(|cell| !cell.is_empty()).map(str::trim).collect::<Vec<_>>().join(" | ")
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n")
}
