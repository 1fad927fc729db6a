//! Where COPY and mounts take files from: the context, an earlier stage, an image.

use std::path::PathBuf;
use std::sync::Arc;

use super::{blocking, from};
use crate::Result;
use crate::files::Files;
use crate::known::Known;
use crate::observe::StepName;
use crate::solve::{Build, source};
use crate::sources::{Named, Received};
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
        if let Some(earlier) = source(&build.file, stage, from) {
            return Ok(Self::Files(build.stage(earlier).await?.files));
        }
        if from == "scratch" {
            return Ok(Self::Files(Files::empty()));
        }
        if let Some(Named::Folder(folder)) = build.sources.named(from).await? {
            return Ok(Self::Context(folder));
        }
        let platform = build.options.platform.clone();
        let image = from::image(build, step, from, platform.as_ref()).await?;
        Ok(Self::Files(Files::of_image(&image, &build.builder.store)))
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
