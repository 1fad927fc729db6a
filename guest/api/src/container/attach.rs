//! `POST /containers/{id}/attach`, and the conversation that it and exec have with a client.

use std::time::Duration;

use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Path, Request, State};
use axum::response::Response;
use berth_engine::attach::{Attached, Input};
use berth_engine::output::{Chunk, Stream};
use berth_engine::{LogOptions, Logs};
use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::{mpsc, watch};

use crate::detach_keys::DetachKeys;
use crate::error::Failure;
use crate::hijack::{Connection, Hijack};
use crate::multiplex;
use crate::query::Query;
use crate::routes::Shared;
use crate::wire::container::StreamQuery;

/// How long a client may take nothing.
const PATIENCE: Duration = Duration::from_secs(60);
/// Bytes read from a client at once.
const READ_SIZE: usize = 32 << 10;

pub(super) async fn attach(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<StreamQuery>,
    request: Request,
) -> Result<Response, Failure> {
    let keys = DetachKeys::parse(&query.detach_keys)?;
    let (attached, wanted, past) = prepare(&engine, &name, &query).await?;
    let live = query.stream;
    let keys = Some(keys).filter(|_| attached.terminal);
    let hijack = Hijack::of(request);
    Ok(hijack.answer(attached.terminal, move |mut connection| async move {
        if let Some(past) = past {
            replay(past, &mut connection).await;
        }
        if live {
            converse(attached, wanted, keys, connection).await;
        }
    }))
}

/// `GET /containers/{id}/attach/ws`: the same over a websocket, whose messages are plain bytes both ways.
pub(super) async fn attach_websocket(
    State(engine): State<Shared>,
    Path(name): Path<String>,
    Query(query): Query<StreamQuery>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Failure> {
    let keys = DetachKeys::parse(&query.detach_keys)?;
    let (mut attached, wanted, past) = prepare(&engine, &name, &query).await?;
    let keys = Some(keys).filter(|_| attached.terminal);
    // Nothing is framed: a message says itself where it ends.
    attached.terminal = true;
    let live = query.stream;
    Ok(upgrade.on_upgrade(move |socket| async move {
        let (ours, theirs) = tokio::io::duplex(READ_SIZE);
        let relay = tokio::spawn(relay(socket, theirs));
        let mut connection: Connection = Box::new(ours);
        if let Some(past) = past {
            replay(Logs { terminal: true, ..past }, &mut connection).await;
        }
        if live {
            converse(attached, wanted, keys, connection).await;
        } else {
            drop(connection);
        }
        drop(relay.await);
    }))
}

/// Carries bytes between a websocket and a conversation until either ends.
async fn relay(mut socket: WebSocket, conversation: DuplexStream) {
    let (mut reader, writer) = tokio::io::split(conversation);
    let mut writer = Some(writer);
    let mut buffer = vec![0; READ_SIZE];
    loop {
        tokio::select! {
            read = reader.read(&mut buffer) => match read {
                Ok(length @ 1..) => {
                    let message = Message::Binary(Bytes::copy_from_slice(&buffer[..length]));
                    let sent = tokio::time::timeout(PATIENCE, socket.send(message)).await;
                    if !matches!(sent, Ok(Ok(()))) {
                        return;
                    }
                }
                _ => break,
            },
            message = socket.recv() => {
                let bytes = match message {
                    Some(Ok(Message::Binary(bytes))) => bytes,
                    Some(Ok(Message::Text(text))) => text.into(),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => continue,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                let Some(input) = &mut writer else { continue };
                // A process that doesn't listen any more may still talk.
                if input.write_all(&bytes).await.is_err() {
                    writer = None;
                }
            }
        }
    }
    drop(tokio::time::timeout(PATIENCE, socket.send(Message::Close(None))).await);
}

/// Attaches, and opens what was written before when that is wanted.
async fn prepare(
    engine: &Shared,
    name: &str,
    query: &StreamQuery,
) -> Result<(Attached, Wanted, Option<Logs>), Failure> {
    let mut attached = engine.attach(name)?;
    let past = if query.logs {
        Some(
            engine
                .logs(
                    name,
                    LogOptions { stdout: query.stdout, stderr: query.stderr, ..LogOptions::default() },
                )
                .await?,
        )
    } else {
        None
    };
    if !query.stdin {
        attached.input = None;
    }
    let wanted = Wanted { stdout: query.stdout && query.stream, stderr: query.stderr && query.stream };
    Ok((attached, wanted, past))
}

/// Which streams a client wants.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted {
    /// Standard output, or the terminal.
    pub(crate) stdout: bool,
    /// Standard error.
    pub(crate) stderr: bool,
}

/// Writes what was written before.
async fn replay(mut past: Logs, connection: &mut Connection) {
    while let Some(line) = past.lines.recv().await {
        let framed = multiplex::frame(line.stream, &line.bytes, past.terminal);
        if connection.write_all(&framed).await.is_err() {
            return;
        }
    }
}

/// Carries output to the client and its input to the process, until the process ends, the client is gone, or it
/// types its detach keys, which a terminal has. A client that only closes its input keeps its output.
pub(crate) async fn converse(
    attached: Attached,
    wanted: Wanted,
    keys: Option<DetachKeys>,
    connection: Connection,
) {
    let (reader, writer) = tokio::io::split(connection);
    let (leave, left) = watch::channel(false);
    let listening = tokio::spawn(listen(attached.input, keys, reader, leave));
    talk(attached.output, wanted, attached.terminal, writer, left).await;
    listening.abort();
}

/// Output to the client.
async fn talk(
    mut output: mpsc::Receiver<Chunk>,
    wanted: Wanted,
    terminal: bool,
    mut writer: WriteHalf<Connection>,
    mut left: watch::Receiver<bool>,
) {
    loop {
        let chunk = tokio::select! {
            chunk = output.recv() => chunk,
            _ = left.wait_for(|left| *left) => None,
        };
        let Some(Chunk { stream, bytes }) = chunk else { break };
        let shown = match stream {
            Stream::Stdout => wanted.stdout,
            Stream::Stderr => wanted.stderr,
        };
        if shown && writer.write_all(&multiplex::frame(stream, &bytes, terminal)).await.is_err() {
            break;
        }
    }
    drop(writer.shutdown().await);
}

/// Input from the client. Says in `leave` when the client wants to go or is gone.
async fn listen(
    input: Option<Input>,
    mut keys: Option<DetachKeys>,
    mut reader: ReadHalf<Connection>,
    leave: watch::Sender<bool>,
) {
    let mut buffer = vec![0; READ_SIZE];
    loop {
        let read = reader.read(&mut buffer).await;
        let Ok(length @ 1..) = read else {
            if let (Ok(_), Some(input)) = (&read, &input) {
                drop(input.close().await);
            }
            // A closed input alone doesn't end the conversation, a broken connection does.
            if read.is_ok() {
                leave.closed().await;
            }
            break;
        };
        let (typed, detach) = match &mut keys {
            Some(keys) => keys.filter(&buffer[..length]),
            None => (buffer[..length].to_vec(), false),
        };
        if let Some(input) = input.as_ref().filter(|_| !typed.is_empty())
            && input.write(typed.into()).await.is_err()
        {
            // The process doesn't listen any more; its output still counts.
            leave.closed().await;
            break;
        }
        if detach {
            break;
        }
    }
    leave.send_replace(true);
}
