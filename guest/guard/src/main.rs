//! `berth-guard <dir>`: makes the container that `<dir>/launch.json` describes, and holds it until its end.
//!
//! It writes to standard output the number of the process that holds the container, in four bytes, the first first;
//! and `ready` once its socket listens. After that, standard output is closed. The number is another one than the
//! started process's when the guard goes on as a copy in the guards' cgroup.
//!
//! A guard has one thread, since it forks. What would keep the container waiting is done by other processes of this
//! program, which end with the guard: `--compress <to>` and `--scribe <dir>`.

mod hold;
mod log_file;
mod scribe;
mod sys;

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::ExitCode;

use hold::error::Error;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let arguments: Vec<&OsStr> = arguments.iter().map(OsString::as_os_str).collect();
    let done = match arguments[..] {
        [mode, to] if mode == log_file::COMPRESS => log_file::compress(Path::new(to)),
        [mode, folder] if mode == scribe::SCRIBE => scribe::run(Path::new(folder)),
        [folder] => guard(Path::new(folder)),
        _ => {
            eprintln!("usage: berth-guard <dir>");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-guard: {}", hold::error::describe(&error));
            ExitCode::FAILURE
        }
    }
}

fn guard(folder: &Path) -> Result<(), Error> {
    berth_runtime::protect::run_from_readonly_mount()?;
    // Executed through a descriptor, it would be called by the descriptor's number.
    let _ = rustix::thread::set_name(c"berth-guard");
    hold::run(folder)
}
