//! `berth-guard <dir>`: makes the container that `<dir>/launch.json` describes, and holds it until its end.
//!
//! It writes to standard output the number of the process that holds the container, in four bytes, the first first;
//! and `ready` once its socket listens. After that, standard output is closed. The number is another one than the
//! started process's when the guard goes on as a copy in the guards' cgroup.

mod hold;
mod sys;

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let (Some(folder), None) = (arguments.next(), arguments.next()) else {
        eprintln!("usage: berth-guard <dir>");
        return ExitCode::from(2);
    };
    if let Err(error) = berth_runtime::protect::run_from_readonly_mount() {
        eprintln!("berth-guard: {}", error.describe());
        return ExitCode::FAILURE;
    }
    // Executed through a descriptor, it would be called by the descriptor's number.
    let _ = rustix::thread::set_name(c"berth-guard");
    match hold::run(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("berth-guard: {}", hold::error::describe(&error));
            ExitCode::FAILURE
        }
    }
}
