//! `berth-runtime`: an OCI runtime command; inside a container, as `docker-init`, the tiny init of `docker run --init`;
//! and, for builds, the holder of a container that lives only as long as its attendant.

use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().map(|text| text.to_string_lossy().into_owned());
    let called = arguments.next().unwrap_or_default();
    let arguments: Vec<_> = arguments.collect();
    let name = Path::new(&called).file_name().unwrap_or_default();
    match arguments.split_first() {
        _ if name == "docker-init" => berth_runtime::init::run(&arguments),
        Some((verb, rest)) if verb == "init" => berth_runtime::init::run(rest),
        Some((verb, [folder])) if verb == "attended" => berth_runtime::attended::run(Path::new(folder)),
        _ => berth_runtime::command::run(),
    }
}
