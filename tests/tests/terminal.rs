//! `docker run -it` in a real pseudo-terminal, which util-linux' `script` makes.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};

use e2e::condition::eventually;
use e2e::engine::Engine;
use e2e::guard::need_program;

/// The client in a terminal of its own.
fn in_a_terminal(engine: &Engine, line: &str) -> Option<Child> {
    if !need_program("script") {
        return None;
    }
    let client = engine.client(&[]);
    let mut script = Command::new("script");
    script.args(["--quiet", "--return", "--command", line, "/dev/null"]);
    for (name, value) in client.get_envs() {
        script.env(name, value.unwrap_or_default());
    }
    script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    Some(script.spawn().expect("start script"))
}

#[test]
fn a_terminal_has_a_name_a_size_and_an_exit_code() {
    let Some(engine) = Engine::with_busybox() else { return };
    let line = "stty rows 33 cols 77; docker run --rm -it --network none busybox sh";
    let Some(mut child) = in_a_terminal(&engine, line) else { return };
    let mut input = child.stdin.take().expect("its input");
    let mut output = child.stdout.take().expect("its output");
    let mut seen = Vec::new();
    let mut read_until = |wanted: &str| read_until(&mut output, &mut seen, wanted);
    read_until("/ # ");
    input.write_all(b"tty; stty size; echo $TERM\n").expect("type");
    read_until("/dev/pts/0");
    read_until("33 77");
    read_until("xterm");
    input.write_all(b"exit 9\n").expect("type");
    assert_eq!(child.wait().expect("it ends").code(), Some(9));
}

#[test]
fn the_detach_keys_leave_the_container_running() {
    let Some(engine) = Engine::with_busybox() else { return };
    engine.ok(&["run", "-dit", "--name", "shell", "--network", "none", "busybox", "sh"]);
    let Some(mut child) = in_a_terminal(&engine, "docker attach shell") else { return };
    let mut input = child.stdin.take().expect("its input");
    let mut output = child.stdout.take().expect("its output");
    // Once the shell's answer is seen, the client's terminal is raw: before, the keys mean something else.
    input.write_all(b"\n").expect("type");
    read_until(&mut output, &mut Vec::new(), "/ # ");
    input.write_all(b"\x10\x11").expect("type");
    eventually("the client leaves", || child.try_wait().expect("ask for its end"));
    assert_eq!(engine.inspect("shell", ".State.Status"), "running");
}

/// Reads what a terminal shows until it shows `wanted`.
fn read_until(output: &mut impl Read, seen: &mut Vec<u8>, wanted: &str) {
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(seen).contains(wanted) {
        let length = output.read(&mut buffer).expect("read the terminal");
        assert!(length > 0, "it ended without {wanted:?}: {}", String::from_utf8_lossy(seen));
        seen.extend_from_slice(&buffer[..length]);
    }
}
