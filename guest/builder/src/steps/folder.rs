//! WORKDIR.

use std::sync::Arc;

use jiff::Timestamp;
use rustix::fs::{AtFlags, Timespec, Timestamps};

use super::blocking;
use crate::beneath::{Root, clean};
use crate::history::Style;
use crate::solve::{Build, Outcome};
use crate::state::State;
use crate::workspace::Workspace;
use crate::{Error, Result, key_of, user};

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
    // The classic builder's folders are root's, BuildKit's the user's.
    let user = if build.style == Style::BuildKit { state.config.config.user.clone() } else { String::new() };
    let epoch = build.options.epoch;
    let time = epoch.map(|epoch| epoch.to_string()).unwrap_or_default();
    let key = key_of(&["folder", &state.files.key.to_string(), &path, &user, &time]);
    let lock = build.builder.lock_for(key.hex());
    let _alone = lock.lock().await;
    let entry = state.style.folder(&state.shell, &path);
    if let Some((files, created)) = build.cached(stage, &key, &state.files).await {
        state.advance(files, &lock, &created, entry);
        return Ok(Outcome::Cached);
    }
    let (builder, files, description) =
        (build.builder.clone(), state.files.clone(), format!("WORKDIR {path}"));
    // Where every image begins BuildKit makes no folder.
    let style = if path == "/" { Style::Classic } else { build.style };
    let (files, created) = blocking(move || {
        let workspace = Workspace::open_for_files(&builder, &files)?;
        let root = Root::open(workspace.root()).map_err(Error::file("open", workspace.root()))?;
        let owner = match user.as_str() {
            "" => None,
            user => Some(user::find(workspace.root(), user).map(|found| (found.uid, found.gid))?),
        };
        let missing = missing(&root, &path);
        root.make_folders(&path, 0o755, owner).map_err(Error::file("make folder", &path))?;
        if let Some(epoch) = epoch {
            missing
                .iter()
                .try_for_each(|made| date(&root, made, epoch))
                .map_err(Error::file("date", path))?;
        }
        drop(root);
        let added = workspace.commit(style, None, None)?;
        let size = added.as_ref().map_or(0, |(layer, _)| layer.size);
        let next = files.with(key, added);
        let created = builder.cache.put(&next, &files, size, &description)?;
        Ok((next, created))
    })
    .await?;
    state.advance(files, &lock, &created.to_string(), entry);
    Ok(Outcome::Made)
}

/// The folders on the way to `path` that aren't there, deepest first.
fn missing(root: &Root, path: &str) -> Vec<String> {
    let path = clean(path);
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    let mut missing: Vec<String> =
        ends.map(|end| path[..end].to_owned()).filter(|part| !root.exists(part)).collect();
    missing.reverse();
    missing
}

fn date(root: &Root, folder: &str, moment: Timestamp) -> std::io::Result<()> {
    let time = Timespec { tv_sec: moment.as_second(), tv_nsec: 0 };
    let times = Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::utimensat(root.folder(folder)?, ".", &times, AtFlags::empty())?)
}

/// A path from the present folder, cleaned.
pub(super) fn absolute(present: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{present}/{path}") };
    format!("/{}", clean(&joined))
}
