//! The window's own program: a Docker client and a client of the host daemon's control protocol, and nothing else.
//!
//! Two tasks follow what happens ([`machine::follow`] the host daemon, [`engine::watch`] the Docker events) and lay
//! it on the [`desk::Desk`], from which the page gets a snapshot when it is ready, and then every change. The page's
//! wishes arrive as [`commands`], one per call. There is no private path into the engine.

#[cfg(test)]
mod bindings;
mod commands;
mod desk;
mod engine;
mod failure;
mod launch;
mod machine;
mod news;
mod sys;

use std::sync::Arc;

use anyhow::Context;
use desk::Desk;
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn")))
        .with_writer(std::io::stderr)
        .with_ansi(false)
        .init();
    // For tests and for people who run the engine without a machine: a Docker socket that is simply there.
    let fixed_socket = std::env::var("BERTH_DOCKER_SOCKET").ok().filter(|path| !path.is_empty());
    let desk = Arc::new(Desk::new(fixed_socket));
    tauri::Builder::default()
        .manage(Arc::clone(&desk))
        .invoke_handler(tauri::generate_handler![
            commands::ready,
            commands::start_container,
            commands::stop_container,
            commands::remove_container,
            commands::follow_logs,
            commands::leave_logs,
            commands::open_port,
            commands::start_berth,
        ])
        .setup(move |_| {
            tauri::async_runtime::spawn(machine::follow(Arc::clone(&desk)));
            tauri::async_runtime::spawn(engine::watch::watch(desk));
            Ok(())
        })
        .run(context())
        .context("open the window")
}

/// The page and the configuration, embedded at compile time.
#[expect(clippy::exit, reason = "Tauri's macro ends a program whose embedded files can't be read")]
fn context() -> tauri::Context {
    tauri::generate_context!()
}
