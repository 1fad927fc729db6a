//! Sends results to a client: one file, or a folder (fsutil's protocol, the other way round); and fetches uploads.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tonic::metadata::{AsciiMetadataKey, AsciiMetadataValue, MetadataMap};

use super::messages::files::{self, Packet, PacketKind, Stat};
use super::messages::{BytesMessage, Empty};
use super::session::Session;
use crate::beneath::{Root, clean};
use crate::{Error, Result};

const SEND: &str = "/moby.filesync.v1.FileSend/DiffCopy";
const UPLOAD: &str = "/moby.upload.v1.Upload/Pull";
/// Bytes per message, and messages that wait for the client.
const CHUNK: usize = 256 << 10;
const BACKLOG: usize = 8;

fn refused(status: &tonic::Status) -> Error {
    Error::Invalid(format!("send to the client: {}", status.message()))
}

/// Sends what `produce` writes as one file. `about` is told with it.
pub(super) async fn file(
    session: &Session,
    about: &[(String, String)],
    produce: impl FnOnce(&mut dyn Write) -> Result<()> + Send + 'static,
) -> Result<()> {
    if !session.serves(SEND) {
        return Err(Error::Invalid("the client takes no files".to_owned()));
    }
    let mut metadata = MetadataMap::new();
    for (key, value) in about {
        let key = AsciiMetadataKey::from_bytes(format!("exporter-md-{key}").to_ascii_lowercase().as_bytes());
        if let (Ok(key), Ok(value)) = (key, AsciiMetadataValue::try_from(value.as_str())) {
            metadata.insert(key, value);
        }
    }
    let (sender, receiver) = mpsc::channel::<BytesMessage>(BACKLOG);
    let producing = tokio::task::spawn_blocking(move || {
        let mut writer = io::BufWriter::with_capacity(CHUNK, Messages(sender));
        produce(&mut writer)?;
        writer.flush().map_err(Error::file("send", "to the client"))
    });
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let answers = session.converse::<BytesMessage, BytesMessage>(SEND, metadata, outgoing).await;
    let mut answers = answers.map_err(|status| refused(&status))?;
    // The client ends the call once it has all.
    while let Some(answer) = answers.next().await {
        answer.map_err(|status| refused(&status))?;
    }
    producing.await?
}

struct Messages(mpsc::Sender<BytesMessage>);

impl Write for Messages {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.0.blocking_send(BytesMessage { data: bytes.to_vec() });
        sent.map(|()| bytes.len()).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Sends the folder at `root`.
pub(super) async fn folder(session: &Session, root: PathBuf) -> Result<()> {
    if !session.serves(SEND) {
        return Err(Error::Invalid("the client takes no files".to_owned()));
    }
    let (sender, receiver) = mpsc::channel::<Packet>(BACKLOG);
    let (requests, incoming) = mpsc::unbounded_channel::<Packet>();
    // Started first: the client answers once it has seen something.
    let sending = tokio::task::spawn_blocking(move || {
        send_folder(&root, &sender, incoming).map_err(Error::file("send", root))
    });
    let outgoing = tokio_stream::wrappers::ReceiverStream::new(receiver);
    let answers = session.converse::<Packet, Packet>(SEND, MetadataMap::new(), outgoing).await;
    let mut answers = answers.map_err(|status| refused(&status))?;
    while let Some(packet) = answers.message().await.map_err(|status| refused(&status))? {
        if requests.send(packet).is_err() {
            break;
        }
    }
    drop(requests);
    sending.await?
}

fn send_folder(
    root: &Path,
    sender: &mpsc::Sender<Packet>,
    mut incoming: mpsc::UnboundedReceiver<Packet>,
) -> io::Result<()> {
    let send = |packet| sender.blocking_send(packet).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe));
    let opened = Root::open(root)?;
    let mut paths: Vec<String> = Vec::new();
    walk(root, "", &mut |path, metadata| {
        let mut stat = described(path, metadata);
        if stat.mode & files::SYMLINK != 0 {
            stat.link = std::fs::read_link(root.join(path))?.to_string_lossy().into_owned();
        }
        paths.push(path.to_owned());
        send(Packet { stat: Some(stat), ..Packet::of(PacketKind::Stat) })
    })?;
    send(Packet::of(PacketKind::Stat))?;
    while let Some(packet) = incoming.blocking_recv() {
        match PacketKind::try_from(packet.kind) {
            Ok(PacketKind::Request) => {
                let path = paths.get(packet.id as usize).ok_or(io::ErrorKind::InvalidInput)?;
                let mut file: File = opened.file(path)?;
                let mut buffer = vec![0; CHUNK];
                loop {
                    let count = file.read(&mut buffer)?;
                    let data = buffer[..count].to_vec();
                    send(Packet { id: packet.id, data, ..Packet::of(PacketKind::Data) })?;
                    if count == 0 {
                        break;
                    }
                }
            }
            Ok(PacketKind::Finished) => return send(Packet::of(PacketKind::Finished)),
            Ok(PacketKind::Failed) => {
                return Err(io::Error::other(String::from_utf8_lossy(&packet.data).into_owned()));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Every path beneath a folder in the order that receivers want: a folder before its content, names sorted.
fn walk(
    root: &Path,
    path: &str,
    each: &mut dyn FnMut(&str, &std::fs::Metadata) -> io::Result<()>,
) -> io::Result<()> {
    let opened = Root::open(root)?;
    for name in crate::beneath::names(opened.folder(path)?.as_fd())? {
        let Ok(name) = String::from_utf8(name) else { continue };
        let inner = if path.is_empty() { name } else { format!("{path}/{name}") };
        let metadata = std::fs::symlink_metadata(root.join(&inner))?;
        each(&inner, &metadata)?;
        if metadata.is_dir() {
            walk(root, &inner, each)?;
        }
    }
    Ok(())
}

fn described(path: &str, metadata: &std::fs::Metadata) -> Stat {
    use std::os::unix::fs::FileTypeExt;
    let kind = metadata.file_type();
    let mut mode = metadata.mode() & 0o777;
    for (is_set, bit) in [
        (kind.is_dir(), files::FOLDER),
        (kind.is_symlink(), files::SYMLINK),
        (kind.is_fifo(), files::PIPE),
        (kind.is_socket(), files::SOCKET),
        (kind.is_block_device() || kind.is_char_device(), files::DEVICE),
        (kind.is_char_device(), files::CHARACTERS),
        (metadata.mode() & 0o4000 != 0, files::SETUID),
        (metadata.mode() & 0o2000 != 0, files::SETGID),
        (metadata.mode() & 0o1000 != 0, files::STICKY),
    ] {
        mode |= if is_set { bit } else { 0 };
    }
    Stat {
        path: path.to_owned(),
        mode,
        uid: metadata.uid(),
        gid: metadata.gid(),
        size: if kind.is_file() { i64::try_from(metadata.len()).unwrap_or(i64::MAX) } else { 0 },
        modified: metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec()),
        ..Stat::default()
    }
}

/// Fetches what a client offers under an address of its session (`docker build - < archive`).
pub(super) async fn pull_upload(session: &Session, url: &str, to: &Path) -> Result<()> {
    let path = url.trim_start_matches("http://buildkit-session/");
    let mut metadata = MetadataMap::new();
    if let Ok(value) = AsciiMetadataValue::try_from(format!("/{}", clean(path))) {
        metadata.insert("urlpath", value);
    }
    metadata.insert("urlhost", AsciiMetadataValue::from_static("buildkit-session"));
    let none = futures_util::stream::empty::<Empty>();
    let answers = session.converse::<Empty, BytesMessage>(UPLOAD, metadata, none).await;
    let mut answers = answers.map_err(|status| refused(&status))?;
    let mut file = tokio::fs::File::create(to).await.map_err(Error::file("create", to))?;
    while let Some(message) = answers.message().await.map_err(|status| refused(&status))? {
        file.write_all(&message.data).await.map_err(Error::file("write", to))?;
    }
    file.flush().await.map_err(Error::file("write", to))
}
