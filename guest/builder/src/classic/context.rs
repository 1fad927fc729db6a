//! The context of a classic build: received, unpacked, and without what its ignore file names.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_images::Dress;
use serde_json::json;

use super::{Input, Lines};
use crate::beneath::{Root, clean};
use crate::ignore::Ignore;
use crate::{Builder, Error, Result, dockerfile, git};

/// The name of a Dockerfile when nobody says.
const USUAL: &str = "Dockerfile";

/// An unpacked context; dropped, it is gone.
pub(super) struct Context {
    pub(super) folder: PathBuf,
    pub(super) dockerfile: String,
}

impl Drop for Context {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Context {
    /// Receives a context and finds the Dockerfile in it.
    pub(super) async fn receive(
        builder: &Arc<Builder>,
        input: Input,
        name: &str,
        lines: &Lines,
    ) -> Result<Self> {
        let folder = builder.contexts().join(crate::identity::fresh()?);
        std::fs::create_dir_all(&folder).map_err(Error::file("make folder", &folder))?;
        let mut context = Self { folder, dockerfile: String::new() };
        let archive: Box<dyn Read + Send> = match input {
            Input::Archive(archive) => archive,
            Input::Remote(url) if git::Address::is_one(&url) => {
                let address = git::Address::parse(&url)?;
                lines(json!({ "stream": format!("Cloning {}\n", address.shown()) }));
                git::check_out(builder, &address, git::Access::ANONYMOUS, &context.folder).await?;
                let name = name.to_owned();
                return tokio::task::spawn_blocking(move || {
                    context.dockerfile = context.settle(&name)?;
                    Ok(context)
                })
                .await?;
            }
            Input::Remote(url) => match context.download(builder, &url, lines).await? {
                Some(archive) => Box::new(archive),
                None => return Ok(context),
            },
        };
        let name = name.to_owned();
        tokio::task::spawn_blocking(move || {
            berth_images::extract(archive, &context.folder, Path::new(""), Dress::default())?;
            context.dockerfile = context.settle(&name)?;
            Ok(context)
        })
        .await?
    }

    /// Downloads what `remote=` names: an archive, or a text that is the Dockerfile.
    async fn download(&mut self, builder: &Arc<Builder>, url: &str, lines: &Lines) -> Result<Option<File>> {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            let message = format!("remote context {url}: expected an address of a repository or an archive");
            return Err(Error::Invalid(message));
        }
        let path = self.folder.with_extension("remote");
        let report = |progress: berth_images::Progress| {
            if let Some(detail) = progress.detail {
                let (current, total) = (detail.current, detail.total);
                lines(
                    json!({ "status": "Downloading", "progressDetail": { "current": current, "total": total } }),
                );
            }
        };
        let downloaded = builder.registries.download(url, &path, &report).await;
        let opened = File::open(&path).map_err(Error::file("open", &path));
        let bytes = downloaded.map(drop).map_err(Error::from).and(opened);
        drop(std::fs::remove_file(&path));
        let file = bytes?;
        let copy = file.try_clone().map_err(Error::file("open", &path))?;
        if berth_images::is_archive(copy)? {
            std::io::Seek::rewind(&mut &file).map_err(Error::file("read", &path))?;
            return Ok(Some(file));
        }
        std::io::Seek::rewind(&mut &file).map_err(Error::file("read", &path))?;
        let mut text = String::new();
        file.take(dockerfile::LONGEST as u64 + 1)
            .read_to_string(&mut text)
            .map_err(Error::file("read", &path))?;
        self.dockerfile = text;
        Ok(None)
    }

    /// Reads the Dockerfile and removes what doesn't belong to the context.
    fn settle(&self, name: &str) -> Result<String> {
        let root = Root::open(&self.folder).map_err(Error::file("open", &self.folder))?;
        let wanted = if name.is_empty() { USUAL } else { name };
        let read = |path: &str| root.text(path, dockerfile::LONGEST as u64 + 1);
        let text = read(wanted).or_else(|| if wanted == USUAL { read("dockerfile") } else { None });
        let text = text.ok_or_else(|| Error::NoDockerfile(wanted.to_owned()))?;
        let own = format!("{}.dockerignore", clean(wanted));
        let rules = read(&own).or_else(|| read(".dockerignore"));
        if let Some(rules) = rules {
            let ignore = Ignore::parse(&rules).map_err(Error::Invalid)?;
            if !ignore.is_empty() {
                remove_ignored(&self.folder, "", &ignore)
                    .map_err(Error::file("apply .dockerignore in", &self.folder))?;
            }
        }
        Ok(text)
    }
}

/// Removes what an ignore file names. The folder is this build's alone, so nothing in it changes meanwhile; links
/// are removed, not followed.
fn remove_ignored(folder: &Path, path: &str, ignore: &Ignore) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if path.is_empty() { name } else { format!("{path}/{name}") };
        let is_folder = entry.file_type()?.is_dir();
        match (ignore.ignores(&path), is_folder) {
            (true, false) => std::fs::remove_file(entry.path())?,
            (true, true) if !ignore.has_exceptions() => std::fs::remove_dir_all(entry.path())?,
            (ignored, true) => {
                remove_ignored(&entry.path(), &path, ignore)?;
                if ignored {
                    // Stays when an exception kept something in it.
                    drop(std::fs::remove_dir(entry.path()));
                }
            }
            (false, false) => {}
        }
    }
    Ok(())
}
