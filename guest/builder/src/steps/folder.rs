//! WORKDIR.

use std::sync::Arc;

use super::blocking;
use crate::beneath::{Root, clean};
use crate::solve::{Build, Outcome};
use crate::state::State;
use crate::workspace::Workspace;
use crate::{Error, Result, key_of};

/// Enters a folder, making it when it isn't there.
pub(super) async fn enter(
    build: &Arc<Build>,
    stage: usize,
    path: &str,
    state: &mut State,
) -> Result<Outcome> {
    let wanted = build.expand(path, state)?;
    let path = absolute(&state.config.config.working_dir, &wanted);
    state.run().working_dir.clone_from(&path);
    let key = key_of(&["folder", &state.files.key.to_string(), &path]);
    let lock = build.builder.lock_for(key.hex());
    let _alone = lock.lock().await;
    let entry = state.style.folder(&state.shell, &path);
    if !build.ignores_cache(stage)
        && let Some((files, created)) = build.find_cached(&key)
    {
        state.advance(files, &created, entry);
        return Ok(Outcome::Cached);
    }
    let (builder, files, description) =
        (build.builder.clone(), state.files.clone(), format!("WORKDIR {path}"));
    let (files, created) = blocking(move || {
        let workspace = Workspace::open(&builder, &files)?;
        let root = Root::open(&workspace.root()).map_err(Error::file("open", workspace.root()))?;
        root.make_folders(&path, 0o755, None).map_err(Error::file("make folder", path))?;
        drop(root);
        let added = workspace.commit(None)?;
        let size = added.as_ref().map_or(0, |(layer, _)| layer.size);
        let files = files.with(key, added);
        let created = builder.cache.put(&files, size, &description)?;
        Ok((files, created))
    })
    .await?;
    state.advance(files, &created.to_string(), entry);
    Ok(Outcome::Made)
}

/// A path from the present folder, cleaned.
pub(super) fn absolute(present: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{present}/{path}") };
    format!("/{}", clean(&joined))
}
