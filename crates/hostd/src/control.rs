//! `control.sock`: what the window and the command line ask ([`protocol::control`]).

use std::io;
use std::time::Duration;

use protocol::control::{Reply, Request, Wish};
use protocol::machine::State;
use tokio::io::AsyncReadExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;

use crate::pipe;
use crate::state::{Change, Shared};

/// Serves clients for ever.
pub(crate) async fn serve(listener: UnixListener, state: Shared, wishes: mpsc::Sender<Change>) {
    loop {
        match listener.accept().await {
            Ok((client, _)) => {
                let (state, wishes) = (state.clone(), wishes.clone());
                tokio::spawn(async move {
                    if let Err(error) = answer(client, state, wishes).await {
                        tracing::debug!(%error, "a control client left");
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a control client can't be accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

async fn answer(mut client: UnixStream, state: Shared, wishes: mpsc::Sender<Change>) -> io::Result<()> {
    let request: Request = pipe::read(&mut client).await?;
    if !protocol::VERSION.understands(request.version) {
        let message = format!(
            "this daemon speaks protocol {}, the client {}: restart Berth after an update",
            protocol::VERSION,
            request.version
        );
        return pipe::write(&mut client, &Reply::Refused { message }).await;
    }
    let mut status = state.watch();
    let is_last = match request.wish {
        Wish::Status => {
            let now = status.borrow_and_update().clone();
            return pipe::write(&mut client, &Reply::Status(now)).await;
        }
        Wish::Follow => |_: State| false,
        Wish::Start { machine } => {
            status.borrow_and_update();
            wishes.send(Change::Start(machine)).await.map_err(io::Error::other)?;
            // The machine's task answers every wish with a change, if only from running to running.
            status.changed().await.map_err(io::Error::other)?;
            |state: State| matches!(state, State::Running | State::Failed)
        }
        Wish::Stop => {
            wishes.send(Change::Stop).await.map_err(io::Error::other)?;
            |state: State| state == State::Stopped
        }
    };
    loop {
        let now = status.borrow_and_update().clone();
        let ended = is_last(now.state);
        pipe::write(&mut client, &Reply::Status(now)).await?;
        if ended {
            return Ok(());
        }
        tokio::select! {
            changed = status.changed() => if changed.is_err() { return Ok(()) },
            // A client says nothing more: what is read is its end.
            _ = client.read_u8() => return Ok(()),
        }
    }
}
