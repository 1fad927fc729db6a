//! A folder of content at the client (`--cache-to type=local`, `oci-layout://…`), reached through its session as
//! containerd's content service (`containerd.services.content.v1`).

use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;

use berth_images::{Blob, Digest, Kept, Store};
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::io::{StreamReader, SyncIoBridge};
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Code, Status};

use super::messages::content::{
    ReadRequest, ReadResponse, WRITE, WRITE_AND_COMMIT, WriteRequest, WriteResponse,
};
use super::session::Session;
use crate::depot::Depot;
use crate::steps::blocking;
use crate::{Error, Result};

const READ: &str = "/containerd.services.content.v1.Content/Read";
const WRITE_CONTENT: &str = "/containerd.services.content.v1.Content/Write";
/// Names the folder among those that the client offers.
const STORE: &str = "buildkit-attachable-store-id";
/// Bytes per message, and messages that wait for the client.
const CHUNK: usize = 512 << 10;
const BACKLOG: usize = 4;
/// A manifest over this is none, as for registries.
const MANIFEST_LARGEST: u64 = 4 << 20;

/// Content on its way here.
type Bytes = Pin<Box<dyn AsyncRead + Send>>;

/// One folder.
pub(super) struct ClientFolder {
    session: Arc<Session>,
    id: AsciiMetadataValue,
    name: String,
    /// The manifest that is read.
    manifest: Option<Digest>,
}

impl ClientFolder {
    /// The folder that the client knows by `id`; `name` is what it is called in errors.
    pub(super) fn new(
        session: Arc<Session>,
        id: &str,
        name: String,
        manifest: Option<Digest>,
    ) -> Result<Self> {
        let id = AsciiMetadataValue::try_from(id).map_err(|_| {
            Error::Invalid(format!("the folder {id:?} can't be named in a header: use plain letters"))
        })?;
        Ok(Self { session, id, name, manifest })
    }

    fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        metadata.insert(STORE, self.id.clone());
        metadata
    }

    fn refused(&self, status: &Status) -> Error {
        Error::Invalid(format!("{}: {}", self.name, reason(status)))
    }

    /// The bytes of something in the folder.
    async fn read(&self, digest: &Digest) -> Result<Bytes> {
        let question = ReadRequest { digest: digest.to_string(), offset: 0, size: 0 };
        let questions = futures_util::stream::iter([question]);
        let answers =
            self.session.converse::<ReadRequest, ReadResponse>(READ, self.metadata(), questions).await;
        let answers = answers.map_err(|status| self.refused(&status))?;
        let bytes = answers.map(|answer| match answer {
            Ok(answer) => Ok(bytes::Bytes::from(answer.data)),
            Err(status) => Err(std::io::Error::other(reason(&status))),
        });
        Ok(Box::pin(StreamReader::new(bytes)))
    }

    /// A manifest, an index or a configuration.
    pub(super) async fn document(&self, digest: &Digest) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let read = self.read(digest).await?.take(MANIFEST_LARGEST).read_to_end(&mut bytes).await;
        read.map_err(|error| Error::Invalid(format!("{}: {error}", self.name)))?;
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(Error::Invalid(format!("{}: {digest} isn't what it says", self.name))),
        }
    }

    async fn write(&self, store: &Store, blob: &Blob) -> Result<()> {
        let mut file = store.open_content(&blob.digest)?;
        let (expected, total) = (blob.digest.to_string(), i64::try_from(blob.size).unwrap_or(i64::MAX));
        let (sender, requests) = mpsc::channel(BACKLOG);
        let feeding = blocking(move || {
            let mut offset = 0i64;
            loop {
                let mut data = Vec::with_capacity(CHUNK);
                let read = Read::by_ref(&mut file).take(CHUNK as u64).read_to_end(&mut data);
                read.map_err(Error::file("read", "a layer's content"))?;
                let moved = i64::try_from(data.len()).unwrap_or(0);
                let is_last = offset + moved >= total || moved == 0;
                let action = if is_last { WRITE_AND_COMMIT } else { WRITE };
                let (reference, expected) = (format!("berth-{expected}"), expected.clone());
                let request = WriteRequest { action, reference, total, expected, offset, data };
                // A client that has it already hangs up.
                if sender.blocking_send(request).is_err() || is_last {
                    return Ok(());
                }
                offset += moved;
            }
        });
        let writing = async {
            let requests = ReceiverStream::new(requests);
            let answers = self
                .session
                .converse::<WriteRequest, WriteResponse>(WRITE_CONTENT, self.metadata(), requests)
                .await;
            let mut answers = match answers {
                Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
                answers => answers.map_err(|status| self.refused(&status))?,
            };
            loop {
                match answers.message().await {
                    Ok(Some(answer)) if answer.action == WRITE_AND_COMMIT => return Ok(()),
                    Ok(Some(_)) => {}
                    Ok(None) => return Err(Error::Invalid(format!("{}: cut off", self.name))),
                    Err(status) if status.code() == Code::AlreadyExists => return Ok(()),
                    Err(status) => return Err(self.refused(&status)),
                }
            }
        };
        let (fed, written) = tokio::join!(feeding, writing);
        fed.and(written)
    }
}

/// Why a client refused: clients pass errors of gRPC on as texts.
fn reason(status: &Status) -> String {
    let message = status.message();
    let inner = message.strip_prefix("rpc error: code = ").and_then(|rest| rest.split_once(" desc = "));
    inner.map_or(message, |(_, inner)| inner).to_owned()
}

impl Depot for ClientFolder {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn manifest(&self) -> BoxFuture<'_, Result<Vec<u8>>> {
        Box::pin(async {
            let Some(digest) = &self.manifest else {
                return Err(Error::Invalid(format!("{}: there is no cache", self.name)));
            };
            self.document(digest).await
        })
    }

    fn fetch<'a>(&'a self, store: &'a Store, blob: &'a Blob) -> BoxFuture<'a, Result<Kept>> {
        Box::pin(async move {
            let reader = SyncIoBridge::new(self.read(&blob.digest).await?);
            let (store, blob, name) = (store.clone(), blob.clone(), self.name.clone());
            let wrong = move |error| match error {
                berth_images::Error::WrongDigest { expected, .. } => {
                    Error::Invalid(format!("{name}: {expected} isn't what it says"))
                }
                other => Error::Invalid(format!("{name}: {}", Error::from(other).describe())),
            };
            blocking(move || store.take_content(&blob, reader).map_err(wrong)).await
        })
    }

    fn send<'a>(&'a self, store: &'a Store, blob: &'a Blob) -> BoxFuture<'a, Result<()>> {
        Box::pin(self.write(store, blob))
    }

    fn finish<'a>(&'a self, store: &'a Store, manifest: &'a Blob) -> BoxFuture<'a, Result<()>> {
        // The client itself notes the manifest in its folder's index.
        Box::pin(self.write(store, manifest))
    }
}
