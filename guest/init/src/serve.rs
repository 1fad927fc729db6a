//! `berth-guest serve`: the engine on this machine, until SIGTERM or SIGINT.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use berth_engine::{Config, Engine, HostPaths};
use tokio::signal::unix::{SignalKind, signal};

use crate::listen::{self, Address};

/// What `berth-guest serve` takes.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Where to listen: unix:///absolute/path; several are fine.
    #[arg(long, default_value = "unix:///run/berth/docker.sock")]
    listen: Vec<Address>,
    /// Persistent state: images, containers, volumes.
    #[arg(long, default_value = "/var/lib/berth")]
    data_root: PathBuf,
    /// State that ends with the machine: sockets, bundles, mounts.
    #[arg(long, default_value = "/run/berth/engine")]
    exec_root: PathBuf,
    /// The cgroup below which containers get theirs.
    #[arg(long, default_value = "/berth")]
    cgroup_parent: String,
    /// Put in front of interface and table names, so that two engines don't meet.
    #[arg(long, default_value = "berth")]
    name_prefix: String,
}

/// Serves until told to end. Containers outlive the engine.
pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("start the engine's threads")?;
    runtime.block_on(serve(args))
}

async fn serve(args: Args) -> anyhow::Result<()> {
    let program = std::env::current_exe().context("find the engine's own program")?;
    let engine = Engine::open(Config {
        data_root: args.data_root,
        exec_root: args.exec_root,
        cgroup_parent: args.cgroup_parent,
        network_namespace: None,
        name_prefix: args.name_prefix,
        guard_program: program.with_file_name("berth-guard"),
        host_paths: HostPaths::Native,
    })?;
    let router = berth_api::routes::router(Arc::new(engine));
    let (end, ended) = tokio::sync::watch::channel(false);
    let mut servers = tokio::task::JoinSet::new();
    for Address::Unix(path) in &args.listen {
        let listener = listen::unix(path).await?;
        let mut ended = ended.clone();
        let until_end = async move { ended.wait_for(|end| *end).await.map_or((), |_| ()) };
        servers.spawn(axum::serve(listener, router.clone()).with_graceful_shutdown(until_end).into_future());
        tracing::info!(socket = %path.display(), "listening");
    }
    asked_to_end().await?;
    end.send_replace(true);
    while let Some(server) = servers.join_next().await {
        server?.context("serve the API")?;
    }
    for Address::Unix(path) in &args.listen {
        drop(std::fs::remove_file(path));
    }
    Ok(())
}

/// Waits for SIGTERM or SIGINT.
async fn asked_to_end() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
    Ok(())
}
