//! SIGHUP: `daemon.json` is read again, and what dockerd reloads is taken over.

use berth_engine::Engine;

use super::Args;
use crate::daemon_json::{self, DaemonJson, Files};
use crate::logs::Logs;

/// Reads the file again. When it makes no sense everything stays as it is.
pub(super) fn run(args: &Args, engine: &Engine, logs: &Logs) -> anyhow::Result<()> {
    let Some(file) = &args.config_file else {
        tracing::info!("got signal to reload configuration, but no file was named");
        return Ok(());
    };
    tracing::info!("got signal to reload configuration, reloading from: {}", file.display());
    let json = DaemonJson::read(file, &args.said())?;
    let fresh = daemon_json::settings(&json, &Files::Here)?;
    engine.reload(daemon_json::reloaded(&engine.settings(), fresh, &json))?;
    logs.follow(&json)
}
