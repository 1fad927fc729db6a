//! Where COPY and mounts take files from: the context, an earlier stage, an image.

use std::path::PathBuf;
use std::sync::Arc;

use super::blocking;
use super::from::{self, Found};
use crate::Result;
use crate::files::Files;
use crate::known::Known;
use crate::observe::StepName;
use crate::solve::{Base, Build, source};
use crate::sources::Received;
use crate::workspace::Workspace;

/// Files before they are looked at.
#[derive(Debug, Clone)]
pub(super) enum Origin {
    /// A folder of the client's: owners there mean nothing.
    Context(Received),
    /// A file system of the build.
    Files(Files),
}

/// Files to look at, for as long as this lives.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) root: PathBuf,
    pub(super) with_owners: bool,
    pub(super) known: Arc<Known>,
    _workspace: Option<Workspace>,
}

impl Opened {
    /// The folder's name, if it is a client's.
    pub(super) fn folder_of_client(&self) -> Option<&str> {
        self.root.file_name()?.to_str().filter(|_| !self.with_owners)
    }
}

impl Origin {
    /// What `from` means in a stage: nothing is the context.
    pub(super) async fn find(build: &Arc<Build>, stage: usize, step: &StepName, from: &str) -> Result<Self> {
        if from.is_empty() {
            return Ok(Self::Context(build.sources.context().await?));
        }
        let earlier = source(&build.file, stage, from);
        let (name, platform) = match earlier.map(|earlier| (earlier, &build.plan.bases[earlier])) {
            Some((earlier, Base::Context(name))) => (name.as_str(), build.platform(earlier)),
            Some((earlier, _)) => return Ok(Self::Files(build.stage(earlier).await?.files)),
            None => (from, build.options.platform.clone()),
        };
        Ok(match from::find(build, step, name, platform.as_ref()).await? {
            Found::Nothing => Self::Files(Files::empty()),
            Found::Folder(folder) => Self::Context(folder),
            Found::Image(files, _) => Self::Files(files),
        })
    }

    /// Makes the files visible.
    pub(super) async fn open(&self, build: &Arc<Build>) -> Result<Opened> {
        match self {
            Self::Context(Received { path, known }) => {
                let (root, known) = (path.clone(), Arc::clone(known));
                Ok(Opened { root, with_owners: false, known, _workspace: None })
            }
            Self::Files(files) => {
                let (builder, files) = (build.builder.clone(), files.clone());
                blocking(move || {
                    let workspace = Workspace::open(&builder, &files)?;
                    let (root, known) = (workspace.root().to_owned(), Arc::default());
                    Ok(Opened { root, with_owners: true, known, _workspace: Some(workspace) })
                })
                .await
            }
        }
    }
}
