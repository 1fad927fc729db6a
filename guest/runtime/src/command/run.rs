//! `run`: create, start and, unless detached, wait and delete.

use super::create::{self, Created, How};
use super::report::Report;
use super::store::Store;
use super::{Ended, delete, foreground, start};
use crate::error::Error;

/// Creates and starts a container, and waits for its end.
#[derive(clap::Args)]
pub(super) struct Args {
    /// The container's name.
    id: String,
    /// Don't wait.
    #[arg(short, long)]
    detach: bool,
    /// Keep the container on record after its end.
    #[arg(long)]
    keep: bool,
    #[command(flatten)]
    how: How,
}

/// Runs it.
pub(super) fn run(args: &Args, store: &Store, report: &Report) -> Ended {
    let spec = create::load(&args.how.bundle)?;
    let is_shown = create::terminal(&spec) && args.how.console_socket.is_none();
    if args.detach && is_shown {
        let reason = "cannot allocate tty if the runtime will detach without setting console socket";
        return Err(Error::Refused(reason.into()));
    }
    if !args.detach {
        foreground::keep_signals();
    }
    let Created { held, mut container, spec } = create::create(&args.id, &args.how, spec, store, report)?;
    let terminal = container.take_terminal();
    let record = held.record()?.ok_or_else(|| Error::NotExist(args.id.clone()))?;
    if let Err(error) = start::start(&held, &record, &spec, report) {
        let _ = delete::take_apart(held, report);
        return Err(error);
    }
    if args.detach {
        return Ok(0);
    }
    // Others may kill and exec meanwhile.
    drop(held);
    let code = foreground::attend(container.pid(), container.pidfd(), terminal)?;
    if !args.keep {
        match store.lock(&args.id) {
            // Somebody else has deleted it.
            Err(Error::NotExist(_)) => {}
            held => delete::take_apart(held?, report)?,
        }
    }
    Ok(code)
}
