//! The tiny init, as a program.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

fn init(script: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runtime"));
    command.args(["init", "--", "/bin/sh", "-c", script]);
    command
}

#[test]
fn it_ends_as_its_child_did() {
    assert_eq!(init("exit 3").status().unwrap().code(), Some(3));
    assert_eq!(init("kill -9 $$").status().unwrap().code(), Some(137));
    // What init has blocked for itself, its child hears.
    assert_eq!(init("kill -TERM $$; sleep 60").status().unwrap().code(), Some(143));
}

#[test]
fn it_forwards_signals() {
    let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
    let mut child = init(script).stdout(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "up\n");
    let sent = Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(sent.success());
    assert_eq!(child.wait().unwrap().code(), Some(7));
}

#[test]
fn a_missing_program_is_127() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_berth-runtime"));
    assert_eq!(command.args(["init", "/no/such/program"]).status().unwrap().code(), Some(127));
}
