//! The tiny init of `docker run --init`: forwards signals to its one child, reaps orphans, ends as the child did.
//!
//! The `berth-runtime` program is it when called `docker-init`, bound into the container as `/sbin/docker-init`.

use std::io::{self, ErrorKind};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use rustix::process::{Pid, WaitOptions, WaitStatus};

use crate::sys;

/// Runs the program that the arguments name, after an optional `--`, to its end.
pub fn run(arguments: &[String]) -> ExitCode {
    let arguments = match arguments {
        [dashes, rest @ ..] if dashes == "--" => rest,
        all => all,
    };
    let Some((program, rest)) = arguments.split_first() else { return ExitCode::from(1) };
    sys::block_signals();
    // A group of its own lets the terminal tell it from init.
    let child = match sys::spawn_hearing(Command::new(program).args(rest).process_group(0)) {
        Ok(child) => child.id() as i32,
        Err(error) => {
            eprintln!("docker-init: {program}: {error}");
            return ExitCode::from(if error.kind() == ErrorKind::NotFound { 127 } else { 126 });
        }
    };
    if let Some(group) = Pid::from_raw(child) {
        // Without a terminal there is none to give.
        let _ = rustix::termios::tcsetpgrp(rustix::stdio::stdin(), group);
    }
    match serve(child) {
        Ok(code) => ExitCode::from(code as u8),
        Err(error) => {
            eprintln!("docker-init: {error}");
            ExitCode::from(1)
        }
    }
}

/// Forwards and reaps until the child is gone; its exit code.
fn serve(child: i32) -> io::Result<i32> {
    loop {
        match sys::next_signal() {
            Ok(libc::SIGCHLD) => {
                if let Some(code) = reap(child) {
                    return Ok(code);
                }
            }
            // Answered by stopping init itself, which helps nobody.
            Ok(libc::SIGTTIN | libc::SIGTTOU | libc::SIGTSTP) => {}
            // A child that is just gone takes no signals.
            Ok(signal) => drop(sys::kill(child, signal)),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Collects everything that has ended; the child's exit code if it is among it.
fn reap(child: i32) -> Option<i32> {
    let mut code = None;
    while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
        if pid.as_raw_nonzero().get() == child {
            code = Some(shell_code(status));
        }
    }
    code
}

fn shell_code(status: WaitStatus) -> i32 {
    status.exit_status().unwrap_or_else(|| 128 + status.terminating_signal().unwrap_or(0))
}
