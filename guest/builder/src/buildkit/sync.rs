//! What a build asks its client for, by the client's session: contexts, secrets, credentials, agents.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use berth_images::registry::Credentials;
use berth_images::{ImageConfig, Platform, Reference};
use futures_util::future::BoxFuture;
use tokio::sync::{Mutex, OnceCell};

use super::messages::session::{CredentialsRequest, CredentialsResponse, SecretRequest, SecretResponse};
use super::progress::Progress;
use super::receive::{self, Wanted};
use super::session::Session;
use super::{agents, ignored, layout};
use crate::files::Files;
use crate::known::Known;
use crate::sources::{Agent, Named, Received, Sources};
use crate::state::State;
use crate::{Builder, Error, Result, git, kept, key_of};

const SECRET: &str = "/moby.buildkit.secrets.v1.Secrets/GetSecret";
const CREDENTIALS: &str = "/moby.filesync.v1.Auth/Credentials";

/// A client's folders and secrets.
pub(super) struct ClientSources {
    builder: Arc<Builder>,
    session: Arc<Session>,
    progress: Arc<Progress>,
    /// Patterns of the ignore file.
    ignored: Vec<String>,
    contexts: Contexts,
    /// Whether repositories come with their `.git` folders.
    keeps_git_dir: bool,
    folders: Once<Folder>,
    images: Once<(Files, Arc<ImageConfig>)>,
}

/// What is fetched once, by its address.
type Once<T> = Mutex<HashMap<String, Arc<OnceCell<T>>>>;

/// Contexts beside the main one.
pub(super) struct Contexts {
    /// `--build-context` by name, or by name and platform (`name::os/architecture`).
    pub(super) addresses: BTreeMap<String, String>,
    /// What other builds have made.
    pub(super) inputs: HashMap<String, State>,
}

/// A received folder: kept for the next build from the same place, or this build's alone.
pub(super) struct Folder {
    pub(super) path: PathBuf,
    pub(super) known: Arc<Known>,
    temporary: bool,
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.temporary {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}

impl Folder {
    /// A folder for what a client calls `name`. Two builds at once don't share one.
    pub(super) fn open(builder: &Arc<Builder>, session: &Session, name: &str) -> Result<Self> {
        let about = &session.about;
        let key = key_of(&["folder", &about.shared_key, name]);
        let (kept, known, lock) = builder.client_folder(&key);
        let alone = lock.try_lock_owned().ok();
        let folder = match alone.filter(|_| !about.shared_key.is_empty()) {
            Some(guard) => Self { path: kept, known: Arc::new(Known::at(known, guard)), temporary: false },
            None => {
                let path = builder.contexts().join(crate::identity::fresh()?);
                Self { path, known: Arc::default(), temporary: true }
            }
        };
        std::fs::create_dir_all(&folder.path).map_err(Error::file("make folder", &folder.path))?;
        kept::touch(&folder.path)?;
        Ok(folder)
    }

    fn received(&self) -> Received {
        Received { path: self.path.clone(), known: Arc::clone(&self.known) }
    }

    /// A folder that is this build's alone.
    pub(super) fn temporary(builder: &Arc<Builder>) -> Result<Self> {
        let path = builder.contexts().join(crate::identity::fresh()?);
        std::fs::create_dir_all(&path).map_err(Error::file("make folder", &path))?;
        Ok(Self { path, known: Arc::default(), temporary: true })
    }
}

impl ClientSources {
    pub(super) fn new(
        builder: Arc<Builder>,
        session: Arc<Session>,
        progress: Arc<Progress>,
        ignored: Vec<String>,
        contexts: Contexts,
        keeps_git_dir: bool,
    ) -> Self {
        let (folders, images) = Default::default();
        Self { builder, session, progress, ignored, contexts, keeps_git_dir, folders, images }
    }

    /// What the client calls the context of this name for a platform. Nothing and the main context are what they are.
    fn address(&self, name: &str, platform: &Platform) -> Option<&String> {
        if ["scratch", "context"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return None;
        }
        let addresses = &self.contexts.addresses;
        let normal = |name: &str| Some(name.parse::<Reference>().ok()?.or_latest().to_string());
        let familiar = || {
            let wanted = normal(name)?;
            addresses.keys().find(|known| normal(known).as_ref() == Some(&wanted))
        };
        let of_platform = addresses.get(&format!("{name}::{platform}"));
        of_platform.or_else(|| addresses.get(name)).or_else(|| addresses.get(familiar()?))
    }

    /// Puts a main context in place that didn't come by folder.
    pub(super) async fn preset(&self, folder: Folder) {
        let cell = Arc::new(OnceCell::new_with(Some(folder)));
        self.folders.lock().await.insert("context".to_owned(), cell);
    }

    /// A client's folder without what is ignored, received when it is first asked for.
    async fn folder(
        &self,
        name: &str,
        title: &str,
        ignored: impl Future<Output = Result<Vec<String>>>,
    ) -> Result<Received> {
        let cell = self.folders.lock().await.entry(name.to_owned()).or_default().clone();
        let folder = cell
            .get_or_try_init(|| async {
                let ignored = ignored.await?;
                let work = self.progress.start(title);
                let received = self.received(name, ignored, &work).await;
                work.end(received.as_ref().err().map(Error::describe).as_deref());
                received
            })
            .await?;
        Ok(folder.received())
    }

    /// The files of a repository, fetched when they are first asked for.
    async fn repository(&self, name: &str, address: &str) -> Result<Received> {
        let cell = self.folders.lock().await.entry(format!("git {address}")).or_default().clone();
        let folder = cell
            .get_or_try_init(|| async {
                let work = self.progress.start(&format!("[context {name}] load from git"));
                let fetched = checked_out(&self.builder, &self.session, address, self.keeps_git_dir).await;
                work.end(fetched.as_ref().err().map(Error::describe).as_deref());
                fetched
            })
            .await?;
        Ok(folder.received())
    }

    /// A client's folder that isn't the main context: without what its own ignore file names.
    async fn named_folder(&self, name: &str, folder: &str) -> Result<Received> {
        let title = format!("[context {name}] load .dockerignore");
        let about = (folder, title.as_str());
        let ignored = ignored::of_client(&self.builder, &self.session, &self.progress, about);
        self.folder(folder, &format!("[context {name}] load from client"), ignored).await
    }

    /// A file of the web, downloaded when it is first asked for: a folder in which it is called `context`, archive or not.
    async fn web_file(&self, name: &str, url: &str) -> Result<Received> {
        let cell = self.folders.lock().await.entry(url.to_owned()).or_default().clone();
        let folder = cell
            .get_or_try_init(|| async {
                let work = self.progress.start(&format!("[context {name}] {url}"));
                let fetched = downloaded(&self.builder, url).await;
                work.end(fetched.as_ref().err().map(Error::describe).as_deref());
                fetched
            })
            .await?;
        Ok(folder.received())
    }

    /// An image of a layout, which comes when it is first asked for.
    async fn layout(&self, name: &str, address: &str, platform: &Platform) -> Result<Named> {
        let key = format!("{address} {platform}");
        let cell = self.images.lock().await.entry(key).or_default().clone();
        let load = || async {
            let work = self.progress.start(&format!("[context {name}] OCI load from client"));
            let loaded = async {
                let address = layout::Address::parse(address)?;
                layout::load(&self.builder, &self.session, name, &address, platform, &work).await
            };
            let loaded = loaded.await;
            work.end(loaded.as_ref().err().map(Error::describe).as_deref());
            loaded
        };
        let (files, config) = cell.get_or_try_init(load).await?;
        Ok(Named::Here(files.clone(), config.clone()))
    }

    async fn received(
        &self,
        name: &str,
        exclude: Vec<String>,
        work: &super::progress::Work,
    ) -> Result<Folder> {
        let folder = Folder::open(&self.builder, &self.session, name)?;
        let wanted = Wanted { name, exclude, include: Vec::new() };
        let bytes = receive::receive(&self.session, wanted, &folder, |_| {}).await?;
        work.transfer("transferring context:", bytes, 0, true);
        Ok(folder)
    }
}

impl Sources for ClientSources {
    fn context(&self) -> BoxFuture<'_, Result<Received>> {
        let ignored = async { Ok(self.ignored.clone()) };
        Box::pin(self.folder("context", "[internal] load build context", ignored))
    }

    fn has(&self, name: &str, platform: Option<&Platform>) -> bool {
        self.address(name, &or_local(platform)).is_some()
    }

    fn named<'a>(
        &'a self,
        name: &'a str,
        platform: Option<&'a Platform>,
    ) -> BoxFuture<'a, Result<Option<Named>>> {
        Box::pin(async move {
            let platform = or_local(platform);
            let Some(value) = self.address(name, &platform) else { return Ok(None) };
            if let Some(image) = value.strip_prefix("docker-image://") {
                return Ok(Some(Named::Image(image.to_owned())));
            }
            if let Some(folder) = value.strip_prefix("local:") {
                return Ok(Some(Named::Folder(self.named_folder(name, folder).await?)));
            }
            if git::Address::is_one(value) {
                return Ok(Some(Named::Folder(self.repository(name, value).await?)));
            }
            if value.starts_with("http://") || value.starts_with("https://") {
                return Ok(Some(Named::Folder(self.web_file(name, value).await?)));
            }
            let Some((kind, rest)) = value.split_once(':') else {
                return Err(Error::Invalid(format!("invalid context specifier {value} for {name}")));
            };
            if kind == "oci-layout" {
                return self.layout(name, rest, &platform).await.map(Some);
            }
            if kind == "input" {
                let built = self.contexts.inputs.get(rest);
                let missing = || Error::Invalid(format!("invalid input {rest} for {name}"));
                let built = built.ok_or_else(missing)?;
                return Ok(Some(Named::Here(built.files.clone(), Arc::new(built.finished()))));
            }
            Err(Error::Unsupported(format!("unsupported context source {kind} for {name}")))
        })
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Option<Vec<u8>>>> {
        Box::pin(secret(&self.session, id))
    }

    fn agent<'a>(&'a self, id: &'a str, socket: PathBuf) -> BoxFuture<'a, Result<Option<Agent>>> {
        Box::pin(agents::open(&self.session, id, socket))
    }

    fn git_agent(&self) -> BoxFuture<'_, Option<tokio::io::DuplexStream>> {
        Box::pin(agents::connect(self.session.clone(), git::AGENT))
    }

    fn credentials<'a>(&'a self, registry: &'a str) -> BoxFuture<'a, Result<Option<Credentials>>> {
        Box::pin(async move { Ok(credentials(&self.session, registry).await) })
    }
}

fn or_local(platform: Option<&Platform>) -> Platform {
    platform.cloned().unwrap_or_else(Platform::local)
}

/// A secret of the client's; none when it has none of that name.
pub(super) async fn secret(session: &Session, id: &str) -> Result<Option<Vec<u8>>> {
    if !session.serves(SECRET) {
        return Ok(None);
    }
    match session.ask::<_, SecretResponse>(SECRET, SecretRequest { id: id.to_owned() }).await {
        Ok(found) => Ok(Some(found.data)),
        Err(status) if status.code() == tonic::Code::NotFound => Ok(None),
        Err(status) => Err(Error::Invalid(format!("secret {id}: {}", status.message()))),
    }
}

/// A repository's files in a folder of this build's alone.
pub(super) async fn checked_out(
    builder: &Arc<Builder>,
    session: &Arc<Session>,
    text: &str,
    keeps_git_dir: bool,
) -> Result<Folder> {
    let address = git::Address::parse(text)?.keeping_git_dir(keeps_git_dir);
    let asked = |id: String| -> BoxFuture<'_, _> { Box::pin(async move { secret(session, &id).await }) };
    let authorization = git::authorization(&address, asked).await?;
    let folder = Folder::temporary(builder)?;
    let agent = || -> BoxFuture<'static, _> { Box::pin(agents::connect(session.clone(), git::AGENT)) };
    let access = git::Access { authorization: authorization.as_deref(), agent: &agent };
    git::check_out(builder, &address, access, &folder.path).await?;
    Ok(folder)
}

/// A folder of this build's alone with what lies at an address, under the name that it has in BuildKit.
async fn downloaded(builder: &Arc<Builder>, url: &str) -> Result<Folder> {
    let folder = Folder::temporary(builder)?;
    builder.registries.download(url, &folder.path.join("context"), &|_| {}).await?;
    Ok(folder)
}

/// Who the client is to a registry; nobody when it doesn't say.
pub(super) async fn credentials(session: &Session, registry: &str) -> Option<Credentials> {
    if !session.serves(CREDENTIALS) {
        return None;
    }
    let host = if registry == berth_images::DEFAULT_DOMAIN { "registry-1.docker.io" } else { registry };
    let question = CredentialsRequest { host: host.to_owned() };
    let found: CredentialsResponse = session.ask(CREDENTIALS, question).await.ok()?;
    if found.secret.is_empty() {
        return None;
    }
    // Without a name the secret is an identity token.
    Some(if found.username.is_empty() {
        Credentials { identity_token: found.secret, ..Credentials::default() }
    } else {
        Credentials { username: found.username, password: found.secret, ..Credentials::default() }
    })
}
