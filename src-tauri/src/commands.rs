//! What the page can ask for: one command per call, its body one call.

use std::sync::Arc;

use tauri::State;
use tauri::ipc::Channel;

use crate::desk::Desk;
use crate::engine::{container, logs};
use crate::failure::Failure;
use crate::launch;
use crate::news::{LogNews, News, Snapshot};

type Shared<'a> = State<'a, Arc<Desk>>;

/// The page listens from now on; it gets how things are and then, through `news`, every change.
#[tauri::command]
pub(crate) fn ready(desk: Shared<'_>, news: Channel<News>) -> Snapshot {
    desk.page_is_ready(news)
}

/// Starts a container.
#[tauri::command]
pub(crate) async fn start_container(desk: Shared<'_>, id: String) -> Result<(), Failure> {
    container::start(&desk.docker()?, &id).await
}

/// Stops a container, within its own stop timeout.
#[tauri::command]
pub(crate) async fn stop_container(desk: Shared<'_>, id: String) -> Result<(), Failure> {
    container::stop(&desk.docker()?, &id).await
}

/// Removes a container, a running one too: the page asked the user first.
#[tauri::command]
pub(crate) async fn remove_container(desk: Shared<'_>, id: String) -> Result<(), Failure> {
    container::remove(&desk.docker()?, &id).await
}

/// Follows a container's output until [`leave_logs`] with the number it returns.
#[tauri::command]
pub(crate) async fn follow_logs(
    desk: Shared<'_>,
    id: String,
    lines: Channel<LogNews>,
) -> Result<u32, Failure> {
    logs::follow(&desk, &id, lines)
}

/// Ends a [`follow_logs`].
#[tauri::command]
pub(crate) fn leave_logs(desk: Shared<'_>, reader: u32) {
    desk.readers.leave(reader);
}

/// Opens a published port in the user's browser.
#[tauri::command]
pub(crate) fn open_port(port: u16) -> Result<(), Failure> {
    launch::browser(port)
}

/// Runs `berth start`; its progress arrives as news of the machine.
#[tauri::command]
pub(crate) async fn start_berth() -> Result<(), Failure> {
    launch::berth_start().await
}
