//! What `RUN --mount` brings into a step.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use berth_images::Digest;
use berth_runtime::oci::Mount as Described;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;

use super::blocking;
use super::folder::absolute;
use super::origin::{Opened, Origin};
use crate::beneath::{self, Root, clean};
use crate::checksum::Checksum;
use crate::container::{bind, tmpfs};
use crate::dockerfile::{Mount, MountKind, Run, Sharing};
use crate::ignore::Ignore;
use crate::observe::StepName;
use crate::solve::Build;
use crate::sources::Agent;
use crate::state::State;
use crate::transfer::{Transfer, Way};
use crate::{Error, Lock, Result, key_of};

/// A mount with its texts expanded and its files found.
pub(super) struct Wish {
    mount: Mount,
    origin: Option<Origin>,
    /// What a cache is known by.
    cache: Option<Digest>,
    /// What it adds to the step's key.
    pub(super) key: String,
}

/// A cache is known by its name, and by what it begins with, so that a cache for another owner is another one.
fn cache_id(mount: &Mount, origin: Option<&Origin>) -> Digest {
    let Mount { id, source, mode, uid, gid, .. } = mount;
    let begins = match origin {
        None if (mode, uid, gid) == (&None, &0, &0) => return Digest::of(id.as_bytes()),
        None => String::new(),
        Some(Origin::Files(files)) => files.key.to_string(),
        Some(Origin::Context(folder)) => folder.path.display().to_string(),
    };
    key_of(&[id, &begins, source, &format!("{:?}", (mode, uid, gid))])
}

/// Mounts that are ready, and what keeps them so.
#[derive(Default)]
pub(super) struct Mounted {
    pub(super) mounts: Vec<Described>,
    pub(super) environment: Vec<String>,
    opened: Vec<Opened>,
    agents: Vec<Agent>,
    /// The folders of its caches, by their ids.
    caches: BTreeMap<Digest, PathBuf>,
    locks: Vec<tokio::sync::OwnedMutexGuard<()>>,
    /// Locks of the caches, held or not, which show that they are in use.
    used: Vec<Lock>,
}

/// Expands a step's mounts, and sums up what they bring.
pub(super) async fn resolve(
    build: &Arc<Build>,
    stage: usize,
    name: &StepName,
    run: &Run,
    state: &State,
) -> Result<Vec<Wish>> {
    let mut wishes = Vec::new();
    for mount in &run.mounts {
        let mut mount = mount.clone();
        for text in [&mut mount.source, &mut mount.target, &mut mount.id] {
            *text = build.expand(text, state)?;
        }
        let namespace = &build.options.cache_namespace;
        if mount.kind == MountKind::Cache && !namespace.is_empty() {
            mount.id = format!("{namespace}/{}", mount.id);
        }
        if !mount.target.is_empty() {
            mount.target = absolute(&state.config.config.working_dir, &mount.target);
        }
        let has_files =
            mount.kind == MountKind::Bind || (mount.kind == MountKind::Cache && !mount.from.is_empty());
        let origin = match has_files {
            true => Some(Origin::find(build, stage, name, &mount.from).await?),
            false => None,
        };
        // Caches, secrets and agents don't count, their names and places do.
        let content = match &origin {
            Some(origin) if mount.kind == MountKind::Bind => {
                content(build, origin, &mount.source).await?.to_string()
            }
            _ => String::new(),
        };
        let key = format!(
            "{:?} {} {} {} {:?} {:?} {content}",
            mount.kind,
            mount.target,
            mount.id,
            mount.source,
            mount.env,
            (mount.mode, mount.uid, mount.gid, mount.read_only),
        );
        let cache = (mount.kind == MountKind::Cache).then(|| cache_id(&mount, origin.as_ref()));
        wishes.push(Wish { mount, origin, cache, key });
    }
    Ok(wishes)
}

async fn content(build: &Arc<Build>, origin: &Origin, source: &str) -> Result<Digest> {
    let path = clean(source);
    if let (Origin::Files(files), "") = (origin, path.as_str()) {
        return Ok(files.key.clone());
    }
    let opened = origin.open(build).await?;
    blocking(move || {
        let fail = || Error::file("read", opened.root.join(&path));
        let root = Root::open(&opened.root).map_err(fail())?;
        let ignore = Ignore::default();
        let mut sum = Checksum::new(&ignore, opened.with_owners, &opened.known);
        match root.folder(&path) {
            Ok(folder) => {
                for name in beneath::names(folder.as_fd()).map_err(fail())? {
                    let shown = String::from_utf8_lossy(&name).into_owned();
                    sum.add(folder.as_fd(), &name, &shown).map_err(fail())?;
                }
            }
            Err(_) => {
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", &path));
                let parent = root.folder(parent).map_err(fail())?;
                sum.add(parent.as_fd(), name.as_bytes(), "").map_err(fail())?;
            }
        }
        Ok(sum.finish())
    })
    .await
}

/// Prepares a step's mounts; `folder` is the step's own.
pub(super) async fn mount(build: &Arc<Build>, wishes: Vec<Wish>, folder: &Path) -> Result<Mounted> {
    let mut mounted = Mounted::default();
    mounted.take_caches(build, &wishes).await;
    for (index, wish) in wishes.into_iter().enumerate() {
        let place = folder.join(format!("mount-{index}"));
        match wish.mount.kind {
            MountKind::Bind => mounted.bind(build, wish, &place).await?,
            MountKind::Cache => mounted.cache(build, wish).await?,
            MountKind::Tmpfs => mounted.mounts.push(tmpfs(&wish.mount.target, wish.mount.size)?),
            MountKind::Secret => mounted.secret(build, &wish.mount, &place).await?,
            MountKind::Ssh => mounted.agent(build, &wish.mount, &place).await?,
        }
    }
    Ok(mounted)
}

impl Mounted {
    async fn bind(&mut self, build: &Arc<Build>, wish: Wish, place: &Path) -> Result<()> {
        let Some(origin) = wish.origin else { return Ok(()) };
        let opened = origin.open(build).await?;
        let source = clean(&wish.mount.source);
        let path = if opened.with_owners || wish.mount.read_only {
            beneath_root(&opened.root, &source)?
        } else {
            // What the step writes must not stay in the context.
            let (root, place) = (opened.root.clone(), place.to_owned());
            blocking(move || copy_out(&root, &source, &place)).await?
        };
        self.mounts.push(bind(&path, &wish.mount.target, wish.mount.read_only)?);
        self.opened.push(opened);
        Ok(())
    }

    /// Finds the folders of the caches among these, and takes those that a step has alone: in the order of their ids, so
    /// that no two steps wait for each other.
    async fn take_caches(&mut self, build: &Arc<Build>, wishes: &[Wish]) {
        let caches = wishes.iter().filter_map(|wish| Some((wish.cache.clone()?, wish.mount.sharing)));
        let mut caches: Vec<_> = caches.collect();
        caches.sort_by(|one, other| one.0.cmp(&other.0));
        caches.dedup_by(|one, other| one.0 == other.0);
        for (id, sharing) in caches {
            let folder = match sharing {
                Sharing::Private => self.unused_cache(build, &id),
                Sharing::Shared | Sharing::Locked => {
                    let (folder, lock) = build.builder.cache_folder(&id, 0);
                    self.used.push(lock.clone());
                    if sharing == Sharing::Locked {
                        self.locks.push(lock.lock_owned().await);
                    }
                    folder
                }
            };
            self.caches.insert(id, folder);
        }
    }

    async fn cache(&mut self, build: &Arc<Build>, wish: Wish) -> Result<()> {
        let folder = wish.cache.as_ref().and_then(|cache| self.caches.get(cache)).cloned();
        let Some(folder) = folder else { return Ok(()) };
        let mount = wish.mount;
        let opened = match &wish.origin {
            Some(origin) => Some(origin.open(build).await?),
            None => None,
        };
        let draft = build.builder.contexts().join(format!("cache-{}", crate::identity::fresh()?));
        let (place, begun) = (folder.clone(), mount.clone());
        let opened = blocking(move || {
            if !place.exists() {
                begin_cache(&place, &draft, &begun, opened.as_ref().map(|opened| opened.root.as_path()))?;
            }
            Ok(opened)
        })
        .await?;
        self.opened.extend(opened);
        self.mounts.push(bind(&folder, &mount.target, mount.read_only)?);
        Ok(())
    }

    /// The first folder of a private cache that no other step has.
    fn unused_cache(&mut self, build: &Arc<Build>, id: &Digest) -> PathBuf {
        let mut number = 0;
        loop {
            let (folder, lock) = build.builder.cache_folder(id, number);
            if let Ok(guard) = lock.clone().try_lock_owned() {
                self.locks.push(guard);
                self.used.push(lock);
                return folder;
            }
            number += 1;
        }
    }

    async fn secret(&mut self, build: &Arc<Build>, mount: &Mount, place: &Path) -> Result<()> {
        let Some(secret) = build.sources.secret(&mount.id).await? else {
            if mount.required {
                return Err(Error::Invalid(format!("secret {}: not found", mount.id)));
            }
            return Ok(());
        };
        if let Some(name) = &mount.env {
            let text = String::from_utf8(secret.clone());
            let text = text.map_err(|_| Error::Invalid(format!("secret {} is no text", mount.id)))?;
            self.environment.push(format!("{name}={text}"));
            if mount.target.is_empty() {
                return Ok(());
            }
        }
        let target = match mount.target.as_str() {
            "" => format!("/run/secrets/{}", mount.id),
            target => target.to_owned(),
        };
        std::fs::write(place, secret).map_err(Error::file("write", place))?;
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mount.mode.unwrap_or(0o400));
        std::os::unix::fs::chown(place, Some(mount.uid), Some(mount.gid))
            .and_then(|()| std::fs::set_permissions(place, permissions))
            .map_err(Error::file("set up", place))?;
        self.mounts.push(bind(place, &target, true)?);
        Ok(())
    }

    async fn agent(&mut self, build: &Arc<Build>, mount: &Mount, place: &Path) -> Result<()> {
        let Some(agent) = build.sources.agent(&mount.id, place.to_owned()).await? else {
            if mount.required {
                return Err(Error::Invalid(format!("unset ssh forward key {}", mount.id)));
            }
            return Ok(());
        };
        let target = match mount.target.as_str() {
            "" => "/run/buildkit/ssh_agent.0".to_owned(),
            target => target.to_owned(),
        };
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(mount.mode.unwrap_or(0o600));
        std::os::unix::fs::chown(&agent.socket, Some(mount.uid), Some(mount.gid))
            .and_then(|()| std::fs::set_permissions(&agent.socket, permissions))
            .map_err(Error::file("set up", &agent.socket))?;
        self.mounts.push(bind(&agent.socket, &target, false)?);
        self.environment.push(format!("SSH_AUTH_SOCK={target}"));
        self.agents.push(agent);
        Ok(())
    }
}

/// Makes a cache's folder by way of a draft, so that it is whole or not there; another step may be quicker.
fn begin_cache(place: &Path, draft: &Path, mount: &Mount, base: Option<&Path>) -> Result<()> {
    match base {
        Some(root) => drop(copy_out(root, &clean(&mount.source), draft)?),
        None => std::fs::create_dir_all(draft).map_err(Error::file("make folder", draft))?,
    }
    let permissions = std::os::unix::fs::PermissionsExt::from_mode(mount.mode.unwrap_or(0o755));
    std::os::unix::fs::chown(draft, Some(mount.uid), Some(mount.gid))
        .and_then(|()| std::fs::set_permissions(draft, permissions))
        .map_err(Error::file("set up", draft))?;
    if let Some(parent) = place.parent() {
        std::fs::create_dir_all(parent).map_err(Error::file("make folder", parent))?;
    }
    match renameat_with(CWD, draft, CWD, place, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        Err(Errno::EXIST) => std::fs::remove_dir_all(draft).map_err(Error::file("remove", draft)),
        Err(error) => Err(Error::file("make folder", place)(error.into())),
    }
}

/// A path that the kernel resolved beneath a root, as the bind's source: no link in it leads elsewhere any more.
fn beneath_root(root: &Path, source: &str) -> Result<PathBuf> {
    let opened = Root::open(root).map_err(Error::file("open", root))?;
    let entry = opened
        .entry(source)
        .map_err(|_| Error::Invalid(format!("failed to calculate checksum of ref: {source:?}: not found")))?;
    beneath::path_of(entry.as_fd()).map_err(Error::file("resolve", source))
}

/// Copies a folder's content out of a root into a new folder.
fn copy_out(root: &Path, source: &str, to: &Path) -> Result<PathBuf> {
    let fail = || Error::file("copy to", to);
    let from = Root::open(root).map_err(fail())?.folder(source).map_err(fail())?;
    std::fs::create_dir_all(to).map_err(fail())?;
    let target = Root::open(to).map_err(fail())?.folder(".").map_err(fail())?;
    let none = Ignore::default();
    let transfer = Transfer::new(Some((0, 0)), None, &none);
    transfer.folder(Way::new(from.as_fd(), target.as_fd()), "").map_err(fail())?;
    Ok(to.to_owned())
}
