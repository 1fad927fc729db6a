//! `docker commit` and `docker import`: images made of a container's changes, or of a root file system.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use berth_images::registry::Report;
use berth_images::{CommitOptions, Digest, ImportOptions, Platform, Reference, RunConfig};
use jiff::Timestamp;

use crate::container::config::Config;
use crate::container::state::Status;
use crate::export::MOUNT_POINTS;
use crate::{Engine, Error, create, identity, instructions};

/// The folder of root file systems that are being downloaded.
const DOWNLOADS: &str = "imports";

/// What a new image of a container should be.
#[derive(Debug, Default)]
pub struct Commit {
    /// Its repository; none leaves it without a name.
    pub repository: String,
    /// Its tag; `latest` when empty.
    pub tag: String,
    /// Who makes it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// Dockerfile instructions that change how it runs.
    pub changes: Vec<String>,
    /// Whether the container is frozen meanwhile.
    pub pause: bool,
    /// How it runs; the container's own wishes fill what is open.
    pub config: Config,
}

/// What an image of a root file system should be.
#[derive(Debug, Default)]
pub struct Import {
    /// Its repository; none leaves it without a name.
    pub repository: String,
    /// Its tag; `latest` when empty.
    pub tag: String,
    /// Where it comes from, which is the comment where there is none.
    pub source: String,
    /// The comment.
    pub message: String,
    /// What it runs on; this machine's platform when empty.
    pub platform: String,
    /// Dockerfile instructions that change how it runs.
    pub changes: Vec<String>,
}

impl Engine {
    /// Makes an image of what a container changed.
    ///
    /// # Errors
    /// When a name or a change makes no sense, the image below is gone, or the disk refuses.
    pub async fn commit(&self, container: &str, commit: Commit) -> Result<Digest, Error> {
        let container = self.containers.find(container)?;
        let Commit { repository, tag, author, comment, changes, pause, mut config } = commit;
        let name = reference(&repository, &tag)?;
        instructions::apply(&mut config, &changes)?;
        let _verb = container.verb.lock().await;
        let record = container.record();
        if matches!(record.state.status, Status::Dead | Status::Removing) {
            let (id, state) = (&container.id, record.state.status.name());
            return Err(Error::CannotCommit(format!("You cannot commit container {id} which is {state}")));
        }
        create::merge(&mut config, &record.config);
        in_order_of(&mut config.env, &record.config.env);
        let created_by = record.config.cmd.as_ref().map(|words| words.0.join(" ")).unwrap_or_default();
        let options = CommitOptions {
            name: name.clone(),
            author,
            message: comment.clone(),
            config: run_config(&config)?,
            created_by,
            created: Timestamp::now().to_string(),
            leave_out: MOUNT_POINTS.iter().map(|&path| path.to_owned()).collect(),
        };
        let frozen = pause && record.state.status == Status::Running && still(self.freeze(&container).await)?;
        if frozen {
            self.tell(&container, "pause");
        }
        let (images, id) = (self.images.clone(), container.id.clone());
        let made = tokio::task::spawn_blocking(move || images.commit(&id, &options)).await;
        if frozen {
            still(self.thaw(&container).await)?;
            self.tell(&container, "unpause");
        }
        let image = made??;
        let (id, name) = (image.to_string(), name.map(|name| name.or_latest().to_string()));
        self.tell_image("create", &id, &id);
        if let Some(name) = &name {
            self.tell_image("tag", &id, name);
        }
        let mut attributes = container.attributes();
        attributes.insert("comment".to_owned(), comment);
        attributes.insert("imageID".to_owned(), id);
        attributes.insert("imageRef".to_owned(), name.unwrap_or_default());
        self.events.tell("container", "commit", &container.id, attributes);
        Ok(image)
    }

    /// Downloads a root file system into a file without a name.
    ///
    /// # Errors
    /// When the server doesn't give it, or the disk refuses.
    pub async fn download(&self, url: &str, report: Report<'_>) -> Result<File, Error> {
        let folder = self.config.data_root.join(DOWNLOADS);
        std::fs::create_dir_all(&folder)
            .map_err(|source| Error::Folder { folder: folder.clone(), source })?;
        let file = Passing(folder.join(identity::fresh()?));
        self.registries.download(url, &file.0, report).await?;
        File::open(&file.0).map_err(|source| Error::Write { path: file.0.clone(), source })
    }

    /// Makes an image of a root file system's tar. Blocks.
    ///
    /// # Errors
    /// When a name or a change makes no sense, or it isn't a tar.
    pub fn import(&self, import: Import, archive: impl Read + Send) -> Result<Digest, Error> {
        let name = reference(&import.repository, &import.tag)?;
        let mut config = Config::default();
        instructions::apply(&mut config, &import.changes)?;
        let platform = Some(&import.platform).filter(|text| !text.is_empty());
        let options = ImportOptions {
            name: name.clone(),
            message: if import.message.is_empty() {
                format!("Imported from {}", import.source)
            } else {
                import.message
            },
            platform: platform.map(|text| of_linux(text)).transpose()?,
            config: run_config(&config)?,
            created: Timestamp::now().to_string(),
        };
        let image = self.images.import(archive, &options)?;
        let id = image.to_string();
        if let Some(name) = name {
            self.tell_image("tag", &id, &name.or_latest().to_string());
        }
        self.tell_image("import", &id, &id);
        Ok(image)
    }
}

/// A platform whose containers run here.
fn of_linux(text: &str) -> Result<Platform, Error> {
    let platform: Platform = text.parse()?;
    match platform.os.as_str() {
        "linux" => Ok(platform),
        _ => Err(Error::InvalidRequest("operating system is not supported".to_owned())),
    }
}

/// Removes what downloads left that were under way when an engine ended.
pub(crate) fn forget_downloads(data_root: &Path) {
    drop(std::fs::remove_dir_all(data_root.join(DOWNLOADS)));
}

/// A file that goes when nobody works with it any longer.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn reference(repository: &str, tag: &str) -> Result<Option<Reference>, Error> {
    if repository.is_empty() {
        return Ok(None);
    }
    let name = if tag.is_empty() { repository.to_owned() } else { format!("{repository}:{tag}") };
    Ok(Some(name.parse()?))
}

/// Puts variables first that `first` has, in its order, as Docker does.
fn in_order_of(env: &mut [String], first: &[String]) {
    let name = |entry: &str| entry.split('=').next().unwrap_or_default().to_owned();
    let names: Vec<String> = first.iter().map(|entry| name(entry)).collect();
    env.sort_by_key(|entry| names.iter().position(|known| *known == name(entry)).unwrap_or(usize::MAX));
}

fn run_config(config: &Config) -> Result<RunConfig, Error> {
    let json = serde_json::to_value(config).and_then(serde_json::from_value);
    json.map_err(|error| Error::InvalidRequest(format!("the configuration makes no sense: {error}")))
}
/// Whether the container still ran: one that has just ended needn't be stopped where it is.
fn still(done: Result<(), Error>) -> Result<bool, Error> {
    match done {
        Ok(()) => Ok(true),
        Err(Error::NotRunning(_)) => Ok(false),
        Err(error) => Err(error),
    }
}
