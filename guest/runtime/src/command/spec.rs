//! `spec`: a specification to begin with.

use std::io::ErrorKind;
use std::path::PathBuf;

use oci_spec::runtime::Spec;

use super::{Ended, SPEC_VERSION};
use crate::error::{Doing, Error};

/// Writes a config.json that runs a shell.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The folder to write it to.
    #[arg(short, long, default_value = ".")]
    bundle: PathBuf,
    /// For a runtime without root's privileges (not supported).
    #[arg(long)]
    rootless: bool,
}

/// Writes it, never over another.
pub(super) fn run(args: &Args) -> Ended {
    if args.rootless {
        return Err(Error::Refused("--rootless isn't supported: this runtime needs root".into()));
    }
    let mut spec = Spec::default();
    spec.set_version(SPEC_VERSION.into()).set_hostname(Some("berth".into()));
    if let Some(process) = spec.process_mut() {
        process.set_terminal(Some(true));
    }
    let json = serde_json::to_vec_pretty(&spec).map_err(Error::Handshake)?;
    let path = args.bundle.join("config.json");
    let file = std::fs::OpenOptions::new().write(true).create_new(true).open(&path);
    match file.and_then(|mut file| std::io::Write::write_all(&mut file, &json)) {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(Error::Refused(format!("{} exists already: remove it first", path.display())))
        }
        written => written.on("write", &path).map(|()| 0),
    }
}
